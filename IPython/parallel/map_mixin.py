"""ipyparallel's AsyncMapResult, whose chunks are messages, as PEP 3148's iterator: what the patch puts on it."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import pickle
from collections.abc import Iterator
from concurrent.futures import Future, as_completed
from functools import partial
from typing import Any

from ipyparallel import AsyncMapResult, AsyncResult
from ipyparallel.client.view import LazyMapIterator
from ipyparallel.error import RemoteError, TaskAborted

from .engine_bundle import load
from .future_mixin import is_value, leave_out
from .map_iteration import MapIteration, left
from .rebuilt_errors import rebuild_exception


def _rebuild(packed: dict[str, Any]) -> BaseException:
    return rebuild_exception(packed["error"], pickle.loads, packed["engine"])


# An error among a chunk's results is unpickled by ipyparallel, with the chunk.
load().carried_values.rebuilder = _rebuild


def map_iter(self: AsyncMapResult) -> Iterator[Any]:
    """This result, as the iterator over the results as they come; an error is raised at its position, in its own type.

    A second loop goes on where the first was left; after one that has read all in one go, it begins anew.
    Any thread, one at a time. Source: PEP 3148, and ipyparallel, where a result can be read again.
    """
    return MapIteration.__iter__(self)


def map_next(self: AsyncMapResult) -> Any:
    """The next result, as from the iterator that the standard library's ``map`` gives.

    Any thread, one at a time. Source: PEP 3148.

    .. versionadded:: 0.1
    """
    return MapIteration.__next__(self)


def lazy_iter(self: LazyMapIterator) -> LazyMapIterator:
    """This iterator itself. Any thread. Source: PEP 3148's ``map``; ipyparallel's gives another."""
    return self


def iterate(self: AsyncMapResult) -> Iterator[Any]:
    """The results, chunk after chunk; TimeoutError when the map's time is up."""
    for child in _over_in_time(self):
        yield from self._yield_child_results(child)


def _over_in_time(result: AsyncMapResult) -> Iterator[Future[Any]]:
    """The messages, each when it is over; engines are to leave out what has not begun when the map's time is up."""
    try:
        if not result.ordered:
            yield from as_completed(result._children, left(result._deadline))
        for child in result._children if result.ordered else ():
            child.result(left(result._deadline))
            yield child
    except TimeoutError:
        leave_out([result])
        raise


def yield_child_results(self: AsyncMapResult, child: Future[Any]) -> Iterator[Any]:
    """The results of one message, each value or error at its place."""
    result = child.result()
    whole_failed = not is_value(child)
    for item in result if isinstance(result, list) else [result]:
        if (whole_failed or isinstance(item, (RemoteError, TaskAborted))) and not self._return_exceptions:
            raise item
        yield item


def collect_map_exceptions(self: AsyncMapResult, results: list[Any]) -> list[Any]:
    """Raise a CompositeError for the errors among the results of all chunks."""
    if not self._return_exceptions:
        flat = [item for chunk in results for item in (chunk if isinstance(chunk, list) else [chunk])]
        AsyncResult._collect_exceptions(self, flat)
    return results


def split(self: AsyncMapResult) -> tuple[AsyncResult, ...]:
    """One AsyncResult for each message; an error in a chunk is that part's error. Any thread. Source: ipyparallel."""
    children = self._children
    if len(children) == 1:
        return (self,)
    if self._parts is None:
        self._parts = tuple(_part(self, child) for child in children)
    return self._parts  # type: ignore[no-any-return]


def _part(whole: AsyncMapResult, child: Future[Any]) -> AsyncResult:
    part = AsyncResult.__new__(AsyncResult)
    # Before the part is made: one that is over resolves at once.
    part._collect_exceptions = partial(collect_map_exceptions, part)
    part.__init__(
        whole._client, [child], fname=whole._fname, targets=[None], return_exceptions=whole._return_exceptions
    )
    return part
