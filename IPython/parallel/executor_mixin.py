"""ipyparallel's views as the executors of PEP 3148: what the patch puts on them.

A load-balanced view's calls go through the client's buffer and travel in groups (`dispatcher`). Calls of other views,
and of views with a flag that is the scheduler's affair (`after`, `follow`, `targets`, `timeout`, `track`), are
messages of their own, on ipyparallel's own path.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import wait as futures_wait
from itertools import islice
from typing import Any

from decorator import decorator
from ipyparallel import AsyncResult, LoadBalancedView
from ipyparallel.client.remotefunction import getname
from ipyparallel.client.view import LazyMapIterator, View

from . import call_pickling, lazy_map
from .carried_errors import mapped_calls, single_call
from .dispatcher import Line
from .engine_room import room_of
from .errors import ExecutorShutdown
from .held_calls import submit_held
from .map_result import MapResult
from .originals import original_of
from .pool_mixin import only_guards_the_terminal
from .task_result import TaskResult
from .view_state import ViewState, line_for, state_of

_UNSET: Any = object()
# Calls of a map go out in portions, so that the first run while the last are pickled.
_PORTION = 256
_PORTION_SECONDS = 0.005


def configure_pool(
    view: View,
    *,
    max_workers: int | None = None,
    initializer: Callable[..., object] | None = None,
    initargs: tuple[Any, ...] = (),
    on_output: Callable[[str, str], None] | None = None,
    fails_without_engines: bool = False,
) -> None:
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
    on_output : callable, optional
        ``on_output(stream, text)`` hears what calls printed to ``"stdout"`` and ``"stderr"``, on a thread of ours,
        before the call is settled.
    fails_without_engines : bool
        Whether calls fail with `errors.EngineDied` when the last engine is gone, because no other will come.

    Raises
    ------
    ValueError
        If `max_workers` is not positive.
    """
    if max_workers is not None and max_workers <= 0:
        raise ValueError("max_workers must be greater than 0")
    setup = None
    if initializer is not None and not only_guards_the_terminal(initializer):
        setup = uuid.uuid4().hex, call_pickling.dumps((initializer, initargs))
    # A pool's functions share no globals with other pools', as if its workers had just been started.
    space = uuid.uuid4().hex
    view.__dict__["_executor_state"] = ViewState(
        Line(
            space,
            max_engines=max_workers,
            setup=setup,
            on_output=on_output,
            fails_without_engines=fails_without_engines,
        )
    )


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
    """
    state = state_of(self)
    if state.closed:
        raise ExecutorShutdown()
    line = state.line(self)
    if line is None:
        held = submit_held(self, fn, args, kwargs)
        return _submit_alone(self, fn, args, kwargs) if held is None else held
    return room_of(self.client).submit(
        self, line, fn, args, kwargs, name=getname(fn), label=self.label, retries=state.retries
    )


def _submit_alone(view: View, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> AsyncResult:
    try:
        call = single_call(fn, args, kwargs)
    except Exception as error:
        result = TaskResult(room_of(view.client), getname(fn), view.label)
        result.fail(error)
        return result
    return view._really_apply(call, (), {}, block=False)


# -- map


@decorator
def _refused_after_shutdown(method: Callable[..., Any], self: View, *args: Any, **kwargs: Any) -> Any:
    if state_of(self).closed:
        raise ExecutorShutdown()
    return method(self, *args, **kwargs)


@_refused_after_shutdown
def map_balanced(
    self: LoadBalancedView,
    f: Callable[..., Any],
    *sequences: Iterable[Any],
    timeout: float | None = None,
    chunksize: int | None = None,
    buffersize: int | None = None,
    block: bool | None = None,
    ordered: bool = True,
    return_exceptions: bool = False,
    label: str | None = None,
) -> Any:
    """Run ``f(*items)`` for the items of `sequences`, taken together, on whatever engines are free.

    Parameters
    ----------
    f : callable
    *sequences : iterables
        Read at once, in this thread, until the shortest ends.
    timeout : float, optional
        Seconds from now after which iterating raises `TimeoutError`; what has not started is cancelled then.
    chunksize : int, optional
        Calls that travel together. By default small calls are grouped by how long they take.
    buffersize : int, optional
        Read the input lazily: at most that many calls are outstanding. The result is then an iterator only.
    block : bool, optional
        Wait, and return a list. Default: the view's flag; False if `timeout` or `buffersize` is given.
    ordered : bool
        Whether iteration keeps the order of the arguments.
    return_exceptions : bool
        Whether errors are among the results instead of being raised.
    label : str, optional
        A name of the user's for the calls.

    Returns
    -------
    AsyncMapResult, list or iterator
        An AsyncMapResult is an iterator too, which raises an error of `f` at its position, in its own type.

    Raises
    ------
    ValueError, TypeError
        For a `chunksize` or `buffersize` below 1 or not an int.
    RuntimeError
        After `shutdown`.

    Notes
    -----
    Any thread. Source: PEP 3148 (`timeout`, `chunksize`, `buffersize`) and ipyparallel (the other keywords).
    """
    _check_sizes(chunksize, buffersize)
    deadline = None if timeout is None else time.monotonic() + timeout
    if buffersize is not None:
        return lazy_map.results(self.submit, f, zip(*sequences), buffersize, deadline)
    if block is None:
        block = self.block and timeout is None
    if (line := line_for(self)) is None:
        keywords = {"ordered": ordered, "return_exceptions": return_exceptions, "label": label}
        original = original_of(LoadBalancedView, "map")
        return _map_alone(self, original, f, sequences, deadline, block, dict(keywords, chunksize=chunksize or 1))
    result = MapResult(
        room_of(self.client), getname(f), ordered=ordered, return_exceptions=return_exceptions, deadline=deadline
    )
    _submit_all(self, line, f, zip(*sequences), result, label, chunksize or 1)
    return result.get() if block else result


def _submit_all(
    view: View, line: Line, f: Callable[..., Any], calls: Iterator[Any], result: MapResult, label: Any, unit: int
) -> None:
    """Submit the calls of a map in portions; if the input raises, what has not started is cancelled."""
    room = room_of(view.client)
    label = view.label if label is None else label
    retries = state_of(view).retries
    tasks: list[TaskResult] = []
    try:
        function = _function_of(f)
        for portion in _portions(calls, unit):
            if isinstance(function, Exception):
                tasks += room.fail_all(len(portion), function, result)
            else:
                tasks += room.submit_all(view, line, function, portion, result, label=label, unit=unit, retries=retries)
    except BaseException:
        for task in tasks:
            task.cancel()
        raise
    result.stand_for(tasks)


def _function_of(f: Callable[..., Any]) -> Any:
    """What is sent of a function that is mapped, or the reason why it cannot be: an error of every call."""
    try:
        return call_pickling.pickle_mapped(f)
    except Exception as error:
        return error


def _portions(calls: Iterator[Any], unit: int) -> Iterator[list[Any]]:
    """Lists of calls, of whole units: large ones of a quick input, single units of a slow one."""
    portion: list[Any] = []
    begun = time.monotonic()
    while chunk := list(islice(calls, unit)):
        portion += chunk
        if len(portion) >= _PORTION or time.monotonic() - begun > _PORTION_SECONDS:
            yield portion
            portion, begun = [], time.monotonic()
    if portion:
        yield portion


def _check_sizes(chunksize: int | None, buffersize: int | None) -> None:
    if chunksize is not None and chunksize < 1:
        raise ValueError("chunksize must be >= 1.")
    if buffersize is not None and not isinstance(buffersize, int):
        raise TypeError("buffersize must be an integer or None")
    if buffersize is not None and buffersize < 1:
        raise ValueError("buffersize must be None or > 0")


def wrap_direct_map(original: Callable[..., Any]) -> Callable[..., Any]:
    """`map` of a view of given engines: one message per engine, as ipyparallel has it."""

    @_refused_after_shutdown
    def map_direct(
        self: View,
        f: Callable[..., Any],
        *sequences: Iterable[Any],
        timeout: float | None = None,
        chunksize: int | None = None,
        buffersize: int | None = None,
        block: bool | None = None,
        **legacy: Any,
    ) -> Any:
        """Run ``f(*items)`` for the items of `sequences`, taken together, in equal parts on this view's engines.

        Parameters
        ----------
        f : callable
        *sequences : iterables
            Read at once, in this thread, until the shortest ends.
        timeout : float, optional
            Seconds from now after which iterating raises `TimeoutError`.
        chunksize : int, optional
            Checked, and otherwise without effect: each engine gets one part.
        buffersize : int, optional
            Read the input lazily: at most that many calls are outstanding. The result is then an iterator only.
        block : bool, optional
            Wait, and return a list. Default: the view's flag; False if `timeout` or `buffersize` is given.
        **legacy
            ``track``, ``return_exceptions``, ``label``: see ipyparallel's `DirectView.map`.

        Returns
        -------
        AsyncMapResult, list or iterator
            An AsyncMapResult is an iterator too, which raises an error of `f` at its position, in its own type.

        Notes
        -----
        Any thread. Source: PEP 3148 and ipyparallel.
        """
        _check_sizes(chunksize, buffersize)
        deadline = None if timeout is None else time.monotonic() + timeout
        if buffersize is not None:
            return lazy_map.results(self.submit, f, zip(*sequences), buffersize, deadline)
        if block is None:
            block = self.block and timeout is None
        if not legacy.get("track") and (line := line_for(self)) is not None:
            return_exceptions = legacy.get("return_exceptions", False)
            result = MapResult(
                room_of(self.client), getname(f), ordered=True, return_exceptions=return_exceptions, deadline=deadline
            )
            _submit_all(self, line, f, zip(*sequences), result, legacy.get("label"), 1)
            return result.get() if block else result
        return _map_alone(self, original, f, sequences, deadline, block, legacy)

    return map_direct


def _map_alone(
    view: View,
    original: Callable[..., Any],
    f: Callable[..., Any],
    sequences: tuple[Iterable[Any], ...],
    deadline: float | None,
    block: bool,
    keywords: dict[str, Any],
) -> Any:
    """A map whose parts are messages of their own, made by ipyparallel of a function of one pickled tuple."""
    calls = [call_pickling.dumps(args) for args in zip(*sequences)]
    if not calls:
        return _nothing(view, f, deadline, block)
    result = original(view, mapped_calls(f), calls, block=False, **keywords)
    result._deadline = deadline
    state_of(view).note([result])
    return result.get() if block else result


def _nothing(view: View, f: Callable[..., Any], deadline: float | None, block: bool) -> Any:
    """The result of a map of nothing."""
    result = MapResult(
        room_of(view.client), getname(f), ordered=True, return_exceptions=False, deadline=deadline
    )
    result.stand_for(())
    return [] if block else result


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
        wait : bool, default True
            The first positional argument, too. Whether to wait until this view's pending work is done.
        cancel_futures : bool, default False
            Cancel what has not left the client, instead of letting it run.
        targets, restart, hub, block
            With any of these, or a positional argument that is not a bool, **engines stop**, as in ipyparallel;
            ``wait=True`` beside them first waits for this view's work.

        Notes
        -----
        Without the latter, engines keep running: they may be serving others, as other views of this client.
        Not from a done-callback if it waits. Source: PEP 3148, and ipyparallel.
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
    state.closed = True
    for line in state.lines():
        room_of(view.client).dispatcher.close(line, cancel=cancel_futures)
    if cancel_futures:
        for result in state.under_way():
            result.cancel()
    if wait:
        _wait(view)


def _wait(view: View) -> None:
    state = state_of(view)
    for line in state.lines():
        room_of(view.client).dispatcher.wait(line)
    futures_wait(state.under_way())


def enter(self: View) -> View:
    """The view itself; leaving the block is ``shutdown(wait=True)``. Source: PEP 3148."""
    return self


def exit_(self: View, *exc_info: Any) -> bool:
    """Wait for this view's work; engines keep running. Source: PEP 3148."""
    self.shutdown(wait=True)
    return False


