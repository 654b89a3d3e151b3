"""A connection of ours to the controller's direct (mux) queue, beside the client's own.

Two sockets: one sends, from whatever thread has something to send, since handing it to another thread would cost more
than a small call does; the other receives, on a thread of its own. What is sent says where the answer is to go.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any

import zmq
from ipyparallel import Client

from .own_sockets import connect_like, open_socket
from .report_listener import ReportListener

# Frames from this size on are sent without a copy, which has a cost of its own.
_UNCOPIED = 64 * 1024
# Milliseconds that a socket has to send what was sent with it, when another takes its place.
_LINGER = 2000


class MuxConnection:
    """Sends from any thread; gives what comes to `receive`, on the thread of a `ReportListener`.

    Parameters
    ----------
    client : ipyparallel.Client
    receive : callable
        Called with the frames of a message. Must not block.
    """

    def __init__(self, client: Client, receive: Callable[[Any], None]) -> None:
        self.address = f"{client.session.session}-reports"
        # A socket may be used by one thread after the other, with a lock between them.
        self._lock = threading.Lock()
        self._waiting: list[list[Any]] | None = []  # until answers can come
        self._closed = False
        self._client = weakref.ref(client)
        self._outgoing = _open_outgoing(client)
        incoming = open_socket(client)
        incoming.setsockopt(zmq.ROUTING_ID, self.address.encode())
        incoming.setsockopt(zmq.RCVHWM, 0)
        self._listener = ReportListener(incoming, self._send_waiting, receive)
        connect_like(incoming, client, client._mux_socket)
        self._listener.start()

    def send(self, message: list[Any]) -> None:
        """Send a message. Any thread; never blocks.

        Raises
        ------
        RuntimeError
            If the connection is closed.
        """
        with self._lock:
            if self._closed:
                raise RuntimeError("the client is closed; make a new Client")
            if self._waiting is not None:
                self._waiting.append(message)
            else:
                self._send(message)

    def _send(self, message: list[Any]) -> None:
        try:
            self._outgoing.send_multipart(message, copy=is_small(message))
        except BaseException:  # Ctrl-C between two frames: what is sent next would be taken for the others
            self._change_outgoing()
            raise

    def _change_outgoing(self) -> None:
        client = self._client()
        if client is not None:
            self._outgoing.close(linger=_LINGER)
            self._outgoing = _open_outgoing(client)

    def close(self) -> None:
        """Send and receive no more. Any thread."""
        with self._lock:
            self._closed = True
            self._outgoing.close()
        self._listener.stop()

    def _send_waiting(self) -> None:
        """The controller knows us by our address now: it would have dropped an answer that came before."""
        with self._lock:
            waiting, self._waiting = self._waiting or [], None
            for message in waiting if not self._closed else ():
                self._send(message)


def _open_outgoing(client: Client) -> zmq.Socket[bytes]:
    socket = open_socket(client)
    socket.setsockopt(zmq.SNDHWM, 0)  # never full: sending does not block
    connect_like(socket, client, client._mux_socket)
    return socket


def is_small(message: list[Any]) -> bool:
    """Whether to copy its frames when they are sent."""
    return all(len(frame) < _UNCOPIED for frame in message)
