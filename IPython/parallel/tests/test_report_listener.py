"""The thread that receives reports: what it says when, what it survives, and how it ends."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import logging
import queue
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
import zmq

from IPython.parallel.connection.report_listener import ReportListener
from IPython.parallel.tests.contracts.harness import PATIENCE


class Bench:
    """A listener, and the other side of its connection."""

    def __init__(self, context: zmq.Context[Any]) -> None:
        self.news: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.other = context.socket(zmq.ROUTER)
        self.other.linger = 0
        self.port = self.other.bind_to_random_port("tcp://127.0.0.1")
        incoming = context.socket(zmq.DEALER)
        incoming.linger = 0
        incoming.setsockopt(zmq.ROUTING_ID, b"listener")
        say = self.news.put
        self.listener = ReportListener(incoming, lambda: say("connected"), lambda: say("broken"), self.receive)
        incoming.connect(f"tcp://127.0.0.1:{self.port}")
        self.listener.start()

    def receive(self, frames: list[zmq.Frame]) -> None:
        if frames[0].bytes == b"wrong":
            raise ValueError("this is no report")
        self.news.put([frame.bytes for frame in frames])

    def next(self) -> Any:
        return self.news.get(timeout=PATIENCE)


def bind_when_free(socket: zmq.Socket[Any], address: str) -> None:
    """Bind as soon as the address is free: a thread of ZeroMQ's gives it back, some time after it was closed."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            socket.bind(address)
            return
        except zmq.ZMQError as error:
            if error.errno != zmq.EADDRINUSE or time.monotonic() > deadline:
                raise
        time.sleep(0.01)


@pytest.fixture
def bench() -> Iterator[Bench]:
    with zmq.Context() as context:
        made = Bench(context)
        yield made
        made.listener.stop()
        made.listener.join(PATIENCE)
        made.other.close()
        assert not made.listener.is_alive()


def test_it_says_once_that_it_is_known_and_then_gives_what_comes(bench: Bench) -> None:
    assert bench.next() == "connected"
    for number in range(3):
        bench.other.send_multipart([b"listener", b"report", str(number).encode()])
    assert [bench.next() for _ in range(3)] == [[b"report", b"0"], [b"report", b"1"], [b"report", b"2"]]


def test_it_ends_when_a_connection_that_broke_was_made_anew(bench: Bench) -> None:
    assert bench.next() == "connected"
    bench.other.unbind(f"tcp://127.0.0.1:{bench.port}")
    bench.other.close()
    bench.other = zmq.Context.instance().socket(zmq.ROUTER)
    bench.other.linger = 0
    bind_when_free(bench.other, f"tcp://127.0.0.1:{bench.port}")
    assert bench.next() == "broken"
    bench.listener.join(PATIENCE)
    assert not bench.listener.is_alive()


def test_what_cannot_be_taken_in_is_logged_and_harms_no_other(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    assert bench.next() == "connected"
    with caplog.at_level(logging.ERROR):
        bench.other.send_multipart([b"listener", b"wrong"])
        bench.other.send_multipart([b"listener", b"right"])
        assert bench.next() == [b"right"]
    assert "this is no report" in caplog.text


def test_it_leaves_no_descriptor_behind() -> None:
    with zmq.Context() as context:
        before = psutil.Process().num_fds()
        made = Bench(context)
        made.listener.stop()
        made.listener.stop()  # and stopping it twice is stopping it once
        made.listener.join(PATIENCE)
        made.other.close()
        assert not made.listener.is_alive()
    assert psutil.Process().num_fds() <= before
