"""Done-callbacks: each exactly once, in order, and never on a thread that others wait for.

A callback may submit, and may wait for another future. So it must run neither on the thread that receives messages
nor on the one that settles futures: it runs on a thread that does nothing else (`callback_threads`).
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from . import task_states
from .callback_threads import CallbackThreads

_OVER = (task_states.CANCELLED, task_states.CANCELLED_AND_NOTIFIED, task_states.FINISHED)

# Where the standard library logs a callback that raises.
_logger = logging.getLogger("concurrent.futures")

_threads = CallbackThreads()


def post(job: Callable[[], None]) -> None:
    """Run `job` on the callbacks' thread, after those posted before. Any thread; never blocks."""
    _threads.post(job)


def be_ready() -> None:
    """Have a thread for what will be posted, maybe while the interpreter exits. Any thread; never blocks."""
    with suppress(RuntimeError):  # it exits already
        _threads.be_ready()


def drain(timeout: float | None = None) -> bool:
    """Wait until what has been posted so far has run; False if `timeout` seconds were not enough."""
    return _threads.drain(timeout)


def leave_to_parent() -> None:
    """This process was forked: what waits is the parent's, and the threads stayed with it. Right after the fork."""
    global _threads
    _threads = CallbackThreads()


def is_over(future: Any) -> bool:
    """Whether a future is done, and its callbacks have run. Any thread."""
    return future.done() and not future._done_callbacks


def after_callbacks(future: Any, job: Callable[[], None]) -> None:
    """Run `job` when the callbacks of a future that is over have run: at once if it has none. Any thread."""
    if future._done_callbacks:
        with future._condition:
            if future._done_callbacks:
                future._done_callbacks.append(lambda _: job())
                return
    job()


def wait_until_called(futures: Iterable[Future[Any]]) -> None:
    """Wait until the callbacks of these futures, which are over, have run. Not from a callback."""
    for future in futures:
        called = threading.Event()
        after_callbacks(future, called.set)
        called.wait()


class CallbackQueue:
    """The callbacks of a future that is settled on a thread that must not run them; a mixin before ``Future``.

    A callback leaves the future's list when it has been called. As long as the list is not empty, new ones queue up
    behind those in it.
    """

    def add_done_callback(self: Any, fn: Callable[[Any], object]) -> None:
        """Call ``fn(self)`` when the call is done or cancelled.

        Each callback is called exactly once, in the order added; one that raises is logged (logger
        ``concurrent.futures``). On the callbacks' thread, or at once on this one if all is over already.
        It may submit and may wait, also for what callbacks behind it do: they run on another thread if it takes long
        (`callback_threads.PATIENCE` seconds). Source: PEP 3148.

        Parameters
        ----------
        fn : callable
            Gets this future as its only argument.
        """
        with self._condition:
            queued = self._done_callbacks and not never_waits(fn)
            if self._state not in _OVER or queued:
                self._done_callbacks.append(fn)
                return
        call(fn, self)

    def _invoke_callbacks(self: Any) -> None:
        """Called by ``Future`` once the state is set: hand the callbacks over instead of running them here."""
        if not self._done_callbacks:
            return
        with self._condition:
            at_once, self._done_callbacks[:] = _sorted_out(self._done_callbacks)
        for fn in at_once:
            call(fn, self)
        if self._done_callbacks:
            post(self._run_callbacks)

    def _run_callbacks(self: Any) -> None:
        """On the callbacks' thread."""
        while True:
            with self._condition:
                if not self._done_callbacks:
                    return
                fn = self._done_callbacks[0]
            call(fn, self)
            with self._condition:
                del self._done_callbacks[0]


def _sorted_out(callbacks: list[Any]) -> tuple[list[Any], list[Any]]:
    """Those that never wait, and the others."""
    return [fn for fn in callbacks if never_waits(fn)], [fn for fn in callbacks if not never_waits(fn)]


class AtOnce:
    """A callback of ours that only notes that the future is over: it runs on the thread that settles.

    Parameters
    ----------
    note : callable
    """

    def __init__(self, note: Callable[[Future[Any]], object]) -> None:
        self._note = note

    def __call__(self, future: Future[Any]) -> None:
        self._note(future)


def never_waits(fn: Any) -> bool:
    """Whether a callback only notes that the future is over, or wakes somebody: ipyparallel's own, and asyncio's.

    These run at once, before all others. A user's callback that waits by their means (``client.wait(ar)``,
    ``asyncio.run(...)``) is on the callbacks' thread, and would wait for ever for what comes behind it there.
    """
    return type(fn) is AtOnce or str(getattr(fn, "__module__", "")).partition(".")[0] in ("ipyparallel", "asyncio")


def call(fn: Callable[[Any], object], future: Future[Any]) -> None:
    """Call a done-callback; what it raises is logged, as the standard library does it."""
    try:
        fn(future)
    except BaseException:  # also an exit: it must not take along the callbacks behind it
        _logger.exception("exception calling callback for %r", future)
