"""A progress bar for futures one waits for."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import (
    ALL_COMPLETED,
    FIRST_COMPLETED,
    FIRST_EXCEPTION,
    Future,
    wait,
)
from concurrent.futures._base import DoneAndNotDoneFutures
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from ipyparallel import AsyncHubResult, AsyncResult
from tqdm.auto import tqdm

__all__ = ["wait_interactive"]

T = TypeVar("T")

# Seconds between two looks at results that only tell when they are asked.
INTERVAL = 0.1
# Seconds until the bar is drawn anew though nothing happened: the time it shows goes on.
TICK = 1.0


class _Bar(tqdm):
    # The waiting thread draws: tqdm's own thread would stay for the rest of the process.
    monitor_interval = 0


def wait_interactive(
    futures: Future[T] | Iterable[Future[T]],
    timeout: float | None = None,
    return_when: str = ALL_COMPLETED,
    *,
    desc: str | None = None,
    disable: bool | None = False,
) -> DoneAndNotDoneFutures[T]:
    """Wait for futures as `concurrent.futures.wait` does, and show a progress bar meanwhile.

    Parameters
    ----------
    futures : Future or iterable of Future
        Any futures, of executors of any kind. What ``map`` gave counts with each of its calls.
    timeout : float, optional
        Seconds to wait at most; no limit by default.
    return_when : str
        ``ALL_COMPLETED``, ``FIRST_COMPLETED`` or ``FIRST_EXCEPTION`` of `concurrent.futures`.
    desc : str, optional
        What stands before the bar.
    disable : bool, optional
        Show no bar; None shows it on a terminal and in a notebook only.

    Returns
    -------
    tuple of set
        The named pair ``(done, not_done)`` of sets, as from `concurrent.futures.wait`. A map is one
        future in it.

    Raises
    ------
    ValueError
        For another `return_when`.
    TypeError
        For something that is not a future.

    Notes
    -----
    Any thread but those of callbacks. In a notebook the bar is a widget where ipywidgets is installed
    (``tqdm.auto``). Source: `concurrent.futures.wait` and ipyparallel's `AsyncResult.wait_interactive`.

    .. versionadded:: 0.1
    """
    if return_when not in (ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION):
        raise ValueError(f"Invalid return condition: {return_when!r}")
    waited = _Waited({futures} if isinstance(futures, Future) else _checked(futures))
    deadline = None if timeout is None else time.monotonic() + timeout
    with _Bar(total=waited.total, desc=desc, unit="task", miniters=1, disable=disable) as bar:
        over = 0
        while True:
            before, over = over, waited.calls_over()
            bar.update(over - before) if over > before else bar.refresh()
            left = None if deadline is None else deadline - time.monotonic()
            if waited.is_over(return_when) or (left is not None and left <= 0):
                break
            waited.wait_for_news(left)
    return wait(waited.futures, 0, return_when)


class _Waited:
    """Futures, and how many of their calls are over.

    Most futures report when they are done, so that a bar over many thousands costs nothing while
    nothing happens. A map is asked for its progress, and a Hub's result whether it is done: they do not
    tell.
    """

    def __init__(self, futures: set[Future[Any]]) -> None:
        self.futures = futures
        self._asked = {future for future in futures if _is_to_be_asked(future)}
        self.total = sum(_calls(future) for future in futures)
        self._left = set(futures)
        self._over = 0
        self._failed = False
        self._news: SimpleQueue[Future[Any]] = SimpleQueue()
        for future in futures - self._asked:
            future.add_done_callback(self._news.put)

    def wait_for_news(self, timeout: float | None) -> None:
        """Wait until a future reports, at most `timeout` seconds, or until the next look is due."""
        pause = INTERVAL if self._asked & self._left else TICK
        with suppress(Empty):
            self._settle(self._news.get(timeout=pause if timeout is None else min(pause, timeout)))

    def calls_over(self) -> int:
        """How many calls are over, of all futures."""
        while not self._news.empty():
            self._settle(self._news.get())
        for future in self._asked & self._left:
            if future.done():
                self._settle(future)
        return self._over + sum(_calls_over(future) for future in self._asked & self._left)

    def is_over(self, return_when: str) -> bool:
        """Whether what was waited for is here."""
        if return_when == FIRST_COMPLETED and len(self._left) < len(self.futures):
            return True
        return not self._left or (return_when == FIRST_EXCEPTION and self._failed)

    def _settle(self, future: Future[Any]) -> None:
        self._left.discard(future)
        self._over += _calls(future)
        self._failed = self._failed or (not future.cancelled() and future.exception() is not None)


def _checked(futures: Iterable[Future[T]]) -> set[Future[T]]:
    found = set()
    for future in futures:
        if not isinstance(future, Future):
            raise TypeError(
                f"wait_interactive waits for futures, as submit and map give them, not for {future!r}"
            )
        found.add(future)
    return found


def _is_to_be_asked(future: Future[Any]) -> bool:
    return isinstance(future, AsyncHubResult) or _calls(future) > 1


def _calls(future: Future[Any]) -> int:
    """Of how many calls this is the result."""
    return len(future) if isinstance(future, AsyncResult) else 1


def _calls_over(future: AsyncResult) -> int:
    return min(int(future.progress), _calls(future))
