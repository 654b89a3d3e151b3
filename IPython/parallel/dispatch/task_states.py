"""The life of a task, as a table of moves, and the moves themselves.

The states are those of PEP 3148. A task is PENDING while it lies in the client's buffer, RUNNING once it has left
it: the dispatcher's lock decides between a cancel and the group that wants to take the task along. A task that its
engine gives back without having run it lies in the buffer again, and is PENDING again.

Each of these functions is called with the dispatcher's lock held, or before anybody else knows the future.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

from concurrent.futures import Future
from concurrent.futures import _base as _stdlib
from typing import Any

PENDING = _stdlib.PENDING
RUNNING = _stdlib.RUNNING
CANCELLED = _stdlib.CANCELLED
CANCELLED_AND_NOTIFIED = _stdlib.CANCELLED_AND_NOTIFIED
FINISHED = _stdlib.FINISHED

MOVES: dict[str, tuple[str, ...]] = {
    PENDING: (RUNNING, CANCELLED, FINISHED),  # FINISHED at once: the call could not be pickled
    RUNNING: (FINISHED, PENDING),  # PENDING: an engine gave the call back unrun
    CANCELLED: (CANCELLED_AND_NOTIFIED,),
    CANCELLED_AND_NOTIFIED: (),
    FINISHED: (),
}


_MAY_BEGIN = frozenset(state for state, moves in MOVES.items() if RUNNING in moves)


def begin(future: Future[Any]) -> bool:
    """Move to RUNNING; False if a cancel came first."""
    if future._state not in _MAY_BEGIN:
        return False
    future._state = RUNNING
    return True


def give_back(future: Future[Any]) -> None:
    """Move back to PENDING: the task never ran where it was sent."""
    _move(future, PENDING)


def cancel(future: Future[Any]) -> bool | None:
    """Cancel a task that is still PENDING.

    Returns
    -------
    bool or None
        True if this call cancelled it, and the caller is to tell those who wait, without the lock
        (`LazyFuture.tell_cancelled`, which makes it CANCELLED_AND_NOTIFIED); None if it was cancelled before; False
        if it is running or finished.

    Notes
    -----
    The standard library notifies ``wait()`` and ``as_completed()`` of a cancelled future when its executor comes to
    it. Here nobody will come to it any more, so whoever cancels does.
    """
    if _move(future, CANCELLED):
        return True
    return None if future._state in (CANCELLED, CANCELLED_AND_NOTIFIED) else False


def _move(future: Future[Any], state: str) -> bool:
    """Make the move if the table has it; a wrong move changes nothing."""
    allowed = state in MOVES[future._state]
    if allowed:
        future._state = state
    return allowed
