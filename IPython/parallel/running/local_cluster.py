"""A cluster of this machine's cores, started fast and never left behind."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import json
import logging
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import wait as futures_wait
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from ipyparallel import Client, Cluster
from traitlets.config import Config

from ..engine_bundle import load
from ..engine_room import room_of
from .cluster_programs import CONTROLLER, ENGINE, GUARD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType

    from ipyparallel.cluster.launcher import LocalEngineLauncher

__all__ = ["ClusterStartError", "LocalCluster"]

# Where engines keep what is to be gone with the cluster, however they end.
RUNTIME_DIRECTORY = load().journal.DIRECTORY_VARIABLE

LOOPBACK = "127.0.0.1"
CLUSTER_ID = "local"

# Which services the Hub offers to engines and to clients; each needs a port, `registration` is common to both.
ENGINE_SERVICES = ("control", "mux", "task", "iopub", "hb_ping", "hb_pong")
CLIENT_SERVICES = ("control", "mux", "task", "iopub", "notification", "broadcast")
BROADCAST_LEAVES = 2

# An engine counts as registered on the second heartbeat after it came up, so the stock period of 3 s is most of a
# stock start. A short period would also call an engine dead sooner when the machine stalls; more misses make up for it.
HEARTBEAT_MS = 100
HEARTBEAT_MS_PER_ENGINE = 6  # a great many engines' hearts would keep a core busy

# An engine that stands still this long counts as dead: its calls are to fail within 5 s. Hearts beat in a thread of
# their own that needs no GIL, so a core shared with a hundred busy processes delays them by a fraction of a second.
DEAD_AFTER_MS = 4_000

# How long a process may take to end on SIGTERM. An engine inside a call ends only after it, so this is also how long
# `stop` waits for calls nobody is waiting for any more.
STOP_GRACE = 2.0

# Ports are reserved on this machine and handed to the controller. Elsewhere than on Linux somebody else may take one
# in between; a new draw is the cure.
START_ATTEMPTS = 3


class ClusterStartError(RuntimeError):
    """The cluster's processes did not come up; the message says which and why."""


class _ControllerDied(ClusterStartError):
    """The controller ended before it answered: perhaps a port was taken, so a new draw may help."""


