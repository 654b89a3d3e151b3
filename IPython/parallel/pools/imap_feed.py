"""The input of a lazy map, read on a thread of its own, some way ahead of who takes the results.

Reading may block, and what it waits for may depend on a result taken before: so neither who starts
the map nor who takes its results may read. Reading ahead without a limit would keep all input and
all results in memory.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError, Future
from concurrent.futures import wait as wait_for
from typing import Any

from ..dispatch.steady_locks import SteadyCondition
from ..map_iteration import left

__all__ = ["Feed"]

_END = object()


class Feed:
    """Submits a call for each item of an input, and hands out their futures.

    Parameters
    ----------
    submit : callable
        Makes the future of an item's call.
    items : iterable
        Read on a thread of ours alone; may be infinite.
    ahead : int
        At most this many futures are outstanding: submitted, and not taken.
    in_order : bool
        Whether futures are handed out in the order of the items, or as they are settled.
    """

    def __init__(
        self,
        submit: Callable[[Any], Future[Any]],
        items: Iterable[Any],
        ahead: int,
        *,
        in_order: bool,
    ) -> None:
        self._submit = submit
        self._in_order = in_order
        self._changed = SteadyCondition()
        self._room: float = ahead
        # Read on when so many may be outstanding again: a burst travels better than single calls.
        self._burst = max(1, ahead // 2)
        self._next: deque[Future[Any]] = deque()  # to be handed out: in order, or settled
        self._unsettled = 0  # not in order: those that are in no queue yet
        self._over = False
        self._error: BaseException | None = None
        # A daemon: an input that never comes must not keep the interpreter from ending.
        self._thread = threading.Thread(
            target=self._run, args=(items,), name="IPython.parallel imap", daemon=True
        )
        self._thread.start()

    def take(self, timeout: float | None) -> Future[Any] | None:
        """The next future, which is settled; None if there are no more.

        Raises
        ------
        TimeoutError
            There is none after `timeout` seconds.
        BaseException
            What reading the input raised, once, at its position.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            if not self._changed.wait_for(lambda: self._next or self._is_used_up(), timeout):
                raise TimeoutError
            future = self._next.popleft() if self._next else None
        if future is None:
            self._end()
            return None
        if not future.done() and not wait_for([future], left(deadline)).done:
            with self._changed:
                self._next.appendleft(future)
            raise TimeoutError
        self._make_room(1)
        return future

    def finish(self) -> None:
        """Submit all that is left, without waiting for who takes the results."""
        self._make_room(math.inf)
        self._thread.join()

    def stop(self) -> None:
        """Read no more. Never blocks for long; any thread."""
        self._close(CancelledError("the pool was terminated before all input was read"))

    def _is_used_up(self) -> bool:
        return self._over and not self._unsettled

    def _end(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _make_room(self, more: float) -> None:
        with self._changed:
            self._room += more
            if self._room >= self._burst:
                self._changed.notify_all()

    def _close(self, error: BaseException | None) -> None:
        with self._changed:
            if not self._over:
                self._over, self._error = True, error
            self._changed.notify_all()

    # -- on the feed's thread

    def _run(self, items: Iterable[Any]) -> None:
        try:
            iterator = iter(items)
            while self._wait_for_room() and (item := next(iterator, _END)) is not _END:
                self._add(self._submit(item))
        except (
            BaseException
        ) as error:  # the input's own, or the cluster is gone: raised where its result would be
            self._close(error)
        else:
            self._close(None)

    def _wait_for_room(self) -> bool:
        """Whether to go on, once another call may be outstanding."""
        with self._changed:
            if self._room < 1:
                self._changed.wait_for(lambda: self._room >= self._burst or self._over)
            self._room -= 1
            return not self._over

    def _add(self, future: Future[Any]) -> None:
        with self._changed:
            if self._in_order:
                self._next.append(future)
                self._changed.notify_all()
                return
            self._unsettled += 1
        future.add_done_callback(self._note_settled)

    def _note_settled(self, future: Future[Any]) -> None:
        with self._changed:
            self._unsettled -= 1
            self._next.append(future)
            self._changed.notify_all()
