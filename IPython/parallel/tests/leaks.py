"""What a test must not leave behind: threads, child processes, sockets."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import threading
import time
from collections.abc import Iterable

import psutil
from zmq.utils.garbage import GarbageCollectorThread

# Threads of ours that live as long as the client they serve.
LONG_LIVED_THREADS = ("IPython.parallel",)
# multiprocessing's own helpers live until the interpreter ends.
LONG_LIVED_PROCESSES = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")


def threads_left(before: Iterable[threading.Thread], grace: float = 5.0) -> list[threading.Thread]:
    """Threads that were not there `before` and are still alive after `grace` seconds."""
    new = [thread for thread in set(threading.enumerate()).difference(before) if not _lives_long(thread)]
    deadline = time.monotonic() + grace
    for thread in new:
        thread.join(max(0.0, deadline - time.monotonic()))
    return [thread for thread in new if thread.is_alive()]


def _lives_long(thread: threading.Thread) -> bool:
    # pyzmq's own thread starts with the first large message and serves all contexts.
    return thread.name.startswith(LONG_LIVED_THREADS) or isinstance(thread, GarbageCollectorThread)


def children() -> set[psutil.Process]:
    """All processes below this one, without those that multiprocessing keeps for itself."""
    return {child for child in psutil.Process().children(recursive=True) if not _is_long_lived(child)}


def children_left(before: set[psutil.Process], grace: float = 5.0) -> list[str]:
    """A description of each process that was not there `before` and is alive after `grace` seconds."""
    _, alive = psutil.wait_procs(children() - before, timeout=grace)
    return [_describe(child) for child in alive]


def connections() -> int:
    """How many sockets this process listens on or is connected by."""
    open_states = {psutil.CONN_LISTEN, psutil.CONN_ESTABLISHED}
    return sum(c.status in open_states for c in psutil.Process().net_connections(kind="inet"))


def connections_left(before: int, grace: float = 5.0) -> int:
    """How many more connections than `before` are open after at most `grace` seconds.

    Nothing tells when a socket is closed in another thread, so this one looks again and again.
    """
    deadline = time.monotonic() + grace
    while (extra := connections() - before) > 0 and time.monotonic() < deadline:
        time.sleep(0.05)
    return max(0, extra)


def _is_long_lived(process: psutil.Process) -> bool:
    command = _describe(process)
    return any(name in command for name in LONG_LIVED_PROCESSES)


def _describe(process: psutil.Process) -> str:
    try:
        return f"{process.pid}: {' '.join(process.cmdline())} ({process.status()})"
    except psutil.NoSuchProcess:
        return f"{process.pid}: gone"
