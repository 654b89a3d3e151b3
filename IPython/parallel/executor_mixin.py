"""ipyparallel's views as the executors of PEP 3148: what the patch puts on them.

A load-balanced view's calls go through the client's buffer and travel in groups (`dispatcher`). Calls of other views,
and of views with a flag that is the scheduler's affair (`after`, `follow`, `targets`, `timeout`, `track`), are
messages of their own, on ipyparallel's own path.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import wait as futures_wait
from typing import Any

from ipyparallel import AsyncResult
from ipyparallel.client.remotefunction import getname
from ipyparallel.client.view import LazyMapIterator, View

from . import call_pickling
from .carried_errors import single_call
from .dispatch import callback_threads, callbacks
from .dispatch.dispatcher import Dispatcher
from .dispatch.lines import Line
from .engine_room import existing_room, room_of
from .errors import ExecutorShutdown
from .future_mixin import leave_out
from .held_calls import submit_held
from .on_engines.namespaces import FIXED
from .pool_mixin import only_guards_the_terminal
from .task_result import TaskResult
from .traits import trait
from .view_state import ViewState, state_of

_UNSET: Any = object()


def configure_pool(
    view: View,
    *,
    max_workers: int | None = None,
    initializer: Callable[..., object] | None = None,
    initargs: tuple[Any, ...] = (),
    lifetime: int | None = None,
    fixed_globals: bool = False,
    on_output: Callable[[str, str], None] | None = None,
    on_submit: Callable[[int], None] | None = None,
    on_over: Callable[[Sequence[Any]], None] | None = None,
    fails_without_engines: bool = False,
) -> str:
    """Let a fresh view mean what a process pool's arguments mean. Before its first call.

    Parameters
    ----------
    view : LoadBalancedView
    max_workers : int, optional
        Use at most that many engines.
    initializer : callable, optional
        Run as ``initializer(*initargs)`` on each engine before its first call from this view. If it raises there,
        that engine's calls fail with `errors.InitializerFailed`.
    initargs : tuple
    lifetime : int, optional
        After that many calls an engine begins anew, as a new worker would: with the initializer, and new globals.
    fixed_globals : bool
        Whether engines keep the globals of the caller as they first came, as workers that were forked do.
    on_output : callable, optional
        ``on_output(stream, text)`` hears what calls printed to ``"stdout"`` and ``"stderr"``, on a thread of ours,
        before the call is settled.
    on_submit : callable, optional
        ``on_submit(number)`` hears of so many calls, right after their submission, on the submitting thread.
    on_over : callable, optional
        ``on_over(futures)`` hears of calls that have ended, however they did, on the callbacks' thread.
    fails_without_engines : bool
        Whether calls fail with `errors.EngineDied` when the last engine is gone, because no other will come.

    Returns
    -------
    str
        Names the pool's namespaces on engines.

    Raises
    ------
    ValueError
        If `max_workers` is not positive.
    """
    if max_workers is not None and max_workers <= 0:
        raise ValueError("max_workers must be greater than 0")
    setup = None
    if initializer is not None and not only_guards_the_terminal(initializer):
        setup = uuid.uuid4().hex, call_pickling.dumps_inherited((initializer, initargs))
    # A pool's functions share no globals with other pools', as if its workers had just been started.
    space = f"{FIXED if fixed_globals else ''}{uuid.uuid4().hex}"
    view.__dict__["_executor_state"] = ViewState(
        Line(
            space,
            max_engines=max_workers,
            setup=setup,
            lifetime=lifetime,
            on_output=on_output,
            on_submit=on_submit,
            on_over=on_over,
            fails_without_engines=fails_without_engines,
        )
    )
    return space


# -- submit


def submit(self: View, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> AsyncResult:
    """Schedule ``fn(*args, **kwargs)`` on the engines; its result is a future.

    Parameters
    ----------
    fn : callable
        Positional only: every keyword goes to `fn`. What it refers to in the caller's modules goes along.
    *args, **kwargs
        Taken as they are now: later changes don't show.

    Returns
    -------
    AsyncResult
        Also a `concurrent.futures.Future`. Of one call on a load-balanced view or a view of one engine (an int), of
        a call on each engine, with a list of results, on any other.

    Raises
    ------
    RuntimeError
        After `shutdown`.

    Notes
    -----
    Any thread, done-callbacks included; never blocks. What cannot be pickled is the future's error.
    Source: PEP 3148.

    .. versionadded:: 0.1
    """
    state = state_of(self)
    if state.closed:
        raise ExecutorShutdown()
    line = state.line(self)
    if line is None:
        with state.sending:
            state.check()
            held = submit_held(self, fn, args, kwargs, {}, retries_lost=True)
            return _submit_alone(self, fn, args, kwargs) if held is None else held
    return room_of(trait(self, "client")).submit(
        self, line, fn, args, kwargs, name=getname(fn), label=trait(self, "label"), retries=state.retries
    )


def submit_chunk(view: View, fn: Callable[..., Any], chunk: Sequence[Any]) -> TaskResult:
    """Schedule ``fn(chunk)``, which counts as so many calls of a pool's. Any thread; never blocks."""
    state = state_of(view)
    if state.closed:
        raise ExecutorShutdown()
    room = room_of(view.client)
    return room.submit(view, state.balanced, fn, (chunk,), {}, name=getname(fn), chunk_size=len(chunk))


