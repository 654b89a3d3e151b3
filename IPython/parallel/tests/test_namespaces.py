"""Which code runs: the caller's own functions as under the process pool, and names that live on the engines."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import json
import shutil
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ipyparallel
import pytest

import IPython.parallel  # noqa: F401 (its import is what makes views executors)
from IPython.parallel.tests.contracts import calls, main_script
from IPython.parallel.tests.contracts.harness import PATIENCE

CHECKS = [name for name in vars(main_script) if name.startswith("check_")]
POOL_CHECKS = [name for name in CHECKS if not name.startswith("check_beyond_pools_")]

Define = Callable[[str], types.ModuleType]


class TestScriptOnProcessPool:
    """The script's checks hold where the script comes from: what fails here is a wrong check."""

    @pytest.fixture(scope="class")
    @staticmethod
    def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
        return _run_script(tmp_path_factory.mktemp("script"), "process")

    @pytest.mark.parametrize("check", POOL_CHECKS)
    def test_check(self, outcomes: dict[str, str], check: str) -> None:
        assert outcomes[check] == "ok"


class TestScriptOnBalancedView:
    @pytest.fixture(scope="class")
    @staticmethod
    def outcomes(tmp_path_factory: pytest.TempPathFactory, connection_file: Path) -> dict[str, str]:
        return _run_script(tmp_path_factory.mktemp("script"), "balanced", str(connection_file))

    @pytest.mark.parametrize("check", CHECKS)
    def test_check(self, outcomes: dict[str, str], check: str) -> None:
        assert outcomes[check] == "ok", outcomes[check]


class TestScriptOnDirectView:
    @pytest.fixture(scope="class")
    @staticmethod
    def outcomes(tmp_path_factory: pytest.TempPathFactory, connection_file: Path) -> dict[str, str]:
        return _run_script(tmp_path_factory.mktemp("script"), "direct", str(connection_file))

    @pytest.mark.parametrize("check", CHECKS)
    def test_check(self, outcomes: dict[str, str], check: str) -> None:
        assert outcomes[check] == "ok", outcomes[check]