class LocalCluster:
    """One controller and `n` engines on this machine, reachable from this machine alone.

    The processes are those of `ipyparallel.Cluster`. Profile and connection files lie in a private temporary directory,
    so the user's own profiles are neither read nor written; engines see the caller's environment and working directory.
    They are in sessions of their own: a Ctrl-C at the terminal does not reach them. They end with `stop()`, and
    also when the process that started them ends in any other way.

    As a context manager it starts the cluster, gives the client, and stops the cluster at the end of the block.

    Parameters
    ----------
    n : int, optional
        Number of engines; by default one for each core that this process may use.

    Raises
    ------
    ValueError
        `n` is less than 1.
    """

    def __init__(self, n: int | None = None) -> None:
        if n is not None and n < 1:
            raise ValueError(f"a cluster needs at least one engine, not {n}")
        self.n = n or usable_cores()
        self._owner = os.getpid()
        self._directory: Path | None = None
        self._cluster: Cluster | None = None
        self._client: Client | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        state = "running" if self._client else "stopped"
        return f"<LocalCluster of {self.n}, {state}>"

    def __enter__(self) -> Client:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def connection_file(self) -> Path:
        """The file other clients on this machine connect with; readable by this user only.

        Raises
        ------
        RuntimeError
            The cluster is not running.
        """
        if self._directory is None:
            raise RuntimeError("the cluster is not running")
        return _connection_file(self._directory, "client")

    def start(self, timeout: float = 60.0) -> Client:
        """Start the processes and wait until all engines have registered.

        Parameters
        ----------
        timeout : float
            Seconds this may take.

        Returns
        -------
        ipyparallel.Client
            Connected, with `n` engines. `stop()` closes it.

        Raises
        ------
        ClusterStartError
            A process ended, or not all engines were there in time. Nothing is left running.
        RuntimeError
            The cluster is running already.
        """
        if self._directory is not None:
            raise RuntimeError("the cluster is running already")
        deadline = time.monotonic() + timeout
        for attempt in range(1, START_ATTEMPTS + 1):
            try:
                return self._start_once(deadline)
            except _ControllerDied:
                self.stop(grace=0)
                if attempt == START_ATTEMPTS:
                    raise
            except BaseException:
                self.stop(grace=0)
                raise
        raise AssertionError("unreachable")

    def _start_once(self, deadline: float) -> Client:
        self._directory = Path(tempfile.mkdtemp(prefix="ipython-parallel-", dir=place_of_temporary_files()))
        self._guard = _start_guard(self._directory)
        with _reserved_ports(1 + len(ENGINE_SERVICES) + BROADCAST_LEAVES + len(CLIENT_SERVICES)) as ports:
            info = _write_connection_files(self._directory, ports)
            self._cluster = _cluster_on(self._directory, self.n)
            self._launch()
            self._wait_for_controller(info["registration"], deadline)
            self._client = self._connect(info, deadline)
            room_of(self._client)  # which takes as long as the engines still need
            self._wait_for_engines(deadline)
        return self._client

    def _launch(self) -> None:
        assert self._cluster is not None
        self._cluster.start_controller_sync()
        self._tell_guard(self._cluster.controller.pid)
        self._cluster.start_engines_sync(self.n)
        for pid in self.engine_pids:
            self._tell_guard(pid)

    def _wait_for_controller(self, port: int, deadline: float) -> None:
        # Connecting a client right away would work too, but a controller that has died would then be noticed at the end
        # of the timeout only.
        assert self._cluster is not None
        controller = self._cluster.controller.process
        while not _listens(port):
            with suppress(psutil.TimeoutExpired):
                status = controller.wait(0.02)
                raise _ControllerDied(f"the controller ended with status {status}: {self._last_words('ipcontroller')}")
            if time.monotonic() > deadline:
                raise ClusterStartError("the controller did not answer in time")

    def _connect(self, info: dict[str, Any], deadline: float) -> Client:
        try:
            return Client(
                info, cluster=self._cluster, ipython_dir=str(self._directory), timeout=_seconds_to(deadline)
            )
        except TimeoutError as error:
            raise ClusterStartError(f"the controller did not answer in time: {error}") from None

    def _wait_for_engines(self, deadline: float) -> None:
        assert self._client is not None
        ready = self._client.wait_for_engines(self.n, block=False, interactive=False, timeout=_seconds_to(deadline))
        while not futures_wait([ready], 0.1).done:
            if not all(_is_alive(engine.process) for engine in self._engines):
                raise ClusterStartError(f"an engine ended while starting: {self._last_words('ipengine')}")
        try:
            ready.result()
        except TimeoutError:
            here = len(self._client.ids)
            raise ClusterStartError(f"only {here} of {self.n} engines were there in time") from None
        except Exception as error:
            raise ClusterStartError(f"an engine failed: {error}") from None

    @property
    def _engines(self) -> list[LocalEngineLauncher]:
        sets = self._cluster.engines.values() if self._cluster else ()
        launchers = [engine for engines in list(sets) for engine in list(engines.launchers.values())]
        return [engine for engine in launchers if engine.process is not None]  # one may not have started

    @property
    def engine_pids(self) -> list[int]:
        """Process ids of the engines, in the order they were started."""
        return [engine.pid for engine in self._engines]

    def replenish(self, timeout: float = 60.0) -> None:
        """Start engines in the place of those that have died. Nothing is done, at no cost, while all are there.

        Parameters
        ----------
        timeout : float
            Seconds this may take.

        Raises
        ------
        ClusterStartError
            One ended while it started, or they were not there in time.
        """
        if self._client is None or self._cluster is None or os.getpid() != self._owner:
            return
        # One that stood still for too long is there, but no engine any more.
        missing = self.n - min(sum(_is_alive(engine.process) for engine in self._engines), len(self._client.ids))
        if missing <= 0:
            return
        deadline = time.monotonic() + timeout
        known = set(self._client.ids)
        started = self._cluster.engines[self._cluster.start_engines_sync(missing)].launchers.values()
        for engine in started:
            self._tell_guard(engine.pid)
        while len(set(self._client.ids) - known) < missing:
            if time.monotonic() > deadline:
                raise ClusterStartError(f"{missing} engines that replace others were not there in time")
            if not all(_is_alive(engine.process) for engine in started):
                raise ClusterStartError(f"an engine ended while starting: {self._last_words('ipengine')}")
            time.sleep(0.02)

    def interrupt(self) -> bool:
        """Raise KeyboardInterrupt in the calls that are running; idle engines take no notice. Any thread may call.

        Returns
        -------
        bool
            True: calls that can be interrupted are over soon. False in a forked child, whose engines they are not.
        """
        if os.getpid() != self._owner:
            return False
        _each(_interrupt, [engine.process for engine in self._engines])
        return True

    def stop(self, grace: float = STOP_GRACE) -> None:
        """End all processes and remove the private directory. Calling it again, or before `start`, does nothing.

        Parameters
        ----------
        grace : float
            Seconds the processes get to end by themselves. What is left then is killed.
        """
        if self._directory is None or os.getpid() != self._owner:
            # A forked child has inherited the object, not the cluster.
            return
        if self._client is not None:
            self._client.close()
        if self._cluster is not None:
            self._end_processes(grace)
        self._dismiss_guard()
        shutil.rmtree(self._directory, ignore_errors=True)
        self._directory = self._cluster = self._client = self._guard = None

    def _end_processes(self, grace: float) -> None:
        assert self._cluster is not None
        launchers = [*self._engines, *filter(None, [self._cluster.controller])]
        processes = [launcher.process for launcher in launchers if launcher.process is not None]
        leaders = [process.pid for process in _without_others(processes)]
        family = list(_with_descendants(leaders))
        if grace > 0:
            _each(psutil.Process.terminate, family)
            family = _still_alive(family, timeout=grace)
        _each(psutil.Process.kill, family)
        for leader in leaders:
            # What a controller that died left behind is nobody's child any more, but of its process group.
            with suppress(OSError):
                os.killpg(leader, signal.SIGKILL)
        _still_alive(family, timeout=STOP_GRACE)

    def _tell_guard(self, group: int) -> None:
        assert self._guard is not None and self._guard.stdin is not None
        self._guard.stdin.write(b"%d\n" % group)
        self._guard.stdin.flush()

    def _dismiss_guard(self) -> None:
        """Wait for its last look: one that was just being started as Ctrl-C came, say, is known to nobody else."""
        if self._guard is None:
            return
        with suppress(BrokenPipeError):
            self._guard.communicate(b"stopped\n")

    def _last_words(self, program: str) -> str:
        """The last line that a process of this kind wrote to its log."""
        assert self._directory is not None
        logs = sorted((self._directory / "log").glob(f"{program}*.log"), key=lambda path: path.stat().st_mtime)
        lines = [line for log in logs for line in log.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1].strip() if lines else "it wrote nothing"


