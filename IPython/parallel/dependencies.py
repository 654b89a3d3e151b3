"""Calls that depend on buffered calls (``after=ar``, ``follow=ar``): held back at the client until those are over.

ipyparallel's scheduler knows the messages that went through it. Calls that travel in groups did not, so whoever depends
on one waits here, and then goes the way of any call.
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

from .engine_room import existing_room
from .task_result import TaskResult


def buffered_dependencies(view: LoadBalancedView, after: Any, follow: Any) -> Dependencies | None:
    """What a call with these flags waits for, if a buffered call is among it; None if it is the scheduler's affair."""
    room = existing_room(view.client)
    if room is None or not (after or follow):
        return None
    found = Dependencies(*([_result(view, room, job) for job in _jobs(flag)] for flag in (after, follow)))
    if not any(isinstance(result, TaskResult) for result in found.results()):
        return None
    return found


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
        engines = {result.engine_uuid for result in self._follow}  # type: ignore[attr-defined]
        if len(engines) > 1:
            raise ImpossibleDependency()
        return engines.pop() if engines else None
