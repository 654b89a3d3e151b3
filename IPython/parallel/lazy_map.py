"""A map that reads its input as it goes: at most so many calls are outstanding."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from ipyparallel import AsyncResult

from .future_mixin import leave_out
from .map_iteration import left


def results(
    submit: Callable[..., AsyncResult],
    f: Callable[..., Any],
    calls: Iterator[tuple[Any, ...]],
    buffersize: int,
    deadline: float | None,
) -> Iterator[Any]:
    """Submit the first `buffersize` calls now, and one more for each result taken.

    Parameters
    ----------
    submit : callable
        A view's.
    calls : iterator of tuple
        Arguments; read in the thread that calls ``next()``, so it may be infinite.
    deadline : float or None
        On the clock of `time.monotonic`.

    Returns
    -------
    iterator
        In order; an error is raised at its position. What has not started is cancelled when the iteration ends.
    """
    outstanding = deque(submit(f, *args) for args in islice(calls, buffersize))
    return _take(outstanding, submit, f, calls, deadline)


def _take(
    outstanding: deque[AsyncResult],
    submit: Callable[..., AsyncResult],
    f: Callable[..., Any],
    calls: Iterator[tuple[Any, ...]],
    deadline: float | None,
) -> Iterator[Any]:
    try:
        while outstanding:
            # In a list, so that nobody keeps the result while its taker uses it.
            results = [outstanding[0].result(left(deadline))]
            outstanding.popleft()  # only now: if time is up, it is among those that are cancelled
            outstanding.extend(submit(f, *args) for args in islice(calls, 1))
            yield results.pop()
    finally:
        leave_out([future for future in outstanding if not future.cancel()])