def place_of_temporary_files() -> str:
    """Where they go now, without settling where the program's go that will run: it may choose another place yet."""
    settled = tempfile.tempdir
    try:
        return tempfile.gettempdir()
    finally:
        tempfile.tempdir = settled


def usable_cores() -> int:
    """Number of cores this process may use; at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cluster_on(directory: Path, n: int) -> Cluster:
    beat = max(HEARTBEAT_MS, n * HEARTBEAT_MS_PER_ENGINE)
    config = Config()
    # A flag would not do: an engine's shell looks for the IPython directory in the environment alone.
    config.LocalProcessLauncher.environment = {
        "IPYTHONDIR": str(directory),
        RUNTIME_DIRECTORY: str(directory),
        # As of forked workers: `hash(key) % n` is the same on all engines.
        "PYTHONHASHSEED": _hash_seed(),
    }
    config.LocalEngineSetLauncher.engine_cmd = [sys.executable, *_interpreter_flags(), "-c", ENGINE]
    config.LocalControllerLauncher.controller_cmd = [sys.executable, "-P", "-c", CONTROLLER]
    config.LocalEngineSetLauncher.delay = 0.0
    # Engines start beside the controller, so it may be a while before it answers them.
    config.LocalEngineSetLauncher.engine_args = ["--IPEngine.timeout=60"]
    return Cluster(
        parent=None,
        config=config,
        n=n,
        profile_dir=str(directory),
        cluster_id=CLUSTER_ID,
        cluster_file="",
        # The connection files are there before the controller is, so there is nothing to wait for in between.
        delay=0,
        send_engines_connection_env=False,
        controller_args=[
            "--IPController.reuse_files=True",
            f"--HeartMonitor.period={beat}",
            f"--HeartMonitor.max_heartmonitor_misses={max(1, DEAD_AFTER_MS // beat)}",
        ],
        # `stop` ends the processes in its own way and must not be reported as a failure on our user's terminal.
        shutdown_atexit=False,
        log=_silent_logger(),
    )


def _hash_seed() -> str:
    chosen = os.environ.get("PYTHONHASHSEED", "random")
    return str(secrets.randbelow(2**32)) if chosen in ("", "random") else chosen


def _interpreter_flags() -> list[str]:
    """The options that this interpreter was started with; of warnings, engines hear when a pool is made."""
    flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    return [flag for flag in flags if not flag.startswith("-W")]


def _silent_logger() -> logging.Logger:
    logger = logging.getLogger(__name__)
    logger.propagate = False
    logger.setLevel(logging.CRITICAL + 1)
    return logger


@contextmanager
def _reserved_ports(count: int) -> Iterator[list[int]]:
    """Numbers of free loopback ports that stay ours for the block, while the controller can bind to them.

    On Linux a socket that is bound but does not listen, and allows address reuse, keeps the port from being given out
    while it lets a listener in that asks for it by number. Elsewhere it would keep the listener out, so there it is
    closed at once and the number may, seldom, be lost to somebody else.
    """
    with ExitStack() as placeholders:
        ports = []
        for _ in range(count):
            placeholder = placeholders.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            placeholder.bind((LOOPBACK, 0))
            # Only now: allowed before `bind`, the system might draw the same port twice.
            placeholder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            ports.append(placeholder.getsockname()[1])
        if sys.platform != "linux":
            placeholders.close()
        yield ports


def _write_connection_files(directory: Path, ports: Iterable[int]) -> dict[str, Any]:
    """Write what the controller would write, before it runs; return the client's part."""
    port = iter(ports)
    common: dict[str, Any] = {
        "ssh": "",
        "interface": f"tcp://{LOOPBACK}",
        "location": LOOPBACK,
        "key": secrets.token_hex(32),
        "curve_serverkey": None,
        "pack": "json",
        "unpack": "json",
        "signature_scheme": "hmac-sha256",
        "registration": next(port),
    }
    engine = common | {service: next(port) for service in ENGINE_SERVICES}
    engine["broadcast"] = [next(port) for _ in range(BROADCAST_LEAVES)]
    client = common | {service: next(port) for service in CLIENT_SERVICES} | {"task_scheme": "leastload"}
    for kind, info in (("engine", engine), ("client", client)):
        _write_private(_connection_file(directory, kind), json.dumps(info, indent=2))
    return client


