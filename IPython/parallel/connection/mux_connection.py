"""A connection of ours to the controller's direct (mux) queue, beside the client's own.

Two sockets: one sends, from whatever thread has something to send, since handing it to another thread would cost more
than a small call does; the other receives, on a thread of its own. What is sent says where the answer is to go.

ZeroMQ mends connections that break, without a word; what was in them is lost. So this one watches itself, and says so.
An address is used for one connection only: a controller that has not heard of the end of the old one would not take
the new one for it.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import logging
import weakref
from collections.abc import Callable
from typing import Any

import zmq
from ipyparallel import Client

from ..dispatch.steady_locks import LastingLock
from .own_sockets import connect_like, open_socket
from .report_listener import ReportListener

_logger = logging.getLogger(__name__)

# Frames from this size on are sent without a copy, which has a cost of its own.
_UNCOPIED = 64 * 1024
# Milliseconds that a socket has to send what was sent with it, when another takes its place.
_LINGER = 2000
# Milliseconds between heartbeats on the two sockets, and how long to wait for an answer. They keep a connection known
# to whatever is between, and end one that is dead without a word.
_HEARTBEAT, _HEARTBEAT_TIMEOUT = 5_000, 15_000
# Seconds between two looks at what has had no answer for long.
LOOK = 5.0
# Seconds after which to try again to make a connection.
AGAIN = 1.0


class MuxConnection:
    """Sends from any thread; gives what comes to `receive`, on the thread of a `ReportListener`.

    Parameters
    ----------
    client : ipyparallel.Client
    receive : callable
        Called with the frames of a message. Must not block.
    doubt : callable
        ``doubt(True)`` is called when messages to or from the controller may have been lost, ``doubt(False)`` every few
        seconds: what is lost elsewhere, between controller and engine, nobody hears of. On a receiving thread; must not
        block.

    Attributes
    ----------
    address : str
        Where answers are to go: what comes to an earlier address is lost.
    """

    def __init__(self, client: Client, receive: Callable[[Any], None], doubt: Callable[[bool], None]) -> None:
        self._receive = receive
        self._doubt = doubt
        self._loop = client._io_loop
        self._number = 0  # of the connection to receive by
        # A socket may be used by one thread after the other, with a lock between them.
        self._lock = LastingLock()
        self._waiting: list[list[Any]] | None = []  # until answers can come
        self._closed = False
        self._client = weakref.ref(client)
        self._outgoing = _open_outgoing(client)
        self._listen(client)
        self._loop.add_callback(self._look)

    def _listen(self, client: Client) -> None:
        self._number += 1
        self.address = f"{client.session.session}-reports-{self._number}"
        incoming = open_socket(client)
        incoming.setsockopt(zmq.ROUTING_ID, self.address.encode())
        incoming.setsockopt(zmq.RCVHWM, 0)
        _beat(incoming)
        self._listener = ReportListener(incoming, self._hear_connected, self._listen_anew, self._receive)
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

    # -- on the listener's thread, and on the client's receiving thread where a connection could not be made

    def _hear_connected(self) -> None:
        """The controller knows us by our address now: it would have dropped an answer that came before."""
        with self._lock:
            waiting, self._waiting = self._waiting or [], None
            for message in waiting if not self._closed else ():
                self._send(message)
        if self._number > 1:
            self._doubt(True)

    def _listen_anew(self) -> None:
        client = self._client()
        with self._lock:
            if self._closed or client is None:
                return
            self._waiting = []
            try:
                self._listen(client)
            except Exception:  # too many open files, say: what is to be sent waits
                _logger.exception("no connection for reports could be made; it is tried again")
                self._loop.add_callback(self._loop.call_later, AGAIN, self._listen_anew)

    # -- on the client's receiving thread

    def _look(self) -> None:
        if not self._closed and self._client() is not None:
            self._doubt(False)
            self._loop.call_later(LOOK, self._look)


def _open_outgoing(client: Client) -> zmq.Socket[bytes]:
    socket = open_socket(client)
    socket.setsockopt(zmq.SNDHWM, 0)  # never full: sending does not block
    _beat(socket)
    connect_like(socket, client, client._mux_socket)
    return socket


def _beat(socket: zmq.Socket[bytes]) -> None:
    socket.setsockopt(zmq.HEARTBEAT_IVL, _HEARTBEAT)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, _HEARTBEAT_TIMEOUT)


def is_small(message: list[Any]) -> bool:
    """Whether to copy its frames when they are sent."""
    return all(len(frame) < _UNCOPIED for frame in message)