def max_workers(self: View) -> int:
    """How many engines the view can use now, at least 1: consumers divide by it."""
    limit = state_of(self).balanced.max_engines or len(self)
    return max(1, min(limit, len(self)))


def is_true(self: View) -> bool:
    """True, also without engines: ``executor or ThreadPoolExecutor()`` must keep the view."""
    return True


# -- ViewExecutor


class MaxWorkersOfView:
    """`ViewExecutor._max_workers`: the view's own; what the constructor assigns is out of date soon."""

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else instance.view._max_workers

    def __set__(self, instance: Any, value: int) -> None:
        pass


def executor_submit(self: Any, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> AsyncResult:
    """Hand on to the view's `submit`."""
    return self.view.submit(fn, *args, **kwargs)


def executor_map(self: Any, func: Callable[..., Any], *iterables: Iterable[Any], **kwargs: Any) -> Any:
    """Hand on to the view's `map`, without its ``block`` flag; the result is an iterator that can be cancelled."""
    result = self.view.map(func, *iterables, **{"block": False, **kwargs})
    return LazyMapIterator(iter(result), getattr(result, "cancel", None) or result.close)


def executor_shutdown(self: Any, wait: bool = True, *, cancel_futures: bool = False) -> None:
    """Hand on to the view's `shutdown`: engines keep running."""
    self.view.shutdown(wait=wait, cancel_futures=cancel_futures)


