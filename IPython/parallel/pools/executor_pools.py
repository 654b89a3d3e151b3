"""concurrent.futures' pools with a cluster's engines for workers.

Each is a class of the same shape, derived from the one it stands for, so that ``isinstance`` and
``issubclass`` find it. Its instances hand every call to a load-balanced view. What the standard
library checks is checked here with the same errors; what a call does on the way is the view's
business.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from concurrent.futures import process as process_pools
from concurrent.futures import thread as thread_pools
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, ClassVar, ParamSpec, TypeVar

from ..dispatch.steady_locks import SteadyLock
from ..running.local_cluster import usable_cores
from ..view_map import map_of_tuples
from .backing import Backing, abandon_running, interrupt_until_over, open_view
from .clusters import named_backing, shared_local

if TYPE_CHECKING:
    from ipyparallel import Client, LoadBalancedView

__all__ = ["ProcessPoolExecutor", "ThreadPoolExecutor"]

P = ParamSpec("P")
T = TypeVar("T")


class ClusterExecutor(Executor):
    """What both pools have in common."""

    # The cluster of pools that name none; where there is none, one that all share is started.
    _default: ClassVar[Backing | None] = None
    _lifetime: int | None = None
    _are_processes = True

    def _set_up(
        self,
        max_workers: int | None,
        initializer: Callable[..., object] | None,
        initargs: tuple[Any, ...],
        named: Backing | None = None,
    ) -> None:
        if max_workers is not None and max_workers <= 0:
            raise ValueError("max_workers must be greater than 0")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        self._backing = named or self._default
        self._max_workers = max_workers or self._engines()
        self._limit = max_workers
        self._initializer: Callable[..., object] | None = initializer
        self._initargs = initargs
        self._view: LoadBalancedView | None = None
        self._shutdown_thread = False
        self._lock = SteadyLock()

    def _engines(self) -> int:
        return (
            max(1, len(self._backing.client.ids)) if self._backing is not None else usable_cores()
        )

    def _submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = self._open_view().submit(fn, *args, **kwargs)
        return future

    def map(
        self, fn: Callable[..., T], *iterables: Iterable[Any], chunksize: int = 1, **limits: Any
    ) -> Iterator[T]:
        """Iterate over the results, in order; `chunksize` changes nothing. Source: PEP 3148."""
        # Grouping is the view's business and follows what it measures. A chunk of the standard
        # library's is one task, which loses all its results when one call fails; here each call has
        # its own.
        if chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        if limits.keys() - {"timeout"} or not self._has_own_submit():
            return Executor.map(self, fn, *iterables, **limits)  # a call at a time
        calls = zip(*iterables)  # it ends with the shortest
        first = list(islice(calls, 1))
        if not first:
            return _each(())
        return _each(map_of_tuples(self._open_view(), fn, chain(first, calls), limits.get("timeout")))

    def _has_own_submit(self) -> bool:
        """Whether `submit` is ours: who overrides it expects that `map` calls it."""
        own = (ProcessPoolExecutor.submit, ThreadPoolExecutor.submit)
        return getattr(self.submit, "__func__", None) in own

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more work; wait for what there is, or cancel it. Source: PEP 3148."""
        # At a terminal Ctrl-C reaches a process pool's workers too, and so whoever tidies up after
        # it need not wait for them. Engines are out of the terminal's reach: the same is done for
        # them here.
        interrupted = isinstance(sys.exc_info()[1], KeyboardInterrupt)
        with self._lock:
            self._shutdown_thread = True
            view, backing = self._view, self._backing
        if view is None or backing is None:
            return
        if interrupted:
            view.shutdown(wait=False, cancel_futures=True)
            wait = (interrupt_until_over(backing, view) if wait else backing.interrupt()) and wait
        view.shutdown(wait=wait, cancel_futures=cancel_futures)

    def _open_view(self) -> LoadBalancedView:
        """The pool's view, made for the first call: a pool that is never used costs nothing."""
        with self._lock:
            if self._shutdown_thread:
                raise RuntimeError("cannot schedule new futures after shutdown")
            if self._backing is None:
                self._backing = shared_local()
            if self._view is None:
                self._view = open_view(
                    self._backing,
                    self._limit,
                    self._initializer,
                    self._initargs,
                    lifetime=self._lifetime,
                    processes=self._are_processes,
                )
            return self._view


