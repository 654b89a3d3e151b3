"""Chunks of a pool's map: calls that travel and run as one, with an outcome for each.

Who gives a pool a `chunksize` asks for that, and so spares whatever a call of its own costs. An error is kept beside
the results of its chunk: raised on the engine, it would lose them.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future
from itertools import islice
from typing import Any, NamedTuple

from ipyparallel.client.remotefunction import getname

from ..engine_bundle import load

__all__ = ["Chunk", "Outcome", "chunks_of", "error_of", "function_of_chunks", "outcomes_of"]

Chunk = list[Any]


class Outcome(NamedTuple):
    """What one call of a chunk gave: its value, or the error that it raised."""

    value: Any
    error: BaseException | None = None

    def get(self) -> Any:
        """The value; raises the error, if there was one."""
        if self.error is not None:
            raise self.error
        return self.value


def chunks_of(items: Iterable[Any], size: int) -> Iterator[Chunk]:
    """The items, `size` at a time. If reading them fails, so does the chunk they would have been in."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def function_of_chunks(func: Callable[..., Any], *, unpack: bool) -> Callable[[Chunk], Any]:
    """What runs `func` on an engine for all items of a chunk.

    Parameters
    ----------
    func : callable
    unpack : bool
        Whether an item is a tuple of arguments.
    """
    # It is found on an engine by its name there; what is made here travels by value.
    run, name = load().entry_points.run_chunk, getname(func)

    def call(chunk: Chunk) -> Any:
        return run(func, name, chunk, unpack)

    call.__name__ = name
    return call


def outcomes_of(future: Future[Any]) -> list[Outcome]:
    """The outcomes of a chunk that is over. What ended it as a whole, such as its engine's death, is each call's error.

    Parameters
    ----------
    future : Future
        Of a call of `function_of_chunks`, with the chunk's ``chunk_size``.
    """
    error = error_of(future)
    if error is not None:
        return [Outcome(None, error)] * future.chunk_size  # type: ignore[attr-defined]
    values, errors = future.result()
    return [Outcome(value, errors.get(index)) for index, value in enumerate(values)]


def error_of(future: Future[Any]) -> BaseException | None:
    """The error of a future that is over, or its cancellation; None if it has a value."""
    try:
        return future.exception()
    except CancelledError as error:
        return error
