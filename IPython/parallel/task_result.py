"""The AsyncResult of one call that may share its message with others."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import time
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from ipyparallel.client.client import Metadata
from ipyparallel.client.futures import MessageFuture
from ipyparallel.error import TaskAborted

from .buffered_result import BufferedResult, Room
from .dispatch import task_states
from .dispatch.lazy_future import LazyFuture
from .dispatch.wire import OK, PLAIN, Outcome
from .engine_bundle import load

_loads = load().shipping.loads

if TYPE_CHECKING:
    from collections.abc import Callable

    from .dispatch.groups import Travel
    from .dispatch.lines import Task


class _Whole(Protocol):
    """What stands for the result of a map, of which this is one call."""

    def one_is_over(self) -> None: ...


class TaskResult(LazyFuture, BufferedResult):
    """What ``submit`` on a load-balanced view gives: a future, and an AsyncResult with all it knows.

    Parameters
    ----------
    room : Room
    fname : str
        The called function's name.
    label : str or None
        The user's own name for the call.
    """

    _single_result = True
    # How many calls of the program's this is, if it is a chunk of a pool's map.
    chunk_size: int | None = None
    _msg_id: str = ""
    _view: Any = None
    _parent: _Whole | None = None
    _task: Task | None = None
    # Seconds since the epoch, on the engine's clock.
    _started: float | None = None
    _completed: float | None = None
    _printed: tuple[str, str, list[dict[str, Any]]] | None = None
    _engine: str | None = None
    # Of the group it left with last, for those who want to know where it is and which calls are with it.
    _travel: Travel | None = None
    _received: float | None = None
    # Makes the error of a call that its caller interrupts: that it was interrupted is not what the caller is to see.
    _ended_by: Callable[[], Exception] | None = None
    _made_metadata: Metadata | None = None
    _made_child: MessageFuture | None = None

    def __init__(self, room: Room, fname: str, label: str | None = None) -> None:
        # Not the base classes' own: a LazyFuture needs none.
        self._room = room
        self._fname = fname
        self._label = label
        self._submitted = time.time()

    # -- the dispatcher's side

    def settle(self, outcome: Outcome, engine: str) -> None:
        """Take the outcome of the call: its value, or its error in its own type. On the dispatcher's thread."""
        _, status, data, self._started, self._completed, output = outcome
        self._received = time.time()
        self._engine = engine
        if output is not None:
            self._printed = output
        if status == PLAIN:
            self._finish(data, failed=False)
            return
        try:
            value = _loads(data)
        except BaseException as error:
            error.add_note(f"while unpickling the result of {self._fname}(), here at the client")
            self._finish(error, failed=True)
            return
        if status == OK:
            self._finish(value, failed=False)
        else:
            self._finish(self._as_caller_sees(self._room.rebuild(value)), failed=True)

    def _as_caller_sees(self, error: BaseException) -> BaseException:
        if self._ended_by is not None and isinstance(error, KeyboardInterrupt):
            return self._ended_by()
        return error

    def fail(self, error: BaseException) -> None:
        """The call has no outcome: it was never pickled, or its engine is gone."""
        self._received = time.time()
        self._finish(error, failed=True)

    def _finish(self, value: Any, *, failed: bool) -> None:
        if self._view is not None:
            self._room.forget((self,))
        self._task = None
        if failed:
            self.set_exception(value)
        else:
            self.set_result(value)
        self._tell()

    def _tell(self) -> None:
        """Tell those who stand for this result, or it for them."""
        if self._made_child is not None:
            self._resolve_child()
        if self._parent is not None:
            self._parent.one_is_over()

    # -- PEP 3148

    def cancel(self) -> bool:
        """Cancel the call if it has not left this client.

        Returns
        -------
        bool
            True only if the call will never run anywhere. Any thread; never blocks. Source: PEP 3148.
        """
        task = self._task
        if task is None:  # over, or nearly
            return self.cancelled()
        cancelled = self._room.dispatcher.cancel(task)
        if cancelled:
            self._received = time.time()
            self._room.forget((self,))
            self._task = None
            self.tell_cancelled()
            self._tell()
            self._room.dispatcher.withdraw(task)
        return cancelled is not False

    def give_up(self) -> None:
        """Cancel the call; if it has left already, let it not wait again, should its engine give it back unrun."""
        task = self._task
        if not self.cancel() and task is not None:
            task.unwanted = True

    # -- what AsyncResult keeps in attributes

    @property
    def msg_ids(self) -> list[str]:
        return [self._msg_id]

    @property
    def _raw_results(self) -> list[Any]:
        return [self._exception if self._exception is not None else self._result]

    @property
    def _children(self) -> list[MessageFuture]:
        """This call as the message it might have been, for ``join`` and whoever else combines messages."""
        with self._condition:
            if self._made_child is None:
                self._made_child = self._make_child()
                if self._ready:
                    self._resolve_child()
            return [self._made_child]

    def _make_child(self) -> MessageFuture:
        child = MessageFuture(self._msg_id, header={"msg_type": "apply_request"})
        child.output = Future()
        child.output.metadata = self._metadata[0]
        # Found by its id as long as somebody holds what it was joined to, though the map it is of be gone.
        child.call = self
        self._room.remember(self)
        return child

    def _resolve_child(self) -> None:
        child = self._made_child
        if child is None:
            return
        self._metadata  # noqa: B018  # completes what the child shows of it
        # Whoever made the child may be resolving it as well.
        with suppress(InvalidStateError):
            # A message's future carries an error as its result; AsyncResult sorts them out. It has no place for one
            # that is cancelled, and would never be resolved; to it, this is a message that was aborted.
            cancelled = self._state == task_states.CANCELLED_AND_NOTIFIED
            child.is_value = bool(self._success)  # an exception may be either
            child.output.set_result(None)
            child.set_result(TaskAborted(self._msg_id) if cancelled else self._raw_results[0])

    @property
    def _metadata(self) -> list[Metadata]:
        if self._made_metadata is None:
            self._made_metadata = Metadata(msg_id=self._msg_id, submitted=_date(self._submitted), label=self._label)
            # Metadata is strict about its keys, and gains some only from a reply.
            dict.update(self._made_metadata, is_broadcast=False, is_coalescing=False)
        if self._ready and self._made_metadata["received"] is None:
            self._complete_metadata(self._made_metadata)
        return [self._made_metadata]

    def _complete_metadata(self, metadata: Metadata) -> None:
        metadata["received"] = _date(self._received)
        metadata["status"] = _status(self)
        if self._started is not None:
            metadata.update(
                started=_date(self._started),
                completed=_date(self._completed),
                engine_uuid=self._engine,
                engine_id=self._room.engine_id(self._engine),
            )
            if self._printed is not None:
                out, err, displayed = self._printed
                metadata.update(stdout=_readable(out), stderr=_readable(err), outputs=displayed)

    @property
    def serial_time(self) -> float:
        """Seconds the call took on its engine.

        Raises
        ------
        TimeoutError
            If the call is not over, or never ran.
        """
        if self._started is None or self._completed is None:
            raise TimeoutError("result not ready" if not self._ready else "the call never ran")
        return self._completed - self._started

    @property
    def progress(self) -> int:
        """How many of this result's calls are over, 0 or 1."""
        return int(self._ready)

    def __len__(self) -> int:
        return 1

    def split(self) -> tuple[TaskResult, ...]:
        """This result: it is one call already."""
        return (self,)


def _readable(text: str) -> str:
    """Printed text without the bytes that are none."""
    return text if text.isascii() else text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _date(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _status(result: TaskResult) -> str:
    if result.cancelled():
        return "aborted"
    return "ok" if result._exception is None else "error"
