"""What the results of buffered calls have in common: AsyncResults that follow from the state of their future.

ipyparallel's AsyncResult is built around the futures of its messages, and building those costs a hundred times
what a small call does. Here the future itself comes first, and what only few ask for (message futures, metadata,
events) is made when it is asked for.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any, Protocol

from ipyparallel import AsyncResult, Client
from ipyparallel.client.asyncresult import finished_tracker

from .dispatch import task_states
from .dispatch.callbacks import CallbackQueue
from .dispatch.dispatcher import Dispatcher


class Room(Protocol):
    """What results need of the engine room that makes them. Any thread."""

    @property
    def client(self) -> Client | None: ...
    @property
    def dispatcher(self) -> Dispatcher: ...
    def rebuild(self, packed: dict[str, Any]) -> BaseException: ...
    def engine_id(self, engine: str | None) -> int | None: ...
    def forget(self, results: Sequence[Any]) -> None: ...
    def remember(self, result: Any) -> None: ...


class BufferedResult(CallbackQueue, AsyncResult):
    """An AsyncResult of calls that wait in the client's buffer.

    Parameters
    ----------
    room : Room
    fname : str
        The called function's name.
    """

    # What AsyncResult's methods expect to find, where it is the same for all.
    _return_exceptions = False
    _targets = None
    _tracker = finished_tracker
    owner = False

    def __init__(self, room: Room, fname: str) -> None:
        Future.__init__(self)
        self._room = room
        self._fname = fname

    def __repr__(self) -> str:
        return f"<{type(self).__name__}({self._fname}): cancelled>" if self.cancelled() else super().__repr__()

    @property
    def _client(self) -> Any:
        return self._room.client

    @property
    def _ready(self) -> bool:
        return self._state in (task_states.FINISHED, task_states.CANCELLED_AND_NOTIFIED)

    @property
    def _success(self) -> bool | None:
        return self._state == task_states.FINISHED and self._exception is None if self._ready else None

    @property
    def _output_ready(self) -> bool:
        # Output arrives with the outcome.
        return self._ready

    @property
    def _chunk_sizes(self) -> dict[str, int]:
        return {}

    def wait(self, timeout: float | None = -1, return_when: str | None = None) -> Any:
        """Wait until all is over; see `ipyparallel.AsyncResult.wait`."""
        if return_when is not None:
            return super().wait(timeout, return_when)
        with self._condition:
            self._condition.wait_for(lambda: self._ready, None if timeout is None or timeout < 0 else timeout)
            return self._ready

    def wait_for_output(self, timeout: float | None = -1) -> bool:
        """Wait until the output is here, which it is when all is over."""
        return bool(self.wait(timeout))

    def wait_for_send(self, timeout: float | None = -1) -> None:
        """Return at once: arguments were copied when the call was submitted, and may be changed at any time."""

    @property
    def sent(self) -> bool:
        """Whether the arguments may be changed. They always may, being copied when the call was submitted."""
        return True

    def abort(self) -> None:
        """Cancel what has not left this client; see `cancel`, which also tells whether it did.

        Raises
        ------
        RuntimeError
            If all is over.
        """
        if self._ready:
            raise RuntimeError("Can't abort, I am already done!")
        self.give_up()

    def give_up(self) -> None:
        """Cancel what has not left; what has does not wait again, should an engine give it back unrun."""
        self.cancel()
