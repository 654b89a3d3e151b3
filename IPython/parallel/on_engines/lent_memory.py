"""Large arguments and results that processes of one host read out of each other's memory.

Travels to the engine by value: standard library only. The client uses it, too.

As part of a message they go through the controller, and from there to the Hub besides: they are copied in and out of
the kernel three times each. Here they are copied into memory that has no name in any file system, which the other one
opens by the lender's ``/proc`` entry: once in, once out. Only processes of the same user can, and whatever becomes of
the two, it is gone when neither has it open. Where that does not work (another host, another user, a container, not
Linux), client and engine find out when they meet.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import io
import os
import re
import secrets
import stat
from collections.abc import Iterable
from typing import Any, NamedTuple

# Less goes faster with the message.
LEAST = 256 * 1024
# Memory of more than that is not used again.
MOST_SPARE = 32 << 20

# It begins with the cookie by which a borrower knows it, and the one of those who have taken what is there.
_COOKIE = 16
# Of the flags of a process.
_IS_ENDING = 4
_PATH = re.compile("/proc/([0-9]+)/fd/[0-9]+")


class Address(NamedTuple):
    """Where lent memory is: plain values, to be sent."""

    path: str
    cookie: bytes


class NotThere(OSError):
    """Nothing is lent at an address (any more)."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path} is not what was lent: {reason}")
        self.path = path


class Lent:
    """Memory that others may read for as long as this object lives.

    Parameters
    ----------
    *pieces : iterable of bytes
        Are copied, each frame after the one before.

    Attributes
    ----------
    address : Address
    size : int
        How many bytes there are.
    room : int
        How many there were at most: what it takes of the system's memory.
    starts : list of int
        Where each piece begins.

    Raises
    ------
    OSError
        If there is none, or too many files are open; or not on Linux.
    """

    def __init__(self, *pieces: Iterable[Any]) -> None:
        self._fd = -1
        if not hasattr(os, "memfd_create"):
            raise OSError("memory without a name is Linux's")
        self._fd = os.memfd_create("IPython.parallel")
        self.room = 0
        self.renew()
        self.starts = [self.add(frames) for frames in pieces]

    def renew(self) -> None:
        """Begin anew in the same memory, once it was taken: memory that is there costs a fraction of new one."""
        cookie = secrets.token_bytes(_COOKIE)
        self.size = 0
        self.add([cookie, bytes(_COOKIE)])
        self.address = Address(f"/proc/{os.getpid()}/fd/{self._fd}", cookie)

    def add(self, frames: Iterable[Any]) -> int:
        """Copy frames of bytes, one after the other; where they begin.

        Raises
        ------
        OSError
            If there is no more memory.
        """
        start = self.size
        # Where the last piece that is whole ends: there may have been no room for all of one.
        os.lseek(self._fd, start, os.SEEK_SET)
        try:
            for frame in frames:
                _write(self._fd, memoryview(frame).cast("B"))
        except BaseException:
            os.ftruncate(self._fd, max(start, self.room))
            raise
        self.size = os.lseek(self._fd, 0, os.SEEK_CUR)
        self.room = max(self.room, self.size)
        return start

    def is_taken(self) -> bool:
        """Whether who borrowed it said that nothing of it will be read any more."""
        return os.pread(self._fd, _COOKIE, _COOKIE) == self.address.cookie

    def __del__(self, close: Any = os.close) -> None:  # of an exiting interpreter, modules may be gone
        if self._fd >= 0:
            close(self._fd)


def lend(*pieces: Iterable[Any]) -> Lent | None:
    """`Lent` memory, or None where there is none."""
    try:
        return Lent(*pieces)
    except OSError:
        return None


def _write(fd: int, data: memoryview) -> None:
    while data:
        data = data[os.write(fd, data) :]


class Borrowed:
    """Another process's memory, to be read for as long as this object or one of its readers lives.

    Parameters
    ----------
    address : Address

    Raises
    ------
    NotThere
        If it is not there, or what is there is other.
    OSError
        If too many files are open, say.
    """

    _access = os.O_RDONLY

    def __init__(self, address: Address) -> None:
        self._fd = -1
        self.address = address
        path, cookie = address
        if not _PATH.fullmatch(path):
            raise NotThere(path, "nothing is lent there")
        try:
            # In another process of that number, anything may be open: a pipe would wait for who writes to it.
            self._fd = os.open(path, self._access | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        except (FileNotFoundError, ProcessLookupError, PermissionError, IsADirectoryError) as error:
            raise NotThere(path, str(error.strerror)) from None
        # The size first: where the cookie is still the one that was sent, that size is of what was lent with it.
        status = os.fstat(self._fd)
        self._size = status.st_size
        if not stat.S_ISREG(status.st_mode) or status.st_nlink or os.pread(self._fd, _COOKIE, 0) != cookie:
            os.close(self._fd)
            self._fd = -1
            raise NotThere(path, "it is another's")

    def at(self, start: int) -> io.BufferedReader:
        """A file that reads on from there."""
        return io.BufferedReader(_Reading(self, start))

    def read_into(self, start: int, buffer: Any) -> int:
        return os.preadv(self._fd, [buffer], start)

    def __del__(self, close: Any = os.close) -> None:
        if self._fd >= 0:
            close(self._fd)


class Taken(Borrowed):
    """Memory that is read for the last time: then its lender may use it for other things.

    Or has: another may have taken the same, and then it is not what it was.
    """

    _access = os.O_RDWR

    def __init__(self, address: Address) -> None:
        self._taker = 0
        super().__init__(address)
        self._taker = os.getpid()

    def __del__(self, os: Any = os, most: int = MOST_SPARE, where: int = _COOKIE) -> None:
        # A forked child has no part in it.
        if self._taker == os.getpid() and os.pread(self._fd, where, 0) == self.address.cookie:
            os.pwrite(self._fd, self.address.cookie, where)
            if self._size > most:
                os.ftruncate(self._fd, 2 * where)
        super().__del__()


class _Reading(io.RawIOBase):
    """Borrowed memory as a file; several may be read at the same time."""

    def __init__(self, borrowed: Borrowed, position: int) -> None:
        self._borrowed: Borrowed | None = borrowed
        self._position = position

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._borrowed is None:
            raise ValueError("it was closed")
        size = self._borrowed.read_into(self._position, buffer)
        self._position += size
        return size

    def close(self) -> None:
        self._borrowed = None
        super().close()


def can_borrow(probe: Address | None, kind: type[Borrowed] = Borrowed) -> bool:
    """Whether this process can read what the one that made `probe` lends, in that way."""
    if probe is None:
        return False
    try:
        kind(Address._make(probe))
    except OSError:
        return False
    return True


def is_gone(error: OSError) -> bool:
    """Whether something is not there because the process that had lent it has ended."""
    found = _PATH.fullmatch(error.path) if isinstance(error, NotThere) else None
    if found is None:
        return False
    try:
        with open(f"/proc/{found[1]}/stat") as file:
            state, *numbers = file.read().rpartition(")")[2].split()
        return state in ("Z", "X") or bool(int(numbers[5]) & _IS_ENDING)
    except (FileNotFoundError, ProcessLookupError):
        return True
    except OSError:
        return False
