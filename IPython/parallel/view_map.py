"""`map` of ipyparallel's views, as PEP 3148 has it and as ipyparallel has it: what the patch puts on them."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from decorator import decorator
from ipyparallel import AsyncMapResult, LoadBalancedView
from ipyparallel.client.remotefunction import getname
from ipyparallel.client.view import View

from . import call_pickling, lazy_map
from .carried_errors import mapped_calls
from .dispatch.lines import Line
from .engine_room import room_of
from .errors import ExecutorShutdown
from .held_calls import map_held
from .map_result import MapResult
from .originals import original_of
from .task_result import TaskResult
from .view_state import line_for, state_of

# Calls of a map go out in portions, so that the first run while the last are pickled.
_PORTION = 256
_PORTION_SECONDS = 0.005


@decorator
def _refused_after_shutdown(method: Callable[..., Any], self: View, *args: Any, **kwargs: Any) -> Any:
    if state_of(self).closed:
        raise ExecutorShutdown()
    return method(self, *args, **kwargs)


@_refused_after_shutdown
def balanced_map(
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
    *sequences : iterable
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
    ValueError
        For a `chunksize` or `buffersize` below 1.
    TypeError
        For a `buffersize` that is not an int.
    RuntimeError
        After `shutdown`.

    Notes
    -----
    Any thread. Source: PEP 3148 (`timeout`, `chunksize`, `buffersize`) and ipyparallel (the other keywords).
    """
    return _map(
        self, f, sequences, original_of(LoadBalancedView, "map"),
        timeout=timeout, chunksize=chunksize, buffersize=buffersize, block=block, unit=chunksize or 1,
        keywords={
            "ordered": ordered, "return_exceptions": return_exceptions, "label": label, "chunksize": chunksize or 1
        },
    )  # fmt: skip


def _map(
    view: View,
    f: Callable[..., Any],
    sequences: tuple[Iterable[Any], ...],
    original: Callable[..., Any],
    *,
    timeout: float | None,
    chunksize: int | None,
    buffersize: int | None,
    block: bool | None,
    unit: int,
    keywords: dict[str, Any],
) -> Any:
    """A map of any view: through the buffer, `unit` calls travelling together, or by `original` with `keywords`."""
    _check_sizes(chunksize, buffersize)
    deadline = None if timeout is None else time.monotonic() + timeout
    if buffersize is not None:
        return lazy_map.results(_submit_to_one(view), f, zip(*sequences), buffersize, deadline)
    if block is None:
        block = view.block and timeout is None
    result = MapResult(
        room_of(view.client),
        getname(f),
        ordered=keywords.get("ordered", True),
        return_exceptions=keywords.get("return_exceptions", False),
        deadline=deadline,
    )
    line = None if keywords.get("track") else line_for(view)
    if line is not None:
        _submit_all(view, line, f, zip(*sequences), result, keywords.get("label"), unit)
    elif not (calls := list(zip(*sequences))):
        result.stand_for(())
    else:
        state = state_of(view)
        with state.sending:
            state.check()
            if not map_held(view, f, calls, keywords.get("label"), result):
                result = _map_alone(view, original, f, calls, deadline, keywords)
    return result.get() if block else result


def _submit_to_one(view: View) -> Callable[..., TaskResult]:
    """What submits a single call of a map: also of a view of several engines it runs on one of them."""
    if isinstance(view, LoadBalancedView) or line_for(view) is not None:
        return view.submit  # type: ignore[no-any-return]
    engines = frozenset(engine.decode() for engine in view.client._build_targets(view.targets)[0])
    line = state_of(view).pinned(engines)

    def submit(fn: Callable[..., Any], *args: Any) -> TaskResult:
        return room_of(view.client).submit(view, line, fn, args, {}, name=getname(fn), label=view.label)

    return submit


