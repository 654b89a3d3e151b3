"""From the client's buffer, in groups, to settled futures: the engine room of one client.

The journey of a task::

    submit -> Line.waiting -> Group -> transport -> engine
    (any thread)                                      |
       future settled <- dispatcher's thread <- inbox <- report (thread that receives messages)

- `Line`: the tasks of one view that wait, in order. A cancel reaches a task as long as it lies here.
- `Group`: tasks that travelled together to one engine; from then on they are RUNNING.
- Whoever submits, or whoever hears that an engine has room, decides under the lock which groups go, and sends them
  after letting go of it. Nothing is sent, unpickled or settled with the lock held.
- Reports are put into the inbox by the thread that receives messages, which never waits. The dispatcher's thread
  takes them out: first it lets the next groups go, then it settles futures. Users' callbacks run on a thread of
  their own (`callbacks`), so that a callback that waits keeps nobody from being settled.

Lock order: the dispatcher's lock, then a future's. Nobody holding a future's lock asks for the dispatcher's.
This module knows nothing of ipyparallel: it is given a transport.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import itertools
import logging
import queue
import threading
import uuid
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from . import callbacks, task_states
from .batch_policy import OVERRUN, BatchPolicy
from .errors import ExecutorShutdown

if TYPE_CHECKING:
    from .call_pickling import PickledFunction

_logger = logging.getLogger(__name__)

MISSING = "missing"


class Outcome(NamedTuple):
    """What became of a call, as its engine tells it. Times are seconds since the epoch."""

    serial: int
    status: str
    data: Any
    started: float
    completed: float
    output: tuple[str, str, list[dict[str, Any]]] | None


class Report(NamedTuple):
    """What an engine says of a group: outcomes, and the serials of calls it gives back without having run them."""

    epoch: int
    outcomes: list[Outcome]
    returned: list[int]
    final: bool


class Lost(NamedTuple):
    """A group that will not be reported on: its calls fail with what `error` makes, or go elsewhere if never sent."""

    error: Callable[[str], BaseException]
    sent: bool = True


class EngineLeft(Exception):
    """Raised by `Transport.send`: the engine is gone, and nothing was sent."""


class Transport(Protocol):
    """The way to the engines. `IPython.parallel.transport` has the real one, the tests a scripted one."""

    def engines(self) -> Sequence[str]:
        """The engines that can be used now, by a name that is never used again. Any thread; never blocks."""

    def watch(self, changed: Callable[[], None]) -> None:
        """Call `changed()`, which never blocks, whenever engines came or went."""

    def died(self, engine: str | None, call: str) -> Exception:
        """The error of a call whose engine is gone."""

    def send(self, group: Group, report: Callable[[Report | Lost], None]) -> None:
        """Send `group`; call `report`, which never blocks, with each report until a final one. Any thread.

        Raises
        ------
        EngineLeft
            If the engine is gone, and nothing was sent.
        """


class SettledFuture(Protocol):
    """What the dispatcher does with a task's future, besides the moves in `task_states`."""

    def settle(self, outcome: Outcome, engine: str) -> None: ...
    def fail(self, error: BaseException) -> None: ...


class Task:
    """One call on its way."""

    __slots__ = ("function", "future", "label", "line", "name", "payload", "serial", "withdrawn")

    def __init__(
        self, future: Any, function: PickledFunction | None, payload: bytes, name: str, label: str | None = None
    ) -> None:
        self.future = future
        self.label = label
        self.function = function
        self.payload = payload
        self.name = name
        self.line: Any = None  # a Line, from `Dispatcher.submit` on
        self.withdrawn = False


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

    def __init__(self, client: str, engine: Engine, line: Line, tasks: list[Task]) -> None:
        self.engine = engine.name
        self.epoch = engine.epoch
        self.client = client
        self.line = line
        self.seconds = OVERRUN
        self.pending = {task.serial: task for task in tasks}
        self.size = len(tasks)
        self.calls = tuple(tasks)
        self.functions = self._unknown(engine, tasks)

    def sent(self) -> None:
        """Let go of the calls: from now on `pending` keeps those that are not settled, and nobody the others."""
        self.calls = ()

    def take_all(self) -> list[Task]:
        """All that are not settled; whatever is reported later changes nothing."""
        tasks = list(self.pending.values())
        self.pending.clear()
        return tasks

    def _unknown(self, engine: Engine, tasks: list[Task]) -> list[PickledFunction]:
        functions = {(self.line.space, task.function.key): task.function for task in tasks if task.function is not None}
        unknown = [function for key, function in functions.items() if key not in engine.known]
        engine.known.update(functions)
        return unknown


