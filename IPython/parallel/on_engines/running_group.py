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

from . import lent_memory, lent_results, shipping

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
    lender : Lender or None
        Lends large results to the caller, if it can borrow them.
    """

    def __init__(self, header: dict[str, Any], frames: list[Any], lender: lent_results.Lender | None = None) -> None:
        self.header = header
        self._frames = frames
        self._borrowed: lent_memory.Borrowed | None = None
        self._lender = lender
        self.lent: lent_memory.Lent | None = None
        self.waiting = deque(header["calls"])
        self.outcomes: list[tuple[Any, ...]] = []
        self.returned: list[int] = []
        self.large: list[bytes] = []

    def pickled(self, payload: Any) -> Any:
        """A call's pickled arguments, as `shipping.loads` takes them: what came with the call, or in these frames."""
        if type(payload) is int:
            if self._borrowed is None:
                self._borrowed = lent_memory.Borrowed(lent_memory.Address._make(self.header["lent"]))
            return self._borrowed.at(payload)
        return [self._frames[number] for number in payload] if type(payload) is range else payload

    def close(self) -> None:
        """No more calls will be read."""
        self._borrowed = None

    def dump(self, value: Any) -> bytes | range | int:
        """Pickle a value; what stands for that in an outcome."""
        if self._lender is not None:
            with contextlib.suppress(lent_results.NoMemory):  # it goes with the report
                return self._dump_to_lend(value, self._lender)
        return self.placed(shipping.dump_frames(value))

    def _dump_to_lend(self, value: Any, lender: lent_results.Lender) -> bytes | range | int:
        own = 0 if self.lent is None else self.lent.size
        chunks = lent_results.LargeChunks(lambda size: lender.may_lend(size + own), self._memory)
        shipping.Pickler(chunks).dump(value)
        chunks.finish()
        return self.placed(chunks.frames()) if chunks.start is None else chunks.start

    def _memory(self) -> lent_memory.Lent:
        if self.lent is None:
            assert self._lender is not None
            self.lent = self._lender.memory()
        return self.lent

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
        lent = None if self.lent is None else tuple(self.lent.address)
        head = {"epoch": epoch, "last": last, "outcomes": outcomes, "returned": returned, "lent": lent}
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
                    del group  # or this thread would keep what it has lent

    def _sleep(self, seconds: float | None) -> None:
        self._wakes = math.inf if seconds is None else time.monotonic() + seconds
        self._changed.wait(seconds)
