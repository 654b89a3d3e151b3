"""What tests of faults need: clusters to break, their processes, and calls that take their engine along."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import psutil

from IPython.parallel.tests.contracts.calls import pass_gate, trace
from IPython.parallel.tests.contracts.harness import PATIENCE

# Seconds within which the calls of an engine that died have to fail, and those of a controller that is gone: twice what
# is promised, as the machine may be busy.
ENGINE_LIMIT, CONTROLLER_LIMIT = 10.0, 20.0


def below_here() -> set[psutil.Process]:
    """All processes that this one has started, and that they have."""
    return set(psutil.Process().children(recursive=True))


def controllers(among: set[psutil.Process]) -> list[psutil.Process]:
    """The controllers and schedulers among these processes, found by what they run."""
    return [process for process in among if "ipyparallel.controller" in command(process)]


def command(process: psutil.Process) -> str:
    """What a process was started with; nothing, if it has ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def listening(process: psutil.Process) -> set[int]:
    """The ports at which a process takes connections."""
    connections = process.net_connections(kind="inet")
    return {connection.laddr.port for connection in connections if connection.status == psutil.CONN_LISTEN}


def listeners(port: int) -> list[psutil.Process]:
    """The controllers' processes below this one that take connections at a port."""
    return [process for process in controllers(below_here()) if port in listening(process)]


def send(processes: list[psutil.Process], number: int) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):  # it may end because the one before did
            process.send_signal(number)


def is_written(file: Path) -> bool:
    """Whether a connection file is there, and complete."""
    try:
        return bool(json.loads(file.read_text()))
    except (FileNotFoundError, ValueError):
        return False


def wait_until(condition: Callable[[], bool]) -> None:
    """Return when something has come to be that nobody tells of."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.02)


@contextlib.contextmanager
def another_engine(client_file: Path, *before: str) -> Iterator[int]:
    """One more engine for the cluster with this connection file of clients: its process id.

    `before` comes before its command.
    """
    engine_file = client_file.with_name(client_file.name.replace("-client", "-engine"))
    command = [*before, sys.executable, "-m", "ipyparallel.engine", f"--file={engine_file}", "--log-level=50"]
    environment = os.environ | {"IPYTHONDIR": str(client_file.parent.parent)}
    with subprocess.Popen(
        command, env=environment, start_new_session=True, stderr=subprocess.DEVNULL
    ) as engine:
        family = psutil.Process(engine.pid)
        try:
            yield engine.pid
        finally:
            for process in _with_children(family):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()


def _with_children(process: psutil.Process) -> list[psutil.Process]:
    """None, if it is gone."""
    try:
        return [*process.children(recursive=True), process]
    except psutil.NoSuchProcess:
        return []


# -- calls: standard library only, they also travel by value


def kill_myself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def segfault() -> None:
    ctypes.string_at(0)


def leave() -> NoReturn:
    os._exit(3)


DEATHS: dict[str, Callable[[], Any]] = {"SIGKILL": kill_myself, "os._exit": leave, "segfault": segfault}


class DiesAtPickle:
    """A result that takes the engine along as it is about to be sent."""

    def __reduce__(self) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)
        return str, ()


def give_deadly_result(path: str, label: object) -> DiesAtPickle:
    trace(path, label)
    return DiesAtPickle()


def trace_and(path: str, label: object, act: Callable[[], Any] | None = None) -> object:
    """Leave a line, then do what may be the end."""
    trace(path, label)
    if act is not None:
        act()
    return label


def trace_and_pass(path: str, label: object, address: tuple[str, int]) -> object:
    trace(path, label)
    return pass_gate(address, label)


def trace_and_raise(path: str, label: object) -> NoReturn:
    trace(path, label)
    raise ValueError(label)


def limit_memory(extra: int) -> None:
    """Let this engine have no more than so many bytes beyond what it has now."""
    import resource

    own = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (own + extra, resource.RLIM_INFINITY))


def make_text(size: int) -> str:
    return "é" * size


def make_bytes(size: int) -> bytes:
    return b"x" * size
