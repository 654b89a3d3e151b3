"""A future that makes its lock, and its lists of waiters and callbacks, when somebody asks for them.

Of a million calls nobody may ever wait for one by itself: a map's are waited for in order, and most are over by
then. A condition costs more to make than all else a small call needs here.

How it can be right: whoever holds a future's condition sees it over or not over, and nothing in between. If it has a
condition, its end is written, and told to those who wait, with that held. If it has none, the end is written while
none can be made. `wait` and `as_completed` count on it: a future that they found over must not be told to them again.
What must not happen twice, the moves between PENDING, RUNNING and CANCELLED, is decided under the dispatcher's lock
(`task_states`).
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from typing import Any

from . import task_states
from .steady_locks import LastingLock, SteadyCondition

# Held while a condition is put in place, or an end written where there is none. Anything may happen to run on the
# thread that holds it, as the garbage collector does, and may come here again.
_making = LastingLock()
_OVER = (task_states.FINISHED, task_states.CANCELLED, task_states.CANCELLED_AND_NOTIFIED)


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
            made = SteadyCondition()
            waiters: list[Any] = []
            done_callbacks: list[Callable[..., object]] = []
            with _making:
                if self._made_condition is None:
                    self._waiters, self._done_callbacks = waiters, done_callbacks
                    self._made_condition = made
        return self._made_condition

    def done(self) -> bool:
        """Whether the call is over: finished, failed or cancelled. Any thread. Source: PEP 3148."""
        return self._state in _OVER

    def running(self) -> bool:
        """Whether the call is under way: sent, and not done. Any thread. Source: PEP 3148."""
        return self._state == task_states.RUNNING

    def cancelled(self) -> bool:
        """Whether the call was cancelled, and will never run. Any thread. Source: PEP 3148."""
        return self._state in (task_states.CANCELLED, task_states.CANCELLED_AND_NOTIFIED)

    def set_result(self, result: Any) -> None:
        """Settle with a value. Once only, on the thread that settles."""
        if self._state in _OVER:
            raise InvalidStateError(f"{self._state}: {self!r}")
        self._result = result
        self._end(task_states.FINISHED, "add_result")

    def set_exception(self, exception: BaseException | None) -> None:
        """Settle with an error. Once only, on the thread that settles."""
        if self._state in _OVER:
            raise InvalidStateError(f"{self._state}: {self!r}")
        self._exception = exception
        self._end(task_states.FINISHED, "add_exception")

    def tell_cancelled(self) -> None:
        """Tell those who wait for this future that it was cancelled (`task_states.cancel`)."""
        self._end(task_states.CANCELLED_AND_NOTIFIED, "add_cancelled")

    def _end(self, state: str, tell: str) -> None:
        """Write the end, and tell those who wait by this method of theirs."""
        with _making:
            condition = self._made_condition
            if condition is None:
                self._state = state
                return
        with condition:
            self._state = state
            for waiter in self._waiters:
                getattr(waiter, tell)(self)
            condition.notify_all()
        self._invoke_callbacks()  # type: ignore[attr-defined]  # of the standard library, and not in its types