def _connection_file(directory: Path, kind: str) -> Path:
    return directory / "security" / f"ipcontroller-{CLUSTER_ID}-{kind}.json"


def _write_private(path: Path, text: str) -> None:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)


def _start_guard(directory: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", GUARD, str(os.getpid()), str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection((LOOPBACK, port), timeout=1):
        return True
    return False


def _is_alive(process: psutil.Process) -> bool:
    # A zombie has ended: whether and when its parent (for an orphan, init) takes note is not ours to wait for.
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _without_others(processes: Iterable[psutil.Process]) -> Iterator[psutil.Process]:
    """Those whose number is not another process's by now: engines may have died long ago.

    As long as anything is left of its group, no new process gets a dead leader's number.
    """
    return (process for process in processes if process.is_running() or not psutil.pid_exists(process.pid))


def _still_alive(processes: list[psutil.Process], timeout: float) -> list[psutil.Process]:
    """Wait until the processes have ended; return those that have not after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while (alive := list(filter(_is_alive, processes))) and time.monotonic() < deadline:
        time.sleep(0.01)
    return alive


def _with_descendants(pids: Iterable[int]) -> Iterable[psutil.Process]:
    """The processes and what they started: nannies, schedulers, and whatever the user's calls left running."""
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            yield from process.children(recursive=True)
            yield process


def _interrupt(process: psutil.Process) -> None:
    process.send_signal(signal.SIGINT)  # which sees whether the number is another process's by now


def _each(act: Callable[[psutil.Process], None], processes: Iterable[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            act(process)


def _seconds_to(deadline: float) -> float:
    return max(0.1, deadline - time.monotonic())