class ProcessPoolExecutor(ClusterExecutor, process_pools.ProcessPoolExecutor):  # type: ignore[misc]  # private names
    """`concurrent.futures.ProcessPoolExecutor` on a cluster.

    Parameters
    ----------
    max_workers : int, optional
        At most this many engines are used at a time; by default all.
    mp_context : optional
        Taken for compatibility: engines are running already.
    initializer : callable, optional
        Runs once on each engine before its first call of this pool.
    initargs : tuple
        Arguments of `initializer`.
    max_tasks_per_child : int, optional
        After that many calls an engine forgets the pool's functions and globals and runs
        `initializer` again, as a new worker would; the process stays.
    client : ipyparallel.Client, optional
        Use the cluster that this client is connected to.
    profile : str, optional
        Use the running cluster of this IPython profile. With neither of the two, it is the cluster
        of the run under ``python -m IPython.parallel``, and elsewhere a local one of one engine per
        usable core: it starts with the first call of the first such pool, all of them share it, and
        it ends with the interpreter.

    Raises
    ------
    ValueError
        `max_workers` or `max_tasks_per_child` is not positive, or `client` and `profile` are both given.
    TypeError
        `initializer` cannot be called, or `max_tasks_per_child` is no int.
    ClusterUnavailable
        There is no cluster of that profile, or it does not answer.

    Notes
    -----
    Its methods may be called from any thread. Source: PEP 3148.

    .. versionadded:: 0.1
    """

    def __init__(
        self,
        max_workers: int | None = None,
        mp_context: Any = None,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        *,
        max_tasks_per_child: int | None = None,
        client: Client | None = None,
        profile: str | None = None,
    ) -> None:
        self._set_up(max_workers, initializer, initargs, named_backing(client, profile))
        self._mp_context = _context(mp_context, max_tasks_per_child)
        self._lifetime = max_tasks_per_child

    # In each class of its own, so that a wrong call is told of by the class's name.
    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Schedule the call on an engine; its result is a future. Source: PEP 3148."""
        return self._submit(fn, *args, **kwargs)

    def terminate_workers(self) -> None:
        """Cancel what waits, and let what runs fail with `BrokenProcessPool`; the pool is shut down.

        What runs is interrupted where the engines are this program's own and nobody else's calls
        run there, and may go on elsewhere. Engines are not ended: later pools use them. Takes a few
        seconds at most, and does not wait for an engine that cannot be interrupted. Any thread.
        Source: Python 3.14, and here in all versions.
        """
        self._stop_now()

    def kill_workers(self) -> None:
        """The same as `terminate_workers`: engines are not killed. Source: Python 3.14."""
        self._stop_now()

    def _stop_now(self) -> None:
        self.shutdown(wait=False, cancel_futures=True)
        if self._view is not None and self._backing is not None:
            abandon_running(self._backing, [self._view], _terminated)


class ThreadPoolExecutor(ClusterExecutor, thread_pools.ThreadPoolExecutor):  # type: ignore[misc]  # private names
    """`concurrent.futures.ThreadPoolExecutor` on a cluster: arguments and results travel, nothing
    else is shared.

    Parameters
    ----------
    max_workers : int, optional
        At most this many engines are used at a time; by default all.
    thread_name_prefix : str
        Taken for compatibility: calls run on the engines' main threads.
    initializer : callable, optional
        Runs once on each engine before its first call of this pool.
    initargs : tuple
        Arguments of `initializer`.
    """

    _are_processes = False

    def __init__(
        self,
        max_workers: int | None = None,
        thread_name_prefix: str = "",
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
    ) -> None:
        self._thread_name_prefix = thread_name_prefix
        self._set_up(max_workers, initializer, initargs)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Schedule the call on an engine; its result is a future. Source: PEP 3148."""
        return self._submit(fn, *args, **kwargs)


def _terminated() -> Exception:
    return process_pools.BrokenProcessPool(
        "the pool's workers were told to end while they had this call"
    )


def _context(given: Any, max_tasks_per_child: int | None) -> Any:
    """The context that the standard library's pool would have, after its checks."""
    if given is None:
        given = multiprocessing.get_context("spawn" if max_tasks_per_child is not None else None)
    if max_tasks_per_child is None:
        return given
    if not isinstance(max_tasks_per_child, int):
        raise TypeError("max_tasks_per_child must be an integer")
    if max_tasks_per_child <= 0:
        raise ValueError("max_tasks_per_child must be >= 1")
    if given.get_start_method(allow_none=False) == "fork":
        raise ValueError(
            "max_tasks_per_child is incompatible with the 'fork' multiprocessing start method; "
            "supply a different mp_context."
        )
    return given


def _each(results: Iterable[Any]) -> Iterator[Any]:
    """The results as they come; what has not started is cancelled when nobody wants more."""
    yield from results
