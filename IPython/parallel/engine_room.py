"""The engine room of one client: its dispatcher, and where the client looks for calls that have no message."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import pickle
import threading
import uuid
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from ipyparallel import Client

from . import call_pickling
from .connection.connection_watch import ConnectionWatch
from .connection.hub_watch import HubWatch
from .connection.stock_messages import StockMessages
from .connection.transport import Transport
from .connection.unreadable_answers import fail_calls_with_unreadable_answers
from .dispatch import process_exit
from .dispatch.dispatcher import Dispatcher
from .dispatch.lines import Line, Task
from .dispatch.steady_locks import LastingLock
from .errors import ClusterGone, InitializerFailed
from .known_results import KnownResults
from .rebuilt_errors import rebuild_exception
from .task_result import TaskResult
from .traits import trait

if TYPE_CHECKING:
    from .call_pickling import FreshFunction, PickledFunction
    from .map_result import MapResult

# The garbage collector may come on a thread that holds it, and close a client.
_making = LastingLock()


def room_of(client: Client) -> EngineRoom:
    """The engine room of `client`, made when first asked for. Any thread.

    Raises
    ------
    ClusterGone
        If the client was closed before there was one.
    """
    room = client.__dict__.get("_engine_room")
    if room is None:
        # By a thread of its own, where no Ctrl-C comes: half a room would keep connections that a second one needs.
        made: Future[EngineRoom] = Future()
        threading.Thread(target=_make_room, args=(client, made), name="IPython.parallel start").start()
        room = made.result()
    if room is None:
        raise ClusterGone("the client was closed")
    return room  # type: ignore[no-any-return]


def _make_room(client: Client, made: Future[EngineRoom]) -> None:
    try:
        with _making:
            if "_engine_room" not in client.__dict__:
                client.__dict__["_engine_room"] = EngineRoom(client)
        made.set_result(client.__dict__["_engine_room"])
    except BaseException as error:
        made.set_exception(error)


def last_room_of(client: Client) -> EngineRoom | None:
    """The engine room of a client that is being closed, if there is one; none will be made any more."""
    with _making:
        room: EngineRoom | None = client.__dict__.setdefault("_engine_room", None)
    return room


def existing_room(client: Client) -> EngineRoom | None:
    """The engine room of `client` if there is one already."""
    room: EngineRoom | None = client.__dict__.get("_engine_room")
    return room


class EngineRoom:
    """What the views of one client share.

    Parameters
    ----------
    client : ipyparallel.Client
        Owns this object, which refers to it weakly.
    """

    def __init__(self, client: Client) -> None:
        self._client = weakref.ref(client)
        self.results = KnownResults(uuid.uuid4().hex[:6])
        self._transport = Transport(client)
        self.dispatcher = Dispatcher(self._transport, over=self.forget)
        process_exit.finish_before_exit(self.dispatcher)
        self.hub = HubWatch(client)
        self.stock = StockMessages(client)
        fail_calls_with_unreadable_answers(client)
        parts = (self.dispatcher, self.hub, self.stock)

        transport = self._transport

        def gone() -> None:
            for part in parts:
                part.break_off(lambda: ClusterGone("the connection to the controller is lost"))

        def back() -> None:
            for part in parts:
                part.resume()
            transport.look_for_engines()  # what the Hub said meanwhile is lost

        self._watch = ConnectionWatch(client, gone, back)

    @property
    def client(self) -> Any:
        return self._client()

    def submit(
        self,
        view: Any,
        line: Line,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        name: str,
        label: str | None = None,
        retries: int = 0,
        chunk_size: int | None = None,
    ) -> TaskResult:
        """Submit one call, which may be a chunk of so many of a pool's. Any thread; never blocks."""
        result, error = self._make(function, args, kwargs, name, label)
        if chunk_size is not None:
            result.chunk_size = chunk_size
        if error is None:
            if retries:
                result._task.allow_retries(retries)  # type: ignore[union-attr]
            self._put(view, line, (result._task,), (result,))  # type: ignore[arg-type]
        else:
            self._register(view, result)
            result.fail(error)
            line.tell_over((result,))
        line.tell_submitted(chunk_size or 1)
        return result

    def submit_all(
        self,
        view: Any,
        line: Line,
        function: PickledFunction | FreshFunction,
        calls: Sequence[tuple[Any, ...]],
        parent: MapResult,
        *,
        label: str | None,
        unit: int,
        retries: int = 0,
    ) -> list[TaskResult]:
        """Submit calls of a map, `unit` of them travelling together. Any thread; never blocks."""
        name = parent._fname
        results, tasks, unsendable = [], [], []
        for args in calls:
            result = TaskResult(self, name, label)
            result._parent = parent._tally
            results.append(result)
            try:
                payload = call_pickling.pickle_arguments(args, {})
            except Exception as error:
                unsendable.append((result, error))
                continue
            task = result._task = Task(result, function, payload, name, label)
            if retries:
                task.allow_retries(retries)
            tasks.append(task)
        if unit > 1:
            for first in range(0, len(tasks), unit):
                tasks[first].chunk = min(unit, len(tasks) - first)
        self._put(view, line, tasks, results, parent)
        for result, reason in unsendable:
            result.fail(reason)
        line.tell_over([result for result, _ in unsendable])
        line.tell_submitted(len(results))
        return results

    def fail_all(self, line: Line, number: int, error: Exception, parent: MapResult) -> list[TaskResult]:
        """The results of that many calls of a map whose function cannot be sent."""
        results = []
        for _ in range(number):
            results.append(TaskResult(self, parent._fname))
            results[-1]._parent = parent._tally
            results[-1].fail(error)
        line.tell_over(results)
        line.tell_submitted(number)
        return results

    def _make(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        name: str,
        label: str | None,
    ) -> tuple[TaskResult, Exception | None]:
        """The result of a call, and why it cannot be sent, if it cannot."""
        result = TaskResult(self, name, label)
        try:
            pickled, payload = call_pickling.pickle_call(function, args, kwargs)
        except Exception as error:
            return result, error
        result._task = Task(result, pickled, payload, name, label)
        return result, None

    def _put(
        self,
        view: Any,
        line: Line,
        tasks: Sequence[Task],
        results: Sequence[TaskResult],
        whole: MapResult | None = None,
    ) -> None:
        try:
            if whole is None:
                for result in results:
                    self._register(view, result)
            else:
                self._register_next(view, results, whole)
            self.dispatcher.submit(line, tasks)
        except BaseException:
            self.forget(results)
            raise

    def submit_held(
        self,
        view: Any,
        function: Callable[..., Any],
        args: Any,
        kwargs: Any,
        *,
        name: str,
        label: str | None,
        retries: int,
        parent: MapResult | None = None,
    ) -> TaskResult:
        """Make a call that goes when the dispatcher is told to, if it can be sent. Any thread; never blocks."""
        result, error = self._make(function, args, kwargs, name, label)
        result._parent = None if parent is None else parent._tally
        if error is not None:
            self._register(view, result)
            result.fail(error)
            return result
        result._task.allow_retries(retries)  # type: ignore[union-attr]
        try:
            self._register(view, result)
            self.dispatcher.hold(Line(call_pickling.CLIENT), result._task)  # type: ignore[arg-type]
        except BaseException:
            self.forget((result,))
            raise
        return result

    def _register(self, view: Any, result: TaskResult) -> None:
        """Let the client and the view find a call by its id, as they find messages."""
        client = self.client
        result._view = view
        msg_id = result._msg_id = self.results.add_new(result)
        client._futures[msg_id] = result
        for owner in (client, view):
            trait(owner, "outstanding").add(msg_id)
            trait(owner, "history").append(msg_id)

    def _register_next(self, view: Any, results: Sequence[TaskResult], whole: MapResult) -> None:
        """The same for the calls that come next of a map."""
        client = self.client
        start, msg_ids = self.results.new_ids(len(results))
        for result, msg_id in zip(results, msg_ids, strict=True):
            result._msg_id = msg_id
            result._view = view
        self.results.add_run(start, len(results), whole, len(whole._tasks))
        client._futures.update(zip(msg_ids, results, strict=True))
        for owner in (client, view):
            owner.outstanding.update(msg_ids)
            owner.history.extend(msg_ids)

    def remember(self, result: TaskResult) -> None:
        """Let a call be found by its id for as long as somebody has its result. Any thread."""
        self.results.add((result,))

    def forget(self, results: Sequence[TaskResult]) -> None:
        """These calls of one view are over, or nearly: nobody waits for them any more. Any thread."""
        results = [result for result in results if result._view is not None]
        client = self.client
        if not results or client is None:
            return
        view = results[0]._view
        msg_ids = [result._msg_id for result in results]
        for result in results:
            result._view = None
            client._futures.pop(result._msg_id, None)
        client.outstanding.difference_update(msg_ids)
        view.outstanding.difference_update(msg_ids)

    def rebuild(self, packed: dict[str, Any]) -> BaseException:
        """The exception an engine packed; one of an initializer is no call's own, and breaks the pool."""
        error = rebuild_exception(packed["error"], pickle.loads, packed["engine"])
        if not packed.get("setup"):
            return error
        failed = InitializerFailed(packed["engine"]["call"], packed["engine"]["engine_id"], _in_one_line(error))
        failed.__cause__ = error
        return failed

    def engine_id(self, engine: str | None) -> int | None:
        """The number of an engine, also of one that is gone."""
        return None if engine is None else self._transport.engine_ids.get(engine)

    def close(self) -> None:
        """The client is being closed: whatever is outstanding fails."""
        self._watch.stop()
        self.hub.break_off(lambda: ClusterGone("the client was closed"))
        self.dispatcher.stop(lambda: ClusterGone("the client was closed"))
        self._transport.close()

    def with_results(self, jobs: Any) -> Any:
        """`jobs` with the ids and history indices of buffered calls replaced by their results."""
        if isinstance(jobs, (list, tuple, set)):
            return [self._result_for(job) for job in jobs]
        return self._result_for(jobs)

    def _result_for(self, job: Any) -> Any:
        if isinstance(job, int):
            job = self.client.history[job]
        return self.result_of(job, job) if isinstance(job, str) else job

    def result_of(self, msg_id: str, default: Any = None) -> Any:
        """The result of a buffered call, as long as somebody has it or it is not over."""
        result = self.results.get(msg_id)
        if result is None:
            result = self.client._futures.get(msg_id)
        return result if isinstance(result, TaskResult) else default


def _in_one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".partition("\n")[0]
