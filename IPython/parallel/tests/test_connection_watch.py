"""The watch over a client's connection: how it ends."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

from pathlib import Path
from typing import Any

import ipyparallel
import pytest
import zmq
from zmq.eventloop.zmqstream import ZMQStream

from IPython.parallel.tests.contracts.harness import PATIENCE


def test_nothing_is_reported_to_a_reader_that_is_closed(connection_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """zmq's thread would wait for ever to report what happens in between, and closing the client for that thread."""
    ended, readers_closed = set(), []
    disable, close = zmq.Socket.disable_monitor, ZMQStream.close

    def disable_monitor(self: Any) -> None:
        ended.add(id(self._monitor_socket))
        disable(self)

    def close_stream(self: Any, linger: int | None = None) -> None:
        if self.socket is not None and self.socket.type == zmq.PAIR:
            readers_closed.append(id(self.socket) in ended)
        close(self, linger)

    with ipyparallel.Client(str(connection_file)) as own:
        assert own.load_balanced_view().submit(int).result(PATIENCE) == 0
        monkeypatch.setattr(zmq.Socket, "disable_monitor", disable_monitor)
        monkeypatch.setattr(ZMQStream, "close", close_stream)
    assert len(readers_closed) >= 2  # the watch has two connections
    assert all(readers_closed)
