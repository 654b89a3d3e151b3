"""A future that makes its lock, and its lists of waiters and callbacks, when somebody asks for them.

Of a million calls nobody may ever wait for one by itself: a map's are waited for in order, and most are over by
then. A condition costs more to make than all else a small call needs here.

How it can be right without a lock: whoever settles writes the state first and looks for a condition then; whoever
waits makes the condition first and looks at the state then. One of them sees the other. What must not happen twice,
the moves between PENDING, RUNNING and CANCELLED, is decided under the dispatcher's lock (`task_states`).
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from typing import Any

from . import task_states

_making = threading.Lock()
_OVER = (task_states.FINISHED, task_states.CANCELLED_AND_NOTIFIED)


class LazyFuture(Future):  # type: ignore[type-arg]
    """The fields and moves of `concurrent.futures.Future`, made when needed."""

    _state = task_states.PENDING
    _result: Any = None
    _exception: BaseException | None = None
    _waiters: Any = ()
    _done_callbacks: Any = ()
    _made_condition: threading.Condition | None = None

    def __init__(self) -> None:
        pass  # and nobody has to call it

    @property
    def _condition(self) -> threading.Condition:  # type: ignore[override]
        if self._made_condition is None:
            with _making:
                if self._made_condition is None:
                    self._waiters, self._done_callbacks = [], []
                    self._made_condition = threading.Condition()
        return self._made_condition  # type: ignore[return-value]

    def done(self) -> bool:
        """Whether the call is over: finished, failed or cancelled. Any thread. Source: PEP 3148."""
        return self._state in _OVER

    def running(self) -> bool:
        """Whether the call is under way: sent, and not done. Any thread. Source: PEP 3148."""
        return self._state == task_states.RUNNING

    def cancelled(self) -> bool:
        """Whether the call was cancelled, and will never run. Any thread. Source: PEP 3148."""
        return self._state == task_states.CANCELLED_AND_NOTIFIED

    def set_result(self, result: Any) -> None:
        """Settle with a value. Once only, on the thread that settles."""
        self._check_open()
        self._result = result
        self._settled(lambda waiter: waiter.add_result(self))

    def set_exception(self, exception: BaseException | None) -> None:
        """Settle with an error. Once only, on the thread that settles."""
        self._check_open()
        self._exception = exception
        self._settled(lambda waiter: waiter.add_exception(self))

    def _check_open(self) -> None:
        if self._state in _OVER:
            raise InvalidStateError(f"{self._state}: {self!r}")

    def _settled(self, tell: Callable[[Any], None]) -> None:
        self._state = task_states.FINISHED
        if self._made_condition is not None:
            self._tell_waiters(tell)
            self._invoke_callbacks()

    def tell_cancelled(self) -> None:
        """Tell those who wait for this future that it was cancelled (`task_states.cancel`)."""
        if self._made_condition is not None:
            self._tell_waiters(lambda waiter: waiter.add_cancelled(self))
            self._invoke_callbacks()

    def _tell_waiters(self, tell: Callable[[Any], None]) -> None:
        with self._condition:
            for waiter in self._waiters:
                tell(waiter)
            self._condition.notify_all()
