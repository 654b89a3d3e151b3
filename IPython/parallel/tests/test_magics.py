"""``%load_ext IPython.parallel`` in an interactive shell, with a real cluster."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ipyparallel
import psutil
import pytest
from IPython.core.error import UsageError
from IPython.core.interactiveshell import ExecutionResult, InteractiveShell
from traitlets.config import Config

from IPython.parallel.notebook import magics
from IPython.parallel.tests.contracts import calls
from IPython.parallel.tests.contracts.harness import PATIENCE, Gate
from IPython.parallel.tests.source_tree import find_source_tree


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[InteractiveShell]:
    """A shell of its own with the extension loaded."""
    # It would keep a thread and a file of the user's.
    config = Config({"HistoryManager": {"enabled": False}})
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    shell = InteractiveShell(config=config)
    try:
        run(shell, "%load_ext IPython.parallel")
        yield shell
    finally:
        magics.unload_ipython_extension(shell)
        shell.restore_sys_module_state()


@pytest.fixture
def attached(
    shell: InteractiveShell, client: ipyparallel.Client, connection_file: Path
) -> Iterator[InteractiveShell]:
    """The shell, attached to the cluster that all tests share."""
    run(shell, f"%cluster attach --connection-file {connection_file}")
    yield shell
    client[:].clear(block=True)


def attempt(shell: InteractiveShell, cell: str) -> ExecutionResult:
    return shell.run_cell(cell, store_history=False)


def run(shell: InteractiveShell, cell: str) -> Any:
    """Run a cell and return its value; raise what it raises."""
    done = attempt(shell, cell)
    done.raise_error()
    return done.result


def submitted(shell: InteractiveShell, cell: str) -> Any:
    """The value of a cell that runs on an engine."""
    return run(shell, f"%%submit\n{cell}").result(PATIENCE)


class TestCluster:
    def test_without_one(self, shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
        run(shell, "%cluster")
        assert "no cluster yet" in capsys.readouterr().out
        for cell in ("%cluster stop", "%%submit\n1"):
            with pytest.raises(UsageError, match="start one with `%cluster start`"):
                run(shell, cell)

    def test_attach(
        self, shell: InteractiveShell, connection_file: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        run(shell, f"%cluster attach --connection-file {connection_file}")
        assert "2 engines, attached" in capsys.readouterr().out
        assert isinstance(shell.user_ns["rc"], ipyparallel.Client)
        assert run(shell, "view.submit(pow, 2, 5).result()") == 32

    def test_status(
        self, attached: InteractiveShell, gate: Gate, capsys: pytest.CaptureFixture[str]
    ) -> None:
        attached.push({"pass_gate": calls.pass_gate, "address": gate.address})
        future = run(attached, "%%submit\npass_gate(address)")
        gate.wait_for_arrivals(1)
        run(attached, "%cluster status")
        assert capsys.readouterr().out.endswith("2 engines, attached; 1 call of `view` outstanding\n")
        gate.open()
        future.result(PATIENCE)

    def test_leaving_leaves_the_engines_alone(
        self, attached: InteractiveShell, client: ipyparallel.Client, capsys: pytest.CaptureFixture[str]
    ) -> None:
        run(attached, "%cluster stop")
        assert "its engines go on" in capsys.readouterr().out
        assert not {"rc", "view"} & attached.user_ns.keys()
        assert client[:].apply_sync(abs, -1) == [1, 1]

    def test_stopping_keeps_what_the_user_called_view(self, attached: InteractiveShell) -> None:
        run(attached, "view = 'of the sea'")
        run(attached, "%cluster stop")
        assert attached.user_ns["view"] == "of the sea"

    def test_one_at_a_time(self, attached: InteractiveShell) -> None:
        for line in ("%cluster start", "%cluster attach"):
            with pytest.raises(UsageError, match="`%cluster stop` first"):
                run(attached, line)

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("%cluster attach -n 4", "-n is for `%cluster start`"),
            ("%cluster start --profile lab", "--profile is for `%cluster attach`"),
            ("%cluster start --cluster-id 1", "--cluster-id is for `%cluster attach`"),
            ("%cluster stop --connection-file f", "--connection-file is for `%cluster attach`"),
            ("%cluster start -n 0", "at least one engine"),
            ("%cluster attach --profile nonesuch", "nonesuch"),
            ("%cluster attach --connection-file nonesuch.json", "nonesuch.json"),
            ("%cluster begin", "invalid choice"),
        ],
    )
    def test_bad_input(self, shell: InteractiveShell, line: str, message: str) -> None:
        with pytest.raises(UsageError, match=message):
            run(shell, line)
        assert not {"rc", "view"} & shell.user_ns.keys()

    def test_start_stop_and_start_again(
        self, shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
    ) -> None:
        processes = []
        for _ in range(2):
            run(shell, "%cluster start -n 1")
            assert "1 engine, started here" in capsys.readouterr().out
            processes.append(psutil.Process(submitted(shell, "import os\nos.getpid()")))
            run(shell, "%cluster stop")
        psutil.wait_procs(processes, timeout=PATIENCE)
        assert [process for process in processes if process.is_running()] == []

    def test_ends_with_the_session(self, tmp_path: Path) -> None:
        script = tmp_path / "session.ipy"
        script.write_text(
            "%load_ext IPython.parallel\n%cluster start -n 1\n"
            "import os\nprint('PID', view.submit(os.getpid).result())\n"
        )
        command = [sys.executable, "-m", "IPython", "--no-banner", "--colors=nocolor", str(script)]
        environment = {"IPYTHONDIR": str(tmp_path / "ipython"), "PATH": "", "HOME": str(tmp_path)}
        done = subprocess.run(command, capture_output=True, text=True, timeout=55, env=environment)
        pid = next(int(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("PID"))
        assert (done.returncode, done.stderr) == (0, "")
        assert not psutil.pid_exists(pid)

    def test_unloading_takes_the_magics_away(self, attached: InteractiveShell) -> None:
        rc = attached.user_ns["rc"]
        run(attached, "%unload_ext IPython.parallel")
        assert rc._closed
        for cell in ("%cluster", "%%submit\n1"):
            with pytest.raises(UsageError, match="not found"):
                run(attached, cell)
        run(attached, "%load_ext IPython.parallel")
        run(attached, "%cluster")

    def test_beside_ipyparallels_own(
        self, attached: InteractiveShell, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ours = {("line", "cluster"), ("cell", "submit")}
        before = {
            (kind, name) for kind, names in attached.magics_manager.magics.items() for name in names
        }
        monkeypatch.setattr("ipyparallel.client.view.get_ipython", lambda: attached)
        attached.user_ns["rc"][:].activate()
        gained = {
            (kind, name) for kind, names in attached.magics_manager.magics.items() for name in names
        } - before
        assert ("cell", "px") in gained
        assert not ours & gained
        run(attached, "%px a = 3")
        assert attached.user_ns["rc"][:].pull("a", block=True) == [3, 3]


class TestSubmit:
    def test_last_expression_is_the_value(self, attached: InteractiveShell) -> None:
        assert submitted(attached, "a = 3\na * 2") == 6
        assert submitted(attached, "a = 3\n") is None
        assert submitted(attached, "for a in range(3): pass") is None

    def test_runs_on_an_engine(self, attached: InteractiveShell) -> None:
        pids = run(attached, "import os\nrc[:].apply_sync(os.getpid)")
        assert submitted(attached, "os.getpid()") in pids

    def test_name(self, attached: InteractiveShell) -> None:
        assert run(attached, "%%submit answer\n6 * 7") is None
        assert attached.user_ns["answer"].result(PATIENCE) == 42

    def test_bad_name(self, attached: InteractiveShell) -> None:
        with pytest.raises(UsageError, match="name of a variable"):
            run(attached, "%%submit 3x\n1")

    def test_sees_the_callers_names(self, attached: InteractiveShell) -> None:
        run(attached, "import math\nbase = 10\ndef f(x): return base + math.floor(x)")
        assert submitted(attached, "[f(x) for x in (1.5, 2.5)]") == [11, 12]

    def test_assignments_stay_there(self, attached: InteractiveShell) -> None:
        run(attached, "x = 5\nitems = [1]")
        assert submitted(attached, "x += 1\nitems.append(x)\nitems") == [1, 6]
        assert (attached.user_ns["x"], attached.user_ns["items"]) == (5, [1])
        assert submitted(attached, "x += 1\nx") == 6

    def test_what_is_assigned_first_does_not_travel(self, attached: InteractiveShell) -> None:
        attached.push({"lock": threading.Lock(), "_": threading.Lock()})
        assert submitted(attached, "lock = 3\nfor _ in range(2): lock += 1\nlock") == 5

    def test_names_are_as_they_are_now(self, attached: InteractiveShell) -> None:
        run(attached, "y = 'before'")
        future = run(attached, "%%submit\nimport time\nz = y\nz")
        run(attached, "y = 'after'")
        assert future.result(PATIENCE) == "before"
        assert submitted(attached, "y") == "after"

    def test_names_pushed_to_the_engines(self, attached: InteractiveShell) -> None:
        run(attached, "rc[:].push({'pushed': 7}, block=True)")
        assert submitted(attached, "pushed + 1") == 8

    def test_functions_and_classes_of_the_cell(self, attached: InteractiveShell) -> None:
        odd_and_even = "def even(n): return n == 0 or odd(n - 1)\ndef odd(n): return n != 0 and even(n - 1)\n"
        assert submitted(attached, f"{odd_and_even}even(10), odd(10)") == (True, False)
        assert submitted(attached, "class C:\n    n = 3\n    def m(self): return self.n\nC().m()") == 3

    def test_error(self, attached: InteractiveShell) -> None:
        future = run(attached, "%%submit\n1 / 0")
        with pytest.raises(ZeroDivisionError) as caught:
            future.result(PATIENCE)
        assert isinstance(caught.value, ipyparallel.RemoteError)

    @pytest.mark.parametrize("cell", ["1 +", "from os import *", "return 1 +", "x = 1\nnonlocal x"])
    def test_what_is_no_cell(self, attached: InteractiveShell, cell: str) -> None:
        with pytest.raises(SyntaxError):
            run(attached, f"%%submit\n{cell}")

    def test_output(self, attached: InteractiveShell) -> None:
        future = run(attached, "%%submit\nprint('hello')")
        future.wait_for_output(PATIENCE)
        assert future.stdout == "hello\n"

    def test_await(self, attached: InteractiveShell) -> None:
        run(attached, "n = 1")
        later = "async def later(value):\n    return value\n"
        cell = f"import asyncio\n{later}n += 1\nawait asyncio.sleep(0)\nawait later(n)"
        assert submitted(attached, cell) == 2

    def test_async_functions_alone_do_not_make_it_asynchronous(self, attached: InteractiveShell) -> None:
        assert submitted(attached, "async def f(): await g()\nf.__name__") == "f"

    def test_ipythons_syntax(self, attached: InteractiveShell) -> None:
        assert submitted(attached, "lines = !echo hello\nlines[0]") == "hello"
        assert submitted(attached, "get_ipython().__class__.__name__") == "ZMQInteractiveShell"

    def test_braces_are_left_alone(self, attached: InteractiveShell) -> None:
        run(attached, "key = 'here'")
        assert submitted(attached, "f'{key}', '{key}', '$key'") == ("here", "{key}", "$key")


def test_session_of_the_documentation(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    page = (find_source_tree() / "docs" / "source" / "magics.rst").read_text(encoding="utf-8")
    session = re.findall(r"^   In \[(\d+)\]: (.*\n(?:      \.\.\.: .*\n)*)(?:   (?!In )(.+))?", page, re.MULTILINE)
    assert len(session) > 5
    run(shell, "%unload_ext IPython.parallel")
    for number, code, said in session:
        value = run(shell, re.sub(r"^      \.\.\.: ", "", code, flags=re.MULTILINE))
        printed = capsys.readouterr().out.strip()  # outputs have no numbers where no history is kept
        assert said == (f"Out[{number}]: {value!r}" if value is not None else printed)
