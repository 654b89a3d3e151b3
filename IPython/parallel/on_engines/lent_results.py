"""Large results that an engine lends to clients of the same host.

Travels to the engine by value: standard library and cloudpickle only.

A result is written into memory to be lent while it is pickled, so that it is copied once. The client reads it as soon
as the report is here, and says in that memory that it has; then the engine uses it again for later results, since
memory that is there already costs a fraction of what new memory does.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Iterable
from typing import Any

from .lent_memory import LEAST, MOST_SPARE, Address, Borrowed, Lent, NotThere, can_borrow
from .shipping import Chunks, raw

# Of what nobody has taken yet. More goes with the reports: it may be for clients that are gone, and never take it.
MOST_LENT = 1 << 30
# Each is an open file.
_MOST_SPARES = 16


class NoMemory(Exception):
    """There is no (more) memory to be lent."""


class Lender:
    """An engine's memory for large results. On the engine's main thread."""

    def __init__(self) -> None:
        self._lent: dict[tuple[str, int], Lent] = {}
        self._spare: deque[Lent] = deque()
        self._clients: dict[str, Address] = {}

    def introduce(self, client: str, probe: Address | None) -> bool:
        """Meet a client, and what it lends itself: when that is gone, so is the client. Forget those that are.

        Whether this process can read what the client lends.
        """
        self._forget_gone()
        if probe is None or not can_borrow(probe):
            return False
        self._clients[client] = Address._make(probe)
        return True

    def _forget_gone(self) -> None:
        for gone in [known for known, its in self._clients.items() if _is_not_there(its)]:
            del self._clients[gone]
            self._lent = {key: lent for key, lent in self._lent.items() if key[0] != gone}

    def may_lend(self, size: int) -> bool:
        """Whether so many bytes more may be lent."""
        return size + sum(lent.room for lent in self._lent.values()) <= MOST_LENT

    def memory(self) -> Lent:
        """Memory to write results into.

        Raises
        ------
        OSError
            If there is none.
        """
        for lent in self._spare:
            if lent.is_taken():
                self._spare.remove(lent)
                lent.renew()
                return lent
        return Lent()

    def lend(self, client: str, number: int, lent: Lent) -> None:
        """Keep the results of a client's group until the client has the report."""
        self._lent[client, number] = lent

    def take_back(self, client: str, heard: Collection[int]) -> None:
        """The client has the reports on these groups, and so what was lent with them: read already, or open there."""
        for key, lent in list(self._lent.items()):
            if (key[0] == client and key[1] in heard) or lent.is_taken():
                self._spare.append(self._lent.pop(key))
        while len(self._spare) > _MOST_SPARES or sum(spare.room for spare in self._spare) > MOST_SPARE:
            self._spare.popleft()

    def wait(self, seconds: float) -> None:
        """Wait until all was taken: this process ends."""
        self._forget_gone()
        deadline = time.monotonic() + seconds
        while not all(lent.is_taken() for lent in self._lent.values()) and time.monotonic() < deadline:
            time.sleep(0.01)


def _is_not_there(probe: Address) -> bool:
    try:
        Borrowed(probe)
    except NotThere:
        return True
    except OSError:  # nobody knows
        return False
    return False


class LargeChunks(Chunks):
    """What a pickler writes, piece by piece: if it is large, it is written into memory to be lent.

    Parameters
    ----------
    may_lend : callable
        ``may_lend(size)`` tells whether so many bytes may be lent.
    memory : callable
        The memory, asked for when it is needed.

    Attributes
    ----------
    start : int or None
        Where the pickle begins in lent memory, if it is there: after `finish`.

    Raises
    ------
    NoMemory
        By `write` and `finish`.
    """

    def __init__(self, may_lend: Callable[[int], bool], memory: Callable[[], Lent]) -> None:
        super().__init__()
        self._may_lend = may_lend
        self._memory = memory
        self.start: int | None = None

    def write(self, piece: Any) -> None:
        size = len(piece) if type(piece) is bytes else memoryview(piece).nbytes
        # At once: this may be memory that is there during this call only.
        if size >= LEAST and (self.start is not None or self._may_lend(size)):
            self._put([*self, raw(piece)])
            self.clear()
        else:
            super().write(piece)

    def finish(self) -> None:
        """The pickle is complete."""
        size = sum(map(len, self))
        if self.start is not None or (size >= LEAST and self._may_lend(size)):
            self._put(self)

    def _put(self, pieces: Iterable[Any]) -> None:
        try:
            start = self._memory().add(pieces)
        except OSError as error:
            raise NoMemory() from error
        if self.start is None:
            self.start = start
