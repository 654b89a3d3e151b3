"""Results of calls that another client sent: futures like any other, known by asking the Hub."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import asyncio
import collections
import concurrent.futures
import gc
import subprocess
import sys
import threading
import types
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import ipyparallel
import pytest
from ipyparallel import AsyncHubResult, AsyncResult
from ipyparallel.error import CompositeError, RemoteError

from IPython.parallel.connection import hub_watch
from IPython.parallel.connection.hub_watch import HubWatch
from IPython.parallel.errors import ClusterGone
from IPython.parallel.tests.contracts import calls
from IPython.parallel.tests.contracts.harness import PATIENCE, Gate, Recorder

WATCH = "IPython.parallel Hub watch"


@pytest.fixture(scope="module")
def other(client: ipyparallel.Client, connection_file: Path) -> Iterator[ipyparallel.Client]:
    """A second client, which has sent nothing."""
    with ipyparallel.Client(str(connection_file)) as second:
        yield second


@pytest.fixture
def held(client: ipyparallel.Client, gate: Gate) -> AsyncResult:
    """A call of the first client that waits at the gate, and gives 5."""
    return client[client.ids[0]].apply_async(calls.pass_gate, gate.address, 5)


def _known(other: ipyparallel.Client, result: AsyncResult) -> AsyncHubResult:
    found = other.get_result(result.msg_ids[0] if len(result.msg_ids) == 1 else result.msg_ids)
    assert type(found) is AsyncHubResult
    return found


WAYS: dict[str, Callable[[AsyncResult], Any]] = {
    "result": lambda ar: ar.result(PATIENCE),
    "get": lambda ar: ar.get(PATIENCE),
    "used as the value": lambda ar: ar.result + 0,
    "wait": lambda ar: (ar.wait(PATIENCE), ar.result(0))[1],
    "futures.wait": lambda ar: concurrent.futures.wait([ar], PATIENCE).done.pop().result(0),
    "as_completed": lambda ar: next(concurrent.futures.as_completed([ar], PATIENCE)).result(0),
    "asyncio.wrap_future": lambda ar: asyncio.run(_wrapped(ar)),
    "await": lambda ar: asyncio.run(_awaited(ar)),
    "client.wait": lambda ar: (ar._client.wait(ar, PATIENCE), ar.result(0))[1],
    "client.wait for several": lambda ar: (ar._client.wait([ar, ar], PATIENCE), ar.result(0))[1],
    "done and nothing else": lambda ar: (_until(ar.done), ar.result(0))[1],
}


async def _wrapped(ar: AsyncResult) -> Any:
    return await asyncio.wait_for(asyncio.wrap_future(ar), PATIENCE)


async def _awaited(ar: AsyncResult) -> Any:
    return await ar


def _until(condition: Callable[[], bool]) -> None:
    """Return when `condition` holds; the test's own timeout is the limit. Nothing tells who only looks."""
    pause = threading.Event()
    while not condition():
        pause.wait(0.01)


