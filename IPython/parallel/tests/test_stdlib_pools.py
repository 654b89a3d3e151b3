"""Which of the standard library's pools are views, in whose code, and what `isinstance` says."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import asyncio
import concurrent.futures
import concurrent.futures.process
import concurrent.futures.thread
import multiprocessing
import multiprocessing.pool
import os
import pickle
import re
import sys
import sysconfig
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, ModuleType
from unittest import mock

import cloudpickle
import ipyparallel
import pytest

import IPython.parallel
from IPython.parallel.pools.backing import Backing
from IPython.parallel.pools.replaced_names import assigned_name, shown_name
from IPython.parallel.pools.stdlib_pools import KINDS, standing_in
from IPython.parallel.running import program_code
from IPython.parallel.running.program_code import is_program
from IPython.parallel.tests.contracts import calls
from IPython.parallel.tests.contracts.harness import PATIENCE
from IPython.parallel.tests.test_command_line import SCRIPTS, python, refused

# What a module that was imported earlier has.
ProcessPoolExecutor = concurrent.futures.process.ProcessPoolExecutor
ThreadPoolExecutor = concurrent.futures.thread.ThreadPoolExecutor
Pool = multiprocessing.pool.Pool


@pytest.fixture
def everywhere(client: ipyparallel.Client) -> Iterator[None]:
    with standing_in(Backing(client), KINDS):
        yield


# -- scripts


@pytest.fixture
def shared(connection_file: Path) -> tuple[str, ...]:
    return ("--quiet", "--connection-file", str(connection_file))


def test_multiprocessing_pools_of_a_script(tmp_path: Path) -> None:
    expected = python("process_pools.py")
    assert expected[1] == 0
    assert (
        python("process_pools.py", via=("-n", "2", "--quiet", "--pools", "multiprocessing"))
        == expected
    )


def test_what_an_initializer_is_given_is_there_for_as_long_as_the_pool() -> None:
    code = (
        "import gc, multiprocessing\n"
        "multiprocessing.set_start_method('fork')  # which finds functions that no file has\n"
        "def keep(*given):\n"
        "    global kept\n"
        "    kept = given\n"
        "def add(number):\n"
        "    lock, total = kept\n"
        "    with lock:\n"
        "        total.value += number\n"
        "def start():\n"
        "    total = multiprocessing.Value('i')\n"
        "    return multiprocessing.Pool(2, keep, (multiprocessing.Lock(), total)), total\n"
        "pool, total = start()\n"
        "gc.collect()\n"
        "with pool:\n"
        "    pool.map(add, range(10))\n"
        "print(total.value)\n"
    )
    expected = python("-c", code)
    assert expected == ("45\n", 0, "")
    assert python("-c", code, via=("-n", "2", "--quiet", "--pools", "multiprocessing")) == expected


def test_the_closing_line_counts_the_calls_of_a_chunk(connection_file: Path) -> None:
    code = (
        "import multiprocessing\n"
        "with multiprocessing.Pool() as pool:\n"
        "    pool.map(str, range(10), 4)\n"
        "    failing = pool.map_async(int, ['1', 'no', '2', 'neither'], 3)\n"
        "    failing.wait()\n"
    )
    options = ("--connection-file", str(connection_file), "--pools", "multiprocessing")
    _, status, err = python("-c", code, via=options)
    assert (status, "14 calls, 2 failed" in err) == (0, True), err


def test_threads_of_a_script_run_elsewhere_and_those_of_libraries_here(
    shared: tuple[str, ...],
) -> None:
    out, status, err = python("thread_pools.py", via=(*shared, "--pools=process,thread"))
    assert (status, out.splitlines()) == (
        0,
        [
            "ThreadPoolExecutor True ['elsewhere', 'elsewhere']",
            "ThreadPoolExecutor True ['elsewhere', 'elsewhere']",
            "ThreadPoolExecutor True ['elsewhere', 'elsewhere']",
            "Mine True ['elsewhere', 'elsewhere']",
            "nested here",
            "asyncio: here here",
            "given to asyncio: elsewhere",
            "set for asyncio: elsewhere",
            "library: ['here']",
        ],
    ), err


TERMINATING = """
import sys, time
from concurrent.futures import ProcessPoolExecutor, wait
from pathlib import Path

def hold(path):
    Path(path).touch()
    time.sleep(60)

if __name__ == "__main__":
    pool = ProcessPoolExecutor(1)
    begun = Path(sys.argv[2])
    calls = [pool.submit(hold, str(begun)) for _ in range(8)]
    while not begun.exists():
        time.sleep(0.01)
    getattr(pool, sys.argv[1])()
    assert not wait(calls, 30).not_done
    print(type(calls[0].exception()).__name__, calls[7].cancelled())
    with ProcessPoolExecutor(1) as another:
        print(another.submit(pow, 2, 3).result())
