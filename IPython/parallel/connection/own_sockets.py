"""Sockets of ours, connected to where a socket of the client's is."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import zmq
from ipyparallel import Client
from ipyparallel.util import connect

_KEYS = ("curve_serverkey", "curve_secretkey", "curve_publickey")


def open_socket(client: Client, kind: int = zmq.DEALER) -> zmq.Socket[bytes]:
    """A socket that is not connected yet, and whose closing waits for nothing."""
    socket = client._context.socket(kind)
    socket.linger = 0
    return socket  # type: ignore[no-any-return]


def connect_like(socket: zmq.Socket[bytes], client: Client, model: zmq.Socket[bytes]) -> None:
    """Connect `socket` as the client connected `model`: through its tunnel, if there is one, and with its keys."""
    endpoint = model.getsockopt(zmq.LAST_ENDPOINT).rstrip(b"\0").decode()  # type: ignore[union-attr]
    connect(socket, endpoint, **{name: getattr(client, name) for name in _KEYS})
