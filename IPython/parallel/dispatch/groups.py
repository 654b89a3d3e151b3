"""Tasks that travel together, and what the client knows of the engine they travel to."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from .batch_policy import OVERRUN

if TYPE_CHECKING:
    from ..call_pickling import FreshFunction, PickledFunction
    from .lines import Line, Task
    from .wire import HadBegun


# Of all groups of this process: an engine that was lost and is found again still sees the numbers grow.
_numbers = itertools.count(1)


# A call that takes hours is asked for no more often than so many looks.
_LOOKS_BETWEEN = 32


class Travel(NamedTuple):
    """What the calls of one group have in common: a number, the engine, and when they left, since the epoch."""

    number: int
    engine: str
    left: float


class Engine:
    """What the client knows of an engine."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.epoch = 0
        self.groups: list[Group] = []
        self.overrunning: Group | None = None
        self.known: set[tuple[str, bytes]] = set()  # functions there: space and key

    def has_room(self, depth: int) -> bool:
        """Whether another group may go there; behind one that overruns, it would wait for who knows how long."""
        return len(self.groups) < depth and self.overrunning is None

    def finish(self, group: Group) -> None:
        if group in self.groups:
            self.groups.remove(group)
        if group is self.overrunning:
            self.overrunning = None


class Group:
    """Tasks on their way to one engine in one message."""

    _looks = 0
    is_leaving = False  # from when on it may have been sent
    keeps: Any = None  # what its carrier keeps for as long as somebody waits for it

    def __init__(self, client: str, engine: Engine, line: Line, tasks: list[Task]) -> None:
        self.engine = engine.name
        self.epoch = engine.epoch
        self.number = next(_numbers)
        self.client = client
        self.line = line
        self.seconds = OVERRUN
        self.awaited = [other.number for other in engine.groups]
        self.pending = {task.serial: task for task in tasks}
        self.order = list(self.pending)
        self.size = len(tasks)
        self.calls = tuple(tasks)
        self.label = tasks[0].label
        self.functions = self._unknown(engine, tasks)
        travel = Travel(self.number, engine.name, time.time())
        for task in tasks:
            task.future._travel = travel

    def sent(self) -> None:
        """Let go of the calls: from now on `pending` keeps those that are not settled, and nobody the others."""
        self.calls = ()

    @property
    def is_sent(self) -> bool:
        return not self.calls

    def is_overdue(self) -> bool:
        """Whether to ask now what has become of it: looked at every few seconds, asked after 2 looks, 4, 8 …"""
        self._looks += 1
        return self._looks > 1 and (self._looks & self._looks - 1 == 0 or self._looks % _LOOKS_BETWEEN == 0)

    def take_begun(self, begun: HadBegun | None) -> list[Task]:
        """What the engine, gone now, had begun of what is not settled; all, if nobody knows."""
        if begun is None or begun.group > self.number:
            return self.take_all()
        serials = self.order[: begun.calls] if begun.group == self.number else ()
        return [self.pending.pop(serial) for serial in serials if serial in self.pending]

    def take_all(self) -> list[Task]:
        """All that are not settled; whatever is reported later changes nothing."""
        tasks = list(self.pending.values())
        self.pending.clear()
        self.keeps = None
        return tasks

    def _unknown(self, engine: Engine, tasks: list[Task]) -> list[PickledFunction | FreshFunction]:
        apart = dict.fromkeys([task.function for task in tasks])
        functions = {(self.line.space, function.key): function for function in apart if function is not None}
        unknown = [function for key, function in functions.items() if key not in engine.known]
        engine.known.update(functions)
        return unknown
