"""The local cluster: started whole, reachable by its user alone, and gone whatever happens."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from IPython.parallel import Client
from IPython.parallel.running import cluster_programs, local_cluster
from IPython.parallel.running.local_cluster import ClusterStartError, LocalCluster, usable_cores


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("IPYTHONDIR", raising=False)
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def family(cluster: LocalCluster) -> list[psutil.Process]:
    """All processes of the cluster and what they started."""
    leaders = [*cluster.engine_pids, cluster._cluster.controller.pid]
    processes = [psutil.Process(pid) for pid in leaders]
    return processes + [child for process in processes for child in process.children(recursive=True)]


def test_a_number_that_another_process_has_by_now_is_not_its_own() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as another:
        engine, died_long_ago = psutil.Process(another.pid), psutil.Process(another.pid)
        died_long_ago._ident = (another.pid, 0.0)  # when it was made
        assert list(local_cluster._without_others([engine, died_long_ago])) == [engine]
        assert another.stdin is not None
        another.stdin.close()
    assert list(local_cluster._without_others([engine])) == [engine]  # its group may be there still


def is_there(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # between the two questions
        return False


def are_gone(processes: list[psutil.Process], within: float = 10.0) -> bool:
    deadline = time.monotonic() + within
    while any(is_there(process) for process in processes):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_engines_share_environment_and_directory_but_not_the_profile(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SET_BEFORE_START", "yes")
    cluster = LocalCluster(2)
    client = cluster.start()
    processes = family(cluster)
    directory = cluster.connection_file.parents[1]
    try:
        assert len(client.ids) == 2
        assert client[:].apply_sync(os.getcwd) == [os.getcwd()] * 2
        assert client[:].apply_sync(os.getenv, "SET_BEFORE_START") == ["yes"] * 2
        assert client[0].apply_sync(os.getsid, 0) != os.getsid(0)
        assert client[0].apply_sync(lambda: next(filter(None, sys.path))) == os.getcwd()  # as of `python -m`
        assert list(home.iterdir()) == []
    finally:
        cluster.stop()
        cluster.stop()
    assert are_gone(processes, within=0)
    assert not directory.exists()


def test_schedulers_are_forked_from_the_controller() -> None:
    cluster = LocalCluster(1)
    with cluster:
        controller = psutil.Process(cluster._cluster.controller.pid)
        schedulers = controller.children(recursive=True)
        assert len(schedulers) >= 5
        # By way of a server of multiprocessing's they would be programs of their own, started from nothing.
        assert {tuple(process.cmdline()) for process in schedulers} == {tuple(controller.cmdline())}


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nannies are started as ever")
class TestNannies:
    def test_they_are_forked_from_their_engines(self) -> None:
        cluster = LocalCluster(2)
        with cluster as client:
            for pid in cluster.engine_pids:
                engine = psutil.Process(pid)
                (nanny,) = engine.children()
                assert nanny.cmdline() == engine.cmdline()  # stock starts a program of its own
                assert os.getsid(nanny.pid) == nanny.pid  # out of reach of what is sent to the engine's group
            # Signals to one engine go by its nanny.
            client[:].apply_sync(_note_signals)
            client.send_signal(signal.SIGUSR1, targets=1, block=True)
            assert client[:].apply_sync(_has_noted, signal.SIGUSR1) == [False, True]

    def test_they_end_with_their_engines(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(local_cluster, "DEAD_AFTER_MS", 600_000)  # so it is they who tell of the end
        cluster = LocalCluster(2)
        with cluster as client:
            engine = psutil.Process(cluster.engine_pids[0])
            nannies = engine.children()
            assert nannies
            engine.kill()
            assert are_gone(nannies)
            deadline = time.monotonic() + 30
            while len(client.ids) > 1 and time.monotonic() < deadline:
                time.sleep(0.01)
            assert len(client.ids) == 1

    def test_one_of_an_engine_that_never_registers_ends_too(self, tmp_path: Path) -> None:
        with socket.socket() as nobody:
            nobody.bind((local_cluster.LOOPBACK, 0))
            local_cluster._write_connection_files(tmp_path, [nobody.getsockname()[1]] * 20)
            file = local_cluster._connection_file(tmp_path, "engine")
            options = [f"--file={file}", "--IPEngine.timeout=300", f"--profile-dir={tmp_path}"]
            command = [sys.executable, "-c", cluster_programs.ENGINE, *options]
            with subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True) as engine:
                nannies: list[psutil.Process] = []
                while not nannies and engine.poll() is None:
                    nannies = psutil.Process(engine.pid).children()
                    time.sleep(0.01)
                engine.kill()
            assert nannies
            assert are_gone(nannies)


def _note_signals() -> None:
    signal.signal(signal.SIGUSR1, lambda number, frame: os.environ.update({f"NOTED_{number}": "yes"}))


def _has_noted(number: int) -> bool:
    deadline = time.monotonic() + 2
    while f"NOTED_{int(number)}" not in os.environ and time.monotonic() < deadline:
        time.sleep(0.01)
    return f"NOTED_{int(number)}" in os.environ


def test_only_its_user_can_reach_it() -> None:
    cluster = LocalCluster(1)
    with cluster:
        file = cluster.connection_file
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parents[1].stat().st_mode) == 0o700
        listening = [c for p in family(cluster) for c in p.net_connections() if c.status == psutil.CONN_LISTEN]
        assert {connection.laddr.ip for connection in listening} == {"127.0.0.1"}
        with Client(str(file)) as other:
            assert other.ids == [0]
    assert not file.exists()


def test_stopping_does_not_wait_for_a_call_for_long() -> None:
    cluster = LocalCluster(1)
    client = cluster.start()
    processes = family(cluster)
    client[0].apply_async(time.sleep, 300)
    begun = time.monotonic()
    cluster.stop(grace=0.2)
    assert time.monotonic() - begun < 10
    assert are_gone(processes, within=0)


def test_it_can_be_started_again() -> None:
    cluster = LocalCluster(1)
    for _ in range(2):
        with cluster as client:
            assert client[0].apply_sync(os.getpid) == cluster.engine_pids[0]
            with pytest.raises(RuntimeError, match="running already"):
                cluster.start()
    with pytest.raises(RuntimeError, match="not running"):
        cluster.connection_file  # noqa: B018


OWNER = """
import os, sys, time
from IPython.parallel.running.local_cluster import LocalCluster
cluster = LocalCluster(1)
client = cluster.start()
client[0].apply_async(time.sleep, 300)
if os.fork() == 0:
    time.sleep(300)  # a child that outlives its parent, with all its open files
