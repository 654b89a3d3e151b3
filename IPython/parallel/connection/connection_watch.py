"""Notice that the controller is gone, or back, by what ZeroMQ's socket monitor says of connections to it.

The connections watched are its own, to where the client's go. Nothing is ever said on them but ZeroMQ's heartbeats,
which the client's connections, made by ipyparallel, do without: so a controller that stands still, or a network that
swallows everything, is noticed as well as a process that died. A controller is several processes, one for each kind of
message, and none of them is ever started anew: it is gone when one of them is.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import zmq
from ipyparallel import Client
from zmq.utils.monitor import parse_monitor_message

from .own_sockets import OwnStream, connect_like, open_socket

# A connection that is back within this many seconds was never lost: TCP connections break and ZeroMQ mends them.
GRACE = 3.0
_LOOKS = 6
# Seconds between heartbeats, and how long to wait for an answer to one.
HEARTBEAT = 1.0
HEARTBEAT_TIMEOUT = 3.0

_EVENTS = zmq.EVENT_DISCONNECTED | zmq.EVENT_HANDSHAKE_SUCCEEDED


class ConnectionWatch:
    """Watches whether the Hub and all schedulers can be reached.

    Parameters
    ----------
    client : ipyparallel.Client
    gone, back : callable
        Called on the client's receiving thread, so they must not block.
    grace : float
        Seconds a connection may be down before it counts.
    """

    def __init__(
        self, client: Client, gone: Callable[[], None], back: Callable[[], None], grace: float = GRACE
    ) -> None:
        self._loop = client._io_loop
        self._gone = gone
        self._back = back
        self._grace = grace
        self._down: dict[int, object] = {}  # since when: another object each time
        self._is_gone = False
        self._streams: list[OwnStream] = []
        self._sockets: list[zmq.Socket[bytes]] = []
        # Sockets belong to the receiving thread.
        self._loop.add_callback(self._start, client)

    def _start(self, client: Client) -> None:
        for number, watched in enumerate(_sockets_of(client)):
            socket = open_socket(client, zmq.SUB if watched.type == zmq.SUB else zmq.DEALER)
            socket.setsockopt(zmq.HEARTBEAT_IVL, round(1000 * HEARTBEAT))
            socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, round(1000 * HEARTBEAT_TIMEOUT))
            stream = OwnStream(socket.get_monitor_socket(_EVENTS), self._loop)
            stream.on_recv(partial(self._hear, number))
            connect_like(socket, client, watched)
            self._sockets.append(socket)
            self._streams.append(stream)

        for number in range(len(self._sockets)):
            self._note_down(number, HEARTBEAT + HEARTBEAT_TIMEOUT)  # until it was heard of

    def _hear(self, number: int, message: list[Any]) -> None:
        event = parse_monitor_message(message)["event"]
        if event == zmq.EVENT_DISCONNECTED:
            self._note_down(number)
        elif event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            self._down.pop(number, None)
            if self._is_gone and not self._down:
                self._is_gone = False
                self._back()

    def _note_down(self, number: int, before: float = 0.0) -> None:
        # Attempts to connect may end, too: that is no news of a connection that is down.
        if number not in self._down:
            since = self._down[number] = object()
            self._loop.call_later(before, self._look, number, since)

    def _look(self, number: int, since: object, so_far: int = 0) -> None:
        """Look again in a part of the grace; what is down still when that is over is gone.

        In parts, since only time counts in which this thread reads its news: the process may have been stopped, or the
        host be overloaded.
        """
        if self._down.get(number) is not since or self._is_gone:
            return
        if so_far < _LOOKS:
            self._loop.call_later(self._grace / _LOOKS, self._look, number, since, so_far + 1)
        else:
            self._is_gone = True
            self._gone()

    def stop(self) -> None:
        """Stop watching, before the client's sockets are closed. Any thread."""
        self._loop.add_callback(self._stop)

    def _stop(self) -> None:
        for socket, stream in zip(self._sockets, self._streams, strict=True):
            # In this order: what happens while nobody can read of it any more, zmq's own thread waits to report, and
            # with it all who want something of that socket.
            if not socket.closed:
                socket.disable_monitor()
            stream.close()
            socket.close()
        self._streams, self._sockets = [], []


def _sockets_of(client: Client) -> list[zmq.Socket[bytes]]:
    """The client's own, one for each of the controller's processes that it talks to."""
    sockets = (
        client._query_socket,
        client._mux_socket,
        client._task_socket,  # there may be no such scheduler
        client._broadcast_socket,
        client._control_socket,
        client._iopub_socket,
    )
    return [socket for socket in sockets if socket is not None]