def _submit_all(
    view: View, line: Line, f: Callable[..., Any], calls: Iterator[Any], result: MapResult, label: Any, unit: int
) -> None:
    """Submit the calls of a map in portions; if the input raises, what has not started is cancelled."""
    room = room_of(view.client)
    label = view.label if label is None else label
    retries = state_of(view).retries
    tasks: list[TaskResult] = []
    result._tasks = tasks
    try:
        function = _function_of(f)
        for portion in _portions(calls, unit):
            if isinstance(function, Exception):
                tasks += room.fail_all(line, len(portion), function, result)
            else:
                tasks += room.submit_all(view, line, function, portion, result, label=label, unit=unit, retries=retries)
    except BaseException:
        for task in tasks:
            task.give_up()
        raise
    result.stand_for(tasks)


def map_of_tuples(
    view: LoadBalancedView, f: Callable[..., Any], calls: Iterator[Any], timeout: float | None
) -> MapResult:
    """`map` of a pool's view, of calls given as tuples of arguments. Any thread."""
    deadline = None if timeout is None else time.monotonic() + timeout
    result = MapResult(room_of(view.client), getname(f), ordered=True, return_exceptions=False, deadline=deadline)
    _submit_all(view, state_of(view).balanced, f, calls, result, None, 1)
    return result


def _function_of(f: Callable[..., Any]) -> Any:
    """What is sent of a function that is mapped, or the reason why it cannot be: an error of every call."""
    try:
        return call_pickling.pickle_mapped(f)
    except Exception as error:
        return error


def _portions(calls: Iterator[Any], unit: int) -> Iterator[list[Any]]:
    """Lists of calls, of whole units: large ones of a quick input, single units of a slow one."""
    portion: list[Any] = []
    until = time.monotonic() + _PORTION_SECONDS
    for call in calls:
        portion.append(call)
        if len(portion) % unit == 0 and (len(portion) >= _PORTION or time.monotonic() > until):
            yield portion
            portion, until = [], time.monotonic() + _PORTION_SECONDS
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
        *sequences : iterable
            Read at once, in this thread, until the shortest ends.
        timeout : float, optional
            Seconds from now after which iterating raises `TimeoutError`; parts that have not begun are aborted then.
        chunksize : int, optional
            Checked, and otherwise without effect: each engine gets one part.
        buffersize : int, optional
            Read the input lazily: at most that many calls are outstanding, each on whichever of this view's engines is
            free. The result is then an iterator only.
        block : bool, optional
            Wait, and return a list. Default: the view's flag; False if `timeout` or `buffersize` is given.
        **legacy
            ``track``, ``return_exceptions``, ``label``: see ipyparallel's `DirectView.map`.

        Returns
        -------
        AsyncMapResult, list or iterator
            An AsyncMapResult is an iterator too, which raises an error of `f` at its position, in its own type.

        Raises
        ------
        ValueError
            For a `chunksize` or `buffersize` below 1.
        TypeError
            For a `buffersize` that is not an int.
        RuntimeError
            After `shutdown`.

        Notes
        -----
        Any thread. Source: PEP 3148 and ipyparallel.
        """
        return _map(
            self, f, sequences, original,
            timeout=timeout, chunksize=chunksize, buffersize=buffersize, block=block, unit=1, keywords=legacy,
        )  # fmt: skip

    return map_direct


def _map_alone(
    view: View,
    original: Callable[..., Any],
    f: Callable[..., Any],
    calls: Sequence[tuple[Any, ...]],
    deadline: float | None,
    keywords: dict[str, Any],
) -> AsyncMapResult:
    """A map whose parts are messages of their own, made by ipyparallel of a function of one pickled tuple."""
    dispatcher = room_of(view.client).dispatcher
    dispatcher.check()
    result = original(view, mapped_calls(f), [call_pickling.dumps(args) for args in calls], block=False, **keywords)
    result._deadline = deadline
    state_of(view).note([result])
    dispatcher.note(result)
    return result
