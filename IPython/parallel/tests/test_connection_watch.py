"""The watch over a client's connection: what counts as an end, and how it ends itself."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import heapq
import itertools
import struct
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ipyparallel
import pytest
import zmq
from zmq.eventloop.zmqstream import ZMQStream

from IPython.parallel.connection.connection_watch import ConnectionWatch
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


class Clock:
    """A receiving thread's loop whose time the test makes pass."""

    def __init__(self) -> None:
        self.now = 0.0
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def add_callback(self, callback: Callable[..., None], *args: Any) -> None:
        pass  # there is nothing to connect to

    def call_later(self, delay: float, callback: Callable[..., None], *args: Any) -> None:
        heapq.heappush(self._later, (self.now + delay, next(self._order), lambda: callback(*args)))

    def stand_still(self, seconds: float) -> None:
        """Time passes, and nothing is done: the process was stopped."""
        self.now += seconds

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        while self._later and self._later[0][0] <= until:
            due, _, act = heapq.heappop(self._later)
            self.now = max(self.now, due)
            act()
        self.now = max(self.now, until)


class Watched:
    """A watch that hears of connections what the test says."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.news: list[str] = []
        client: Any = SimpleNamespace(_io_loop=self.clock)
        self._watch = ConnectionWatch(client, lambda: self.news.append("gone"), lambda: self.news.append("back"), 3.0)

    def hear(self, event: int, number: int = 0) -> None:
        self._watch._hear(number, [struct.pack("=hi", event, 0), b""])

    def down(self, number: int = 0) -> None:
        self.hear(zmq.EVENT_DISCONNECTED, number)

    def up(self, number: int = 0) -> None:
        self.hear(zmq.EVENT_HANDSHAKE_SUCCEEDED, number)


class TestGrace:
    def test_what_is_down_for_so_long_is_gone_until_all_are_up(self) -> None:
        watched = Watched()
        watched.down(0)
        watched.down(1)
        watched.clock.run(2.9)
        assert watched.news == []
        watched.clock.run(0.2)
        assert watched.news == ["gone"]
        watched.up(0)
        assert watched.news == ["gone"]
        watched.up(1)
        assert watched.news == ["gone", "back"]

    def test_each_time_it_is_down_counts_by_itself(self) -> None:
        watched = Watched()
        for _ in range(5):
            watched.down()
            watched.clock.run(1.0)
            watched.up()
            watched.clock.run(0.4)
        assert watched.news == []
        watched.down()
        watched.clock.run(3.1)
        assert watched.news == ["gone"]

    def test_attempts_to_connect_that_end_are_no_news(self) -> None:
        watched = Watched()
        for _ in range(4):
            watched.down()
            watched.clock.run(1.0)
        assert watched.news == ["gone"]

    def test_time_in_which_no_news_is_read_does_not_count(self) -> None:
        watched = Watched()
        watched.down()
        watched.clock.stand_still(60.0)
        watched.clock.run(0.1)  # what is due is done first, then the news are read
        watched.up()
        watched.clock.run(10.0)
        assert watched.news == []
