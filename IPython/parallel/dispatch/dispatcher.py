"""From the client's buffer, in groups, to settled futures: the engine room of one client.

The journey of a task::

    submit -> Line.waiting -> Group -> transport -> engine
    (any thread)                                      |
       future settled <- dispatcher's thread <- inbox <- report (thread that receives)

- `Line`: the tasks of one view that wait, in order. A cancel reaches a task as long as it lies here.
- `Group`: tasks that travelled together to one engine; from then on they are RUNNING.
- Whoever submits, or whoever hears that an engine has room, decides under the lock which groups go (`Schedule`), and
  sends them after letting go of it. Nothing is sent, unpickled or settled with the lock held.
- Reports are put into the inbox by the thread that receives them, which never waits. The dispatcher's thread
  takes them out: first it lets the next groups go, then it settles futures. Users' callbacks run on a thread of
  their own (`callbacks`), so that a callback that waits keeps nobody from being settled.

The dispatcher's lock also decides the moves of its tasks' futures (`task_states`). Nobody holding a future's own lock
asks for the dispatcher's, or the other way round.
This module knows nothing of ipyparallel: it is given a transport.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import itertools
import logging
import os
import queue
import threading
import uuid
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from ..errors import ClusterGone, ExecutorShutdown
from . import callback_threads, callbacks, inbox, task_states
from .batch_policy import BatchPolicy
from .carrier import Carrier, EngineLeft
from .groups import Group
from .lines import Line, Task
from .schedule import Schedule
from .steady_locks import SteadyCondition, SteadyLock
from .wire import HadBegun, Lost, Outcome, Report, Unknown

_logger = logging.getLogger(__name__)

# Seconds after which an exiting interpreter looks whether there are engines; twice none, and nobody waits any more.
_PATIENCE_AT_EXIT = 2.0


class Dispatcher:
    """Takes tasks from views' lines to engines and settles their futures.

    Parameters
    ----------
    transport : Carrier
    policy : BatchPolicy, optional
    over : callable, optional
        ``over(futures)`` is told which futures of one line are about to be settled. It must not block.

    Notes
    -----
    All methods may be called from any thread, also from done-callbacks; only `wait` blocks.
    """

    def __init__(
        self,
        transport: Carrier,
        policy: BatchPolicy | None = None,
        over: Callable[[Sequence[Any]], None] = lambda futures: None,
    ) -> None:
        self._over = over
        self._owner = os.getpid()
        self.name = uuid.uuid4().hex
        self._transport = transport
        # The garbage collector may come on a thread that holds it, and end an iteration, which cancels its calls.
        self._lock = SteadyLock()
        self._idle = SteadyCondition(self._lock)
        self._serials = itertools.count()
        self._refused: Callable[[], Exception] | None = None  # why nothing is taken any more
        self._broken: Callable[[], Exception] | None = None  # why what there is is not done any more either
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._schedule = Schedule(
            self.name, policy or BatchPolicy(), present=transport.engines, leave_out=inbox.leaver_out(self._inbox)
        )
        self._others: weakref.WeakSet[Future[Any]] = weakref.WeakSet()  # calls that go another way
        self._thread: threading.Thread | None = None
        weakref.finalize(self, self._inbox.put, None)
        transport.watch(inbox.putter(self._inbox), inbox.doubter(self._inbox))
        self._refresh_engines()

    def __repr__(self) -> str:
        with self._lock:
            buffered, groups = self._schedule.buffered(), self._schedule.groups()
        calls = sum(len(group.pending) for group in groups)
        return f"<Dispatcher [{buffered} buffered | {len(groups)} groups ({calls} calls) in flight]>"

    # -- what views ask for

    def submit(self, line: Line, tasks: Sequence[Task]) -> None:
        """Let tasks wait in `line`; those of one chunk travel together.

        Raises
        ------
        ExecutorShutdown
            If the line is closed.
        """
        schedule = self._schedule
        groups: list[Any] = []
        try:
            with self._lock:
                if self._refused is not None:
                    raise self._refused()
                if line.closed:
                    raise ExecutorShutdown()
                if not tasks:
                    return
                try:
                    schedule.put_in_line(line, tasks, self._count_in(line, tasks))
                    if (line.only is not None or not schedule.engines) and schedule.is_stranded(line):
                        self._inbox.put((None, inbox.ENGINES))
                    if not schedule.full:
                        schedule.decide(groups)
                except KeyboardInterrupt:
                    schedule.mend_lines()  # before anybody else looks at them
                    raise
            self._send(groups)
        except KeyboardInterrupt:
            # It comes between any two calls of this thread; what was begun is brought to an end on another one.
            self._inbox.put((None, lambda: self._recover(groups)))
            raise

    def _count_in(self, line: Line, tasks: Sequence[Task]) -> int:
        """Give tasks a line, and their places in the order of all; how many of them are outstanding."""
        if self._thread is None:
            self._start_thread()
        counted = 0
        for task, serial in zip(tasks, self._serials):  # there is a serial for each
            task.line, task.serial = line, serial
            task.counted = not task.withdrawn
            counted += task.counted
        return counted

    def hold(self, line: Line, task: Task) -> None:
        """Count a task as outstanding in `line`, where it will wait only when `let_go` says so.

        Raises
        ------
        Exception
            If no work is taken any more.
        """
        with self._lock:
            if self._refused is not None:
                raise self._refused()
            counted = self._count_in(line, (task,))
            self._schedule.lines.add(line)
            line.outstanding += counted

    def let_go(self, task: Task) -> None:
        """Let a held task wait in its line. Also while the interpreter exits, which waits for it."""
        line = task.line
        with self._lock:
            broken = self._broken
            if broken is None:
                self._schedule.put_in_line(line, (task,), 0)
            stranded = self._schedule.take_stranded(line)
            groups = self._schedule.decide_anew()
        self._send(groups)
        self._fail_stranded(stranded)
        if broken is not None:
            self.refuse(task, broken())

    def soon(self, job: Callable[[], None]) -> None:
        """Run `job`, which must not wait, on the dispatcher's thread; here, if that may have ended. Any thread."""
        with self._lock:
            over = self._broken is not None
            if not over:
                if self._thread is None:
                    self._start_thread()
                self._inbox.put((None, job))
        if over:
            job()

    def check(self) -> None:
        """Raise why no work is taken, if none is."""
        refused = self._refused
        if refused is not None:
            raise refused()

    def note(self, future: Future[Any]) -> None:
        """Let an exiting interpreter wait for a call that goes another way, too."""
        callbacks.be_ready()
        with self._lock:
            self._others.add(future)
        # Should Ctrl-C come before this, whoever waits looks again in a while.
        future.add_done_callback(callbacks.AtOnce(lambda over: callbacks.after_callbacks(over, self._tell_idle)))

    def _tell_idle(self) -> None:
        with self._lock:
            self._idle.notify_all()

    def cancel(self, task: Task) -> bool | None:
        """Cancel a task that has not left: see `task_states.cancel`. It leaves the line when its turn comes.

        Who cancelled it tells those who wait for it, and then calls `withdraw`.
        """
        with self._lock:
            cancelled = task_states.cancel(task.future)
            if cancelled:
                task.withdrawn = True
                task.payload = b""
        return cancelled

    def withdraw(self, task: Task) -> None:
        """Count a cancelled task as settled. A task that is not in a line yet will not be counted there at all."""
        if task.counted:
            self._end_alone(task)

    def refuse(self, task: Task, error: BaseException) -> None:
        """Fail a task that does not wait in a line, unless it was cancelled.

        With `error`; where nothing is done any more, with the reason for that, of which `error` is a consequence.
        """
        with self._lock:
            begun = task_states.begin(task.future)
            broken = self._broken
        if begun:
            task.future.fail(error if broken is None else broken())
            if task.counted:
                self._end_alone(task)

    def close(self, line: Line, *, cancel: bool = False) -> None:
        """Take no more tasks into `line`; with `cancel`, cancel those that wait."""
        with self._lock:
            line.closed = True
            line.cancels = line.cancels or cancel
            waiting = list(line.waiting) if cancel else []
        for task in waiting:
            task.future.cancel()

    def wait(self, line: Line, timeout: float | None = None) -> bool:
        """Wait until all tasks of `line` are settled; False if `timeout` seconds were not enough.

        And until their callbacks have run, but for a callback, which would wait for itself.
        """
        from_callback = callback_threads.runs_here()
        with self._idle:
            return self._idle.wait_for(lambda: line.outstanding == (line.calling_back if from_callback else 0), timeout)

    def abandon(self, line: Line, error: Callable[[], Exception]) -> None:
        """Nobody waits any more for the calls of `line`: fail them. Engines may go on with what was sent."""
        with self._lock:
            tasks = self._schedule.take_under_way(line)
            tasks += self._schedule.take_line(line)  # given back by an engine, after all that waited was cancelled
        for task in tasks:
            self._fail(task, error())

    def finish(self) -> None:
        """The interpreter is about to exit: take no more work, and wait until what there is has been done.

        Where no engine is left, and none joins within a few seconds, it never will be: then it fails.
        """
        with self._idle:
            self._refused = lambda: RuntimeError("cannot schedule new futures after interpreter shutdown")
            done = self._wait_until_done()
        if not done:
            self.break_off(lambda: ClusterGone("no engine was left when the interpreter exited"))

    def _wait_until_done(self) -> bool:
        """Wait, with the lock held, until nothing is outstanding; False if it never will be."""
        alone = False
        while not self._idle.wait_for(self._is_done, _PATIENCE_AT_EXIT):
            if alone and not self._transport.engines():
                return False
            alone = not self._transport.engines()
        return True

    def _is_done(self) -> bool:
        return not any(line.outstanding for line in self._schedule.lines) and all(map(callbacks.is_over, self._others))

    def leave_to_parent(self) -> None:
        """This process was forked: refuse work, whoever held the lock at that moment. Right after the fork."""
        self._lock = SteadyLock()
        self._idle = SteadyCondition(self._lock)
        self._broken = self._refused = lambda: RuntimeError(
            "this client belongs to the parent process; make a new Client after the fork"
        )
        for group in self._schedule.groups():
            group.keeps = None
        for line in self._schedule.lines:  # nobody here will hear of those
            line.outstanding = line.calling_back = 0
        self._others = weakref.WeakSet()

    @property
    def is_parents(self) -> bool:
        """Whether this process was forked from the one that made it."""
        return self._owner != os.getpid()

    def break_off(self, error: Callable[[], Exception]) -> None:
        """The client is closed, or the controller gone: fail what is outstanding, refuse what comes later."""
        with self._lock:
            self._broken = self._refused = error
            tasks = self._schedule.take_everything()
        for task in tasks:
            self._fail(task, error())

    def stop(self, error: Callable[[], Exception]) -> None:
        """Break off for good; the dispatcher's thread ends."""
        self.break_off(error)
        self._inbox.put(None)

    def resume(self) -> None:
        """The controller is back: take work again, unless the interpreter exits."""
        if self._refused is self._broken:
            self._refused = None
        self._broken = None
        self._inbox.put((None, inbox.ENGINES))

    # -- sending

    def _send(self, groups: list[Group]) -> None:
        try:
            for group in groups:
                self._send_one(group)
        except BaseException:  # Ctrl-C, whose error is that of no call: some may be others'
            self._inbox.put((None, lambda: self._recover(groups)))
            raise

    def _send_one(self, group: Group) -> None:
        group.is_leaving = True
        try:
            self._transport.send(group, inbox.hearer(weakref.ref(self), self._inbox, group))
        except EngineLeft as error:
            self._inbox.put((group, Lost(inbox.always(error), sent=False)))
        except Exception as error:  # the client was closed meanwhile, say: no call without an end
            self._inbox.put((group, Lost(inbox.always(error))))
        group.sent()
        if group.engine not in self._schedule.engines:  # it left just now, and was buried without this group
            self._inbox.put((group, inbox.GONE))

    def _recover(self, groups: list[Any]) -> None:
        """Ctrl-C came while these were made or sent: what did not leave waits again, what may have is asked for."""
        with self._lock:
            self._schedule.take_back(groups)
            broken = self._broken
        if broken is not None:
            self.break_off(broken)  # again: what was in nobody's hands then is to fail, too
        else:
            self._refresh_engines()  # which decides anew, and sends
            self._ask(all_groups=True)

    # -- the dispatcher's thread

    def _start_thread(self) -> None:
        """Start the dispatcher's thread. With the lock held."""
        self._thread = threading.Thread(
            target=inbox.serve, args=(self._inbox, weakref.ref(self)), name="IPython.parallel dispatcher", daemon=True
        )
        try:
            callbacks.be_ready()
            self._thread.start()
        except BaseException:  # Ctrl-C, or no more threads: the next one who needs it starts another
            self._thread = None
            raise

    def is_served_here(self) -> bool:
        """Whether this is the dispatcher's thread; Ctrl-C may have parted it from the dispatcher as it was started."""
        with self._lock:
            return self._thread is threading.current_thread()

    def hear_safely(self, group: Group | None, news: Any) -> None:
        try:
            self._hear(group, news)
        except BaseException as error:
            _logger.exception("the dispatcher could not handle a message")
            if isinstance(news, Report):  # whatever it says, nobody shall wait for ever
                self._inbox.put((group, Lost(inbox.always(error))))

    def _hear(self, group: Group | None, news: Any) -> None:
        """Take one message out of the inbox. On the dispatcher's thread, or for a light one on the receiving thread."""
        if callable(news):
            news()
        elif group is None:
            self._hear_of_cluster(news)
        elif isinstance(news, Report):
            self._hear_report(group, news)
        elif isinstance(news, Lost):
            self._lose(group, news)
        else:
            self._bury(group.engine, [group])

    def _hear_of_cluster(self, news: Any) -> None:
        if news in (inbox.DOUBT, inbox.LOOK):
            self._ask(all_groups=news == inbox.DOUBT)
            with self._lock:
                waits = self._schedule.buffered()
            if waits:
                self._transport.look_for_engines()  # that one came may not have been heard
        else:
            self._refresh_engines()

    def _refresh_engines(self) -> None:
        names = self._transport.engines()
        with self._lock:
            gone, stranded = self._schedule.note_engines(names)
            groups = self._schedule.decide_anew()
        self._send(groups)
        self._fail_stranded(stranded)
        for engine in gone:
            self._bury(engine.name, [group for group in engine.groups if group.is_sent])

    def _ask(self, *, all_groups: bool) -> None:
        """A report may be lost: ask the engines about all groups, or about those that they have had for long."""
        with self._lock:
            asked = self._schedule.sent() if all_groups else self._schedule.overdue()
        for group in asked:
            self._transport.ask(group, inbox.hearer(weakref.ref(self), self._inbox, group))

    def _bury(self, engine: str, groups: list[Group]) -> None:
        """An engine is gone: of what was sent there, what it had begun fails, and the rest goes elsewhere."""
        if not groups:
            return
        with self._lock:
            self._schedule.keep_orphans(groups)
        number = max(group.number for group in groups)
        begun = self._transport.give_up(engine, number, inbox.teller(weakref.ref(self), self._inbox, engine, groups))
        if begun is not Unknown.NOT_YET:
            self.divide(engine, groups, None if begun is Unknown.FOR_EVER else begun)

    def divide(self, engine: str, groups: list[Group], begun: HadBegun | None) -> None:
        """It is known, or never will be, what an engine had begun that is gone."""
        with self._lock:
            lost, rest = self._schedule.divide(groups, begun)
            stranded = self._send_elsewhere(engine, rest)
            decided = self._schedule.decide_anew()
        self._send(decided)
        for task in lost:
            self._fail(task, self._transport.died(engine, task.name))
        self._fail_stranded(stranded)

    def _send_elsewhere(self, engine: str, tasks: list[Task]) -> list[Task]:
        """Let tasks wait again that `engine` will not run; those that nobody else will run. With the lock held."""
        return tasks if self._broken is not None else self._schedule.send_elsewhere(engine, tasks)

    def _fail_stranded(self, stranded: list[Task]) -> None:
        for task in stranded:
            engine = task.lost_with or next(iter(task.line.only or ()), None)
            self._fail(task, self._transport.died(engine, task.name))

    def _hear_report(self, group: Group, report: Report) -> None:
        with self._lock:
            outcomes = self._schedule.account(group, report)
            groups = self._schedule.decide_anew()
        self._send(groups)
        report.close_others(outcomes)
        if report.final and group.pending:
            # Whatever this is an error of, nobody shall wait for ever.
            self._inbox.put((group, Lost(lambda call: RuntimeError(f"the engine did not say what became of {call}()"))))
        self._settle(group, outcomes)

    def _settle(self, group: Group, outcomes: list[tuple[Task, Outcome]]) -> None:
        line = group.line
        quiet = 0
        futures = [task.future for task, _ in outcomes]
        if futures:
            self._over(futures)
        for task, outcome in outcomes:
            if outcome.output is not None and line.on_output is not None:
                self._relay_output(line.on_output, outcome.output)
            try:
                task.future.settle(outcome, group.engine)
            except BaseException as error:
                self._make_sure(task, error)
            if task.future._done_callbacks:
                self._count_settled(task)
            else:
                quiet += 1
        line.tell_over(futures)
        if quiet:
            with self._lock:
                self._settled(line, quiet)

    @staticmethod
    def _relay_output(hear: Callable[[str, str], None], output: Sequence[Any]) -> None:
        for stream, text in zip(("stdout", "stderr"), output[:2], strict=True):
            if text:
                try:
                    hear(stream, text)
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
            self._schedule.finish(group)
            gone, stranded = self._schedule.note_engines(names)
            tasks = group.take_all()
            if not lost.sent:
                stranded += self._send_elsewhere(group.engine, tasks)
                tasks = []
            groups = self._schedule.decide_anew()
        self._send(groups)
        broken = self._broken  # what a closed client says of its sockets is a consequence
        for task in tasks:
            self._fail(task, lost.error(task.name) if broken is None else broken())
        self._fail_stranded(stranded)
        for engine in gone:
            self._bury(engine.name, [group for group in engine.groups if group.is_sent])

    def _settled(self, line: Line, tasks: int) -> None:
        line.outstanding -= tasks
        if line.outstanding == line.calling_back:
            self._idle.notify_all()

    def _count_settled(self, task: Task) -> None:
        """A task is over when its callbacks have run, too: whoever waits for the line may rely on what they did."""
        calling_back = bool(task.future._done_callbacks)
        with self._lock:
            task.line.calling_back += calling_back
            self._settled(task.line, not calling_back)
        if calling_back:
            callbacks.after_callbacks(task.future, lambda: self._count_called_back(task.line))

    def _count_called_back(self, line: Line) -> None:
        with self._lock:
            line.calling_back -= 1
            self._settled(line, 1)

    def _fail(self, task: Task, error: BaseException) -> None:
        """Fail a task that has left; of one that waits, a cancel may have come first."""
        task.future.fail(error)
        self._end_alone(task)

    def _end_alone(self, task: Task) -> None:
        """A task has ended by itself, and not with a report's."""
        task.line.tell_over((task.future,))
        self._count_settled(task)
