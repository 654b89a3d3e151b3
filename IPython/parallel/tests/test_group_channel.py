"""Groups and reports on the streams of the client: ours are heard, the rest goes on untouched."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import zmq
from jupyter_client.session import Session

from IPython.parallel import engine_bundle
from IPython.parallel.connection.group_channel import GroupChannel
from IPython.parallel.tests.contracts.harness import PATIENCE

envelope = engine_bundle.load().envelope
KEY = b"the key of this cluster"


class Stream:
    """A stream of a client's that keeps what is sent, and what its stock handler got."""

    def __init__(self) -> None:
        self.sent: list[list[Any]] = []
        self.copied: list[bool] = []
        self.handled: list[Any] = []
        self.receive: Callable[[Any], Any]
        self._recv_callback: Callable[[Any], Any] = self._handle
        self.is_closed = False

    def _handle(self, frames: Any) -> str:
        self.handled.append(frames)
        return "handled"

    def on_recv(self, callback: Callable[[Any], Any], copy: bool) -> None:
        assert copy is False
        self.receive = callback

    def send_multipart(self, frames: list[Any], copy: bool) -> None:
        assert not self.is_closed
        self.sent.append(frames)
        self.copied.append(copy)

    def flush(self, flag: int) -> None:
        assert flag == zmq.POLLOUT

    def closed(self) -> bool:
        return self.is_closed


class Mux:
    """Stands for the connection of our own."""

    address = "an address"

    def __init__(self, receive: Callable[[Any], None]) -> None:
        self.receive = receive
        self.sent: list[list[Any]] = []
        self.is_closed = False

    def send(self, message: list[Any]) -> None:
        self.sent.append(message)

    def close(self) -> None:
        self.is_closed = True