def _run_script(directory: Path, *arguments: str) -> dict[str, str]:
    """Run the script as the user's own: a real `__main__`, in a directory that engines know nothing of."""
    script = shutil.copy(main_script.__file__, directory / "main_script.py")
    (directory / "beside_main_script.py").write_text("def triple(x):\n    return 3 * x\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script, *arguments], capture_output=True, text=True, timeout=50, cwd=directory.parent
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def engine(client: ipyparallel.Client) -> Iterator[ipyparallel.DirectView]:
    """A view of one engine whose user has not put anything there yet."""
    view = client[client.ids[0]]
    view.clear(block=True)
    yield view
    # The test may have shut its view down, which takes nothing from the engine.
    client[client.ids[0]].clear(block=True)


@pytest.fixture(params=["direct", "balanced"])
def view(request: pytest.FixtureRequest, engine: ipyparallel.DirectView, client: ipyparallel.Client) -> Any:
    """A view by which calls reach that engine."""
    return {"direct": engine, "balanced": client.load_balanced_view([client.ids[0]])}[request.param]


@pytest.fixture
def define(monkeypatch: pytest.MonkeyPatch) -> Define:
    """Makes a `__main__` module out of source text, as if the test were that script or notebook."""

    def run_as_main(source: str) -> types.ModuleType:
        module = types.ModuleType("__main__")
        monkeypatch.setitem(sys.modules, "__main__", module)
        exec(source, vars(module))
        return module

    return run_as_main


class TestEngineNames:
    """What the user put into an engine's namespace is seen there, and wins over the caller's names."""

    def test_pushed_name_is_seen(self, engine: ipyparallel.DirectView, view: Any, define: Define) -> None:
        main = define("def read(): return pushed_1")
        engine.push({"pushed_1": 5}, block=True)
        assert view.submit(main.read).result(PATIENCE) == 5

    def test_missing_name_is_a_name_error(self, view: Any, define: Define) -> None:
        main = define("def read(): return nowhere_1")
        assert isinstance(view.submit(main.read).exception(PATIENCE), NameError)

    def test_callers_name_is_used_where_the_engine_has_none(self, view: Any, define: Define) -> None:
        main = define("mine_1 = 'caller'\ndef read(): return mine_1")
        assert view.submit(main.read).result(PATIENCE) == "caller"

    def test_engines_name_wins(self, engine: ipyparallel.DirectView, view: Any, define: Define) -> None:
        main = define("both_1 = 'caller'\ndef read(): return both_1")
        assert view.submit(main.read).result(PATIENCE) == "caller"
        engine.push({"both_1": "engine"}, block=True)
        assert view.submit(main.read).result(PATIENCE) == "engine"

    def test_callers_name_is_back_when_the_engines_is_deleted(self, engine, view: Any, define: Define) -> None:
        main = define("both_2 = 'caller'\ndef read(): return both_2")
        engine.push({"both_2": "engine"}, block=True)
        assert view.submit(main.read).result(PATIENCE) == "engine"
        engine.execute("del both_2", block=True)
        assert view.submit(main.read).result(PATIENCE) == "caller"

    def test_newest_value_of_the_engines_name(self, engine, view: Any, define: Define) -> None:
        main = define("def read(): return pushed_2")
        for value in (1, 2):
            engine.push({"pushed_2": value}, block=True)
            assert view.submit(main.read).result(PATIENCE) == value

    def test_executed_code_defines_names(self, engine: ipyparallel.DirectView, view: Any, define: Define) -> None:
        main = define("def use(x): return defined_there(x)")
        engine.execute("def defined_there(x): return x * 3", block=True)
        assert view.submit(main.use, 2).result(PATIENCE) == 6

    def test_lambdas_see_pushed_names(self, engine: ipyparallel.DirectView, view: Any, define: Define) -> None:
        main = define("read = lambda: pushed_3")
        engine.push({"pushed_3": 7}, block=True)
        assert view.submit(main.read).result(PATIENCE) == 7

    def test_scattered_parts(self, client: ipyparallel.Client, define: Define) -> None:
        main = define("part_1 = list(range(8))\ndef total(): return sum(part_1)")
        everywhere = client[:]
        everywhere.scatter("part_1", main.part_1, block=True)
        try:
            assert everywhere.apply_sync(main.total) == [6, 22]
            assert everywhere.submit(main.total).result(PATIENCE) == [6, 22]
        finally:
            everywhere.clear(block=True)

    def test_names_of_ipython_never_shadow_the_callers(self, view: Any, define: Define) -> None:
        main = define(
            "In, Out, _, __, ___, exit, quit, get_ipython, _i, _ii, _ih, _oh, _dh, open = range(14)\n"
            "def read(): return In, Out, _, __, ___, exit, quit, get_ipython, _i, _ii, _ih, _oh, _dh, open"
        )
        assert view.submit(main.read).result(PATIENCE) == tuple(range(14))

    def test_history_of_the_engine_does_not_shadow_the_callers(self, engine, view: Any, define: Define) -> None:
        engine.execute("'a value for Out and _'", silent=False, block=True)
        main = define("_, _1, _i1 = 'a', 'b', 'c'\ndef read(): return _, _1, _i1")
        assert view.submit(main.read).result(PATIENCE) == ("a", "b", "c")

    def test_names_of_ipython_are_there_for_who_has_none_of_his_own(self, view: Any, monkeypatch) -> None:
        # Not in `__main__`: the test above has given that one names of its own.
        module = types.ModuleType("module_without_ipython_names")
        exec("shell = lambda: type(get_ipython()).__name__", vars(module))
        monkeypatch.setitem(sys.modules, module.__name__, module)
        assert "Shell" in view.submit(module.shell).result(PATIENCE)

    def test_calls_leave_nothing_in_the_users_namespace(self, engine, view: Any, define: Define) -> None:
        main = define("mine_2 = 1\ndef read(): return mine_2\ndef set_it():\n global mine_2\n mine_2 = 2")
        names = "sorted(name for name in globals() if not name.startswith('_'))"
        engine.execute(f"before_1 = {names}", block=True)
        view.submit(main.set_it).result(PATIENCE)
        assert view.submit(main.read).result(PATIENCE) == 2
        engine.execute(f"after_1 = {names}", block=True)
        before, after = engine.pull(("before_1", "after_1"), block=True)
        assert set(after) - set(before) <= {"before_1"}


class TestUnnamedGlobals:
    """Globals that a function asks for while it runs."""

    def test_what_the_notebook_adds_and_redefines(self, view: Any, define: Define) -> None:
        main = define("def evaluate(text): return eval(text)\ndef f(): return 'first'")
        assert view.submit(main.evaluate, "f()").result(PATIENCE) == "first"
        exec("def f(): return 'second'", vars(main))
        assert view.submit(main.evaluate, "f()").result(PATIENCE) == "second"
        exec("added_1 = 'third'", vars(main))
        assert view.submit(main.evaluate, "added_1").result(PATIENCE) == "third"

    def test_engines_names_win(self, engine: ipyparallel.DirectView, view: Any, define: Define) -> None:
        main = define("looked_up_1 = 'caller'\ndef look_up(name): return globals()[name]")
        engine.push({"looked_up_1": "engine", "looked_up_2": "too"}, block=True)
        assert view.submit(main.look_up, "looked_up_1").result(PATIENCE) == "engine"
        assert view.submit(main.look_up, "looked_up_2").result(PATIENCE) == "too"

    def test_what_a_call_set_stays(self, view: Any, define: Define) -> None:
        main = define(
            "set_1 = None\ndef set_it(v):\n global set_1\n set_1 = v\ndef look_up(name): return globals()[name]"
        )
        view.submit(main.set_it, 5).result(PATIENCE)
        assert view.submit(main.look_up, "set_1").result(PATIENCE) == 5
        main.something_else = 1
        assert view.submit(main.look_up, "set_1").result(PATIENCE) == 5

    @pytest.mark.parametrize(
        ("value", "reason"),
        [("bytes(2_000_000)", "larger than 1 MiB"), ("[bytes(900_000), b'x' * 900_000]", "larger than 1 MiB")]
        + [("(n for n in 'ab')", "cannot pickle 'generator' object"), ("ipyparallel.Client", None)],
    )
    def test_what_does_not_come_says_so_when_used(self, view: Any, define: Define, value: str, reason: str) -> None:
        main = define(
            "import ipyparallel\n"
            f"left_1 = {value}\n"
            "beside_1 = 'here'\ndef evaluate(text): return eval(text)"
        )
        assert view.submit(main.evaluate, "beside_1").result(PATIENCE) == "here"
        error = view.submit(main.evaluate, "len(left_1)").exception(PATIENCE)
        assert isinstance(error, RuntimeError if reason else TypeError)
        assert reason is None or reason in str(error)

    def test_module_that_only_the_caller_has(self, view: Any, define: Define, monkeypatch) -> None:
        monkeypatch.setitem(sys.modules, "only_the_caller_has_this", types.ModuleType("only_the_caller_has_this"))
        main = define("import only_the_caller_has_this as it\nbeside_2 = 'here'\ndef evaluate(text): return eval(text)")
        assert view.submit(main.evaluate, "beside_2").result(PATIENCE) == "here"

    def test_result_among_the_globals_is_not_waited_for(self, view: Any, define: Define, gate: Any) -> None:
        main = define("beside_3 = 'here'\ndef evaluate(text): return eval(text)")
        main.waiting = view.client[view.client.ids[1]].submit(calls.pass_gate, gate.address, 1)
        main.value = main.waiting.result
        assert view.submit(main.evaluate, "beside_3").result(PATIENCE) == "here"


class TestSharedGlobals:
    """Functions of one module share one set of globals on an engine, per client."""

    def test_what_one_function_sets_another_sees(self, view: Any, define: Define) -> None:
        main = define("shared_1 = None\ndef set_it(v):\n global shared_1\n shared_1 = v\ndef read(): return shared_1")
        view.submit(main.set_it, 5).result(PATIENCE)
        assert view.submit(main.read).result(PATIENCE) == 5
        assert main.shared_1 is None

    def test_both_kinds_of_view_share(self, engine, client: ipyparallel.Client, define: Define) -> None:
        main = define("shared_2 = None\ndef set_it(v):\n global shared_2\n shared_2 = v\ndef read(): return shared_2")
        engine.submit(main.set_it, 6).result(PATIENCE)
        assert client.load_balanced_view([client.ids[0]]).submit(main.read).result(PATIENCE) == 6

    def test_the_callers_new_binding_wins_over_what_a_call_set(self, view: Any, define: Define) -> None:
        main = define("shared_3 = None\ndef set_it(v):\n global shared_3\n shared_3 = v\ndef read(): return shared_3")
        view.submit(main.set_it, 7).result(PATIENCE)
        main.shared_3 = "bound anew"
        assert view.submit(main.read).result(PATIENCE) == "bound anew"

    def test_name_the_caller_never_had(self, view: Any, define: Define) -> None:
        main = define("def set_it(v):\n global made_1\n made_1 = v\ndef read(): return made_1")
        view.submit(main.set_it, 8).result(PATIENCE)
        assert view.submit(main.read).result(PATIENCE) == 8

    def test_modules_do_not_share(self, view: Any, define: Define, monkeypatch: pytest.MonkeyPatch) -> None:
        main = define("apart_1 = 'main'\ndef read(): return apart_1")
        other = types.ModuleType("other_module_of_the_caller")
        exec("apart_1 = 'other'\nread = lambda: apart_1", vars(other))
        monkeypatch.setitem(sys.modules, other.__name__, other)
        assert view.submit(main.read).result(PATIENCE) == "main"
        assert view.submit(other.read).result(PATIENCE) == "other"
        assert view.submit(main.read).result(PATIENCE) == "main"

    def test_clients_do_not_share(self, view: Any, define: Define, connection_file: Path) -> None:
        """A second client in another process has globals of its own on the same engine."""
        main = define("apart_2 = 'here'\ndef set_it(v):\n global apart_2\n apart_2 = v\ndef read(): return apart_2")
        view.submit(main.set_it, "set here").result(PATIENCE)
        program = (
            "import ipyparallel, sys, IPython.parallel\n"
            "apart_2 = 'there'\n"
            "def read(): return apart_2\n"
            "with ipyparallel.Client(sys.argv[1]) as client:\n"
            "    print(client[client.ids[0]].submit(read).result(20))\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, str(connection_file)], capture_output=True, text=True, timeout=50
        )
        assert done.stdout == "there\n", done.stderr
        assert view.submit(main.read).result(PATIENCE) == "set here"
