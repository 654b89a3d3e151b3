"""The AsyncMapResult of a map whose calls wait in the client's buffer, which is an iterator as well."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, as_completed
from typing import TYPE_CHECKING, Any

from ipyparallel import AsyncMapResult, AsyncResult
from ipyparallel.client.futures import MessageFuture

from .buffered_result import BufferedResult, Room
from .dispatch import task_states
from .map_iteration import MapIteration, left
from .result_shim import future_result

if TYPE_CHECKING:
    from .task_result import TaskResult


class MapResult(MapIteration, BufferedResult, AsyncMapResult):
    """What ``map`` on a load-balanced view gives.

    As an iterator it is the standard library's: results in order, an error raised at its position, `TimeoutError`
    when the time is up. As an AsyncMapResult it is ipyparallel's: ``get()`` gives the list, or a CompositeError.

    Parameters
    ----------
    room : Room
    fname : str
    ordered : bool
        Whether iteration keeps the order of the arguments, or yields what arrives first.
    return_exceptions : bool
        Whether errors are among the results instead of being raised.
    deadline : float or None
        On the clock of `time.monotonic`, when iteration gives up.
    """

    _single_result = False

    def __init__(
        self, room: Room, fname: str, *, ordered: bool, return_exceptions: bool, deadline: float | None
    ) -> None:
        super().__init__(room, fname)
        self.ordered = ordered
        self._return_exceptions = return_exceptions
        self._deadline = deadline
        self._tasks: Sequence[TaskResult] = ()
        self._tally = Tally(self)
        task_states.begin(self)

    def stand_for(self, tasks: Sequence[TaskResult]) -> None:
        """Take the results of all calls; from now on this result can be over."""
        self._tasks = tasks
        self._tally.wait_for(len(tasks))

    def add_done_callback(self, fn: Callable[[Any], object]) -> None:
        self._tally.keep(self)
        super().add_done_callback(fn)

    add_done_callback.__doc__ = BufferedResult.add_done_callback.__doc__

    def _resolve(self) -> None:
        """All calls are over, and so is this. Any thread."""
        if self.cancelled() and not self._return_exceptions:
            self._end_cancelled()
            return
        try:
            results = self._combine()
        except BaseException as error:
            self.set_exception(error)
        else:
            self.set_result(results)

    def _end_cancelled(self) -> None:
        with self._condition:
            self._state = task_states.CANCELLED_AND_NOTIFIED
            for waiter in self._waiters:
                waiter.add_cancelled(self)
            self._condition.notify_all()
        self._invoke_callbacks()

    def _combine(self) -> list[Any]:
        if all([task._exception is None and task._started is not None for task in self._tasks]):
            return [task._result for task in self._tasks]
        results = self._raw_results
        if not self._return_exceptions:
            AsyncResult._collect_exceptions(self, results)
            for task in self._tasks:
                if not task._success:
                    raise task_error(task)
        return results

    def _reconstruct_result(self, results: list[Any]) -> list[Any]:
        return results

    def cancel(self) -> bool:
        """Cancel the calls that have not left this client.

        Returns
        -------
        bool
            True only if none of the calls will ever run. Any thread; never blocks. Source: PEP 3148.
        """
        return all([task.cancel() for task in self._tasks]) and bool(self._tasks)

    def give_up(self) -> None:
        for task in self._tasks:
            task.give_up()

    def cancelled(self) -> bool:
        """Whether all calls were cancelled: none will ever run."""
        return bool(self._tasks) and all(task.cancelled() for task in self._tasks)

    @property
    def msg_ids(self) -> list[str]:
        return [task._msg_id for task in self._tasks]

    @property
    def _metadata(self) -> list[Any]:
        return [task._metadata[0] for task in self._tasks]

    @property
    def _children(self) -> list[MessageFuture]:
        return [_as_chunk(task._children[0]) for task in self._tasks]

    @property
    def _raw_results(self) -> list[Any]:
        # A call that was cancelled has neither.
        return [
            task._result if task._exception is None and task._started is not None else task_error(task)
            for task in self._tasks
        ]

    @property
    def progress(self) -> int:
        """How many of the calls are over."""
        return sum(task._ready for task in self._tasks)

    def __len__(self) -> int:
        return len(self._tasks)

    def _iterate(self) -> Iterator[Any]:
        return _results(self._tasks, self.ordered, self._return_exceptions, self._deadline)


class Tally:
    """Counts the calls of a map that are over.

    The calls hold this, and not the map's result: that is dropped when its user drops it, and an iteration ends with
    it. But somebody who waits to be called back need not hold it.

    Parameters
    ----------
    whole : MapResult
    """

    def __init__(self, whole: MapResult) -> None:
        self._whole = weakref.ref(whole)
        self._kept: MapResult | None = None
        self._over = itertools.count(1)
        self._awaited = 0  # how many have to be over, once that is known

    def keep(self, whole: MapResult) -> None:
        """Hold the map's result until it is over: somebody is to be told of that."""
        self._kept = whole
        if whole.done():
            self._kept = None

    def wait_for(self, calls: int) -> None:
        """There are so many calls, and no more will come."""
        self._awaited = calls + 1
        self.one_is_over()

    def one_is_over(self) -> None:
        """One of the calls is settled or cancelled, or there will be no more of them. Any thread.

        Counting is one step for the interpreter, so whoever counts last, and nobody else, finds that all are over.
        """
        if next(self._over) == self._awaited and (whole := self._whole()) is not None:
            whole._resolve()
            self._kept = None


def task_error(task: TaskResult) -> BaseException:
    """The error of a task that is over and not successful."""
    return task._exception if task._exception is not None else CancelledError()


def _results(
    tasks: Sequence[TaskResult], ordered: bool, return_exceptions: bool, deadline: float | None
) -> Iterator[Any]:
    """Results as they come; what has not started is cancelled if the iteration ends by an error, or nobody wants it.

    Refers to the tasks alone: dropping the MapResult ends an iteration that was begun.
    """
    wanted = False
    try:
        for task in _in_turn(tasks, ordered, deadline):
            if task._state == task_states.FINISHED and task._exception is None:
                yield task._result  # as below, without the calls
            else:
                yield _end_of(task, deadline) if return_exceptions else future_result(task, left(deadline))
        wanted = True
    finally:
        if not wanted:
            for task in tasks:
                task.give_up()


def _end_of(task: TaskResult, deadline: float | None) -> Any:
    """The value of a task or its error, when it is over."""
    if not task.wait(left(deadline)):
        raise TimeoutError
    return task._result if task._success else task_error(task)


def _in_turn(tasks: Sequence[TaskResult], ordered: bool, deadline: float | None) -> Iterator[TaskResult]:
    as_they_end: Iterator[Any] = as_completed(tasks, left(deadline)) if not ordered else iter(tasks)
    return as_they_end


def _as_chunk(child: MessageFuture) -> MessageFuture:
    """A call's message as one of a chunk of calls, which the messages of a map are."""
    chunk = MessageFuture(child.msg_id, header=child.header)
    chunk.output, chunk.call = child.output, child.call
    child.add_done_callback(lambda done: _pass_on(done, chunk))
    return chunk


def _pass_on(child: MessageFuture, chunk: MessageFuture) -> None:
    chunk.is_value = child.is_value
    chunk.set_result([child.result()] if child.is_value else child.result())
