"""The engine room of one client: its dispatcher, and where the client looks for calls that have no message."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import itertools
import pickle
import threading
import uuid
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from ipyparallel import Client

from . import call_pickling, process_exit, task_states
from .connection_watch import ConnectionWatch
from .dispatcher import Dispatcher, Line, Task
from .errors import ClusterGone, InitializerFailed
from .rebuilt_errors import rebuild_exception
from .task_result import TaskResult
from .transport import Transport

_making = threading.Lock()


def room_of(client: Client) -> EngineRoom:
    """The engine room of `client`, made when first asked for. Any thread."""
    room = client.__dict__.get("_engine_room")
    if room is None:
        with _making:
            room = client.__dict__.get("_engine_room")
            if room is None:
                room = client.__dict__["_engine_room"] = EngineRoom(client)
    return room  # type: ignore[no-any-return]


def existing_room(client: Client) -> EngineRoom | None:
    """The engine room of `client` if there is one already."""
    return client.__dict__.get("_engine_room")


class EngineRoom:
    """What the views of one client share.

    Parameters
    ----------
    client : ipyparallel.Client
        Owns this object, which refers to it weakly.
    """

    def __init__(self, client: Client) -> None:
        self._client = weakref.ref(client)
        self._prefix = uuid.uuid4().hex[:12]
        self._numbers = itertools.count()
        self.results: weakref.WeakValueDictionary[str, TaskResult] = weakref.WeakValueDictionary()
        self._transport = Transport(client)
        self.dispatcher = Dispatcher(self._transport)
        process_exit.finish_before_exit(self.dispatcher)
        dispatcher = self.dispatcher
        self._watch = ConnectionWatch(
            client,
            gone=lambda: dispatcher.break_off(lambda: ClusterGone("the connection to the controller is lost")),
            back=dispatcher.resume,
        )

    @property
    def client(self) -> Any:
        return self._client()

    def submit(
        self,
        view: Any,
        line: Line,
        function: Callable[..., Any],
        calls: Sequence[tuple[tuple[Any, ...], dict[str, Any]]],
        *,
        name: str,
        label: str | None = None,
        parent: Any = None,
        unit: int = 1,
    ) -> list[TaskResult]:
        """Submit `calls` of one function, `unit` of them travelling together. Any thread; never blocks."""
        results = []
        tasks = []
        unpicklable = []
        for args, kwargs in calls:
            result = TaskResult(self, name, label)
            result._parent = parent
            results.append(result)
            try:
                pickled, payload = call_pickling.pickle_call(function, args, kwargs)
            except Exception as error:
                unpicklable.append((result, error))
                self._register(view, result)
                continue
            result._task = Task(result, pickled, payload, name, label)
            tasks.append(result._task)
            self._register(view, result)
        try:
            self.dispatcher.submit(line, [tasks[i : i + unit] for i in range(0, len(tasks), unit)])
        except BaseException:
            for result in results:
                self.forget(result)
            raise
        for result, error in unpicklable:
            if task_states.begin(result):
                result.fail(error)
        return results

    def submit_held(
        self, view: Any, function: Callable[..., Any], args: Any, kwargs: Any, *, name: str, label: Any, until: Any
    ) -> TaskResult:
        """Submit a call when what it depends on (`dependencies.Dependencies`) is over. Any thread; never blocks."""
        result = TaskResult(self, name, label)
        self._register(view, result)
        try:
            pickled, payload = call_pickling.pickle_call(function, args, kwargs)
        except Exception as error:
            result.fail(error)
            return result
        task = result._task = Task(result, pickled, payload, name, label)

        def go() -> None:
            try:
                line = Line(call_pickling.CLIENT, only=until.engine())
                self.dispatcher.submit(line, [[task]])
            except Exception as error:
                if task_states.begin(result):
                    result.fail(error)

        until.when_over(go)
        return result

    def _register(self, view: Any, result: TaskResult) -> None:
        """Let the client and the view find the call by its id, as they find messages."""
        client = self.client
        result._msg_id = msg_id = f"{self._prefix}_{next(self._numbers)}"
        result._view = view
        self.results[msg_id] = result
        client._futures[msg_id] = result
        client.outstanding.add(msg_id)
        client.history.append(msg_id)
        view.outstanding.add(msg_id)
        view.history.append(msg_id)

    def forget(self, result: TaskResult) -> None:
        """The call is over: nobody waits for it any more. Any thread."""
        view, result._view = result._view, None
        client = self.client
        if view is None or client is None:
            return
        client._futures.pop(result._msg_id, None)
        client.outstanding.discard(result._msg_id)
        view.outstanding.discard(result._msg_id)

    def withdraw(self, result: TaskResult, task: Task | None) -> None:
        """The call was cancelled before it left. Any thread."""
        self.forget(result)
        if task is not None:
            self.dispatcher.withdraw(task)

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
        self.dispatcher.stop(lambda: ClusterGone("the client was closed"))

    def with_results(self, jobs: Any) -> Any:
        """`jobs` with the ids and history indices of buffered calls replaced by their results."""
        if isinstance(jobs, (list, tuple, set)):
            return [self._result_for(job) for job in jobs]
        return self._result_for(jobs)

    def _result_for(self, job: Any) -> Any:
        if isinstance(job, int):
            job = self.client.history[job]
        return self.results.get(job, job) if isinstance(job, str) else job


def _in_one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".partition("\n")[0]
