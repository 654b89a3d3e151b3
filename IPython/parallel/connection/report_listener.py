"""Receives reports on a thread of its own.

ipyparallel's client receives in an event loop. What a loop does around each message, before and after, costs more than
taking in the report of a small call; and what comes after keeps the interpreter lock from the thread that waited for
that report, and by now submits the next call. Here a thread waits for the socket itself and does nothing else.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import zmq

_logger = logging.getLogger(__name__)


class ReportListener(threading.Thread):
    """Gives what comes to `receive`, on this thread, until it is stopped.

    Parameters
    ----------
    incoming : zmq.Socket
        Not connected yet: it is to be connected before the thread starts, and is the thread's own from then on.
    connected : callable
        Called once, on this thread, when the other side knows the socket by its identity.
    broken : callable
        Called on this thread when the connection has been made anew, and what came meanwhile is lost. Then it ends.
    receive : callable
        Called with the frames of each message. Must not block: other reports wait meanwhile.
    """

    def __init__(
        self,
        incoming: zmq.Socket[bytes],
        connected: Callable[[], None],
        broken: Callable[[], None],
        receive: Callable[[Any], None],
    ) -> None:
        # A daemon: an exiting interpreter waits for calls elsewhere, and not for what may still be reported of them.
        super().__init__(name="IPython.parallel reports", daemon=True)
        self._incoming = incoming
        self._monitor = incoming.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
        self._connected = connected
        self._broken = broken
        self._is_known = False
        self._receive = receive
        self._stopped, self._to_stop = socket.socketpair()

    def stop(self) -> None:
        """End the thread. Any thread; does not wait for it. Without effect in a forked child: it has no such thread."""
        if self.is_alive():
            with suppress(OSError):  # it has just ended
                self._to_stop.send(b"\0")

    def run(self) -> None:
        """Receive until stopped."""
        try:
            self._listen()
        finally:
            self._incoming.disable_monitor()
            for closed in (self._monitor, self._incoming, self._stopped, self._to_stop):
                closed.close()

    def _listen(self) -> None:
        poller = zmq.Poller()
        for source in (self._stopped, self._incoming, self._monitor):
            poller.register(source, zmq.POLLIN)
        while True:
            ready = [source for source, _ in poller.poll()]
            if self._incoming in ready:
                self._receive_safely(self._incoming.recv_multipart(copy=False))
            elif self._monitor in ready:
                self._monitor.recv_multipart()
                if self._is_known:
                    self._broken()
                    return
                self._is_known = True
                self._connected()
            else:
                return

    def _receive_safely(self, frames: Any) -> None:
        try:
            self._receive(frames)
        except Exception:
            _logger.exception("could not take in a report")