def _submit_alone(view: View, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> AsyncResult:
    room = room_of(view.client)
    room.dispatcher.check()
    try:
        call = single_call(fn, args, kwargs)
    except Exception as error:
        result = TaskResult(room, getname(fn), view.label)
        result.fail(error)
        return result
    result = view._really_apply(call, (), {}, block=False)
    room.dispatcher.note(result)
    return result


# -- shutdown


def wrap_shutdown(original: Callable[..., Any]) -> Callable[..., Any]:
    """`View.shutdown` with both its meanings."""

    def shutdown(
        self: View,
        *args: Any,
        wait: bool | None = None,
        cancel_futures: bool = False,
        targets: Any = _UNSET,
        restart: Any = _UNSET,
        hub: Any = _UNSET,
        block: Any = _UNSET,
    ) -> Any:
        """Let this view take no more work; or, given what ipyparallel's ``shutdown`` takes, stop engines.

        Parameters
        ----------
        *args
            One bool is `wait`. Anything else is ipyparallel's, and stops engines.
        wait : bool, default True
            Whether to wait until this view's pending work is done.
        cancel_futures : bool, default False
            Cancel what has not left the client, instead of letting it run, and ask the engines to leave out what they
            have not begun of calls with a message of their own; these fail with `ipyparallel.error.TaskAborted`.
        targets, restart, hub, block
            With any of these, or a positional argument that is not a bool, **engines stop**, as in ipyparallel;
            ``wait=True`` beside them first waits for this view's work.

        Notes
        -----
        Without the latter, engines keep running: they may be serving others, as other views of this client.
        Waiting is for done-callbacks, too; a callback that calls this waits for the calls alone. Any thread but the one
        that receives messages. Source: PEP 3148, and ipyparallel.
        """
        given = {"targets": targets, "restart": restart, "hub": hub, "block": block}
        legacy = {name: value for name, value in given.items() if value is not _UNSET}
        if legacy or (args and not isinstance(args[0], bool)):
            if wait:
                _wait(self)
            return original(self, *args, **legacy)
        if args:
            wait = _only_wait(args, wait)
        return _shut_down(self, wait is not False, cancel_futures)

    return shutdown


def _only_wait(args: tuple[Any, ...], wait: bool | None) -> bool:
    if len(args) > 1 or wait is not None:
        raise TypeError("shutdown() takes `wait` alone as a positional argument, and once")
    return bool(args[0])


def _shut_down(view: View, wait: bool, cancel_futures: bool) -> None:
    state = state_of(view)
    state.close()
    for dispatcher, line in _lines_of(view):
        dispatcher.close(line, cancel=cancel_futures)
    if cancel_futures:
        leave_out([result for result in state.under_way() if not result.cancel()])
    if wait:
        _wait(view)


def _lines_of(view: View) -> list[tuple[Dispatcher, Line]]:
    room = existing_room(view.client)  # without one, nothing was submitted
    return [] if room is None else [(room.dispatcher, line) for line in state_of(view).lines()]


def _wait(view: View) -> None:
    room = existing_room(view.client)
    if room is not None and room.dispatcher.is_parents:
        return  # nobody here hears of the calls of the process that this one was forked from
    for dispatcher, line in _lines_of(view):
        dispatcher.wait(line)
    left = state_of(view).under_way()
    futures_wait(left)
    if not callback_threads.runs_here():
        callbacks.wait_until_called(left)


def enter(self: View) -> View:
    """The view itself; leaving the block is ``shutdown(wait=True)``. Any thread. Source: PEP 3148.

    .. versionadded:: 0.1
    """
    return self


def exit_(self: View, *exc_info: Any) -> bool:
    """Wait for this view's work, as ``shutdown(wait=True)`` does; engines keep running.

    Parameters
    ----------
    *exc_info
        What the block raised, which goes on.

    Notes
    -----
    Any thread but the one that receives messages. Source: PEP 3148.

    .. versionadded:: 0.1
    """
    self.shutdown(wait=True)
    return False


def max_workers(self: View) -> int:
    """How many engines the view can use now, at least 1: consumers divide by it."""
    limit = state_of(self).balanced.max_engines or len(self)
    return max(1, min(limit, len(self)))


def is_true(self: View) -> bool:
    """True, also without engines: ``executor or ThreadPoolExecutor()`` must keep the view.

    Any thread. Source: the standard library's executors, which have no length.

    .. versionadded:: 0.1
    """
    return True


# -- ViewExecutor


class MaxWorkersOfView:
    """`ViewExecutor._max_workers`: the view's own; what the constructor assigns is out of date soon."""

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else instance.view._max_workers

    def __set__(self, instance: Any, value: int) -> None:
        pass


def executor_submit(self: Any, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> AsyncResult:
    """Hand on to the view's `submit`.

    Parameters
    ----------
    fn : callable
    *args, **kwargs
        Of the call.

    Raises
    ------
    RuntimeError
        After `shutdown`.

    Notes
    -----
    Any thread. Source: PEP 3148.
    """
    return self.view.submit(fn, *args, **kwargs)


def executor_map(self: Any, func: Callable[..., Any], *iterables: Iterable[Any], **kwargs: Any) -> Any:
    """Hand on to the view's `map`, without its ``block`` flag; the result is an iterator that can be cancelled.

    Parameters
    ----------
    func : callable
    *iterables : iterable
    **kwargs
        Those of the view's `map`: ``timeout`` (seconds), ``chunksize``, ``buffersize`` and others.

    Raises
    ------
    RuntimeError
        After `shutdown`.

    Notes
    -----
    Any thread. Source: PEP 3148, and ipyparallel's ``ViewExecutor``.
    """
    result = self.view.map(func, *iterables, **{"block": False, **kwargs})
    return LazyMapIterator(iter(result), getattr(result, "cancel", None) or result.close)


def executor_shutdown(self: Any, wait: bool = True, *, cancel_futures: bool = False) -> None:
    """Hand on to the view's `shutdown`: engines keep running.

    Parameters
    ----------
    wait : bool
        Whether to wait until the view's pending work is done.
    cancel_futures : bool
        Whether to cancel what has not left the client.

    Notes
    -----
    Any thread but the one that receives messages. Source: PEP 3148.
    """
    self.view.shutdown(wait=wait, cancel_futures=cancel_futures)


