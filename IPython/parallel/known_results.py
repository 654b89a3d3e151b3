"""The results of buffered calls by their ids, as long as somebody has them."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import weakref
from bisect import bisect_right, insort
from collections.abc import Sequence
from typing import Any, NamedTuple

from .dispatch.steady_locks import LastingLock

# How many ids may be of results that are gone, before they are looked for.
_SLACK = 4096


class _Run(NamedTuple):
    """Calls of a map whose ids follow each other: it holds their results, and they are found by their places in it."""

    start: int
    stop: int
    place: int
    whole: weakref.ref[Any]


class KnownResults:
    """Gives calls their ids, and finds their results. Any thread.

    Like a `weakref.WeakValueDictionary`, but adding and losing a result costs next to nothing, and nothing for one of
    a map that is held: 20,000 weak references are 20,000 objects for the garbage collector to look at.

    Parameters
    ----------
    prefix : str
        What all ids begin with; short, as the client's history keeps an id of every call.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix + "_"
        self._refs: dict[str, weakref.ref[Any]] = {}
        self._runs: list[_Run] = []
        self._next = 0
        self._adding = LastingLock()
        self._limit = self._most_runs = _SLACK

    def new_ids(self, number: int) -> tuple[int, list[str]]:
        """So many ids that follow each other, and the number of the first."""
        with self._adding:
            start = self._next
            self._next += number
        prefix = self._prefix
        return start, [f"{prefix}{n}" for n in range(start, start + number)]

    def add_new(self, result: Any) -> str:
        """Let one result be found by a new id; the id."""
        with self._adding:
            msg_id = f"{self._prefix}{self._next}"
            self._next += 1
            self._refs[msg_id] = weakref.ref(result)
            if len(self._refs) > self._limit:
                self._forget_dead_results()
        return msg_id

    def add(self, results: Sequence[Any]) -> None:
        """Let results be found by the ids that they have."""
        added = [(result._msg_id, weakref.ref(result)) for result in results]
        with self._adding:
            self._refs.update(added)
            if len(self._refs) > self._limit:
                self._forget_dead_results()

    def _forget_dead_results(self) -> None:
        self._refs = {msg_id: ref for msg_id, ref in self._refs.items() if ref() is not None}
        self._limit = 2 * len(self._refs) + _SLACK

    def add_run(self, start: int, number: int, whole: Any, place: int) -> None:
        """Let the calls of a map be found, of which so many have ids from `start` on.

        Parameters
        ----------
        whole : MapResult
            Holds their results, from this place among its own on.
        """
        with self._adding:
            insort(self._runs, _Run(start, start + number, place, weakref.ref(whole)), key=_start)
            if len(self._runs) > self._most_runs:
                self._forget_dead_runs()

    def _forget_dead_runs(self) -> None:
        self._runs = [run for run in self._runs if run.whole() is not None]
        self._most_runs = 2 * len(self._runs) + _SLACK

    def get(self, msg_id: Any, default: Any = None) -> Any:
        """The result with this id, if somebody has it."""
        ref = self._refs.get(msg_id)
        result = self._find_in_run(msg_id) if ref is None else ref()
        return default if result is None else result

    def _find_in_run(self, msg_id: Any) -> Any:
        if not isinstance(msg_id, str) or not msg_id.startswith(self._prefix):
            return None
        number = msg_id[len(self._prefix) :]
        if not number.isdecimal():
            return None
        with self._adding:
            index = bisect_right(self._runs, int(number), key=_start) - 1
            run = self._runs[index] if index >= 0 else None
        whole = run.whole() if run is not None and int(number) < run.stop else None
        if run is None or whole is None:
            return None
        place = run.place + int(number) - run.start
        found = whole._tasks[place : place + 1]
        self.add(found)  # who asks may keep it, and not the map
        return found[0] if found else None


def _start(run: _Run) -> int:
    return run.start
