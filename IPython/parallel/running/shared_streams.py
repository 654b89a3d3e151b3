"""Let engines on this machine write to this process's own standard output and error, as forked workers do.

What calls print comes home with their results. What they write past ``sys.stdout``, by `os.write`, from C code or in
programs they start, goes to the file descriptors 1 and 2: an engine has them from its launcher, and lets IPython
watch them. While calls run it has ours instead, which it gets over a socket.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from ..connection.transport import call_on_engine
from .local_cluster import place_of_temporary_files

if TYPE_CHECKING:
    from ipyparallel import Client

# As it is before a program can say otherwise.
_PLACE = place_of_temporary_files()
# Bytes that the path of a socket may have on every system; an engine's name has fewer.
_LONGEST = 100


def share_streams(client: Client, engines: Sequence[str], patience: float) -> set[str]:
    """Hand our standard output and error to engines.

    Parameters
    ----------
    client : ipyparallel.Client
    engines : sequence of str
        The UUIDs of engines on this machine.
    patience : float
        Seconds to wait for an engine. One that does not come keeps its own.

    Returns
    -------
    set of str
        Those that have come; all, where there is nothing to hand on.
    """
    if not hasattr(socket, "send_fds") or not _are_open((1, 2)):
        return set(engines)
    came: set[str] = set()
    # It is over when one died, say, or does not come.
    with suppress(OSError):
        with tempfile.TemporaryDirectory(prefix="ipython-parallel-", dir=_PLACE) as directory:
            with _path_in(directory) as path, socket.socket(socket.AF_UNIX) as listener:
                listener.bind(path)
                listener.listen(len(engines))
                listener.settimeout(patience)
                for engine in engines:
                    call_on_engine(client, engine, "take_streams", path, patience)
                for _ in engines:
                    came.add(_give_away(listener, patience))
    return came


def _give_away(listener: socket.socket, patience: float) -> str:
    """Give them to the next one that comes, who says its name."""
    connection, _ = listener.accept()
    with connection:
        connection.settimeout(patience)
        name = connection.recv(_LONGEST).decode()
        socket.send_fds(connection, [b"\0"], [1, 2])
    return name


@contextmanager
def _path_in(directory: str) -> Iterator[str]:
    """The name of a socket in a directory, whose own name may be too long for a socket's."""
    path = os.path.join(directory, "streams")
    if len(os.fsencode(path)) <= _LONGEST or not os.path.isdir("/proc/self/fd"):
        yield path
        return
    opened = os.open(directory, os.O_RDONLY)
    try:
        yield f"/proc/{os.getpid()}/fd/{opened}/streams"
    finally:
        os.close(opened)


def _are_open(descriptors: tuple[int, ...]) -> bool:
    try:
        for descriptor in descriptors:
            os.fstat(descriptor)
    except OSError:
        return False
    return True
