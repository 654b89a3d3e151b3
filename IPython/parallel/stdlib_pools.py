"""The block in which concurrent.futures' process pool is a view of a cluster.

A script that says ``with ProcessPoolExecutor() as pool`` knows nothing of clusters. Inside `standing_in` the name means
a class of the same shape whose instances hand every call to a load-balanced view. What the standard library checks is
checked here with the same errors; what a call does on the way is the view's business.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

from .executor_mixin import configure_pool

if TYPE_CHECKING:
    from ipyparallel import Client, LoadBalancedView

__all__ = ["Backing", "standing_in"]

_ABSENT = object()


def _nothing() -> None:
    pass


def _not_interrupted() -> bool:
    return False


def _ignore_future(future: Future[Any]) -> None:
    pass


@dataclass(frozen=True)
class Backing:
    """What stands behind the stand-ins.

    Attributes
    ----------
    client : ipyparallel.Client
        Connected to the cluster that does the work.
    on_output : callable, optional
        ``on_output(stream, text)`` gets what calls print, on a background thread; `stream` is "stdout" or "stderr".
    on_submit : callable
        Gets each future right after its submission, on the submitting thread.
    before_pool : callable
        Called when a pool gets its first work, before that work leaves: engines are then brought to what workers
        forked at this moment would see.
    interrupt : callable
        Raises KeyboardInterrupt in the calls that are running on the cluster, and returns True; or does nothing, where
        others use the engines too, and returns False.
    engines_are_ours : bool
        Whether the engines were started for this program: those that die are not replaced.
    """

    client: Client
    on_output: Callable[[str, str], None] | None = None
    on_submit: Callable[[Future[Any]], None] = _ignore_future
    before_pool: Callable[[], None] = _nothing
    interrupt: Callable[[], bool] = _not_interrupted
    engines_are_ours: bool = False


class ProcessPoolExecutor(Executor):
    """Stands for `concurrent.futures.ProcessPoolExecutor`; the calls run on a cluster's engines.

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
        Not available: engines are not replaced.
    """

    _backing: ClassVar[Backing]

    def __init__(
        self,
        max_workers: int | None = None,
        mp_context: Any = None,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        *,
        max_tasks_per_child: int | None = None,
    ) -> None:
        if max_workers is not None and max_workers <= 0:
            raise ValueError("max_workers must be greater than 0")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        _check_tasks_per_child(max_tasks_per_child)
        self._max_workers = max_workers or max(1, len(self._backing.client.ids))
        self._limit = max_workers
        self._mp_context = mp_context
        self._initializer = initializer
        self._initargs = initargs
        self._view: LoadBalancedView | None = None
        self._shutdown_thread = False
        self._lock = threading.Lock()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future = self._open_view().submit(fn, *args, **kwargs)
        self._backing.on_submit(future)
        return future

    submit.__doc__ = Executor.submit.__doc__

    def map(
        self, fn: Callable[..., Any], *iterables: Iterable[Any], chunksize: int = 1, **limits: Any
    ) -> Iterator[Any]:
        # Grouping is the view's business and follows what it measures. A chunk of the standard library's is one task,
        # which loses all its results when one call fails; here each call has its own.
        if chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        return super().map(fn, *iterables, **limits)

    map.__doc__ = Executor.map.__doc__

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        # At a terminal Ctrl-C reaches a process pool's workers too, and so whoever tidies up after it need not wait for
        # them. Engines are out of the terminal's reach: the same is done for them here.
        interrupted = isinstance(sys.exc_info()[1], KeyboardInterrupt)
        with self._lock:
            self._shutdown_thread = True
            view = self._view
        if view is None:
            return
        if interrupted:
            view.shutdown(wait=False, cancel_futures=True)
            wait = self._backing.interrupt() and wait
        view.shutdown(wait=wait, cancel_futures=cancel_futures)

    shutdown.__doc__ = Executor.shutdown.__doc__

    def _open_view(self) -> LoadBalancedView:
        """The pool's view; made for the first call, so that a pool that is never used costs nothing."""
        with self._lock:
            if self._shutdown_thread:
                raise RuntimeError("cannot schedule new futures after shutdown")
            if self._view is None:
                self._backing.before_pool()
                view = self._backing.client.load_balanced_view()
                configure_pool(
                    view,
                    max_workers=self._limit,
                    initializer=self._initializer,
                    initargs=self._initargs,
                    on_output=self._backing.on_output,
                    fails_without_engines=self._backing.engines_are_ours,
                )
                self._view = view
            return self._view


def _check_tasks_per_child(count: int | None) -> None:
    if count is None:
        return
    if not isinstance(count, int):
        raise TypeError("max_tasks_per_child must be an integer")
    if count <= 0:
        raise ValueError("max_tasks_per_child must be >= 1")
    raise ValueError("max_tasks_per_child is not available on a cluster: engines are not replaced")


# Name -> what stands for it, and where the name is replaced. What a module has under that name is put back afterwards,
# also where that is nothing yet: concurrent.futures loads its pools when they are first asked for.
STAND_INS: dict[str, tuple[type[Executor], tuple[str, ...]]] = {
    "ProcessPoolExecutor": (ProcessPoolExecutor, ("concurrent.futures", "concurrent.futures.process")),
}


def _bound(name: str, backing: Backing) -> type[Executor]:
    """The stand-in as a class of its own for this cluster, named like the class it stands for."""
    base, places = STAND_INS[name]
    body = {"_backing": backing, "__module__": places[-1], "__qualname__": name, "__doc__": base.__doc__}
    return type(name, (base,), body)


@contextmanager
def standing_in(backing: Backing) -> Iterator[None]:
    """Let concurrent.futures' process pool mean the cluster for the block, then put everything back.

    Pools made in the block go on working after it.

    Parameters
    ----------
    backing : Backing
        The cluster, and who wants to hear of what happens.
    """
    with ExitStack() as undo:
        for name, (_, places) in STAND_INS.items():
            stand_in = _bound(name, backing)
            for place in places:
                module = importlib.import_module(place)
                undo.callback(_put_back, module, name, vars(module).get(name, _ABSENT))
                setattr(module, name, stand_in)
        yield


def _put_back(module: ModuleType, name: str, original: object) -> None:
    if original is _ABSENT:
        delattr(module, name)
    else:
        setattr(module, name, original)
