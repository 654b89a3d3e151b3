"""ipyparallel's AsyncResult as the future of PEP 3148 it nearly is: what the patch puts on it.

An AsyncResult of ``apply_async`` and its like is sent when it is made, so it is running from the beginning, and
cannot be cancelled for certain.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from concurrent.futures import Future
from typing import Any

from ipyparallel import AsyncHubResult, AsyncResult

from . import callbacks, task_states


def cancel(self: AsyncResult) -> bool:
    """Whether the call is cancelled for certain, that is: will never run anywhere.

    The messages of this result were sent when it was made, so they may have begun: False, unless `cancelled`.
    ``abort()`` asks the engines to leave out what has not begun. Any thread; never blocks. Source: PEP 3148.
    """
    return self.cancelled()


def running(self: AsyncResult) -> bool:
    """Whether the call is under way: sent, and not done. Any thread. Source: PEP 3148."""
    return Future.running(self)


def done(self: AsyncResult) -> bool:
    """Whether the call is over: finished, failed or cancelled. Any thread. Source: PEP 3148."""
    return Future.done(self)


def exception(self: AsyncResult, timeout: float | None = None) -> BaseException | None:
    """The error of the call, waiting for it; None if there was none.

    Parameters
    ----------
    timeout : float, optional
        Seconds to wait; no limit by default.

    Raises
    ------
    TimeoutError
        If the time is up first.
    concurrent.futures.CancelledError
        If the call was cancelled.

    Notes
    -----
    Any thread but the one that receives messages. Source: PEP 3148.
    """
    return Future.exception(self, timeout)


def add_done_callback(self: AsyncResult, fn: Callable[[AsyncResult], object]) -> None:
    callbacks.CallbackQueue.add_done_callback(self, fn)


add_done_callback.__doc__ = callbacks.CallbackQueue.add_done_callback.__doc__


def invoke_callbacks(self: AsyncResult) -> None:
    """The result is here: run ipyparallel's own callbacks, which only note it, and hand over the user's."""
    with self._condition:
        own = [fn for fn in self._done_callbacks if _is_bookkeeping(fn)]
        self._done_callbacks[:] = [fn for fn in self._done_callbacks if not _is_bookkeeping(fn)]
    for fn in own:
        callbacks.call(fn, self)
    callbacks.CallbackQueue._invoke_callbacks(self)


def run_callbacks(self: AsyncResult) -> None:
    """Run the users' callbacks. On the callbacks' thread."""
    callbacks.CallbackQueue._run_callbacks(self)


def _is_bookkeeping(fn: Any) -> bool:
    return str(getattr(fn, "__module__", "")).partition(".")[0] == "ipyparallel"


def await_(self: AsyncResult) -> Generator[Any, None, Any]:
    """Wait for the result in a coroutine, in asyncio's running loop."""
    return asyncio.wrap_future(self).__await__()


def wrap_init_futures(original: Callable[..., None]) -> Callable[..., None]:
    """`AsyncResult._init_futures` that says what is true: the call is sent, it counts as running."""

    def _init_futures(self: AsyncResult) -> None:
        task_states.begin(self)
        original(self)

    return _init_futures


def hub_done(self: AsyncHubResult) -> bool:
    """Whether the call is over; asks the Hub."""
    return bool(self.wait(0)) or Future.done(self)


def hub_exception(self: AsyncHubResult, timeout: float | None = None) -> BaseException | None:
    """The error of the call, asking the Hub until it has it; see `AsyncResult.exception`."""
    self.wait(-1 if timeout is None else max(0, timeout))
    return Future.exception(self, 0)
