"""Pools made in code: which cluster they use, and what libraries ask of such a class."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import concurrent.futures
import multiprocessing.pool
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import Executor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import ipyparallel
import pytest
from tqdm import tqdm
from tqdm.contrib.concurrent import process_map

import IPython.parallel
from IPython.parallel import Pool, ProcessPoolExecutor
from IPython.parallel.pools import clusters as pool_clusters
from IPython.parallel.pools.backing import Backing
from IPython.parallel.running.cluster_choice import ClusterUnavailable
from IPython.parallel.running.local_cluster import LocalCluster, usable_cores
from IPython.parallel.tests.contracts import calls
from IPython.parallel.tests.contracts.harness import PATIENCE, Gate
from IPython.parallel.tests.test_command_line import private_tmp, python  # noqa: F401 (a fixture)


@pytest.fixture
def default(client: ipyparallel.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pools that name no cluster use that of the tests, as in a run."""
    for cls in (Pool, ProcessPoolExecutor):
        monkeypatch.setattr(cls, "_default", Backing(client))


@pytest.fixture
def profile(
    cluster: LocalCluster, client: ipyparallel.Client, tmp_path: Path
) -> Iterator[tuple[str, Path]]:
    """The name of a profile whose cluster is that of the tests, and its connection file."""
    security = tmp_path / "ipython" / "profile_tests" / "security"
    security.mkdir(parents=True)
    file = Path(shutil.copy(cluster.connection_file, security / "ipcontroller-client.json"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
        yield "tests", file
    for key in [key for key in pool_clusters._kept if key is not None]:
        pool_clusters._kept.pop(key).close()


# -- the classes


def test_they_are_the_standard_librarys() -> None:
    assert issubclass(ProcessPoolExecutor, Executor)
    assert issubclass(ProcessPoolExecutor, concurrent.futures.ProcessPoolExecutor)
    assert issubclass(Pool, multiprocessing.pool.Pool)
    assert {"Pool", "ProcessPoolExecutor"} <= set(IPython.parallel.__all__)


def test_they_are_loaded_when_they_are_asked_for() -> None:
    code = (
        "import sys, IPython.parallel;"
        "ours = ('executor_pools', 'multiprocessing_pool');"
        "heavy = {'multiprocessing.pool', *(f'IPython.parallel.pools.{name}' for name in ours)};"
        "print(heavy & set(sys.modules));"
        "from IPython.parallel import Pool, ProcessPoolExecutor;"
        "print(heavy <= set(sys.modules), hasattr(IPython.parallel, 'NoSuchPool'))"
    )
    assert python("-c", code) == ("set()\nTrue False\n", 0, "")


@pytest.mark.usefixtures("default")
class TestAsLibrariesUseThem:
    def test_a_class_made_without_arguments(self) -> None:
        def mapped(parallel: type[Executor]) -> list[int]:
            with parallel() as executor:
                return list(executor.map(abs, [-1, 2]))

        assert mapped(ProcessPoolExecutor) == [1, 2]

    def test_a_factory_whose_submit_is_replaced(self) -> None:
        submitted: list[tuple[Any, ...]] = []
        with ProcessPoolExecutor(
            max_workers=1, initializer=calls.identity, initargs=(1,)
        ) as executor:
            submit = executor.submit
            executor.submit = lambda fn, /, *args: submitted.append(args) or submit(fn, *args)  # type: ignore
            assert list(executor.map(abs, [-1, 2], chunksize=5)) == [1, 2]
        assert submitted == [(-1,), (2,)]

    def test_a_factory_of_tqdms(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # It hands workers a lock that only forked children can inherit.
        monkeypatch.setattr(tqdm, "monitor_interval", 0)  # no thread of its own
        monkeypatch.setattr(concurrent.futures, "ProcessPoolExecutor", ProcessPoolExecutor)
        assert process_map(calls.identity, range(5), max_workers=2, disable=True) == list(range(5))

    def test_with_the_context_of_multiprocessing(self) -> None:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor:
            assert executor.submit(calls.add, 1, 2).result(PATIENCE) == 3
        with Pool(context=multiprocessing.get_context("spawn")) as pool:
            assert pool.apply(calls.add, (1, 2)) == 3

    def test_tasks_per_child_need_workers_that_are_not_forked(self) -> None:
        with pytest.raises(ValueError, match="incompatible with the 'fork'"):
            ProcessPoolExecutor(mp_context=multiprocessing.get_context("fork"), max_tasks_per_child=1)

    def test_nothing_is_waited_for_when_workers_are_to_end(self, gate: Gate) -> None:
        executor = ProcessPoolExecutor(1)
        held = executor.submit(calls.pass_gate, gate.address, 1)
        gate.wait_for_arrivals(1)
        waiting = [executor.submit(calls.add, 1, 2) for _ in range(100)]
        executor.terminate_workers()
        assert isinstance(held.exception(PATIENCE), BrokenProcessPool)
        assert waiting[-1].cancelled()
        with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
            executor.submit(int)


# -- their clusters


def test_a_client_of_ones_own(client: ipyparallel.Client) -> None:
    with ProcessPoolExecutor(client=client) as executor, Pool(client=client) as pool:
        assert executor._max_workers == pool._processes == len(client)
        assert {executor.submit(os.getpid).result(PATIENCE), pool.apply(os.getpid)} <= set(
            client[:].apply(os.getpid)
        )


def test_a_profile(profile: tuple[str, Path], client: ipyparallel.Client) -> None:
    name, _ = profile
    with ProcessPoolExecutor(profile=name) as executor, Pool(profile=name) as pool:
        assert executor._max_workers == len(client)
        assert executor.submit(os.getpid).result(PATIENCE) in client[:].apply(os.getpid).get()
        assert pool._view.client is executor._view.client


def test_a_profile_whose_cluster_was_started_anew(profile: tuple[str, Path]) -> None:
    name, file = profile
    before = ProcessPoolExecutor(profile=name)._backing
    assert ProcessPoolExecutor(profile=name)._backing is before
    file.write_text(file.read_text() + "\n")
    with ProcessPoolExecutor(profile=name) as executor:
        assert executor._backing is not before
        assert executor.submit(calls.add, 1, 2).result(PATIENCE) == 3


def test_a_profile_without_a_cluster_is_refused_at_once() -> None:
    for cls in (ProcessPoolExecutor, Pool):
        with pytest.raises(ClusterUnavailable, match="there is no profile 'no_such'"):
            cls(profile="no_such")


def test_two_clusters_are_one_too_many(client: ipyparallel.Client) -> None:
    with pytest.raises(
        ValueError, match="client says which cluster it is: give no profile with it"
    ):
        ProcessPoolExecutor(client=client, profile="default")


SHARED = """
import os
from IPython.parallel import Pool, ProcessPoolExecutor
from IPython.parallel.pools import clusters as pool_clusters

def shown(n):
    print("call", n, flush=True)
    return os.getpid(), os.environ.get("SET_BY_SCRIPT"), os.getcwd()

unused = ProcessPoolExecutor()
print(pool_clusters._kept == {}, unused._max_workers)
os.environ["SET_BY_SCRIPT"] = "yes"
os.chdir("/")
with ProcessPoolExecutor(1) as executor:
    pid, variable, directory = executor.submit(shown, 1).result()
print(pid != os.getpid(), variable, directory)
with Pool() as pool:
    pids = pool.apply(os.getpid), *pool.map(lambda n: os.getpid(), range(100))
(kept,) = pool_clusters._kept.values()
print(len(kept.cluster.client.ids), {pid, *pids} <= set(kept.cluster.client[:].apply(os.getpid).get()))
"""


@pytest.mark.usefixtures("private_tmp")
def test_one_local_cluster_is_shared_and_ends_with_the_program() -> None:
    out, status, err = python("-c", SHARED, cwd=Path(__file__).parent)
    cores = usable_cores()
    assert (out.splitlines(), status, err) == (
        [f"True {cores}", "call 1", "True yes /", f"{cores} True"],
        0,
        "",
    )


ENGINES_LOST = """
import os, signal
from IPython.parallel import ProcessPoolExecutor
from concurrent.futures import BrokenExecutor

def die():
    os.kill(os.getpid(), signal.SIGKILL)

with ProcessPoolExecutor() as executor:
    while True:
        try:
            executor.submit(die).result()
        except BrokenExecutor:
            if not executor._backing.client.ids:
                break
with ProcessPoolExecutor() as executor:
    print(executor.submit(abs, -3).result())
"""


@pytest.mark.usefixtures("private_tmp")
def test_a_local_cluster_that_has_lost_all_engines_is_replaced() -> None:
    assert python("-c", ENGINES_LOST) == ("3\n", 0, "")


@pytest.mark.usefixtures("private_tmp")
def test_a_forked_child_starts_one_of_its_own() -> None:
    code = (
        "import os\n"
        "from IPython.parallel import ProcessPoolExecutor\n"
        "def engines():\n"
        "    with ProcessPoolExecutor() as executor:\n"
        "        return executor.submit(os.getppid).result()\n"
        "here = engines()\n"
        "pid = os.fork()\n"
        "if not pid:\n"
        "    other = engines()\n"
        "    print(other != here, flush=True)\n"
        "    os._exit(0)\n"
        "print(os.waitpid(pid, 0)[1], engines() == here)\n"
    )
    out, status, _ = python("-c", code)
    assert (out.splitlines(), status) == (["True", "0 True"], 0)


@pytest.mark.usefixtures("private_tmp")
def test_unclosed_pools_end_with_the_program() -> None:
    code = (
        "import time\n"
        "from IPython.parallel import Pool\n"
        "pool = Pool()\n"
        "pool.map_async(time.sleep, [3600] * 10)\n"
        "Pool().apply_async(time.sleep, (3600,))\n"
        "endless = pool.imap(abs, iter(int, 1))\n"
    )
    assert python("-c", code) == ("", 0, "")


@pytest.mark.usefixtures("private_tmp")
def test_an_engine_that_is_told_to_end_in_a_call_says_so_in_its_own_log_alone() -> None:
    code = (
        "import signal\n"
        "from IPython.parallel import Pool\n"
        "print(Pool(1).apply(signal.raise_signal, (signal.SIGTERM,)))\n"
    )
    assert python("-c", code) == ("None\n", 0, "")