class Loop:
    """The receiving thread's loop: what it is given runs when the test says so."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []

    def add_callback(self, callback: Callable[..., None], *args: Any) -> None:
        self.waiting.append(lambda: callback(*args))

    def run(self) -> int:
        count = 0
        while self.waiting:
            self.waiting.pop(0)()
            count += 1
        return count


class Bench:
    """A channel of a client, and the engine on the other side."""

    def __init__(self) -> None:
        self.stream, self.iopub, self.loop = Stream(), Stream(), Loop()
        self.client: Any = _Client()
        self.client.session, self.client._io_loop, self.client._closed = (
            Session(key=KEY),
            self.loop,
            False,
        )
        self.client._mux_stream, self.client._iopub_stream = self.stream, self.iopub
        self.client._outstanding_dict = {}
        self.channel = GroupChannel(self.client, connect=self._connect)
        self.loop.run()
        self.engine = Session(key=KEY)
        self.heard: list[Any] = []

    def _connect(self, client: Any, receive: Callable[[Any], None], doubt: Callable[[bool], None]) -> Mux:
        self.mux = Mux(receive)
        return self.mux

    def send(
        self,
        *frames: bytes,
        engine: str = "engine",
        label: str | None = None,
        name: str = "group",
        in_order: bool = False,
    ) -> bytes:
        """Send a group; its header, which a report names as its parent."""

        def hear(content: Any, buffers: Any, final: bool) -> None:
            self.heard.append((name, content, [bytes(buffer) for buffer in buffers], final))

        self.channel.send(engine, frames, label, hear, in_order=in_order)
        self.loop.run()
        return bytes((self.mux.sent or self.stream.sent)[-1][3])

    def report(
        self, parent: bytes, *buffers: bytes, session: Session | None = None
    ) -> list[zmq.Frame]:
        session = session or self.engine
        header = session.pack(envelope.make_header(session, "apply_reply"))
        metadata, content = session.pack({envelope.MARK: True}), session.pack({"status": "ok"})
        return [
            zmq.Frame(f)
            for f in (*envelope.seal(session, header, parent, metadata, content), *buffers)
        ]


class _Client(SimpleNamespace):
    """As much of a client as the channel uses; can be referred to weakly."""


@pytest.fixture
def bench() -> Bench:
    return Bench()


class TestSending:
    def test_a_group_is_an_apply_request_to_the_engine(self, bench: Bench) -> None:
        bench.send(b"header", b"payload", label="mine")
        (message,) = bench.mux.sent
        idents, rest = bench.engine.feed_identities([bytes(frame) for frame in message])
        read = bench.engine.deserialize(rest)
        assert idents == [b"engine"]
        assert (read["msg_type"], read["content"]) == ("apply_request", {})
        assert read["metadata"] == {envelope.MARK: True, "label": "mine", "report_to": "an address"}
        assert [bytes(buffer) for buffer in read["buffers"]] == [b"header", b"payload"]

    @pytest.mark.parametrize("label", [None, "mine", "größer \N{SNOWMAN}"])
    def test_labels(self, bench: Bench, label: str | None) -> None:
        for _ in range(2):
            bench.send(b"x", label=label)
            assert bench.engine.unpack(bench.mux.sent[-1][5])["label"] == label

    def test_what_must_not_overtake_goes_the_clients_way(self, bench: Bench) -> None:
        bench.send(b"small", in_order=True)
        bench.send(b"x" * 10**6, in_order=True)
        assert bench.mux.sent == []
        assert [message[-1][:5] for message in bench.stream.sent] == [b"small", b"xxxxx"]
        assert bench.stream.copied == [True, False]

    def test_what_the_client_has_no_answer_to_is_not_overtaken(self, bench: Bench) -> None:
        bench.client._outstanding_dict = {"busy": {"a message"}, "idle": set()}
        bench.send(b"1", engine="busy")
        bench.send(b"2", engine="idle")
        assert [message[-1] for message in bench.stream.sent] == [b"1"]
        assert [message[-1] for message in bench.mux.sent] == [b"2"]

    def test_from_many_threads_each_goes_once_and_in_its_threads_order(self, bench: Bench) -> None:
        def work(thread: int) -> None:
            for n in range(200):
                bench.channel.send(str(thread), [b"%d" % n], None, lambda *args: None, in_order=False)

        workers = [threading.Thread(target=work, args=(thread,)) for thread in range(4)]
        for worker in workers:
            worker.start()
        while any(worker.is_alive() for worker in workers):
            bench.loop.run()
        for worker in workers:
            worker.join(PATIENCE)
        bench.loop.run()
        sent = [(message[0], message[-1]) for message in bench.mux.sent]
        for thread in range(4):
            assert [n for name, n in sent if name == b"%d" % thread] == [
                b"%d" % n for n in range(200)
            ]

    def test_what_could_not_be_sent_is_not_waited_for(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupted(message: list[Any]) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(bench.mux, "send", interrupted)
        with pytest.raises(KeyboardInterrupt):
            bench.send(b"group")
        assert bench.channel._under_way == {}

    def test_through_a_closed_client_it_is_refused(self, bench: Bench) -> None:
        bench.client._closed = True
        with pytest.raises(RuntimeError, match="client is closed"):
            bench.send(b"x")

    def test_through_a_dropped_client_it_is_refused(self, bench: Bench) -> None:
        del bench.client
        with pytest.raises(RuntimeError, match="client is closed"):
            bench.send(b"x")

    def test_a_client_that_is_closed_before_the_receiving_thread_comes_to_it(
        self, bench: Bench
    ) -> None:
        bench.channel.send("engine", [b"x"], None, lambda *args: None, in_order=True)
        bench.stream.is_closed = True
        assert bench.loop.run() == 1
        assert bench.stream.sent == []

    def test_closing_closes_the_connection(self, bench: Bench) -> None:
        bench.channel.close()
        assert bench.mux.is_closed


class TestHearing:
    def test_a_report_is_heard_by_who_sent_the_group(self, bench: Bench) -> None:
        first, second = bench.send(b"1", name="first"), bench.send(b"2", name="second")
        bench.mux.receive(bench.report(second, b"done"))
        bench.mux.receive(bench.report(first))
        assert bench.heard == [
            ("second", {"status": "ok"}, [b"done"], True),
            ("first", {"status": "ok"}, [], True),
        ]

    def test_early_reports_are_published_and_are_not_the_last(self, bench: Bench) -> None:
        parent = bench.send(b"1")
        bench.iopub.receive([zmq.Frame(b"engine.report"), *bench.report(parent, b"early")])
        bench.mux.receive(bench.report(parent, b"late"))
        assert [(buffers, final) for _, _, buffers, final in bench.heard] == [
            ([b"early"], False),
            ([b"late"], True),
        ]

    def test_nothing_is_heard_after_the_final_one(self, bench: Bench) -> None:
        parent = bench.send(b"1")
        bench.mux.receive(bench.report(parent))
        bench.mux.receive(bench.report(parent))
        bench.iopub.receive(bench.report(parent))
        assert len(bench.heard) == 1
        assert bench.channel._under_way == {}

    def test_reports_of_other_clients_groups_are_nobodys(self, bench: Bench) -> None:
        bench.send(b"1")
        for stream in (bench.mux, bench.iopub):
            stream.receive(bench.report(b'{"msg_id": "another client\'s"}'))
        assert bench.iopub.handled == bench.heard == []

    def test_reports_of_an_engine_that_was_given_up_are_not_heard(self, bench: Bench) -> None:
        gone, here = bench.send(b"1", engine="gone"), bench.send(b"2", engine="here", name="here")
        bench.channel.forget("gone")
        for parent in (gone, here):
            bench.mux.receive(bench.report(parent))
        assert [name for name, *_ in bench.heard] == ["here"]

    def test_a_forged_report_is_refused_and_the_true_one_heard(self, bench: Bench, caplog) -> None:
        parent = bench.send(b"1")
        bench.mux.receive(bench.report(parent, b"forged", session=Session(key=b"another key")))
        assert bench.heard == []
        assert "refused a report" in caplog.text and "not signed" in caplog.text
        bench.mux.receive(bench.report(parent, b"true"))
        assert [buffers for _, _, buffers, _ in bench.heard] == [[b"true"]]

    def test_a_report_that_comes_twice_is_refused(self, bench: Bench, caplog) -> None:
        parent = bench.send(b"1")
        early = bench.report(parent, b"early")
        bench.iopub.receive(early)
        bench.iopub.receive(early)
        assert len(bench.heard) == 1
        assert "came twice" in caplog.text
        # Nor may it come as the final one.
        bench.mux.receive(early)
        assert len(bench.heard) == 1
        bench.mux.receive(bench.report(parent))
        assert [final for *_, final in bench.heard] == [False, True]

    def test_an_error_in_hearing_does_not_end_the_receiving_thread(
        self, bench: Bench, caplog
    ) -> None:
        def fail(*report: Any) -> None:
            raise LookupError("scripted")

        bench.channel.send("engine", [b"x"], None, fail, in_order=False)
        bench.loop.run()
        bench.mux.receive(bench.report(bytes(bench.mux.sent[0][3])))
        assert "scripted" in caplog.text


class TestStockMessages:
    """What is not ours reaches the client's own handlers, as it came."""

    @pytest.mark.parametrize(
        "frames",
        [
            [b"<IDS|MSG>", b"signature", b"{}", b"{}", b"{}", b"{}"],
            [
                b"engine.stdout",
                b"<IDS|MSG>",
                b"signature",
                b"{}",
                b"{}",
                b'{"engine": "x"}',
                b"{}",
                b"buffer",
            ],
            [b"<IDS|MSG>", b"too", b"short"],
            [b"no delimiter"],
            [],
        ],
    )
    def test_goes_on(self, bench: Bench, frames: list[bytes]) -> None:
        message = [zmq.Frame(frame) for frame in frames]
        assert bench.iopub.receive(message) == "handled"
        assert bench.iopub.handled[0] is message
        bench.mux.receive(message)  # where nothing but reports should come
        assert bench.heard == []

    def test_of_another_version_of_us_goes_to_that_versions_channel(
        self, bench: Bench, monkeypatch
    ) -> None:
        parent = bench.send(b"1")
        other = bench.report(parent)
        monkeypatch.setattr(envelope, "_MARK", b"_ipython_parallel_another")
        bench.iopub.receive(other)
        assert bench.heard == []
        assert bench.iopub.handled == [other]

    def test_errors_of_the_stock_handler_are_its_own(self, bench: Bench) -> None:
        def fail(frames: Any) -> None:
            raise LookupError("stock")

        bench.iopub._recv_callback = fail
        GroupChannel(bench.client, connect=bench._connect)
        bench.loop.run()
        with pytest.raises(LookupError, match="stock"):
            bench.iopub.receive([zmq.Frame(b"x")])
