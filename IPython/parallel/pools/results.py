"""What the methods of a `multiprocessing.Pool` on a cluster give: results, and iterators over them.

A result is made of the view's futures and waits for nothing else; only where a callback was asked
for is there something to be done when they are over.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import logging
import multiprocessing
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from concurrent.futures import wait as wait_for
from itertools import chain
from multiprocessing import pool as stdlib
from typing import Any

from ..map_iteration import left
from .chunks import Outcome, error_of, outcomes_of
from .imap_feed import Feed

__all__ = ["AsyncResult", "ChunkedIMapIterator", "ChunkedResult", "IMapIterator", "SingleResult"]

_logger = logging.getLogger(__name__)


class AsyncResult(stdlib.AsyncResult[Any]):
    """The result of many calls, a list; of a pool's ``map_async`` and its like. Any thread."""

    def __init__(
        self,
        pool: stdlib.Pool,
        futures: Sequence[Future[Any]],
        callback: Callable[[Any], object] | None,
        error_callback: Callable[[BaseException], object] | None,
    ) -> None:
        self._pool = pool  # lives as long as its results
        self._futures = futures
        self._settled = 0  # how many at the beginning of `futures` are known to be over
        self._callback = callback
        self._error_callback = error_callback
        # Set once the callbacks have run: they come before the result is ready.
        self._told = threading.Event()
        if callback is None and error_callback is None:
            self._told.set()
        else:
            self._watch()

    def ready(self) -> bool:
        """Whether all calls are over."""
        return self._first_unsettled() is None and self._told.is_set()

    def successful(self) -> bool:
        """Whether all calls are over, none with an error.

        Raises
        ------
        ValueError
            The result is not ready.
        """
        if not self.ready():
            raise ValueError(f"{self!r} not ready")
        return self._error() is None

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the result is ready, at most `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while (future := self._first_unsettled()) is not None:
            if not wait_for([future], left(deadline)).done:
                return
        self._told.wait(left(deadline))

    def get(self, timeout: float | None = None) -> Any:
        """The result; the first error, if there was one.

        Raises
        ------
        multiprocessing.TimeoutError
            It is not ready after `timeout` seconds.
        concurrent.futures.CancelledError
            The pool was terminated before.
        """
        self.wait(timeout)
        if not self.ready():
            raise multiprocessing.TimeoutError
        return self._value()

    def _value(self) -> Any:
        return [future.result() for future in self._futures]

    def _first_unsettled(self) -> Future[Any] | None:
        # From where a look before ended, so that asking often costs little; other threads may be
        # looking as well.
        index = self._settled
        while index < len(self._futures) and self._futures[index].done():
            index += 1
        self._settled = index
        return self._futures[index] if index < len(self._futures) else None

    def _error(self) -> BaseException | None:
        return next((error for error in map(error_of, self._futures) if error is not None), None)

    def _watch(self, settled: Future[Any] | None = None) -> None:
        """Call the callbacks when all is over; else look again when the next one is."""
        future = self._first_unsettled()
        if future is not None:
            future.add_done_callback(self._watch)
            return
        try:
            self._tell()
        except Exception:
            _logger.exception("exception calling callback for %r", self)
        finally:
            self._told.set()

    def _tell(self) -> None:
        error = self._error()
        if isinstance(error, CancelledError):
            return  # of a pool that was terminated, nobody is told anything
        if error is not None and self._error_callback is not None:
            self._error_callback(error)
        elif error is None and self._callback is not None:
            self._callback(self._value())


class SingleResult(AsyncResult):
    """The result of one call, of a pool's ``apply_async``."""

    def _value(self) -> Any:
        return self._futures[0].result()


class ChunkedResult(AsyncResult):
    """The result of many calls, of which those of a chunk are one future."""

    def _value(self) -> Any:
        return [outcome.get() for outcome in self._outcomes()]

    def _error(self) -> BaseException | None:
        return next((outcome.error for outcome in self._outcomes() if outcome.error is not None), None)

    def _outcomes(self) -> Iterator[Outcome]:
        return chain.from_iterable(map(outcomes_of, self._futures))


class IMapIterator(stdlib.IMapIterator):  # type: ignore[type-arg]  # it takes none when it runs
    """Results of a pool's ``imap`` or ``imap_unordered``. Any thread."""

    def __init__(self, pool: stdlib.Pool, feed: Feed) -> None:
        self._pool = pool  # lives as long as its results
        self._feed = feed

    def __iter__(self) -> IMapIterator:
        return self

    def next(self, timeout: float | None = None) -> Any:
        """The next result; the call's error, if it raised one.

        Raises
        ------
        StopIteration
            There are no more.
        multiprocessing.TimeoutError
            It is not there after `timeout` seconds.
        """
        return self._take(timeout).result()

    __next__ = next

    def _take(self, timeout: float | None) -> Future[Any]:
        """The next future, which is settled."""
        try:
            future = self._feed.take(timeout)
        except TimeoutError:
            raise multiprocessing.TimeoutError from None
        if future is None:
            raise StopIteration
        return future


class ChunkedIMapIterator(IMapIterator):
    """The same, of futures that are chunks: results of a chunk are there together. Any thread."""

    def __init__(self, pool: stdlib.Pool, feed: Feed) -> None:
        super().__init__(pool, feed)
        self._outcomes: deque[Outcome] = deque()

    def next(self, timeout: float | None = None) -> Any:
        """The next result; see `IMapIterator`."""
        while True:
            try:
                outcome = self._outcomes.popleft()
            except IndexError:
                self._outcomes.extend(outcomes_of(self._take(timeout)))
            else:
                return outcome.get()

    __next__ = next
