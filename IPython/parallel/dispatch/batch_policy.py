"""How many calls go into one message: pure arithmetic.

Small calls pay for their message, not for themselves: they are grouped until a group lasts about `TARGET` seconds.
Long calls travel alone, one to an engine, so that none waits behind another while an engine is idle. What a call
will last is guessed from those before it. Growth is careful (twice, at most), shrinking immediate: a wrong guess
upward costs idle engines, a wrong guess downward a few messages.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

# Longer groups would spread less evenly and answer later; shorter ones would pay more for messages (about 3 ms each).
TARGET = 0.02
# More calls than this in one message gain nothing, and only delay the first result.
MOST = 512
# A group that lasts longer than this gives back what it has not begun: five times what was wanted.
OVERRUN = 5 * TARGET
# With groups this short, a second one waits at the engine while the first runs, to hide the way there and back.
PREFETCH_BELOW = 0.05


class BatchPolicy:
    """Sizes of groups from measured durations. Not thread-safe: called with the dispatcher's lock held."""

    def __init__(self) -> None:
        self._size = 1
        self._seconds: float | None = None

    def __repr__(self) -> str:
        return f"<BatchPolicy: {self._size} calls a group>"

    def depth(self) -> int:
        """How many groups an engine may have at a time: the running one, and one that waits behind it."""
        return 2 if self._seconds is not None and self._seconds * self._size < PREFETCH_BELOW else 1

    def size(self, waiting: int, engines: int) -> int:
        """How many of the `waiting` calls go into the next group, given that many `engines`."""
        fair_share = -(-waiting // (engines * self.depth()))
        return max(1, min(self._size, fair_share))

    def observe(self, calls: int, seconds: float) -> None:
        """Learn from a finished group of `calls` that lasted `seconds` on the engine."""
        if calls == 0:
            return
        per_call = seconds / calls
        self._seconds = per_call if self._seconds is None else 0.5 * (self._seconds + per_call)
        wanted = int(TARGET / max(per_call, 1e-6))
        if wanted < self._size:
            self._size = max(1, wanted)
        elif 2 * calls >= self._size:  # groups smaller than allowed say nothing about larger ones
            self._size = min(wanted, 2 * self._size, MOST)
        self._size = max(1, self._size)

    def overrun(self) -> None:
        """A group lasted far longer than wanted: begin again with calls that travel alone."""
        self._size, self._seconds = 1, None
