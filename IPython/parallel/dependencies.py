"""What a call depends on (``after``, ``follow``) that the scheduler does not know: which calls, and how they must end.

ipyparallel's scheduler knows the messages that went through it. Calls that travel in groups did not, nor did those of
direct views, so whoever depends on one is held here (`held_calls`), and then goes the way of any call.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from typing import Any

from ipyparallel import AsyncResult, Client, Dependency

from .buffered_result import BufferedResult
from .engine_room import EngineRoom, room_of
from .future_mixin import is_value
from .map_result import MapResult
from .task_result import TaskResult


def depends_on_buffered(client: Client, *flags: Any) -> bool:
    """Whether what ``after`` and ``follow`` name includes a call that the scheduler does not know."""
    room = room_of(client)
    return not all(_scheduler_knows(_known(room, job)) for flag in flags for job in _jobs(flag))


def _known(room: EngineRoom, job: Any) -> Any:
    """The future that a dependency names, None if it is none of this client's."""
    found = room.with_results(job)
    return room.client._futures.get(found) if isinstance(found, str) else found


def _scheduler_knows(known: Any) -> bool:
    """Whether the calls were sent by way of the scheduler, or are not this client's: it has to tell, then."""
    if isinstance(known, BufferedResult):
        return False
    messages = known._children if isinstance(known, AsyncResult) else [known]
    return all(message is None or getattr(message, "knows_scheduler", False) for message in messages)


def _jobs(flag: Any) -> Iterable[Any]:
    if flag is None or isinstance(flag, (str, AsyncResult)):
        return [] if flag is None else [flag]
    return flag["dependencies"] if isinstance(flag, dict) else flag  # type: ignore[no-any-return]


def condition(room: EngineRoom, flag: Any) -> Condition:
    """What a call with this flag waits for."""
    how = flag if isinstance(flag, Dependency) else Dependency(flag if isinstance(flag, dict) else ())
    calls = [call for job in _jobs(flag) for call in _calls_of(room, job)]
    return Condition(calls, all_of_them=how.all, success=how.success, failure=how.failure)


def _calls_of(room: EngineRoom, job: Any) -> Sequence[Future[Any]]:
    """The single calls that a dependency names: those of a result, or one by its id."""
    known = _known(room, job)
    if isinstance(known, MapResult):
        return known._tasks
    if isinstance(known, AsyncResult) and not isinstance(known, TaskResult):
        room.hub.keep(known.msg_ids)
        return known._children  # type: ignore[no-any-return]
    if known is None:
        known = room.hub.future_for(job)
        room.hub.keep([job])
    return [known]


class Condition:
    """One flag, ``after`` or ``follow``, as `ipyparallel.Dependency` describes it.

    Parameters
    ----------
    calls : list of Future
        Of one call each.
    all_of_them : bool
        Whether all have to meet it, or any one of them.
    success, failure : bool
        Whether a call meets it that succeeds, that fails or is cancelled.
    """

    def __init__(self, calls: Sequence[Future[Any]], *, all_of_them: bool, success: bool, failure: bool) -> None:
        self.calls = list(dict.fromkeys(calls))
        self._all, self._success, self._failure = all_of_them, success, failure
        self._met: list[Future[Any]] = []
        self._spoiled = 0

    def note(self, call: Future[Any]) -> None:
        """One of the calls is over."""
        if self._success if _succeeded(call) else self._failure:
            self._met.append(call)
        else:
            self._spoiled += 1

    @property
    def is_met(self) -> bool:
        return not self.calls or len(self._met) >= (len(self.calls) if self._all else 1)

    @property
    def is_impossible(self) -> bool:
        return bool(self.calls) and self._spoiled >= (1 if self._all else len(self.calls))

    def engines(self) -> frozenset[str] | None:
        """Where it is met, once it is: the engines on which the calls ran that meet it; None if there are no calls.

        None of them, if all have to be on one and are not.
        """
        if not self.calls:
            return None
        engines = [_engine_of(call) for call in self._met]
        if self._all and len(set(engines)) > 1:
            return frozenset()
        return frozenset(engine for engine in engines if engine is not None)


def _succeeded(call: Any) -> bool:
    return bool(call._success) if isinstance(call, TaskResult) else is_value(call)


def _engine_of(call: Any) -> str | None:
    metadata = call._metadata[0] if isinstance(call, TaskResult) else call.output.metadata
    return metadata.get("engine_uuid")  # type: ignore[no-any-return]
