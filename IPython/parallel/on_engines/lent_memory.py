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
_COOKIE_BYTES = 16
_PATH = re.compile("/proc/[0-9]+/fd/[0-9]+")
# What of it stays with the lender to be used again.
MOST_SPARE = 32 << 20


class Address(NamedTuple):
    """Where lent memory is: plain values, to be sent."""

    path: str
    cookie: bytes


class NotThere(OSError):
    """Nothing is lent at an address (any more): the lender is gone, or somebody else in its place."""


class Lent:
    """Memory that others may read for as long as this object lives.

    Parameters
    ----------
    *pieces : iterable of bytes
        Are copied, each frame after the one before.

    Attributes
    ----------
    address : Address
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
        self.renew()
        self.starts = [self.add(frames) for frames in pieces]

    def renew(self) -> None:
        """Begin anew in the same memory, once it was taken: memory that is there costs a fraction of new one."""
        cookie = secrets.token_bytes(_COOKIE_BYTES)
        os.lseek(self._fd, 0, os.SEEK_SET)
        self.add([cookie])
        self.address = Address(f"/proc/{os.getpid()}/fd/{self._fd}", cookie)

    def add(self, frames: Iterable[Any]) -> int:
        """Copy frames of bytes, one after the other; where they begin.

        Raises
        ------
        OSError
            If there is no more memory.
        """
        start = os.lseek(self._fd, 0, os.SEEK_CUR)
        for frame in frames:
            _write(self._fd, memoryview(frame).cast("B"))
        return start

    def is_taken(self) -> bool:
        """Whether who borrowed it said that nothing of it will be read any more."""
        return os.pread(self._fd, _COOKIE_BYTES, 0) != self.address.cookie

    def size(self) -> int:
        """How many bytes there are."""
        return os.fstat(self._fd).st_size

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
        path, cookie = address
        if not _PATH.fullmatch(path):
            raise NotThere(f"{path!r} is not where memory is lent")
        try:
            # In another process of that number, anything may be open: a pipe would wait for who writes to it.
            self._fd = os.open(path, self._access | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        except (FileNotFoundError, ProcessLookupError, PermissionError, IsADirectoryError) as error:
            raise NotThere(*error.args) from None
        if not stat.S_ISREG(os.fstat(self._fd).st_mode) or self.read(0, _COOKIE_BYTES) != cookie:
            raise NotThere(f"{path} is not what was lent")

    def read(self, start: int, size: int) -> bytes:
        return os.pread(self._fd, size, start)

    def at(self, start: int) -> io.BufferedReader:
        """A file that reads on from there."""
        return io.BufferedReader(_Reading(self, start))

    def read_into(self, start: int, buffer: Any) -> int:
        return os.preadv(self._fd, [buffer], start)

    def __del__(self, close: Any = os.close) -> None:
        if self._fd >= 0:
            close(self._fd)


class Taken(Borrowed):
    """Memory that is read for the last time: then its lender may use it for other things."""

    _access = os.O_RDWR

    def __del__(self, os: Any = os, most_spare: int = MOST_SPARE, no_cookie: bytes = bytes(_COOKIE_BYTES)) -> None:
        # Whatever path somebody sent us: a file that has a name is not written to.
        if self._fd >= 0 and (status := os.fstat(self._fd)).st_nlink == 0:
            if status.st_size > most_spare:
                os.ftruncate(self._fd, 0)
            else:
                os.pwrite(self._fd, no_cookie, 0)
        super().__del__()


class _Reading(io.RawIOBase):
    """Borrowed memory as a file; several may be read at the same time."""

    def __init__(self, borrowed: Borrowed, position: int) -> None:
        self._borrowed = borrowed
        self._position = position

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = self._borrowed.read_into(self._position, buffer)
        self._position += size
        return size


def is_gone(address: Address) -> bool:
    """Whether the process that lent this is certainly gone."""
    return not os.path.exists(os.path.dirname(os.path.dirname(address.path)))


def can_borrow(probe: Address | None) -> bool:
    """Whether this process can read what the one that made `probe` lends."""
    if probe is None:
        return False
    try:
        Borrowed(probe)
    except OSError:
        return False
    return True
