"""What contract tests need beside an executor: a gate that holds calls back, a trace of what ran, a base class."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import contextlib
import socket
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from IPython.parallel.tests.contracts import calls as importable_calls

# Seconds after which a wait that should have ended fails the test, below the timeout of the test itself.
PATIENCE = 20.0

# Ports of gates that nobody else gets: more than can be in use by calls that are late.
_PORTS_KEPT = 64

Calls = ModuleType | SimpleNamespace


class Gate:
    """Holds calls back until opened, in any process of this machine, without polling.

    A call that enters (`calls.pass_gate`) connects, so the test knows that it runs; opening hangs up on all.

    A call may come when its gate has been open for long, and must find nobody there: the port of a gate is nobody
    else's for as long as calls may come, else such a call would stand before the gate of another suite of tests.
    """

    _kept: deque[socket.socket] = deque()

    def __init__(self) -> None:
        self._listener = socket.create_server(self._own_port(), backlog=128)
        self._listener.settimeout(PATIENCE)
        self._arrived: list[socket.socket] = []

    def _own_port(self) -> tuple[str, int]:
        if not sys.platform.startswith("linux"):
            return "127.0.0.1", 0
        # Bound, it keeps the port from being given to anybody, and lets a listener in that asks for it by number.
        placeholder = socket.socket()
        placeholder.bind(("127.0.0.1", 0))
        placeholder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._kept.append(placeholder)
        if len(self._kept) > _PORTS_KEPT:
            self._kept.popleft().close()
        return placeholder.getsockname()  # type: ignore[no-any-return]

    @property
    def address(self) -> tuple[str, int]:
        return self._listener.getsockname()

    def wait_for_arrivals(self, count: int) -> None:
        """Return once `count` more calls stand before the gate; TimeoutError if they never come."""
        for _ in range(count):
            self._arrived.append(self._listener.accept()[0])

    def open(self) -> None:
        """Let every call through, also those that come later."""
        for held in (self._listener, *self._arrived):
            # A worker forked meanwhile holds copies of these sockets: close() alone would not hang up.
            with contextlib.suppress(OSError):
                held.shutdown(socket.SHUT_RDWR)
            held.close()
        self._arrived.clear()


class Trace:
    """A file in which calls leave a line each, in whatever process they run."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        path.touch()

    def lines(self) -> list[str]:
        return Path(self.path).read_text(encoding="utf-8").splitlines()


class Recorder:
    """A callback that keeps what it was called with, and can be waited for."""

    def __init__(self, look: Callable[[Future[Any]], Any] = lambda future: None) -> None:
        self.futures: list[Future[Any]] = []
        self._seen: list[Any] = []
        self._look = look
        self._called = threading.Semaphore(0)

    def __call__(self, future: Future[Any]) -> None:
        self._seen.append(self._look(future))
        self.futures.append(future)
        self._called.release()

    def wait_for(self, count: int) -> list[Any]:
        """What was seen in the calls so far, of which there are at least `count`."""
        arrived = [self._called.acquire(timeout=PATIENCE) for _ in range(count)]
        assert all(arrived), "callback was not called"
        return list(self._seen)


class ExecutorContract:
    """Base of all contracts. A binding defines the fixtures `executor` and `new_executor`.

    `executor` may be shared by the tests of a class; `new_executor()` makes one for this test alone, which the
    binding shuts down afterwards.
    """

    # Calls that run at the same time.
    workers = 2
    # Calls that may have left the executor's queue beside those that run, and so count as running.
    prefetched = 3

    @pytest.fixture
    def executor(self) -> Executor:
        raise NotImplementedError("a binding provides the executor")

    @pytest.fixture
    def new_executor(self) -> Callable[[], Executor]:
        raise NotImplementedError("a binding provides the factory")

    @pytest.fixture
    def calls(self) -> Calls:
        return importable_calls

    def occupy(self, executor: Executor, calls: Calls, gate: Gate) -> list[Future[Any]]:
        """Put every worker to work behind the gate: what is submitted next has to wait."""
        held = [executor.submit(calls.pass_gate, gate.address, n) for n in range(self.workers)]
        gate.wait_for_arrivals(self.workers)
        return held


@contextlib.contextmanager
def shutting_down(executors: list[Executor]) -> Iterator[None]:
    """Shut down whatever was appended to `executors` in the block."""
    try:
        yield
    finally:
        for executor in executors:
            executor.shutdown(wait=True, cancel_futures=True)
