"""What is known of each call, read from results and views without waiting for any."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

from collections.abc import Collection, Iterator
from concurrent.futures import Future
from datetime import datetime
from typing import Any, NamedTuple

from ipyparallel import AsyncResult
from ipyparallel.client.view import View, ViewExecutor
from ipyparallel.error import RemoteError

from ..dispatch import task_states
from ..engine_room import existing_room
from ..map_result import MapResult
from ..task_result import TaskResult
from ..view_state import state_of

FINISHED = "finished"
FAILED = "failed"
CANCELLED = "cancelled"
RUNNING = "running"
WAITING = "waiting"

_STATES = {
    task_states.PENDING: WAITING,
    task_states.RUNNING: RUNNING,
    task_states.CANCELLED: CANCELLED,
    task_states.CANCELLED_AND_NOTIFIED: CANCELLED,
}


class Call(NamedTuple):
    """One call, as far as it is known. Times are seconds since the epoch.

    Parameters
    ----------
    name : str
        The function's name.
    state : str
        One of the constants of this module.
    engine : int or None
        Where it ran; None if it never came to an engine, or nobody knows to which.
    submitted, started, completed, received : float or None
        The first and the last on this machine's clock, the others on the engine's.
    calls : int
        How many calls this is: more than one for a chunk of a map that is one message.
    failed : int
        How many of them failed.
    error : str or None
        Type and message of the error, in one line.
    group : int or None
        Calls with the same number travelled together.
    label : str or None
    """

    name: str
    state: str
    engine: int | None
    submitted: float | None
    started: float | None
    completed: float | None
    received: float | None
    calls: int = 1
    failed: int = 0
    error: str | None = None
    group: int | None = None
    label: str | None = None


def calls_of(source: Any) -> Iterator[Call]:
    """The calls behind a result, a view, or a collection of these; each once.

    Raises
    ------
    TypeError
        For anything else.
    """
    seen: set[int] = set()
    for result in _results_of(source):
        if id(result) not in seen:
            seen.add(id(result))
            yield from calls_of_result(result)


def calls_of_result(result: Any) -> Iterator[Call]:
    """The calls of one result; its parts' where it stands for several. Any thread; never blocks."""
    if isinstance(result, TaskResult):
        yield _call_of_task(result)
    elif isinstance(result, MapResult):
        yield from map(_call_of_task, result._tasks)
    else:
        yield from _calls_of_messages(result)


def _results_of(source: Any) -> Iterator[Any]:
    if isinstance(source, MapResult):
        yield from source._tasks
    elif isinstance(source, AsyncResult):
        yield source
    elif isinstance(source, View):
        yield from _results_of_view(source)
    elif isinstance(source, ViewExecutor):
        yield from _results_of_view(source.view)
    elif isinstance(source, Collection) and not isinstance(source, (str, bytes)):
        for part in source:
            if isinstance(part, (str, bytes)):
                raise _not_a_source(part)
            yield from _results_of(part)
    else:
        raise _not_a_source(source)


def _not_a_source(thing: Any) -> TypeError:
    kind = type(thing).__name__
    return TypeError(
        f"a timeline is made of results (AsyncResult), a list of them, or a view, not of {kind}"
    )


def _results_of_view(view: View) -> Iterator[Any]:
    """The view's results that somebody still has, or that are not over."""
    room = existing_room(view.client)
    for msg_id in list(view.history) if room is not None else ():
        result = room.result_of(msg_id)  # type: ignore[union-attr]
        if result is not None:
            yield result
    state = state_of(view)
    with state._lock:
        alone = list(state._results)
    yield from sorted(alone, key=lambda result: _submitted(result) or 0.0)


# -- calls that may have shared a message


def _call_of_task(task: TaskResult) -> Call:
    # `task._metadata` has the same, and would make and keep a dictionary for each of maybe 100,000 calls.
    travel, started = task._travel, task._started
    state, error = _state_of(task), _error_of(task)
    if started is None and travel is not None and state in (RUNNING, FAILED):
        started = travel.left
    return Call(
        task._fname,
        state,
        _engine_of(task, travel, error),
        task._submitted,
        started,
        task._completed,
        task._received,
        failed=int(state == FAILED),
        error=None if error is None else in_one_line(error),
        group=travel.number if travel is not None and state not in (WAITING, CANCELLED) else None,
        label=task._label,
    )


def _state_of(future: Future[Any]) -> str:
    # Not its methods: a Hub result asks the Hub, and others may take, or make, a lock first.
    state = future._state
    if state == task_states.FINISHED:
        return FINISHED if _error_of(future) is None else FAILED
    return _STATES[state]


def _error_of(future: Future[Any]) -> BaseException | None:
    return future._exception


def _engine_of(task: TaskResult, travel: Any, error: BaseException | None) -> int | None:
    room = task._room
    if task._engine is not None:
        return room.engine_id(task._engine)
    if travel is not None and _state_of(task) != CANCELLED:
        return room.engine_id(travel.engine)
    engine = getattr(error, "engine_id", None)
    return engine if isinstance(engine, int) else None


# -- calls that were messages of their own


def _calls_of_messages(result: AsyncResult) -> Iterator[Call]:
    children = list(result._children)
    for index, metadata in enumerate(list(result._metadata)):
        yield _call_of_message(result, metadata, children[index] if index < len(children) else None)


def _call_of_message(result: AsyncResult, metadata: Any, child: Any) -> Call:
    value = child.result() if child is not None and child.done() and not child.cancelled() else None
    errors = _errors_in(value)
    state = _state_of_message(result, metadata, child, errors)
    return Call(
        result._fname,
        state,
        metadata["engine_id"],
        _seconds(metadata["submitted"]),
        _seconds(metadata["started"]),
        _seconds(metadata["completed"]),
        _seconds(metadata["received"]),
        calls=(result._chunk_sizes or {}).get(metadata["msg_id"], 1),
        failed=max(1, len(errors)) if state == FAILED else 0,
        error=in_one_line(errors[0]) if errors else None,
        label=metadata["label"],
    )


def _state_of_message(
    result: AsyncResult, metadata: Any, child: Any, errors: list[BaseException]
) -> str:
    if metadata["status"] == "aborted" or _state_of(result) == CANCELLED:
        return CANCELLED
    if errors or metadata["status"] == "error":
        return FAILED
    # The metadata of a result that came from the Hub may have been lost on the way.
    if metadata["status"] == "ok" or (child is not None and child.done()) or _state_of(result) == FINISHED:
        return FINISHED
    return RUNNING if metadata["started"] is not None else WAITING


def _errors_in(value: Any) -> list[BaseException]:
    """The errors that came as a message's value, or among those of a chunk."""
    if isinstance(value, BaseException):
        return [value]
    return [item for item in value if isinstance(item, RemoteError)] if type(value) is list else []


def _submitted(result: AsyncResult) -> float | None:
    return _seconds(result._metadata[0]["submitted"]) if result._metadata else None


def _seconds(date: datetime | str | None) -> float | None:
    # ipyparallel has the dates of what is under way as it has sent them.
    date = datetime.fromisoformat(date) if isinstance(date, str) else date
    return None if date is None else date.timestamp()


def in_one_line(error: BaseException) -> str:
    """Type and message of an error, at most 200 characters."""
    name = getattr(error, "ename", None) or type(error).__name__
    text = getattr(error, "evalue", None)
    try:
        message = str(error) if text is None else str(text)
    except Exception:  # somebody's own `__str__`
        message = ""
    first = message.strip().partition("\n")[0]
    return (f"{name}: {first}" if first else name)[:200]