class Line:
    """The tasks of one view: those that wait here for an engine, and how many are not settled yet.

    Parameters
    ----------
    space : str
        Whose globals the calls' functions share on an engine: the client's, or one pool's.
    only : str or None
        The one engine to use.
    max_engines : int or None
        Use at most that many engines.
    setup : tuple of (str, bytes) or None
        A token and a pickled ``(function, args)`` that each engine runs before its first call from this line.
    fails_without_engines : bool
        Whether calls fail when the last engine is gone, because no other will come, instead of waiting for one.
    on_output : callable or None
        ``on_output(stream, text)`` hears what calls printed, on the dispatcher's thread, before they are settled.
    """

    def __init__(
        self,
        space: str,
        only: str | None = None,
        max_engines: int | None = None,
        setup: tuple[str, bytes] | None = None,
        on_output: Callable[[str, str], None] | None = None,
        fails_without_engines: bool = False,
    ) -> None:
        self.fails_without_engines = fails_without_engines
        self.space = space
        self.only = only
        self.max_engines = max_engines
        self.setup = setup
        self.on_output = on_output
        self.waiting: deque[Sequence[Task]] = deque()
        self.engines: set[str] = set()
        self.outstanding = 0
        self.closed = False

    def __repr__(self) -> str:
        return f"<Line: {self.outstanding} outstanding>"

    def take_all(self) -> list[Task]:
        """All that wait and are not cancelled; they count as running now."""
        units = list(self.waiting)
        self.waiting.clear()
        return [task for unit in units for task in unit if task_states.begin(task.future)]

    def put_back(self, units: list[Sequence[Task]]) -> None:
        """Insert units where they were: nearly always in front of all others."""
        last = max(unit[0].serial for unit in units)
        while self.waiting and self.waiting[0][0].serial < last:
            units.append(self.waiting.popleft())
        self.waiting.extendleft(sorted(units, key=lambda unit: unit[0].serial, reverse=True))

    def may_use(self, engine: Engine) -> bool:
        if self.only is not None:
            return engine.name == self.only
        return self.max_engines is None or engine.name in self.engines or len(self.engines) < self.max_engines


