"""Bytes from outside: what is malformed or forged is refused in its own way, and harms nothing."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import pickle
import tempfile
from concurrent.futures import Future, wait
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import zmq
from hypothesis import HealthCheck, find, given, settings
from hypothesis import strategies as st
from jupyter_client.session import Session

from IPython.parallel import command_line
from IPython.parallel.connection.group_channel import GroupChannel
from IPython.parallel.connection.transport import _news
from IPython.parallel.dispatch.dispatcher import Dispatcher
from IPython.parallel.dispatch.lines import Line, Task
from IPython.parallel.dispatch.wire import Lost, Outcome, Report
from IPython.parallel.engine_bundle import load
from IPython.parallel.errors import ClusterGone
from IPython.parallel.running.cluster_choice import CONNECTION_KEYS, ClusterUnavailable, connect
from IPython.parallel.tests.contracts.harness import PATIENCE

envelope = load().envelope
MANY = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
FEW = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))

frames_of_bytes = st.lists(st.binary(max_size=60), max_size=8)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.binary(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=12,
)


def as_frames(parts: list[bytes]) -> list[zmq.Frame]:
    return [zmq.Frame(part) for part in parts]


# -- reports


@MANY
@given(frames=frames_of_bytes, final=st.booleans())
def test_a_report_of_any_bytes_is_an_error_of_its_group(frames: list[bytes], final: bool) -> None:
    news = _news({"status": "ok"}, frames, final)
    assert isinstance(news, (Lost, Report))
    assert isinstance(news, Report) or isinstance(news.error("call"), Exception)


@FEW
@given(head=plain, more=frames_of_bytes)
def test_a_report_of_any_content_is_an_error_of_its_group(head: Any, more: list[bytes]) -> None:
    assert isinstance(_news({"status": "ok"}, [pickle.dumps(head), *more], True), Lost)


class OneEngine:
    """A transport that says of each group what it is told to."""

    def __init__(self, answer: Report | Lost) -> None:
        self._answer = answer

    def engines(self) -> list[str]:
        return ["engine"]

    def watch(self, changed: Any, doubt: Any) -> None:
        pass

    def send(self, group: Any, report: Any) -> None:
        report(self._answer)


class Settled(Future[Any]):
    def settle(self, outcome: Outcome, engine: str) -> None:
        self.set_result(outcome.data)

    def fail(self, error: BaseException) -> None:
        self.set_exception(error)


times = st.floats(0, 2e9)
near_outcomes = st.tuples(st.just(0), st.just("ok") | plain, plain, times | plain, times | plain, plain)
# Of lent memory: files of this process, of which none was lent, and whatever else.
addresses = st.tuples(
    st.integers(-1, 40).map(lambda fd: f"/proc/{os.getpid()}/fd/{fd}") | st.just("/etc/passwd") | plain,
    st.binary(min_size=16, max_size=16) | plain,
)
outcomes = st.lists(near_outcomes | st.tuples(*[plain] * 6), max_size=3)
heads = st.fixed_dictionaries(
    {
        "epoch": st.integers() | plain,
        "outcomes": outcomes | plain,
        "last": st.integers() | plain,
        "returned": st.lists(st.integers(1) | plain, max_size=3),
        "lent": st.none() | addresses | plain,
    }
)


def test_some_of_them_are_reports() -> None:
    assert find(heads, lambda head: isinstance(_news({"status": "ok"}, [pickle.dumps(head)], True), Report))


@FEW
@given(head=heads)
def test_whatever_a_report_says_its_calls_end(head: dict[str, Any]) -> None:
    report = _news({"status": "ok"}, [pickle.dumps(head)], True)
    dispatcher = Dispatcher(OneEngine(report))
    task = Task(Settled(), None, (), "call")
    logging.disable(logging.ERROR)
    try:
        dispatcher.submit(Line("space"), [task])
        assert wait([task.future], PATIENCE).done
    finally:
        logging.disable(logging.NOTSET)
        dispatcher.stop(ClusterGone)
        dispatcher._thread.join()


# -- signatures


session = Session(key=b"the key", signature_scheme="hmac-sha256")


@MANY
@given(parts=frames_of_bytes)
def test_what_is_not_signed_is_not_taken(parts: list[bytes]) -> None:
    with pytest.raises(ValueError):
        envelope.unseal(session, as_frames(parts))


@MANY
@given(position=st.integers(0, 4), change=st.binary(min_size=1, max_size=8))
def test_a_signed_message_is_taken_once_and_unchanged_only(position: int, change: bytes) -> None:
    session.digest_history.clear()  # of the last 65,536 it forgets some at random
    header = session.pack(envelope.make_header(session, "apply_reply"))
    _, *parts = envelope.seal(session, header, b"{}", b"{}", b"{}")
    changed = list(parts)
    changed[position] += change
    with pytest.raises(ValueError):
        envelope.unseal(session, as_frames(changed))
    assert envelope.unseal(session, as_frames(parts)).header == header
    with pytest.raises(ValueError):
        envelope.unseal(session, as_frames(parts))


class StandInConnection:
    """The connection to the direct queue."""

    address = "reports"

    def __init__(self, client: Any, receive: Any, doubt: Any) -> None:
        self.receive = receive

    def send(self, message: Any) -> None:
        pass


class StandInClient(SimpleNamespace):
    """Can be referred to weakly."""


class StandInStream:
    """The client's stream of published messages; `handed_on` is what reaches the client."""

    def __init__(self) -> None:
        self.handed_on: list[Any] = []
        self._recv_callback = self.handed_on.append

    def on_recv(self, receive: Any, copy: bool) -> None:
        self.receive = receive