class TestFuture:
    @pytest.mark.parametrize("way", WAYS)
    def test_is_resolved_whoever_asks(self, other, held: AsyncResult, gate: Gate, way: str) -> None:
        result = _known(other, held)
        assert not result.done()
        opening = threading.Timer(0.05, gate.open)
        opening.start()
        try:
            assert WAYS[way](result) == 5
        finally:
            opening.join()
        assert (result.done(), result.running(), result.cancelled(), result.successful()) == (True, False, False, True)
        assert result.exception(0) is None

    def test_is_running_until_then(self, other, held: AsyncResult, gate: Gate) -> None:
        result = _known(other, held)
        assert (result.running(), result.done(), result.cancel(), result.ready()) == (True, False, False, False)
        with pytest.raises(TimeoutError):
            result.result(0)
        with pytest.raises(TimeoutError):
            result.get(0)
        gate.open()
        assert result.result(PATIENCE) == 5

    def test_finished_call_is_known_when_asked_for(self, other, client) -> None:
        call = client[client.ids[0]].apply_async(calls.add, 1, 2)
        call.get(PATIENCE)
        assert _known(other, call).result(PATIENCE) == 3

    def test_callbacks_run_in_order_and_once_though_nobody_keeps_the_result(self, other, held, gate: Gate) -> None:
        recorder = Recorder(lambda future: future.result(0))
        for _ in range(3):
            _known(other, held).add_done_callback(recorder)
        gc.collect()
        gate.open()
        assert recorder.wait_for(3) == [5, 5, 5]
        assert len(set(map(id, recorder.futures))) == 3

    def test_callback_may_wait_for_another(self, other, client, held: AsyncResult, gate: Gate) -> None:
        call = client[client.ids[1]].apply_async(calls.add, 1, 2)
        recorder = Recorder(lambda future: (_known(other, call).result(PATIENCE), other.wait([future], PATIENCE)))
        _known(other, held).add_done_callback(recorder)
        gate.open()
        assert recorder.wait_for(1) == [(3, True)]

    def test_many_threads_wait_for_one(self, other, held: AsyncResult, gate: Gate) -> None:
        """Stock sets the result twice then, and takes the metadata away twice."""
        result = _known(other, held)
        values: list[Any] = []
        threads = [threading.Thread(target=lambda: values.append(result.get(PATIENCE))) for _ in range(8)]
        for thread in threads:
            thread.start()
        gate.open()
        for thread in threads:
            thread.join(PATIENCE)
        assert values == [5] * 8

    def test_error_in_its_own_type(self, other, client) -> None:
        call = client[client.ids[0]].apply_async(calls.reciprocal, 0)
        result = _known(other, call)
        with pytest.raises(ZeroDivisionError) as caught:
            result.result(PATIENCE)
        assert isinstance(caught.value, RemoteError)
        assert result.exception(0) is caught.value
        assert not result.successful()
        with pytest.raises(ZeroDivisionError):
            asyncio.run(_awaited(_known(other, call)))

    def test_asking_for_an_attribute_it_lacks_asks_nobody(self, other, held: AsyncResult) -> None:
        result = _known(other, held)
        rounds = other._engine_room.hub._wanted
        assert not hasattr(result, "anything")
        assert other._engine_room.hub._wanted == rounds


class TestSeveralCalls:
    def test_values_parts_and_progress(self, other, client) -> None:
        call = client[:].apply_async(calls.add, 1, 2)
        result = _known(other, call)
        assert len(result) == 2
        assert result.get(PATIENCE) == [3, 3]
        assert result.progress == 2
        assert [part.get(PATIENCE) for part in result.split()] == [3, 3]
        assert list(result) == [3, 3]
        assert result.get_dict() == dict.fromkeys(client.ids, 3)
        assert AsyncResult.join(*result.split()).get(PATIENCE) == [3, 3]

    def test_one_done_and_one_not(self, other, client, held: AsyncResult, gate: Gate) -> None:
        done = client[client.ids[1]].apply_async(calls.add, 1, 2)
        result = other.get_result([*done.msg_ids, *held.msg_ids])
        first, second = result.split()
        assert first.result(PATIENCE) == 3
        assert (result.progress, second.done(), result.done()) == (1, False, False)
        assert result.wait(PATIENCE, return_when="FIRST_COMPLETED")[0] == {first}
        gate.open()
        assert result.result(PATIENCE) == [3, 5]

    def test_errors_are_a_composite_error_with_parts_in_their_own_type(self, other, client) -> None:
        result = _known(other, client[:].apply_async(calls.reciprocal, 0))
        error = result.exception(PATIENCE)
        assert isinstance(error, CompositeError)
        assert all(isinstance(part, ZeroDivisionError) for part in result.get(0, return_exceptions=True))

    def test_own_calls_of_either_kind_among_others(self, other, client) -> None:
        theirs = client[client.ids[0]].apply_async(calls.add, 1, 2)
        grouped = other.load_balanced_view().submit(calls.add, 3, 4)
        own = other[other.ids[0]].apply_async(calls.add, 5, 6)
        result = other.get_result([grouped, *theirs.msg_ids, *own.msg_ids])
        assert result.get(PATIENCE) == [7, 3, 11]
        assert other.get_result(job for job in (own, grouped, theirs.msg_ids[0])).get(PATIENCE) == [11, 7, 3]

    def test_result_status_of_a_thousand_is_one_request(self) -> None:
        hub = ScriptedHub(over=[f"c{n}" for n in range(0, 1000, 100)])
        watch = HubWatch(hub)  # type: ignore[arg-type]
        futures = [watch.future_for(f"c{n}") for n in range(1000)]
        watch.ask()
        assert [n for n, future in enumerate(futures) if future.done()] == list(range(0, 1000, 100))
        hub.status_requests.clear()
        watch.ask()
        watch.break_off(RuntimeError)
        assert {len(msg_ids) for msg_ids in hub.status_requests} == {990}