class Dispatcher:
    """Takes tasks from views' lines to engines and settles their futures.

    Parameters
    ----------
    transport : Transport
    policy : BatchPolicy, optional

    Notes
    -----
    All methods may be called from any thread, also from done-callbacks; only `wait` blocks.
    """

    def __init__(self, transport: Transport, policy: BatchPolicy | None = None) -> None:
        self.name = uuid.uuid4().hex
        self._transport = transport
        self._policy = policy or BatchPolicy()
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self._engines: dict[str, Engine] = {}
        self._busy_lines: deque[Line] = deque()
        self._lines: weakref.WeakSet[Line] = weakref.WeakSet()
        self._serials = itertools.count()
        self._full = False  # no engine had room when last looked: saves looking again at every submit
        self._broken: Callable[[], Exception] | None = None  # why nothing is taken any more
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        weakref.finalize(self, self._inbox.put, None)
        transport.watch(_putter(self._inbox, None, "engines"))
        self._refresh_engines()

    def __repr__(self) -> str:
        with self._lock:
            buffered = sum(len(unit) for line in self._busy_lines for unit in line.waiting)
            groups = [group for engine in self._engines.values() for group in engine.groups]
        calls = sum(len(group.pending) for group in groups)
        return f"<Dispatcher [{buffered} buffered | {len(groups)} groups ({calls} calls) in flight]>"

    # -- what views ask for

    def submit(self, line: Line, units: Sequence[Sequence[Task]]) -> None:
        """Let tasks wait in `line`; the tasks of one unit travel together.

        Raises
        ------
        ExecutorShutdown
            If the line is closed.
        """
        with self._lock:
            if self._broken is not None:
                raise self._broken()
            if line.closed:
                raise ExecutorShutdown()
            if not units:
                return
            self._put_in_line(line, units)
            stranded = [] if self._engines else self._stranded(line)
            groups = self._decide() if not self._full else []
        self._send(groups)
        self._fail_stranded(stranded)

    def _put_in_line(self, line: Line, units: Sequence[Sequence[Task]]) -> None:
        if self._thread is None:
            self._start_thread()
        for unit in units:
            for task in unit:
                task.line, task.serial = line, next(self._serials)
                line.outstanding += not task.withdrawn
        if not line.waiting:
            self._busy_lines.append(line)
            self._lines.add(line)
        line.waiting.extend(units)

    def withdraw(self, task: Task) -> None:
        """A task's future was cancelled: count it as settled. It leaves the line when its turn comes."""
        task.payload = b""
        with self._lock:
            task.withdrawn = True
            counted = task.line is not None
        if counted:
            self._count_settled(task)

    def close(self, line: Line, *, cancel: bool = False) -> None:
        """Take no more tasks into `line`; with `cancel`, cancel those that wait."""
        with self._lock:
            line.closed = True
            waiting = [task for unit in line.waiting for task in unit] if cancel else []
        for task in waiting:
            task.future.cancel()

    def wait(self, line: Line, timeout: float | None = None) -> bool:
        """Wait until all tasks of `line` are settled; False if `timeout` seconds were not enough."""
        with self._idle:
            return self._idle.wait_for(lambda: line.outstanding == 0, timeout)

    def finish(self) -> None:
        """The interpreter is about to exit: take no more work, and wait until what there is has been done."""
        with self._idle:
            self._broken = lambda: RuntimeError("cannot schedule new futures after interpreter shutdown")
            self._idle.wait_for(lambda: not any(line.outstanding for line in self._lines))

    def break_off(self, error: Callable[[], Exception]) -> None:
        """The client is closed, or the controller gone: fail what is outstanding, refuse what comes later."""
        with self._lock:
            self._broken = error
            tasks = [task for line in self._busy_lines for task in line.take_all()]
            for engine in self._engines.values():
                tasks += [task for group in engine.groups for task in group.take_all()]
            self._engines.clear()
            self._busy_lines.clear()
        for task in tasks:
            self._fail(task, error())

    def stop(self, error: Callable[[], Exception]) -> None:
        """Break off for good; the dispatcher's thread ends."""
        self.break_off(error)
        self._inbox.put(None)

    def resume(self) -> None:
        """The controller is back: take work again."""
        self._broken = None
        self._inbox.put((None, "engines"))

    # -- decisions, with the lock held

    def _decide(self) -> list[Group]:
        """The groups that go now. With the lock held; the caller sends them after letting go of it."""
        groups: list[Group] = []
        while self._busy_lines and (found := self._room()) is not None:
            line, engine = found
            tasks = self._take(line, self._size(line, engine))
            if tasks:
                group = Group(self.name, engine, line, tasks)
                engine.groups.append(group)
                line.engines.add(engine.name)
                groups.append(group)
        return groups

    def _decide_anew(self) -> list[Group]:
        """The groups that go now that engines may have room again."""
        self._full = False
        return self._decide()

    def _room(self) -> tuple[Line, Engine] | None:
        """The next line, and the engine with the most room that it may use."""
        depth = self._policy.depth()
        free = [engine for engine in self._engines.values() if engine.has_room(depth)]
        self._full = not free
        free.sort(key=lambda engine: len(engine.groups))
        for line in self._busy_lines:
            for engine in free:
                if line.may_use(engine):
                    return line, engine
        return None

    def _size(self, line: Line, engine: Engine) -> int:
        size = self._policy.size(self._waiting_calls(line), self._width(line))
        # What waits at an engine cannot be cancelled: behind a call of unknown length little may wait.
        return min(size, 2 * engine.groups[-1].size) if engine.groups else size

    def _width(self, line: Line) -> int:
        return 1 if line.only is not None else min(len(self._engines), line.max_engines or len(self._engines))

    @staticmethod
    def _waiting_calls(line: Line) -> int:
        # Units are single calls nearly always; a forced chunk counts as its size.
        return len(line.waiting) * len(line.waiting[0])

    def _take(self, line: Line, size: int) -> list[Task]:
        """Take up to `size` tasks, but whole units, off a line; lines take turns."""
        tasks: list[Task] = []
        waiting = line.waiting
        while waiting and (not tasks or (len(tasks) + len(waiting[0]) <= size and not waiting[0][0].label)):
            tasks += [task for task in waiting.popleft() if task_states.begin(task.future)]
            if tasks and tasks[0].label:
                break  # a label is what the Hub knows a call by: it needs its own message
        self._busy_lines.remove(line)
        if waiting:
            self._busy_lines.append(line)
        return tasks

    def _settled(self, line: Line, tasks: int) -> None:
        line.outstanding -= tasks
        if line.outstanding == 0:
            self._idle.notify_all()

    def _count_settled(self, task: Task) -> None:
        """A task is over when its callbacks have run, too: whoever waits for the line may rely on what they did."""

        def count() -> None:
            with self._lock:
                self._settled(task.line, 1)

        callbacks.after_callbacks(task.future, count)

    def _requeue(self, tasks: Iterable[Task]) -> None:
        """Put tasks that left but never ran into their lines again, in the order of submission."""
        by_line: dict[Line, list[Sequence[Task]]] = {}
        for task in tasks:
            task_states.give_back(task.future)
            by_line.setdefault(task.line, []).append((task,))
        for line, units in by_line.items():
            if not line.waiting:
                self._busy_lines.append(line)
            line.put_back(units)

    # -- sending

    def _send(self, groups: list[Group]) -> None:
        interrupted: BaseException | None = None
        for group in groups:
            try:
                self._transport.send(group, _putter(self._inbox, group))
            except EngineLeft as error:
                self._inbox.put((group, Lost(lambda call, error=error: error, sent=False)))
            except BaseException as error:  # the client was closed meanwhile, say, or Ctrl-C: no call without an end
                self._inbox.put((group, Lost(lambda call, error=error: error)))
                interrupted = error if not isinstance(error, Exception) else interrupted
            group.sent()
        if interrupted is not None:
            raise interrupted

    # -- the dispatcher's thread

    def _start_thread(self) -> None:
        self._thread = threading.Thread(
            target=_serve, args=(self._inbox, weakref.ref(self)), name="IPython.parallel dispatcher", daemon=True
        )
        self._thread.start()

    def _hear(self, group: Group | None, news: Report | Lost | str) -> None:
        """Take one message out of the inbox. On the dispatcher's thread."""
        if group is None:
            self._refresh_engines()
        elif isinstance(news, Report):
            self._hear_report(group, news)
        elif isinstance(news, Lost):
            self._lose(group, news)

    def _refresh_engines(self) -> None:
        names = self._transport.engines()
        with self._lock:
            stranded = self._note_engines(names)
            groups = self._decide_anew()
        self._send(groups)
        self._fail_stranded(stranded)

    def _note_engines(self, names: Sequence[str]) -> list[Task]:
        """Take up new engines, drop those that are gone; the tasks that could run there only."""
        for name in names:
            self._engines.setdefault(name, Engine(name))
        stranded = [task for name in self._engines.keys() - set(names) for task in self._forget_engine(name)]
        if not self._engines:
            stranded += [task for line in list(self._busy_lines) for task in self._stranded(line)]
        return stranded

    def _stranded(self, line: Line) -> list[Task]:
        """The tasks of a line whose engines are all gone, for good."""
        if not line.fails_without_engines or line not in self._busy_lines:
            return []
        self._busy_lines.remove(line)
        return line.take_all()

    def _fail_stranded(self, stranded: list[Task]) -> None:
        for task in stranded:
            self._fail(task, self._transport.died(task.line.only, task.name))

    def _forget_engine(self, name: str) -> list[Task]:
        """No new groups go there; those under way are reported lost by the transport. The tasks that can't go elsewhere."""
        del self._engines[name]
        stranded: list[Task] = []
        for line in self._lines:
            line.engines.discard(name)
            if line.only == name and line.waiting:
                self._busy_lines.remove(line)
                stranded += line.take_all()
        return stranded

    def _hear_report(self, group: Group, report: Report) -> None:
        with self._lock:
            outcomes = self._account(group, report)
            groups = self._decide_anew()
        self._send(groups)
        self._settle(group, outcomes)

    def _account(self, group: Group, report: Report) -> list[tuple[Task, Outcome]]:
        """Note what `report` says; the tasks it settles. With the lock held."""
        engine = self._engines.get(group.engine)
        if engine is not None and report.epoch > engine.epoch:
            self._new_epoch(engine, group, report.epoch)
            engine.overrunning = group
        if engine is not None and report.final:
            engine.finish(group)
        settled = [(group.pending.pop(o.serial), o) for o in report.outcomes if o.serial in group.pending]
        missing = [task for task, outcome in settled if outcome.status == MISSING]
        if engine is not None:
            engine.known.difference_update((group.line.space, task.function.key) for task in missing if task.function)
        returned = [group.pending.pop(serial) for serial in report.returned if serial in group.pending]
        self._requeue(missing + returned)
        if report.final and report.outcomes:
            seconds = report.outcomes[-1].completed - report.outcomes[0].started
            self._policy.observe(len(report.outcomes), seconds)
        return [(task, outcome) for task, outcome in settled if outcome.status != MISSING]

    def _new_epoch(self, engine: Engine, overrunning: Group, epoch: int) -> None:
        """What waits at the engine behind a group that overran will be given back unrun: take it back now."""
        engine.epoch = epoch
        self._policy.overrun()
        for group in [group for group in engine.groups if group is not overrunning and group.epoch < epoch]:
            engine.groups.remove(group)
            self._requeue(group.take_all())

    def _settle(self, group: Group, outcomes: list[tuple[Task, Outcome]]) -> None:
        line = group.line
        quiet = 0
        for task, outcome in outcomes:
            self._relay_output(line, outcome)
            try:
                task.future.settle(outcome, group.engine)
            except BaseException as error:
                self._make_sure(task, error)
            if task.future._done_callbacks:
                self._count_settled(task)
            else:
                quiet += 1
        if quiet:
            with self._lock:
                self._settled(line, quiet)

    def _relay_output(self, line: Line, outcome: Outcome) -> None:
        if outcome.output is None or line.on_output is None:
            return
        for stream, text in zip(("stdout", "stderr"), outcome.output[:2], strict=True):
            if text:
                try:
                    line.on_output(stream, text)
                except BaseException:
                    _logger.exception("passing on a call's output failed")

    @staticmethod
    def _make_sure(task: Task, error: BaseException) -> None:
        """Settling raised: an error of ours, but it must not leave anybody waiting."""
        _logger.exception("settling %r failed", task.future)
        if not task.future.done():
            task.future.fail(error)

    def _lose(self, group: Group, lost: Lost) -> None:
        # The news of an engine's end may come after that of its groups: nothing more may be sent there.
        names = [name for name in self._transport.engines() if lost.sent or name != group.engine]
        with self._lock:
            engine = self._engines.get(group.engine)
            if engine is not None:
                engine.finish(group)
            stranded = self._note_engines(names)
            tasks = group.take_all()
            if not lost.sent:
                self._requeue(tasks)
                tasks = []
            groups = self._decide_anew()
        self._send(groups)
        for task in tasks:
            self._fail(task, lost.error(task.name))
        self._fail_stranded(stranded)

    def _fail(self, task: Task, error: BaseException) -> None:
        """Fail a task that has left; of one that waits, a cancel may have come first."""
        task.future.fail(error)
        self._count_settled(task)


def _putter(inbox: queue.SimpleQueue[Any], group: Group | None, news: Any = None) -> Callable[..., None]:
    """What the transport calls: it must neither block nor keep the dispatcher alive."""
    return lambda *report: inbox.put((group, *report) if report else (group, news))


def _serve(inbox: queue.SimpleQueue[Any], dispatcher_ref: weakref.ref[Dispatcher]) -> None:
    """The dispatcher's thread; it ends with the dispatcher."""
    while (item := inbox.get()) is not None:
        dispatcher = dispatcher_ref()
        if dispatcher is None:
            return
        try:
            dispatcher._hear(*item)
        except BaseException:
            _logger.exception("the dispatcher could not handle a message")
        del dispatcher, item