@MANY
@given(parts=frames_of_bytes, marked=st.booleans(), ours=st.booleans())
def test_forged_messages_are_refused_and_reach_no_future(parts: list[bytes], marked: bool, ours: bool) -> None:
    stream, heard = StandInStream(), []
    loop = SimpleNamespace(add_callback=lambda call, *args: call(*args))
    client = StandInClient(session=session, _closed=False, _iopub_stream=stream, _io_loop=loop, _outstanding_dict={})
    channel = GroupChannel(client, connect=StandInConnection)
    channel.send("engine", [b""], None, lambda *news: heard.append(news), in_order=False)
    (header,) = channel._under_way
    said = [*parts[:2], *[b""] * (2 - len(parts[:2])), header if ours else b"{}", b"", b"{}", *parts[2:]]
    if marked:
        said[3] = channel._metadata_with(None)
    logging.disable(logging.ERROR)
    try:
        for receive in (channel._connection.receive, stream.receive):
            receive(as_frames([b"<IDS|MSG>", *said]))
    finally:
        logging.disable(logging.NOTSET)
    assert heard == []
    assert len(stream.handed_on) == (not marked)
    assert list(channel._under_way) == [header]


@MANY
@given(parts=frames_of_bytes, marked=st.booleans(), signed_by_another=st.booleans())
def test_forged_groups_are_refused_by_an_engine_and_nothing_of_them_is_run(
    parts: list[bytes], marked: bool, signed_by_another: bool
) -> None:
    stream, ran, refused = StandInStream(), [], []
    log = SimpleNamespace(error=lambda *message, **options: refused.append(message))
    kernel = SimpleNamespace(session=session, shell_stream=stream, log=log, _main_asyncio_lock=None)
    load().shell_door.open_door(kernel, ran.append)
    metadata = session.pack({envelope.MARK: True}) if marked else b"{}"
    said = [*parts[:2], *[b""] * (2 - len(parts[:2])), metadata, b"{}"]
    signature = Session(key=b"another key").sign(said) if signed_by_another else b"".join(parts[2:3])
    stream.receive(as_frames([b"client", b"<IDS|MSG>", signature, *said, *parts[3:]]))
    assert ran == []
    assert (len(refused), len(stream.handed_on)) == ((1, 0) if marked else (0, 1))


# -- connection files


def assert_refused(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "connection.json"
        file.write_bytes(content)
        with pytest.raises(ClusterUnavailable) as caught:
            connect(file, timeout=0.01)
        assert "\n" not in str(caught.value) and str(file) in str(caught.value)


@FEW
@given(content=st.binary(max_size=80) | plain.map(repr).map(str.encode))
def test_a_connection_file_of_any_bytes_is_refused_in_one_line(content: bytes) -> None:
    assert_refused(content)


@settings(FEW, max_examples=30)
@given(
    values=st.fixed_dictionaries(
        dict.fromkeys(sorted(CONNECTION_KEYS), st.none() | st.text(max_size=5) | st.integers())
    )
)
def test_a_connection_file_of_any_values_is_refused_in_one_line(values: dict[str, Any]) -> None:
    assert_refused(json.dumps(values).encode())


# -- the command line

OPTIONS = [
    "-n",
    "--profile",
    "--cluster-id",
    "--connection-file",
    "--timeout",
    "--pools",
    "--report",
    "--quiet",
    "-x",
    "--",
]
words = st.sampled_from([*OPTIONS, "-m", "-c", "0", "-1", "nothing.here", "=", ""]) | st.text(
    # What an operating system can hand to a program.
    st.characters(exclude_characters="\0", codec="utf-8"), max_size=6
)


@MANY
@given(arguments=st.lists(words, max_size=6))
def test_a_wrong_command_line_is_said_so_in_one_line(arguments: list[str]) -> None:
    stderr, stdout = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(stderr), contextlib.redirect_stdout(stdout):
        # Nothing is to be started or run: what gets that far was right.
        patch.setattr(command_line, "_choose_cluster", _stop)
        try:
            command_line.main(arguments)
        except _RightSoFar:
            return
        except SystemExit as end:
            assert end.code == 2 or stdout.getvalue().startswith("usage:")
            assert end.code == 0 or len(stderr.getvalue().rstrip("\n").split("\n")) == 1
            return
    raise AssertionError(f"neither refused nor run: {arguments}")


class _RightSoFar(BaseException):
    pass


def _stop(*arguments: Any) -> Any:
    raise _RightSoFar
