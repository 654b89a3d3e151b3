"""Calls that depend on calls the scheduler does not know (``after=ar``, ``follow=ar``): held until those are over.

ipyparallel's scheduler knows the messages that went through it. Calls that travel in groups did not, nor did those of
direct views, so whoever depends on one waits here, and then goes the way of any call.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any

from ipyparallel import AsyncResult, LoadBalancedView
from ipyparallel.error import ImpossibleDependency

from .buffered_result import BufferedResult
from .engine_room import EngineRoom, room_of


def buffered_dependencies(view: LoadBalancedView, after: Any, follow: Any) -> Dependencies | None:
    """What a call with these flags waits for, if the scheduler does not know all of it; None if it is its affair."""
    if not (after or follow):
        return None
    room = room_of(view.client)
    if all(_scheduler_knows(_known(room, job)) for flag in (after, follow) for job in _jobs(flag)):
        return None
    return Dependencies(*([_result(view, room, job) for job in _jobs(flag)] for flag in (after, follow)))


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


def _result(view: LoadBalancedView, room: Any, job: Any) -> Future[Any]:
    """The result that a dependency names: an AsyncResult itself, or by its id."""
    found = room.with_results(job)
    return found if isinstance(found, Future) else view.client.get_result(found, owner=False, block=False)


class Dependencies:
    """The results a call waits for.

    Parameters
    ----------
    after : list of Future
        Are to succeed before the call runs.
    follow : list of Future
        The same, and the call runs on their engine.
    """

    def __init__(self, after: list[Future[Any]], follow: list[Future[Any]]) -> None:
        self._after = after
        self._follow = follow

    def results(self) -> list[Future[Any]]:
        return [*self._after, *self._follow]

    def when_over(self, go: Callable[[], None]) -> None:
        """Call `go()` when all results are there. On the callbacks' thread, or at once."""
        left = len(self.results())
        lock = threading.Lock()

        def one_is_over(result: Future[Any]) -> None:
            nonlocal left
            with lock:
                left -= 1
                over = left == 0
            if over:
                go()

        for result in self.results():
            result.add_done_callback(one_is_over)

    def engine(self) -> str | None:
        """The engine the call has to run on, None for any; all results are there.

        Raises
        ------
        ImpossibleDependency
            If one of them failed, or they were on different engines.
        """
        if any(result.cancelled() or result.exception() is not None for result in self.results()):
            raise ImpossibleDependency()
        engines = {engine for result in self._follow for engine in _engines_of(result)}
        if len(engines) > 1:
            raise ImpossibleDependency()
        return engines.pop() if engines else None


def _engines_of(result: Any) -> list[str]:
    engines = result.engine_uuid
    return engines if isinstance(engines, list) else [engines]
