"""Large arguments that an engine of the same host reads out of its caller's memory.

Travels to the engine by value: standard library only. The client uses it, too.

As part of a message an argument goes through the controller, and from there to the Hub besides: it is copied in and
out of the kernel three times each. Here it is copied into memory that has no name in any file system, which the engine
opens by the caller's ``/proc`` entry: once in, once out. Only processes of the same user can, and whatever becomes of
the two, it is gone when neither has it open. Where that does not work (another host, another user, a container, not
Linux), the engine says so when it meets the client.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import itertools
import os
import secrets
import stat
from collections.abc import Sequence
from typing import Any, BinaryIO, NamedTuple

# Less goes faster with the message.
LEAST = 256 * 1024
_COOKIE_BYTES = 16


class Address(NamedTuple):
    """Where lent memory is, and the sizes in bytes of the frames in it: plain values, to be sent."""

    path: str
    cookie: bytes
    sizes: tuple[int, ...]


class Lent:
    """Frames that others may read for as long as this object lives.

    Parameters
    ----------
    frames : sequence of bytes
        Are copied.

    Raises
    ------
    OSError
        If there is no memory for them, or too many files are open; or not on Linux.
    """

    def __init__(self, frames: Sequence[Any]) -> None:
        self._fd = -1
        if not hasattr(os, "memfd_create"):
            raise OSError("memory without a name is Linux's")
        self._fd = os.memfd_create("IPython.parallel")
        cookie = secrets.token_bytes(_COOKIE_BYTES)
        for frame in (cookie, *frames):
            _write(self._fd, memoryview(frame).cast("B"))
        path = f"/proc/{os.getpid()}/fd/{self._fd}"
        self.address = Address(path, cookie, tuple(memoryview(frame).nbytes for frame in frames))

    def __del__(self, close: Any = os.close) -> None:
        if self._fd >= 0:
            close(self._fd)


def _write(fd: int, data: memoryview) -> None:
    while data:
        data = data[os.write(fd, data) :]


class Borrowed:
    """Another process's frames, to be read.

    Parameters
    ----------
    address : Address

    Raises
    ------
    OSError
        If they are not there, or what is there are others.
    """

    def __init__(self, address: Address) -> None:
        path, cookie, sizes = address
        # In another process of that number, anything may be open: a pipe would wait for who writes to it.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        self._file = open(fd, "rb")
        if not stat.S_ISREG(os.fstat(fd).st_mode) or self._file.read(_COOKIE_BYTES) != cookie:
            self._file.close()
            raise FileNotFoundError(f"{path} is not what the caller lent")
        self._starts = tuple(itertools.accumulate(sizes, initial=_COOKIE_BYTES))

    def file_at(self, frame: int) -> BinaryIO:
        """A file that reads on from the beginning of a frame, the first being 0."""
        self._file.seek(self._starts[frame])
        return self._file

    def close(self) -> None:
        self._file.close()


def can_borrow(probe: Address | None) -> bool:
    """Whether this process can read what the one that made `probe` lends."""
    if probe is None:
        return False
    try:
        Borrowed(Address._make(probe)).close()
    except OSError:
        return False
    return True
