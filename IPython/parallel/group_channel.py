"""The way of groups and reports through ipyparallel's client: signed messages on its streams, past its bookkeeping.

With `transport`, the one place that knows the inside of the client. Groups go out and reports come back on the
client's direct (mux) queue; early reports come as published messages. What is not ours goes on to the client.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import logging
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import six
import zmq
from ipyparallel import Client

from .engine_bundle import load

_logger = logging.getLogger(__name__)
_envelope = load().envelope

# Frames from this size on are sent without a copy, which has a cost of its own.
_UNCOPIED = 64 * 1024

Hear = Callable[[dict[str, Any], Sequence[Any], bool], None]
"""Called with a report's content, its frames and whether it is final. On the client's receiving thread."""


class GroupChannel:
    """Sends groups and hears their reports, for one client.

    Parameters
    ----------
    client : ipyparallel.Client
        Is referred to weakly.
    """

    def __init__(self, client: Client) -> None:
        self._client = weakref.ref(client)
        self._session = client.session
        self._nothing = client.session.pack({})
        self._metadata: dict[str | None, bytes] = {}
        self._outgoing: deque[list[Any]] = deque()
        self._flushing = False
        # By the header of the group: a report names its parent by the very bytes it got.
        self._under_way: dict[bytes, tuple[str, Hear]] = {}
        # A stream belongs to the receiving thread; what is sent from now on is sent after this.
        client._io_loop.add_callback(self._stand_before, client._mux_stream, True)
        client._io_loop.add_callback(self._stand_before, client._iopub_stream, False)

    def send(self, engine: str, frames: Sequence[Any], label: str | None, hear: Hear) -> None:
        """Send a group; `hear` is called with each report until the final one. Any thread; never blocks.

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
        self._under_way[header] = engine, hear
        self._outgoing.append([six.ensure_binary(engine), *sealed, *frames])
        if not self._flushing:  # waking the receiving thread is dear
            self._flushing = True
            client._io_loop.add_callback(self._flush, client._mux_stream)

    def _flush(self, stream: Any) -> None:
        """Send what waits. On the client's receiving thread, which is the socket's."""
        self._flushing = False
        while self._outgoing and not stream.closed():
            message = self._outgoing.popleft()
            stream.send_multipart(message, copy=all(len(frame) < _UNCOPIED for frame in message))
        stream.flush(zmq.POLLOUT)

    def forget(self, engine: str) -> None:
        """Hear no more of the groups sent to `engine`, which is gone. Any thread."""
        for header, (where, _) in list(self._under_way.items()):
            if where == engine:
                self._under_way.pop(header, None)

    def _metadata_with(self, label: str | None) -> bytes:
        if label is not None:
            return self._session.pack({_envelope.MARK: True, "label": label})  # type: ignore[no-any-return]
        if None not in self._metadata:
            self._metadata[None] = self._session.pack({_envelope.MARK: True, "label": None})
        return self._metadata[None]

    def _stand_before(self, stream: Any, final: bool) -> None:
        """Take the stream's messages: reports are heard here, others handed on. On the receiving thread."""
        handler = stream._recv_callback

        def receive(frames: Any) -> Any:
            _, parts = _envelope.split(frames)
            if not _envelope.is_ours(parts):
                return handler(frames)
            try:
                self._hear(parts, final)
            except Exception:
                _logger.exception("refused a report")
            return None

        stream.on_recv(receive, copy=False)

    def _hear(self, parts: Sequence[Any], final: bool) -> None:
        found = self._under_way.get(parts[2].bytes)
        if found is None:
            return  # another client's, or of an engine that was given up
        report = _envelope.unseal(self._session, parts)
        if final:
            self._under_way.pop(report.parent, None)
        found[1](self._session.unpack(report.content), report.buffers, final)
