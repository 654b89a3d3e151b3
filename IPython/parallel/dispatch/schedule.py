"""Which call goes to which engine, and when: every decision about lines, engines and groups, and nothing else.

A `Schedule` has no lock, no thread and no transport. The dispatcher asks it, with its lock held, what goes now and what
news of engines and reports mean for what is under way, and acts on the answers after letting go of the lock.

Ctrl-C comes between any two calls of the thread that submits. So what belongs together is done without a call in
between, and a task that is taken from one place stands in the next one first.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from . import task_states
from .batch_policy import BatchPolicy
from .groups import Engine, Group
from .lines import Line, Task
from .wire import MISSING, HadBegun, Outcome, Report


class Schedule:
    """Lines whose tasks wait, engines, and the groups under way to them. With the dispatcher's lock held, always.

    Parameters
    ----------
    client : str
        The name that groups carry.
    policy : BatchPolicy
    present : callable
        The names of the engines there are now, some of which may not be noted yet.
    leave_out : callable
        ``leave_out(task)`` hears of a task that came back unrun and that nobody wants any more. It must not block.
    """

    def __init__(
        self,
        client: str,
        policy: BatchPolicy,
        present: Callable[[], Collection[str]],
        leave_out: Callable[[Task], None],
    ) -> None:
        self._client = client
        self._policy = policy
        self._present = present
        self._leave_out = leave_out
        self.engines: dict[str, Engine] = {}
        self.lines: weakref.WeakSet[Line] = weakref.WeakSet()
        self._busy_lines: deque[Line] = deque()
        self._orphans: list[Group] = []  # whose engine is gone, and who knows what it had begun has not said so yet
        self.full = False  # no engine had room when last looked: saves looking again at every submit

    def buffered(self) -> int:
        """How many calls wait."""
        return sum(len(line.waiting) for line in self._busy_lines)

    def groups(self) -> list[Group]:
        """All that are under way, and those whose engine is gone."""
        return [group for engine in self.engines.values() for group in engine.groups] + self._orphans

    def sent(self) -> list[Group]:
        """Those that have been sent to engines that are there."""
        return [group for engine in self.engines.values() for group in engine.groups if group.is_sent]

    def overdue(self) -> list[Group]:
        """Those of them that engines have had for long: looked at every few seconds."""
        return [group for group in self.sent() if group.is_overdue()]

    # -- what waits

    def put_in_line(self, line: Line, tasks: Sequence[Task], counted: int) -> None:
        """Let tasks wait in a line, of which so many were not counted as outstanding there yet."""
        if not line.waiting:
            self._busy_lines.append(line)
            self.lines.add(line)
        # No call between the two, so no Ctrl-C.
        line.outstanding += counted
        line.waiting.extend(tasks)

    def put_back(self, tasks: Iterable[Task]) -> None:
        """Put tasks that left but never ran into their lines again, in the order of submission."""
        by_line: dict[Line, list[Task]] = {}
        for task in tasks:
            task_states.give_back(task.future)
            if task.line.cancels or task.unwanted:
                self._leave_out(task)
            else:
                task.chunk = 1
                by_line.setdefault(task.line, []).append(task)
        for line, returned in by_line.items():
            if not line.waiting:
                self._busy_lines.append(line)
            line.put_back(returned)

    def take_line(self, line: Line) -> list[Task]:
        """Take all that waits in a line."""
        if line not in self._busy_lines:
            return []
        self._busy_lines.remove(line)
        return line.take_all()

    def take_everything(self) -> list[Task]:
        """Take all that waits or is under way; no engine is left."""
        tasks = [task for line in self._busy_lines for task in line.take_all()]
        tasks += [task for group in self.groups() for task in group.take_all()]
        self.engines.clear()
        self._busy_lines.clear()
        return tasks

    def take_under_way(self, line: Line) -> list[Task]:
        """Take all of a line's tasks that have left; whatever engines report of them changes nothing."""
        return [task for group in self.groups() if group.line is line for task in group.take_all()]

    # -- what goes now

    def decide(self, groups: list[Any]) -> None:
        """Make the groups that go now, for the caller to send.

        The tasks of one that is being made stand in its place, so that whatever happens none is in nobody's hands.
        """
        while self._busy_lines and (found := self._room()) is not None:
            line, engine = found
            tasks: list[Task] = []
            groups.append(tasks)
            self._take(line, self._size(line, engine), tasks)
            if tasks:
                groups[-1] = group = Group(self._client, engine, line, tasks)
                engine.groups.append(group)
                line.engines.add(engine.name)
            else:
                groups.pop()

    def decide_anew(self) -> list[Group]:
        """The groups that go now that engines may have room again."""
        self.full = False
        groups: list[Group] = []
        self.decide(groups)
        return groups

    def _room(self) -> tuple[Line, Engine] | None:
        """The next line, and the engine with the most room that it may use."""
        depth = self._policy.depth()
        free = [engine for engine in self.engines.values() if engine.has_room(depth)]
        self.full = not free
        if self.full:
            return None
        free.sort(key=lambda engine: len(engine.groups))
        for line in self._busy_lines:
            for engine in free:
                if line.may_use(engine.name):
                    return line, engine
        return None

    def _size(self, line: Line, engine: Engine) -> int:
        size = self._policy.size(len(line.waiting), self._width(line))
        # What waits at an engine cannot be cancelled: behind a call of unknown length little may wait.
        return min(size, 2 * engine.groups[-1].size) if engine.groups else size

    def _width(self, line: Line) -> int:
        engines = len(self.engines) if line.only is None else len(line.only & self.engines.keys())
        return min(engines, line.max_engines or engines)

    def _take(self, line: Line, size: int, tasks: list[Task]) -> None:
        """Move up to `size` tasks, but whole chunks, from a line to `tasks`; lines take turns."""
        waiting = line.waiting
        left = 0  # of the chunk that is on its way
        while waiting and (left or not tasks or _goes_along(waiting[0], tasks, size)):
            task = waiting[0]
            left = (left or task.chunk) - 1
            if task_states.begin(task.future):
                tasks += [task]  # no call from here to the end of the next line, so no Ctrl-C
            del waiting[0]
        self._busy_lines.remove(line)
        if waiting:
            self._busy_lines.append(line)

    # -- after Ctrl-C

    def mend_lines(self) -> None:
        """Have each line among the busy ones that is, and no other; what waits has not begun."""
        busy = [line for line in self._busy_lines if line.waiting]
        self._busy_lines = deque(busy + [line for line in self.lines if line.waiting and line not in busy])
        for line in self._busy_lines:
            task_states.give_back(line.waiting[0].future)

    def take_back(self, groups: list[Any]) -> None:
        """Let wait again what is in these groups, some half made, and did not leave; what may have counts as sent."""
        for group in groups:
            if type(group) is list:
                self.put_back(task for task in group if not self._has_left(task))
            elif group.is_leaving and not group.is_sent:
                group.sent()
            elif not group.is_sent:
                self.finish(group)
                self.put_back(group.take_all())

    def _has_left(self, task: Task) -> bool:
        return any(task in group.pending.values() for group in self.groups())

    # -- news of engines

    def note_engines(self, names: Collection[str]) -> tuple[list[Engine], list[Task]]:
        """Take up new engines, drop those that are gone; these, and the tasks that could run there only."""
        for name in names:
            self.engines.setdefault(name, Engine(name))
        gone = [self.engines.pop(name) for name in self.engines.keys() - set(names)]
        for line in self.lines if gone else ():
            line.engines.difference_update(engine.name for engine in gone)
        stranded = [task for line in list(self._busy_lines) for task in self.take_stranded(line)]
        return gone, stranded + self._take_lost_before()

    def keep_orphans(self, groups: list[Group]) -> None:
        """Remember groups whose engine is gone until it is known what it had begun."""
        self._orphans += groups

    def divide(self, groups: list[Group], begun: HadBegun | None) -> tuple[list[Task], list[Task]]:
        """It is known, or never will be, what an engine that is gone had begun: what is lost, and what is not."""
        self._orphans = [group for group in self._orphans if group not in groups]
        begun_there = [task for group in groups for task in group.take_begun(begun)]
        rest = [task for group in groups for task in group.take_all()]
        retried = [task for task in begun_there if self.engines and task.retry(groups[0].engine)]
        return [task for task in begun_there if task not in retried], retried + rest

    def send_elsewhere(self, engine: str, tasks: list[Task]) -> list[Task]:
        """Let tasks wait again that `engine` will not run; those that nobody else will run."""
        left = self.engines.keys() - {engine}

        def is_tied(task: Task) -> bool:
            return task.line.only is not None and task.line.only.isdisjoint(left)

        self.put_back([task for task in tasks if not is_tied(task)])
        tied = [task for task in tasks if is_tied(task)]
        lines = {task.line for task in tasks} if not self.engines else ()
        return tied + [task for line in lines for task in self.take_stranded(line)] + self._take_lost_before()

    def _take_lost_before(self) -> list[Task]:
        """Take the tasks that wait to be retried, if no engine is left: they do not lie in wait for the next one."""
        if self.engines:
            return []
        lost = [task for line in self._busy_lines for task in line.take_lost_before()]
        self._busy_lines = deque(line for line in self._busy_lines if line.waiting)
        return lost

    def take_stranded(self, line: Line) -> list[Task]:
        """Take the tasks that wait in a line whose engines are all gone, for good."""
        return self.take_line(line) if self.is_stranded(line) else []

    def is_stranded(self, line: Line) -> bool:
        if line.only is None:
            return line.fails_without_engines and not self.engines
        # An engine that has just come may not be noted yet.
        return line.only.isdisjoint(self.engines) and line.only.isdisjoint(self._present())

    # -- news of groups

    def finish(self, group: Group) -> None:
        """Nothing more will come of a group: its engine has room."""
        engine = self.engines.get(group.engine)
        if engine is not None:
            engine.finish(group)

    def account(self, group: Group, report: Report) -> list[tuple[Task, Outcome]]:
        """Note what `report` says; the tasks it settles."""
        engine = self.engines.get(group.engine)
        if engine is not None and report.epoch > engine.epoch:
            self._new_epoch(engine, report)
            engine.overrunning = group
        if engine is not None and report.final:
            engine.finish(group)
        pop = group.pending.pop
        settled = [(task, outcome) for outcome in report.outcomes if (task := pop(outcome.serial, None)) is not None]
        missing = [task for task, outcome in settled if outcome.status == MISSING]
        if engine is not None:
            engine.known.difference_update((group.line.space, task.function.key) for task in missing if task.function)
        returned = [group.pending.pop(serial) for serial in report.returned if serial in group.pending]
        self.put_back(missing + returned)
        if report.final and report.outcomes:
            seconds = report.outcomes[-1].completed - report.outcomes[0].started
            self._policy.observe(len(report.outcomes), seconds)
        return [(task, outcome) for task, outcome in settled if outcome.status != MISSING] if missing else settled

    def _new_epoch(self, engine: Engine, report: Report) -> None:
        """What waits at the engine behind a group that overran will be given back unrun: take it back now.

        What came to the engine before may have run, and the report on it be lost.
        """
        engine.epoch = report.epoch
        self._policy.overrun()
        behind = [group for group in engine.groups if group.number > report.last and group.epoch < report.epoch]
        for group in behind:
            engine.groups.remove(group)
            self.put_back(group.take_all())


def _goes_along(task: Task, tasks: list[Task], size: int) -> bool:
    """Whether a chunk that begins with `task` goes into the message of `tasks`, too."""
    return len(tasks) + task.chunk <= size and not (task.alone or tasks[0].alone)