"""


@pytest.mark.parametrize("end", ["terminate_workers", "kill_workers"])
def test_calls_of_workers_that_are_told_to_end(tmp_path: Path, end: str) -> None:
    (tmp_path / "script.py").write_text(TERMINATING)
    command = ("script.py", end, str(tmp_path / "begun"))
    out, status, err = python(*command, via=("-n", "1", "--quiet"), cwd=tmp_path)
    assert (out, status) == ("BrokenProcessPool True\n8\n", 0), err


def test_only_process_pools_are_replaced_without_being_asked(shared: tuple[str, ...]) -> None:
    code = (
        "import concurrent.futures as cf, multiprocessing.pool as mp;"
        "print([hasattr(cls, '_default') for cls in (cf.ProcessPoolExecutor, cf.ThreadPoolExecutor, mp.Pool)])"
    )
    assert python("-c", code, via=shared)[0] == "[True, False, False]\n"
    assert python("-c", code, via=(*shared, "--pools", "thread"))[0] == "[False, True, False]\n"
    assert (
        python("-c", code, via=(*shared, "--pools", "thread, multiprocessing"))[0]
        == "[False, True, True]\n"
    )


@pytest.mark.parametrize("kinds", ["threads", "", "process,", "process,gpu"])
def test_unknown_pools_are_refused_in_one_line(kinds: str) -> None:
    expected = r"argument --pools: '\w*' is none of process, thread, multiprocessing; join several by commas"
    message = refused("--pools", kinds, str(SCRIPTS / "values.py"))
    assert re.fullmatch(expected, message)


def test_a_module_of_the_program_has_the_programs_threads(
    shared: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "beside.py").write_text(
        "from concurrent.futures import ThreadPoolExecutor as Threads\n"
    )
    (tmp_path / "script.py").write_text(
        "import beside\nprint(hasattr(beside.Threads, '_default'))\n"
    )
    assert python("script.py", via=(*shared, "--pools", "thread"), cwd=tmp_path)[0] == "True\n"


# -- classes


@pytest.mark.usefixtures("everywhere")
class TestStandIns:
    @pytest.mark.parametrize(
        ("name", "module", "original"),
        [
            ("ProcessPoolExecutor", concurrent.futures, ProcessPoolExecutor),
            ("ThreadPoolExecutor", concurrent.futures, ThreadPoolExecutor),
            ("Pool", multiprocessing.pool, Pool),
        ],
    )
    def test_old_and_new_name_know_each_others_instances(
        self, name: str, module: ModuleType, original: type
    ) -> None:
        stand_in = getattr(module, name)
        assert stand_in is not original
        assert (stand_in.__module__, stand_in.__qualname__) == (
            original.__module__,
            original.__qualname__,
        )
        assert issubclass(stand_in, original) and issubclass(original, stand_in)
        mine = type("Mine", (stand_in,), {})
        assert (
            issubclass(mine, stand_in)
            and issubclass(mine, original)
            and not issubclass(original, mine)
        )
        assert not issubclass(int, stand_in)

    def test_instances_of_the_original(self) -> None:
        with ThreadPoolExecutor(1) as pool:
            assert isinstance(pool, concurrent.futures.ThreadPoolExecutor)
            assert pool.submit(calls.add, 1, 2).result(PATIENCE) == 3

    def test_both_modules_have_the_same_class(self) -> None:
        assert (
            concurrent.futures.process.ProcessPoolExecutor is concurrent.futures.ProcessPoolExecutor
        )
        assert concurrent.futures.thread.ThreadPoolExecutor is concurrent.futures.ThreadPoolExecutor

    def test_a_class_travels_by_its_name(self) -> None:
        for cls in (concurrent.futures.ThreadPoolExecutor, concurrent.futures.ProcessPoolExecutor):
            for pickler in (pickle, cloudpickle):
                assert pickle.loads(pickler.dumps(cls)) is cls

    def test_calls_run_on_engines(self, client: ipyparallel.Client) -> None:
        pids = set(client[:].apply_sync(os.getpid))
        with concurrent.futures.ThreadPoolExecutor() as pool, multiprocessing.Pool() as other:
            assert {pool.submit(os.getpid).result(PATIENCE), other.apply(os.getpid)} <= pids

    def test_pools_of_this_package_use_the_runs_cluster(self, client: ipyparallel.Client) -> None:
        with IPython.parallel.ProcessPoolExecutor() as pool, IPython.parallel.Pool() as other:
            pool.submit(int).result(PATIENCE)
            assert pool._view.client is other._view.client is client

    def test_what_is_wrong_with_arguments_is_said_as_ever(self) -> None:
        with pytest.raises(ValueError, match="^max_workers must be greater than 0$"):
            concurrent.futures.ThreadPoolExecutor(0)
        with pytest.raises(TypeError, match="^initializer must be a callable$"):
            concurrent.futures.ThreadPoolExecutor(initializer=5)

    def test_asyncio_keeps_threads_of_its_own(self) -> None:
        async def threads() -> list[int]:
            return [await asyncio.to_thread(threading.get_ident)]

        before = {thread.ident for thread in threading.enumerate()}
        assert before.isdisjoint(asyncio.run(threads()))

    def test_a_patch_of_somebody_else_wins_and_can_be_taken_back(self) -> None:
        stand_in = concurrent.futures.ProcessPoolExecutor
        with mock.patch("concurrent.futures.ProcessPoolExecutor", "patched"):
            from concurrent.futures import ProcessPoolExecutor as patched

            assert patched == "patched"
        assert concurrent.futures.ProcessPoolExecutor is stand_in


def test_everything_is_put_back(client: ipyparallel.Client) -> None:
    with standing_in(Backing(client), KINDS):
        assert concurrent.futures.ProcessPoolExecutor is not ProcessPoolExecutor
    assert concurrent.futures.ProcessPoolExecutor is ProcessPoolExecutor
    assert concurrent.futures.ThreadPoolExecutor is ThreadPoolExecutor
    assert multiprocessing.pool.Pool is Pool
    assert type(concurrent.futures) is type(multiprocessing.pool) is ModuleType
    assert IPython.parallel.Pool._default is IPython.parallel.ProcessPoolExecutor._default is None


def test_pools_go_on_working_after_the_block(client: ipyparallel.Client) -> None:
    with standing_in(Backing(client)):
        pool = concurrent.futures.ProcessPoolExecutor()
    with pool:
        assert pool.submit(calls.add, 1, 2).result(PATIENCE) == 3


# -- names


@pytest.fixture
def module() -> ModuleType:
    made = ModuleType("made")
    exec("name = 'own'\ndef own():\n    return name\n", vars(made))
    return made


def test_the_modules_own_code_sees_its_own_name(module: ModuleType) -> None:
    with shown_name(module, "name", "new"):
        assert (module.name, module.own()) == ("new", "own")
    assert module.name == "own"


def test_a_module_still_travels_by_its_name() -> None:
    with shown_name(concurrent.futures, "Future", "new"):
        for pickler in (pickle, cloudpickle):
            assert pickle.loads(pickler.dumps(concurrent.futures)) is concurrent.futures


def test_an_assigned_name_is_everybodys(module: ModuleType) -> None:
    with assigned_name(module, "name", "new"), assigned_name(module, "other", "too"):
        assert (module.name, module.own(), module.other) == ("new", "new", "too")
    assert module.name == "own" and not hasattr(module, "other")


def test_who_asks_may_decide(module: ModuleType) -> None:
    def applies(frame: FrameType) -> bool:
        return frame.f_code.co_name == "chosen"

    def chosen() -> str:
        return module.name

    with shown_name(module, "name", "new", applies):
        assert (chosen(), module.name) == ("new", "own")


def test_assignment_and_deletion_reach_the_module(module: ModuleType) -> None:
    with shown_name(module, "name", "new"):
        module.name = "assigned"
        assert (module.name, module.own()) == ("assigned", "assigned")
        module.name = "new"  # put back by whoever had taken it from here
        assert (module.name, module.own()) == ("new", "own")
        del module.name
        assert module.name == "new"
    assert not hasattr(module, "name")


# -- whose code


def frame_of(file: str, name: str = "some_module") -> FrameType:
    """A frame of code from this file, in a module of this name."""
    frame: FrameType = eval(
        compile("getframe()", file, "eval"), {"getframe": sys._getframe, "__name__": name}
    )
    return frame


@pytest.mark.parametrize("name", ["stdlib", "purelib"])
def test_installed_code_is_a_librarys(name: str) -> None:
    assert not is_program(frame_of(str(Path(sysconfig.get_path(name)) / "library" / "part.py")))


@pytest.mark.parametrize("file", ["script.py", "<string>", "<stdin>", "<ipython-input-1>"])
def test_other_code_is_the_programs(file: str) -> None:
    assert is_program(frame_of(file))


def test_the_package_that_was_started_is_the_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    file = str(Path(sysconfig.get_path("purelib")) / "started" / "part.py")
    main = ModuleType("__main__")
    main.__package__ = "started"
    monkeypatch.setitem(sys.modules, "__main__", main)
    assert is_program(frame_of(file, "started.part"))
    assert is_program(frame_of(file, "__main__"))
    assert not is_program(frame_of(file, "started_otherwise"))


@pytest.mark.parametrize(
    ("script", "file", "own"),
    [
        ("library/tool/script.py", "library/tool/beside.py", True),
        ("library/tool/script.py", "library/tool/below/part.py", True),
        ("library/tool/script.py", "library/other/part.py", False),
        ("library/script.py", "library/part.py", False),
        ("script.py", "library/part.py", False),  # a virtual environment that lies beside the script
    ],
)
def test_what_lies_beside_the_script_is_the_programs(
    script: str, file: str, own: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    main = ModuleType("__main__")
    main.__file__ = str(tmp_path / script)
    monkeypatch.setitem(sys.modules, "__main__", main)
    monkeypatch.setattr(program_code, "_directories", lambda: (os.path.realpath(tmp_path / "library"),))
    assert is_program(frame_of(str(tmp_path / file))) is own
