"""What existing code asks of pools and of ipyparallel's own executor, beside PEP 3148: what the patch puts on views."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

from ipyparallel.client.remotefunction import getname
from ipyparallel.client.view import View, ViewExecutor


class ViewIsItsExecutor(ViewExecutor):
    """The base by which a view is an executor, and for those who know ipyparallel's: that one, with itself as view.

    adaptive and pipefunc take ``len(executor.view)`` as the number of cores, of a ``ViewExecutor`` and of nothing else.
    """

    # A view is initialized by its own class.
    __init__ = object.__init__

    @property
    def view(self) -> Any:
        """The view itself."""
        return self


def size(self: View | ViewExecutor) -> int:
    """How many engines can be used now, at least 1, as pools tell it. Any thread.

    Source: pools made for MPI and threads, by whose ``size`` libraries such as dynesty divide their work.

    .. versionadded:: 0.1
    """
    return self._max_workers  # type: ignore[no-any-return]


def starmap(
    self: View | ViewExecutor, fn: Callable[..., Any], iterable: Iterable[Iterable[Any]], **options: Any
) -> Any:
    """Run ``fn(*args)`` for each `args` of `iterable`: `map`, for arguments that are tuples already.

    Parameters
    ----------
    fn : callable
    iterable : iterable of iterable
        Read as `map` reads its own: at once and in this thread, unless ``buffersize`` is given.
    **options
        Those of `map`: ``timeout`` (seconds), ``chunksize``, ``buffersize`` and others.

    Returns
    -------
    AsyncMapResult, list or iterator
        What `map` returns, with the same errors at the same places.

    Raises
    ------
    RuntimeError
        After `shutdown`.

    Notes
    -----
    Any thread. Source: `multiprocessing.pool.Pool` and ``mpi4py.futures``, which have it too.

    .. versionadded:: 0.1
    """
    return self.map(_of_one_tuple(fn), iterable, **options)


def only_guards_the_terminal(initializer: Callable[..., object]) -> bool:
    """Whether an initializer is tqdm's, which hands workers the lock of the terminal that they would share.

    ``tqdm.contrib.concurrent`` gives it to every pool. Engines do not write to the terminal, and the lock, one of
    multiprocessing's, can only be inherited.
    """
    tqdm = sys.modules.get("tqdm.std")
    if tqdm is None or getattr(initializer, "__name__", "") != "set_lock":
        return False
    owner = getattr(initializer, "__self__", None)
    return isinstance(owner, type) and issubclass(owner, tqdm.tqdm)


def _of_one_tuple(fn: Callable[..., Any]) -> Callable[[Iterable[Any]], Any]:
    # Made in a function, it travels by value: engines have no module of ours in which to find it.
    def call(args: Iterable[Any]) -> Any:
        return fn(*args)

    call.__name__ = getname(fn)
    return call
