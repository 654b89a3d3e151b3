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
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from ..connection.transport import call_on_engine

if TYPE_CHECKING:
    from ipyparallel import Client

# As it is before a program can say otherwise.
_PLACE = tempfile.gettempdir()


def share_streams(client: Client, engines: Sequence[str], patience: float) -> None:
    """Hand our standard output and error to engines.

    Parameters
    ----------
    client : ipyparallel.Client
    engines : sequence of str
        The UUIDs of engines on this machine.
    patience : float
        Seconds to wait for an engine. One that does not come keeps its own.
    """
    if not hasattr(socket, "send_fds") or not _are_open((1, 2)):
        return
    with tempfile.TemporaryDirectory(prefix="ipython-parallel-", dir=_PLACE) as directory:
        path = os.path.join(directory, "streams")
        with socket.socket(socket.AF_UNIX) as listener, suppress(TimeoutError):
            listener.bind(path)
            listener.listen(len(engines))
            listener.settimeout(patience)
            for engine in engines:
                call_on_engine(client, engine, "take_streams", path, patience)
            for _ in engines:
                connection, _ = listener.accept()
                with connection:
                    socket.send_fds(connection, [b"\0"], [1, 2])


def _are_open(descriptors: tuple[int, ...]) -> bool:
    try:
        for descriptor in descriptors:
            os.fstat(descriptor)
    except OSError:
        return False
    return True
