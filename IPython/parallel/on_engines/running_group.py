"""A group of calls while it runs, and the watchdog that sleeps beside it."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import contextlib
import math
import pickle
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from . import lent_memory, shipping

# Results up to this many bytes travel inside the report, larger ones in frames of their own.
INLINE = shipping.INLINE


class RunningGroup:
    """The calls of one message while they run.

    Parameters
    ----------
    header : dict
        What the client sent; the client's `transport.header_of` has the layout.
    frames : list of bytes or memoryview
        The payloads too large for the header, unless the caller lends them.
    """

    def __init__(self, header: dict[str, Any], frames: list[Any]) -> None:
        self.header = header
        self._frames = frames
        self._borrowed: lent_memory.Borrowed | None = None
        self.waiting = deque(header["calls"])
        self.outcomes: list[tuple[Any, ...]] = []
        self.returned: list[int] = []
        self.large: list[bytes] = []

    def pickled(self, payload: Any) -> Any:
        """A call's pickled arguments, as `shipping.loads` takes them: what came with the call, or in these frames."""
        if type(payload) is not range:
            return payload
        if self.header["lent"] is None:
            return [self._frames[number] for number in payload]
        if self._borrowed is None:
            self._borrowed = lent_memory.Borrowed(lent_memory.Address._make(self.header["lent"]))
        return self._borrowed.file_at(payload.start - 1)

    def close(self) -> None:
        """No more calls will be read."""
        if self._borrowed is not None:
            self._borrowed.close()

    def placed(self, data: bytes | list[bytes]) -> bytes | range:
        """What stands for a pickle in an outcome: itself, or the numbers of its frames."""
        if type(data) is bytes and len(data) <= INLINE:
            return data
        first = len(self.large) + 1
        self.large += data if isinstance(data, list) else [data]
        return range(first, len(self.large) + 1)

    def give_back(self) -> None:
        """Take from the group what has not begun. Any thread."""
        with contextlib.suppress(IndexError):
            while True:
                self.returned.append(self.waiting.popleft()[0])

    def report(self, epoch: int, last: int) -> list[bytes]:
        outcomes, returned = list(self.outcomes), list(self.returned)
        head = {"epoch": epoch, "last": last, "outcomes": outcomes, "returned": returned}
        return [pickle.dumps(head, pickle.HIGHEST_PROTOCOL), *self.large]


class Watchdog(threading.Thread):
    """Sleeps beside the running group, and lets it overrun when its time is up.

    Waking a thread costs more than a small call: it is woken for a group only if it sleeps without a limit. Otherwise
    it wakes by itself when the time of an earlier group would have been up, and looks what runs now.
    """

    def __init__(self, overrun: Callable[[RunningGroup], None]) -> None:
        super().__init__(name="IPython.parallel watchdog", daemon=True)
        self._overrun = overrun
        self._changed = threading.Condition()
        self._group: RunningGroup | None = None
        self._deadline = 0.0
        self._wakes = math.inf  # when it looks again by itself

    @contextlib.contextmanager
    def watching(self, group: RunningGroup, seconds: float) -> Iterator[None]:
        with self._changed:
            self._group, self._deadline = group, time.monotonic() + seconds
            if self._wakes > self._deadline:
                self._changed.notify()
        try:
            yield
        finally:
            # Taking the lock waits for an overrun that has begun, so that the final report comes after it.
            with self._changed:
                self._group = None

    def run(self) -> None:
        with self._changed:
            while True:
                left = self._deadline - time.monotonic()
                if left > 0:
                    self._sleep(left)
                elif self._group is None:
                    self._sleep(None)
                else:
                    group, self._group = self._group, None
                    self._overrun(group)

    def _sleep(self, seconds: float | None) -> None:
        self._wakes = math.inf if seconds is None else time.monotonic() + seconds
        self._changed.wait(seconds)
