"""The way of groups and reports past ipyparallel's client: signed messages that it does not keep books of.

With `transport`, the one place that knows the inside of the client. Groups and reports go over a connection of our
own to the direct (mux) queue, early reports come as published messages among the client's.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import six
import zmq
from ipyparallel import Client

from ..engine_bundle import load
from .mux_connection import MuxConnection, is_small

_logger = logging.getLogger(__name__)
_envelope = load().envelope

Hear = Callable[[dict[str, Any], Sequence[Any], bool], None]
"""What is called with a report's content, its frames and whether it is final, on a receiving thread; must not block."""


class GroupChannel:
    """Sends groups and hears their reports, for one client.

    Parameters
    ----------
    client : ipyparallel.Client
        Is referred to weakly.
    connect : callable, optional
        ``connect(client, receive, doubt)`` makes the connection to the direct queue.

    Attributes
    ----------
    doubt : callable
        ``doubt(certain)`` is called on a receiving thread when messages may have been lost: see `MuxConnection`.
    """

    def __init__(self, client: Client, connect: Callable[..., Any] = MuxConnection) -> None:
        self._client = weakref.ref(client)
        self._session = client.session
        self._nothing = client.session.pack({})
        self._without_label: tuple[str, bytes] | None = None
        self.doubt: Callable[[bool], None] = lambda certain: None
        # By the header of the group: a report names its parent by the very bytes it got.
        self._under_way: dict[bytes, tuple[str, Hear]] = {}
        self._connection = connect(client, self._receive_final, lambda certain: self.doubt(certain))
        # A stream belongs to the client's receiving thread.
        client._io_loop.add_callback(self._stand_before, client._iopub_stream)

    def send(self, engine: str, frames: Sequence[Any], label: str | None, hear: Hear, *, in_order: bool) -> None:
        """Send a group; `hear` is called with each report until the final one. Any thread; never blocks.

        Parameters
        ----------
        in_order : bool
            Whether it must not overtake, nor be overtaken by, what the client itself sends to that engine: then it
            goes the client's way, which takes longer.

        Raises
        ------
        RuntimeError
            If the client is closed.
        """
        client = self._client()
        if client is None or client._closed:
            raise RuntimeError("the client is closed; make a new Client")
        header = self._session.pack(_envelope.make_header(self._session, "apply_request"))
        sealed = _envelope.seal(self._session, header, self._nothing, self._metadata_with(label), self._nothing)
        message = [six.ensure_binary(engine), *sealed, *frames]
        try:
            self._under_way[header] = engine, hear
            # What the client has sent and has no answer to may not have arrived.
            if in_order or client._outstanding_dict.get(engine):
                client._io_loop.add_callback(_send_through, client._mux_stream, message)
            else:
                self._connection.send(message)
        except BaseException:  # Ctrl-C, say; whoever gets the error no longer waits for a report
            self._under_way.pop(header, None)
            raise

    def close(self) -> None:
        """Send no more, and hear no more. Any thread."""
        self._connection.close()

    def forget(self, engine: str) -> None:
        """Hear no more of the groups sent to `engine`, which is gone. Any thread."""
        for header, (where, _) in list(self._under_way.items()):
            if where == engine:
                self._under_way.pop(header, None)

    def _metadata_with(self, label: str | None) -> bytes:
        address = self._connection.address
        known = self._without_label
        if label is None and known is not None and known[0] == address:
            return known[1]
        metadata: bytes = self._session.pack({_envelope.MARK: True, "label": label, _envelope.REPORT_TO: address})
        if label is None:
            self._without_label = address, metadata
        return metadata

    # -- on the receiving threads: final reports come on the connection's own, early ones on the client's

    def _receive_final(self, frames: Any) -> None:
        _, parts = _envelope.split(frames)
        if _envelope.is_ours(parts):
            self._hear_safely(parts, final=True)

    def _stand_before(self, stream: Any) -> None:
        """Take the stream's messages: early reports are heard here, others handed on."""
        handler = stream._recv_callback

        def receive(frames: Any) -> Any:
            _, parts = _envelope.split(frames)
            if not _envelope.is_ours(parts):
                return handler(frames)
            self._hear_safely(parts, final=False)
            return None

        stream.on_recv(receive, copy=False)

    def _hear_safely(self, parts: Sequence[Any], *, final: bool) -> None:
        try:
            self._hear(parts, final)
        except Exception:
            _logger.exception("refused a report")

    def _hear(self, parts: Sequence[Any], final: bool) -> None:
        found = self._under_way.get(parts[2].bytes)
        if found is None:
            return  # another client's, or of an engine that was given up
        report = _envelope.unseal(self._session, parts)
        if final:
            self._under_way.pop(report.parent, None)
        found[1](self._session.unpack(report.content), report.buffers, final)


def _send_through(stream: Any, message: list[Any]) -> None:
    """On the client's receiving thread, which is the stream's."""
    if not stream.closed():
        stream.send_multipart(message, copy=is_small(message))
        stream.flush(zmq.POLLOUT)
