"""Which calls an engine has begun, in a file that outlives the engine.

Travels to the engine by value: standard library only. The client uses it, too.

An engine that is killed cannot say any more what it had begun. But which of the calls sent to it may run elsewhere,
and which may not because they have run, wholly or in part, hangs on just that. So the engine writes it down before
each call, into a file mapped into its memory: a store of eight bytes, which the system keeps whatever becomes of the
engine. Whoever is on the same host, as the client of a local cluster is or another engine, can read it then.

The reader writes, too: it *revokes* the groups it gives up, before it reads. An engine that was only stopped, or cut
off, and goes on later, notes that it begins a call, then looks whether the group is revoked, and does not run it. The
two orders (note, look; revoke, read) make sure that no call is run here and given to another engine as well.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import atexit
import contextlib
import mmap
import os
import secrets
import socket
import tempfile
import time
from typing import Any, NamedTuple

# A cluster that removes a directory at its end can name it here.
DIRECTORY_VARIABLE = "IPYTHON_PARALLEL_RUNTIME_DIR"

_COOKIE_BYTES = 16
_SLOTS = 4095  # each of 16 bytes: what was begun, and what is revoked
_SIZE = 16 * (_SLOTS + 1)
_CALLS_BITS = 24
# A processor may let a store wait that long (far less, in truth) before others see it. Seconds.
_SETTLING = 0.001


class Address(NamedTuple):
    """Where a client's part of an engine's journal is: plain values, to be sent."""

    host: str
    path: str
    cookie: bytes
    slot: int


class Begun(NamedTuple):
    """The last group of a client's that an engine began, and how many of its calls."""

    group: int
    calls: int


class Slot:
    """One client's part of a journal, for the engine to write."""

    def __init__(self, words: Any, slot: int) -> None:
        self._words = words
        self._at = 2 * (slot + 1)

    def begin(self, group: int, call: int) -> bool:
        """Note that the engine begins a call, the first being 0; False if it must not. On the engine's main thread."""
        words, at = self._words, self._at
        words[at] = group << _CALLS_BITS | call + 1
        return bool(words[at + 1] < group)


class Journal:
    """An engine's journal; the file goes when the engine ends in an orderly way."""

    def __init__(self) -> None:
        directory = os.environ.get(DIRECTORY_VARIABLE)
        fd, self._path = tempfile.mkstemp(prefix="ipython-parallel-engine-", dir=directory)
        try:
            os.ftruncate(fd, _SIZE)
            self._words = memoryview(mmap.mmap(fd, _SIZE)).cast("Q")
        finally:
            os.close(fd)
        self._cookie = secrets.token_bytes(_COOKIE_BYTES)
        self._words.cast("B")[:_COOKIE_BYTES] = self._cookie
        self._slots: dict[str, int] = {}
        atexit.register(self._remove, os.getpid())

    def address(self, client: str) -> Address | None:
        """Where `client` finds its part; None if there are too many clients."""
        slot = self._slots.setdefault(client, len(self._slots))
        return Address(socket.gethostname(), self._path, self._cookie, slot) if slot < _SLOTS else None

    def slot(self, client: str) -> Slot | None:
        """The part of a client that knows its address."""
        slot = self._slots.get(client, _SLOTS)
        return Slot(self._words, slot) if slot < _SLOTS else None

    def _remove(self, owner: int) -> None:
        if os.getpid() == owner:  # not a child that a call forked
            with contextlib.suppress(OSError):
                os.unlink(self._path)


def revoke(address: Address, group: int) -> Begun | None:
    """Let an engine begin no more calls of groups up to `group`, and tell what it has begun.

    None if that cannot be known here: on another host, or when the file is gone. Takes about a millisecond.
    """
    if address.host != socket.gethostname():
        return None
    try:
        with open(address.path, "r+b") as file, mmap.mmap(file.fileno(), _SIZE) as memory:
            if memory[:_COOKIE_BYTES] != address.cookie:
                return None
            with memoryview(memory) as data, data.cast("Q") as words:
                at = 2 * (address.slot + 1)
                words[at + 1] = max(words[at + 1], group)
                time.sleep(_SETTLING)
                return Begun(words[at] >> _CALLS_BITS, words[at] & (1 << _CALLS_BITS) - 1)
    except (OSError, ValueError):
        return None