class TestFacts:
    def test_metadata_and_output(self, other, client) -> None:
        call = client[client.ids[1]].apply_async(_print)
        call.get(PATIENCE)
        result = _known(other, call)
        assert result.engine_id == client.ids[1]
        assert result.get(PATIENCE) == "returned"
        assert result.engine_uuid == call.engine_uuid
        assert result.msg_id == call.msg_ids[0]
        assert result.submitted <= result.started <= result.completed <= result.received
        assert result.serial_time >= 0
        assert result.elapsed >= result.serial_time
        # The Hub hears of output on another connection than of results; displayed outputs it does not keep.
        _until(lambda: (_known(other, call).stdout, _known(other, call).stderr) == ("printed\n", "err\n"))

    def test_owner_leaves_nothing_in_the_clients_caches(self, other, client) -> None:
        call = client[client.ids[0]].apply_async(calls.add, 1, 2)
        assert other.get_result(call.msg_ids, owner=True).get(PATIENCE) == [3]
        assert call.msg_ids[0] not in other.results
        assert call.msg_ids[0] not in other.metadata

    def test_without_owner_the_client_remembers(self, other, client) -> None:
        call = client[client.ids[0]].apply_async(calls.add, 1, 2)
        assert other.get_result(call.msg_ids, owner=False).get(PATIENCE) == [3]
        again = other.get_result(call.msg_ids)
        assert type(again) is AsyncResult
        assert again.get(PATIENCE) == [3]

    def test_unknown_call_is_an_error_that_says_so(self, other, client, monkeypatch) -> None:
        monkeypatch.setattr(hub_watch, "GRACE", 0.2)
        known = client[client.ids[0]].apply_async(calls.add, 1, 2)
        _until(lambda: set(known.msg_ids) <= set(client.hub_history()))
        unknown, one = other.get_result("no such call"), _known(other, known)
        assert one.result(PATIENCE) == 3
        with pytest.raises(RemoteError, match="No such message: no such call") as caught:
            unknown.result(PATIENCE)
        assert "in groups" in caught.value.__notes__[0]


