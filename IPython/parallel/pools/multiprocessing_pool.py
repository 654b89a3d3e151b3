"""`multiprocessing.Pool` with a cluster's engines for workers.

Calls go to a view, one by one, and grouping is the view's business and follows what it measures; but whoever says how
large a chunk is to be gets that (`chunks`).
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import os
import threading
import warnings
import weakref
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import CancelledError, Future
from functools import partial
from multiprocessing import pool as stdlib
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

# Before `threading._register_atexit` is called here: what was registered last is called first.
from ..dispatch import process_exit  # noqa: F401
from ..executor_mixin import submit_chunk
from .backing import Backing, abandon_running, open_view
from .chunks import chunks_of, function_of_chunks
from .clusters import named_backing, shared_local
from .imap_feed import Feed
from .results import AsyncResult, ChunkedIMapIterator, ChunkedResult, IMapIterator, SingleResult

if TYPE_CHECKING:
    from ipyparallel import Client, LoadBalancedView

__all__ = ["Pool"]

# The standard library's own words for the states of a pool.
_RUN, _CLOSE, _TERMINATE = "RUN", "CLOSE", "TERMINATE"

# How many calls of an imap may be outstanding for each engine. Fewer leave engines of short calls
# without work; more keep more input and more results in memory.
AHEAD = 256
# And how many chunks, if those are large.
CHUNKS_AHEAD = 4

_open_pools: weakref.WeakSet[Pool] = weakref.WeakSet()
# Of pools that were forgotten with work outstanding.
_forgotten_views: weakref.WeakKeyDictionary[LoadBalancedView, Backing] = weakref.WeakKeyDictionary()


class Pool(stdlib.Pool):
    """`multiprocessing.Pool` on a cluster.

    Parameters
    ----------
    processes : int, optional
        At most this many engines are used at a time; by default all.
    initializer : callable, optional
        Runs once on each engine before its first call of this pool.
    initargs : tuple
        Arguments of `initializer`. They travel: a `multiprocessing.Manager`'s objects do, locks and
        queues that only forked children can inherit don't.
    maxtasksperchild : int, optional
        After that many calls an engine forgets the pool's functions and globals and runs
        `initializer` again, as a new worker would; the process stays.
    context : optional
        Taken for compatibility: engines are running already.
    client : ipyparallel.Client, optional
        Use the cluster that this client is connected to.
    profile : str, optional
        Use the running cluster of this IPython profile. With neither of the two, it is the cluster
        of the run under ``python -m IPython.parallel``, and elsewhere a local one of one engine per
        usable core: it starts with the first such pool, all of them share it, and it ends with the
        interpreter.

    Raises
    ------
    ValueError
        `processes` or `maxtasksperchild` is not positive, or `client` and `profile` are both given.
    TypeError
        `initializer` cannot be called.
    ClusterUnavailable
        There is no cluster of that profile, or it does not answer; or a local one cannot be
        started.
    Exception
        Whatever pickling `initializer` and `initargs` raises.

    Notes
    -----
    Its methods may be called from any thread. Source: the standard library's `multiprocessing.pool`.

    .. versionadded:: 0.1
    """

    # The cluster of pools that name none; where there is none, one that all share is started.
    _default: ClassVar[Backing | None] = None
    # Of one that could not be made.
    _state = _CLOSE
    _view: Any = None

    def __init__(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: int | None = None,
        context: Any = None,
        *,
        client: Client | None = None,
        profile: str | None = None,
    ) -> None:
        _check(processes, initializer, maxtasksperchild)
        self._backing = named_backing(client, profile) or self._default or shared_local()
        self._ctx = context
        # As the standard library's does: a lock among them is there for as long as the pool is.
        self._initializer, self._initargs = initializer, tuple(initargs)
        self._processes = processes or max(1, len(self._backing.client.ids))
        self._feeds: weakref.WeakSet[Feed] = weakref.WeakSet()
        # Now, as workers would be started now: they see what there is at this moment.
        self._view = open_view(
            self._backing, processes, initializer, self._initargs, lifetime=maxtasksperchild
        )
        # Not bound to the pool: who reads an input for it must not keep it alive.
        self._submit = self._view.submit
        self._submit_chunk = partial(submit_chunk, self._view)
        self._owner = os.getpid()
        self._state = _RUN
        _open_pools.add(self)

    def __repr__(self) -> str:
        cls = type(self)
        return (
            f"<{cls.__module__}.{cls.__qualname__} state={self._state} pool_size={self._processes}>"
        )

    def __reduce__(self) -> NoReturn:
        raise NotImplementedError("pool objects cannot be passed between processes or pickled")

    def __enter__(self) -> Pool:
        self._check_running()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.terminate()

    def __del__(self) -> None:
        if self._view is None:
            return
        if self._state == _RUN:
            warnings.warn(  # noqa: B028  # nobody in particular let the garbage collector come
                f"unclosed running multiprocessing pool {self!r}", ResourceWarning, source=self
            )
        for feed in list(self._feeds):
            feed.stop()
        # This may run anywhere, within any lock, so cancelling has to wait.
        if self._view.outstanding:
            _forgotten_views[self._view] = self._backing

    # -- one call

    def apply(
        self, func: Callable[..., Any], args: Iterable[Any] = (), kwds: Mapping[str, Any] = {}
    ) -> Any:
        """The result of ``func(*args, **kwds)``, waiting for it."""
        return self.apply_async(func, args, kwds).get()

    def apply_async(
        self,
        func: Callable[..., Any],
        args: Iterable[Any] = (),
        kwds: Mapping[str, Any] = {},
        callback: Callable[[Any], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> AsyncResult:
        """Schedule ``func(*args, **kwds)``; callbacks run before the result is ready."""
        self._check_running()
        return SingleResult(self, [self._submit(func, *args, **kwds)], callback, error_callback)

    # -- many calls

    def map(
        self, func: Callable[..., Any], iterable: Iterable[Any], chunksize: int | None = None
    ) -> list[Any]:
        """The list of ``func(item)`` for all items, waiting for it."""
        values: list[Any] = self.map_async(func, iterable, chunksize).get()
        return values

    def starmap(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
    ) -> list[Any]:
        """The list of ``func(*items)`` for all tuples of items, waiting for it."""
        values: list[Any] = self.starmap_async(func, iterable, chunksize).get()
        return values

    def map_async(  # type: ignore[override]  # the class for it is private to the standard library
        self,
        func: Callable[..., Any],
        iterable: Iterable[Any],
        chunksize: int | None = None,
        callback: Callable[[list[Any]], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> AsyncResult:
        """Schedule ``func(item)`` for all items, which are read at once."""
        return self._map_async(func, iterable, chunksize, callback, error_callback, unpack=False)

    def starmap_async(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        callback: Callable[[list[Any]], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> AsyncResult:
        """Schedule ``func(*items)`` for all tuples of items, which are read at once."""
        return self._map_async(func, iterable, chunksize, callback, error_callback, unpack=True)

    def imap(  # type: ignore[override]  # None is a TypeError, in the standard library as well
        self, func: Callable[..., Any], iterable: Iterable[Any], chunksize: int = 1
    ) -> IMapIterator:
        """Iterate over ``func(item)``, in order; the input is read on a thread, some way ahead of
        the results.

        Parameters
        ----------
        func : callable
        iterable : iterable
            May be infinite.
        chunksize : int
            That many calls travel and run as one; more than 1 is a good deal faster for small calls.
        """
        return self._imap(func, iterable, chunksize, in_order=True)

    def imap_unordered(  # type: ignore[override]  # as in `imap`
        self, func: Callable[..., Any], iterable: Iterable[Any], chunksize: int = 1
    ) -> IMapIterator:
        """As `imap`, with results in the order in which they arrive."""
        return self._imap(func, iterable, chunksize, in_order=False)

    # -- the end

    def close(self) -> None:
        """Take no more work; what there is will be done."""
        if self._state == _RUN:
            self._state = _CLOSE

    def terminate(self) -> None:
        """Take no more work, and wait for none: results that are not there raise `CancelledError`.

        What runs is interrupted where the engines are this program's own, and may go on elsewhere;
        engines go on.
        """
        if self._state == _TERMINATE:
            return
        self._cancel()
        abandon_running(self._backing, [self._view], _terminated)

    def join(self) -> None:
        """Wait until all work is done and all callbacks have run; after `close` or `terminate`.

        Raises
        ------
        ValueError
            The pool is still running.
        """
        if self._state == _RUN:
            raise ValueError("Pool is still running")
        if self._state == _TERMINATE:
            return
        for feed in list(self._feeds):
            feed.finish()
        self._view.shutdown(wait=True)

    # -- within

    def _cancel(self) -> None:
        self._state = _TERMINATE
        for feed in list(self._feeds):
            feed.stop()
        self._view.shutdown(wait=False, cancel_futures=True)

    def _check_running(self) -> None:
        if self._state != _RUN:
            raise ValueError("Pool not running")

    def _map_async(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Any],
        chunksize: int | None,
        callback: Callable[[list[Any]], object] | None,
        error_callback: Callable[[BaseException], object] | None,
        *,
        unpack: bool,
    ) -> AsyncResult:
        self._check_running()
        # All are read before any is submitted: if reading fails, nothing has run.
        items = list(iterable)
        if chunksize is not None and chunksize > 1:
            function, chunks = function_of_chunks(func, unpack=unpack), chunks_of(items, chunksize)
            futures = [self._submit_chunk(function, chunk) for chunk in chunks]
            return ChunkedResult(self, futures, callback, error_callback)
        calls = items if unpack else zip(items)
        return AsyncResult(self, [self._submit(func, *args) for args in calls], callback, error_callback)

    def _imap(
        self, func: Callable[..., Any], iterable: Iterable[Any], chunksize: int, *, in_order: bool
    ) -> IMapIterator:
        self._check_running()
        if chunksize < 1:
            raise ValueError(f"Chunksize must be 1+, not {chunksize:n}")
        if chunksize == 1:
            return IMapIterator(self, self._feed(self._submit, func, iterable, AHEAD, in_order=in_order))
        function = function_of_chunks(func, unpack=False)
        chunks, ahead = chunks_of(iterable, chunksize), max(CHUNKS_AHEAD, AHEAD // chunksize)
        return ChunkedIMapIterator(self, self._feed(self._submit_chunk, function, chunks, ahead, in_order=in_order))

    def _feed(
        self,
        submit: Callable[..., Future[Any]],
        function: Callable[..., Any],
        items: Iterable[Any],
        ahead: int,
        *,
        in_order: bool,
    ) -> Feed:
        feed = Feed(partial(submit, function), items, self._processes * ahead, in_order=in_order)
        self._feeds.add(feed)
        return feed


def _terminated() -> Exception:
    return CancelledError("the pool was terminated")


def _check(processes: Any, initializer: Any, maxtasksperchild: Any) -> None:
    if processes is not None and processes < 1:
        raise ValueError("Number of processes must be at least 1")
    if initializer is not None and not callable(initializer):
        raise TypeError("initializer must be a callable")
    if maxtasksperchild is None:
        return
    if not isinstance(maxtasksperchild, int) or maxtasksperchild <= 0:
        raise ValueError("maxtasksperchild must be a positive int or None")


def _terminate_all() -> None:
    """The interpreter is about to exit: as in the standard library, nobody waits for open pools."""
    ended: dict[int, tuple[Backing, list[LoadBalancedView]]] = {}
    for pool in list(_open_pools):
        # A forked child has inherited the pool, not the connection.
        if pool._owner == os.getpid():
            pool._cancel()
            _forgotten_views[pool._view] = pool._backing
    for view, backing in list(_forgotten_views.items()):
        view.shutdown(wait=False, cancel_futures=True)
        ended.setdefault(id(backing), (backing, []))[1].append(view)
    for backing, views in ended.values():
        abandon_running(backing, views, _terminated)


threading._register_atexit(_terminate_all)  # type: ignore[attr-defined]
