"""Sockets of ours, and their streams, connected to where a socket of the client's is."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

from typing import Any

import zmq
from ipyparallel import Client
from ipyparallel.util import connect
from zmq.eventloop.zmqstream import ZMQStream

_KEYS = ("curve_serverkey", "curve_secretkey", "curve_publickey")


class OwnStream(ZMQStream):
    """A stream that may be closed while news of its socket is on the way: nothing to warn anybody of."""

    def _handle_events(self, fd: Any, events: int) -> None:
        if self.socket is not None:
            super()._handle_events(fd, events)  # type: ignore[no-untyped-call]


def open_socket(client: Client, kind: int = zmq.DEALER) -> zmq.Socket[bytes]:
    """A socket that is not connected yet, and whose closing waits for nothing."""
    socket = client._context.socket(kind)
    socket.linger = 0
    return socket  # type: ignore[no-any-return]


def connect_like(socket: zmq.Socket[bytes], client: Client, model: zmq.Socket[bytes]) -> None:
    """Connect `socket` as the client connected `model`: through its tunnel, if there is one, and with its keys."""
    endpoint = model.getsockopt(zmq.LAST_ENDPOINT).rstrip(b"\0").decode()  # type: ignore[union-attr]
    connect(socket, endpoint, **{name: getattr(client, name) for name in _KEYS})