class TestEnd:
    def test_thread_ends_when_nothing_is_left(self, other, held: AsyncResult, gate: Gate) -> None:
        result = _known(other, held)
        watching = other._engine_room.hub._thread
        assert watching.name == WATCH
        gate.open()
        result.result(PATIENCE)
        watching.join(PATIENCE)
        assert not watching.is_alive()

    def test_thread_ends_when_results_are_dropped(self, other, held: AsyncResult) -> None:
        result = _known(other, held)
        watching = other._engine_room.hub._thread
        del result
        gc.collect()
        watching.join(PATIENCE)
        assert not watching.is_alive()

    def test_closing_the_client(self, connection_file: Path, held: AsyncResult) -> None:
        closing = ipyparallel.Client(str(connection_file))
        result = _known(closing, held)
        watching = closing._engine_room.hub._thread
        recorder = Recorder(lambda future: type(future.exception(0)))
        result.add_done_callback(recorder)
        closing.close()
        assert recorder.wait_for(1) == [ClusterGone]
        watching.join(PATIENCE)
        assert not watching.is_alive()

    def test_end_of_the_interpreter(self, connection_file: Path, held: AsyncResult) -> None:
        program = (
            "import ipyparallel, sys, IPython.parallel\n"
            "result = ipyparallel.Client(sys.argv[1]).get_result(sys.argv[2])\n"
            "result.add_done_callback(print)\n"
            "print(result.done())\n"
        )
        arguments = [sys.executable, "-c", program, str(connection_file), held.msg_ids[0]]
        ended = subprocess.run(arguments, capture_output=True, text=True, timeout=PATIENCE)
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, "False\n", "")

    def test_hub_that_never_answers_holds_nobody_once_it_is_given_up(self) -> None:
        hub = ScriptedHub(answers=False)
        watch = HubWatch(hub)  # type: ignore[arg-type]
        future = watch.future_for("c1")
        hub.asked.acquire(timeout=PATIENCE)
        asking = threading.Thread(target=watch.ask)
        asking.start()
        watching = watch._thread
        watch.break_off(lambda: ClusterGone("test"))
        assert isinstance(future.result(0), ClusterGone)  # a message's future has its error as result
        assert isinstance(watch.future_for("c2").result(0), ClusterGone)
        for thread in (asking, watching):
            thread.join(PATIENCE)
            assert not thread.is_alive()

    def test_hub_whose_answer_was_lost_is_asked_again(self, monkeypatch) -> None:
        monkeypatch.setattr(hub_watch, "PATIENCE", 0.05)
        hub = ScriptedHub(over=["c1"], answers=False)
        watch = HubWatch(hub)  # type: ignore[arg-type]
        future = watch.future_for("c1")
        hub.asked.acquire(timeout=PATIENCE)
        hub.answers = True
        assert future.wait(PATIENCE)
        assert future.result(0) == "result of c1"

    def test_hub_that_is_back_is_asked_again(self) -> None:
        hub = ScriptedHub(over=["c1"])
        watch = HubWatch(hub)  # type: ignore[arg-type]
        watch.break_off(lambda: ClusterGone("test"))
        watch.resume()
        future = watch.future_for("c1")
        assert future.wait(PATIENCE)
        assert future.result(0) == "result of c1"

    def test_client_that_is_no_more(self) -> None:
        hub = ScriptedHub()
        watch = HubWatch(hub)  # type: ignore[arg-type]
        del hub
        future = watch.future_for("c1")
        assert future.wait(PATIENCE)
        assert isinstance(future.result(0), ClusterGone)

    def test_failing_request_is_repeated(self, caplog: pytest.LogCaptureFixture) -> None:
        hub = ScriptedHub(over=["c1"], failures=3)
        watch = HubWatch(hub)  # type: ignore[arg-type]
        assert watch.future_for("c1").wait(PATIENCE)
        assert [record.getMessage() for record in caplog.records] == ["asking the Hub failed; it will be asked again"]

    def test_one_that_cannot_be_read_does_not_spoil_the_others(self, monkeypatch) -> None:
        monkeypatch.setattr(hub_watch, "GRACE", 0.2)
        hub = ScriptedHub(over=["c1", "c2", "c3"], unreadable=["c2"])
        watch = HubWatch(hub)  # type: ignore[arg-type]
        first, second, third = (watch.future_for(f"c{n}") for n in (1, 2, 3))
        assert first.wait(PATIENCE)
        assert third.wait(PATIENCE)
        assert second.wait(PATIENCE)
        assert isinstance(second.result(0), ValueError)


class ScriptedHub:
    """Stands for a client and the Hub it asks."""

    _query_stream = None
    result_status = None

    def __init__(
        self, over: list[str] = [], *, answers: bool = True, failures: int = 0, unreadable: list[str] = []  # noqa: B006
    ) -> None:
        self.over = over
        self.answers = answers
        self.failures = failures
        self.unreadable = unreadable
        self.asked = threading.Semaphore(0)
        self.status_requests: list[list[str]] = []
        self.results: dict[str, Any] = {}
        self.metadata: dict[str, Any] = collections.defaultdict(dict)

    def _send(self, stream: Any, msg_type: str, content: dict[str, Any]) -> Future[Any]:
        answer: Future[Any] = Future()
        ids = content["msg_ids"]
        if self.failures:
            self.failures -= 1
            raise OSError("not this time")
        if content["status_only"]:
            self.status_requests.append(ids)
            self.asked.release()
        if self.answers:
            completed = [msg_id for msg_id in ids if msg_id in self.over]
            answer.set_result({"content": {"status": "ok", "completed": completed}})
        return answer


@pytest.fixture(autouse=True)
def _reads_what_the_scripted_hub_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """ipyparallel's reading of an answer, but for scripted ones."""
    original = ipyparallel.Client.result_status

    def result_status(asking: Any, msg_ids: list[str], status_only: bool) -> Any:
        hub = getattr(asking, "_client", None)
        if not isinstance(hub, ScriptedHub):
            return original(asking, msg_ids, status_only)
        for msg_id in msg_ids:
            if msg_id in hub.unreadable:
                raise ValueError("cannot be read")
            asking.results[msg_id] = f"result of {msg_id}"
        return types.SimpleNamespace()

    monkeypatch.setattr(ipyparallel.Client, "result_status", result_status)


def _print() -> str:
    import sys

    print("printed")
    print("err", file=sys.stderr)
    return "returned"