print(cluster.connection_file, cluster._cluster.controller.pid, *cluster.engine_pids, flush=True)
time.sleep(300)
"""


def test_it_ends_with_its_owner_even_if_that_is_killed() -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert owner.stdout is not None
    file, *pids = owner.stdout.readline().split()
    processes = [psutil.Process(int(pid)) for pid in pids]
    processes += [child for process in processes for child in process.children(recursive=True)]
    try:
        owner.kill()
        owner.wait()
        assert are_gone(processes)
        deadline = time.monotonic() + 5
        while Path(file).parents[1].exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        os.killpg(owner.pid, signal.SIGKILL)
        owner.stdout.close()


SLEEPER = "import sys, time; print(flush=True); time.sleep(60); launch_instance()"


@pytest.mark.parametrize("known", [True, False], ids=["told of it", "not told of it"])
@pytest.mark.skipif(sys.platform != "linux", reason="on Linux the guard finds processes by their environment")
def test_the_guard_of_an_owner_that_is_gone_before_it_looks(known: bool, tmp_path: Path) -> None:
    directory = tmp_path / "cluster"
    directory.mkdir()
    environment = dict(os.environ) if known else {**os.environ, "IPYTHONDIR": str(directory)}
    told, tell = os.pipe()
    command = [sys.executable, "-c", SLEEPER]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, start_new_session=True) as engine:
        assert engine.stdout is not None
        engine.stdout.readline()
        os.write(tell, b"%d\n" % engine.pid if known else b"")
        guard = [sys.executable, "-I", "-S", "-c", cluster_programs.GUARD, "0", str(directory)]
        subprocess.run(guard, stdin=told, timeout=30, check=True)
        assert engine.wait(30) == -signal.SIGKILL
    os.close(told)
    os.close(tell)
    assert not directory.exists()


def test_an_engine_that_could_not_be_started_is_none() -> None:
    cluster = LocalCluster(2)
    started, failed = (SimpleNamespace(process=process, pid=-1) for process in (psutil.Process(), None))
    cluster._cluster = SimpleNamespace(engines={"set": SimpleNamespace(launchers={0: started, 1: failed})})
    assert cluster._engines == [started]


def test_an_engine_that_stood_still_for_too_long_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_cluster, "DEAD_AFTER_MS", 500)
    cluster = LocalCluster(1)
    with cluster as client:
        (engine,) = cluster.engine_pids
        os.kill(engine, signal.SIGSTOP)
        while client.ids:
            time.sleep(0.02)
        os.kill(engine, signal.SIGCONT)
        cluster.replenish()
        assert client.load_balanced_view().submit(os.getpid).result(30) != engine
        cluster.replenish()
        assert len(cluster.engine_pids) == 2


def test_a_controller_that_cannot_start_is_reported_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = set(psutil.Process().children(recursive=True))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "zmq.py").write_text("raise ImportError('broken on purpose')")
    with pytest.raises(ClusterStartError, match="broken on purpose"):
        LocalCluster(1).start()
    assert set(psutil.Process().children(recursive=True)) <= before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("ipython-parallel")] == []


def test_engines_that_do_not_come_in_time_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    before = set(psutil.Process().children(recursive=True))
    with pytest.raises(ClusterStartError, match="in time"):
        LocalCluster(1).start(timeout=0.05)
    assert set(psutil.Process().children(recursive=True)) <= before


@pytest.mark.parametrize("n", [0, -1])
def test_a_cluster_without_engines_is_refused(n: int) -> None:
    with pytest.raises(ValueError, match="at least one engine"):
        LocalCluster(n)


def test_there_is_an_engine_for_each_usable_core() -> None:
    assert LocalCluster().n == usable_cores() >= 1
