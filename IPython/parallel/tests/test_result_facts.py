"""What a result knows of its call, for every kind of result: ids, engines, times, output, progress, parts."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import datetime
import gc
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tqdm
from ipyparallel import AsyncMapResult, AsyncResult, Client
from ipyparallel.error import CompositeError, RemoteError

from IPython.parallel.connection import hub_watch
from IPython.parallel.tests.contracts import calls
from IPython.parallel.tests.contracts.harness import PATIENCE, Gate, Trace

STAMPS = ("submitted", "started", "completed", "received")
ITEMS = 3

Call = Callable[..., Any]


@pytest.fixture(scope="module")
def other(client: Client, connection_file: Path) -> Iterator[Client]:
    """A second client, which knows of the first one's calls from the Hub alone."""
    with Client(str(connection_file)) as second:
        yield second


def _flagged(view: Any) -> Any:
    view.set_flags(timeout=3 * PATIENCE)
    return view


# How each kind of result comes about: a function of (client, called function, its argument).
SINGLE: dict[str, Callable[[Client, Call, Any], AsyncResult]] = {
    "submit, balanced": lambda c, f, x: c.load_balanced_view().submit(f, x),
    "submit, balanced, with a flag": lambda c, f, x: _flagged(c.load_balanced_view()).submit(f, x),
    "submit, one engine": lambda c, f, x: c[c.ids[0]].submit(f, x),
    "apply, one engine": lambda c, f, x: c[c.ids[0]].apply_async(f, x),
}
SEVERAL: dict[str, Callable[[Client, Call, Any], AsyncResult]] = {
    "submit, several engines": lambda c, f, x: c[:].submit(f, x),
    "submit, broadcast": lambda c, f, x: c.broadcast_view().submit(f, x),
    "apply, several engines": lambda c, f, x: c[:].apply_async(f, x),
    "joined": lambda c, f, x: AsyncResult.join(*(c.load_balanced_view().submit(f, x) for _ in range(2))),
}
MAPPED: dict[str, Callable[[Client, Call, Any], AsyncResult]] = {
    "map, balanced": lambda c, f, x: c.load_balanced_view().map(f, [x] * ITEMS),
    "map, balanced, in chunks": lambda c, f, x: c.load_balanced_view().map(f, [x] * ITEMS, chunksize=2),
    "map, balanced, with a flag": lambda c, f, x: _flagged(c.load_balanced_view()).map(f, [x] * ITEMS),
    "map, several engines": lambda c, f, x: c[:].map(f, [x] * ITEMS),
    "map, broadcast": lambda c, f, x: c.broadcast_view().map(f, [x] * ITEMS),
}
ALL = {**SINGLE, **SEVERAL, **MAPPED}


@pytest.fixture(params=ALL)
def make(request: pytest.FixtureRequest, client: Client) -> Callable[[Call, Any], AsyncResult]:
    return lambda function, argument: ALL[request.param](client, function, argument)


@pytest.fixture
def held(make: Callable[[Call, Any], AsyncResult], gate: Gate) -> Callable[[], AsyncResult]:
    """Makes a result whose calls stand before the gate, or wait behind those that do."""

    def make_and_wait() -> AsyncResult:
        result = make(calls.pass_gate, gate.address)
        gate.wait_for_arrivals(1)
        return result

    return make_and_wait


@pytest.fixture(autouse=True)
def _no_monitor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Progress bars start a thread otherwise, which outlives them."""
    monkeypatch.setattr(tqdm.tqdm, "monitor_interval", 0)


def _each(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _count(result: AsyncResult) -> int:
    return len(_each(result.msg_id))


def _until(condition: Callable[[], bool]) -> None:
    """Return when `condition` holds; the test's own timeout is the limit."""
    pause = threading.Event()
    while not condition():
        pause.wait(0.01)


class TestIdentityAndTimes:
    def test_when_done(self, make, client: Client) -> None:
        result = make(calls.identity, 5)
        result.wait(PATIENCE)
        assert _each(result.msg_id) == result.msg_ids
        assert len(set(result.msg_ids)) == len(result.msg_ids)
        uuids = dict(client._engines)
        assert [uuids[engine] for engine in _each(result.engine_id)] == _each(result.engine_uuid)
        for metadata in _each(result.metadata):
            stamps = [metadata[name] for name in STAMPS]
            assert all(isinstance(stamp, datetime.datetime) and stamp.tzinfo is not None for stamp in stamps)
            assert stamps == sorted(stamps)
            assert metadata["status"] == "ok"
        assert 0 <= result.serial_time
        assert 0 <= max((m["completed"] - m["started"]).total_seconds() for m in _each(result.metadata))
        assert result.wall_time == result.elapsed >= 0
        assert "finished" in repr(result)

    def test_before(self, held, gate: Gate) -> None:
        result = held()
        for metadata in _each(result.metadata):
            assert metadata["submitted"] is not None
            assert metadata["completed"] is metadata["received"] is None
        assert result.elapsed > 0
        for name in ("serial_time", "wall_time"):
            with pytest.raises(TimeoutError):
                getattr(result, name)
        assert not hasattr(result, "anything")
        assert (result.done(), result.ready(), result.running()) == (False, False, True)
        assert (result.wait(0), result.wait(0.01)) == (False, False)
        with pytest.raises(TimeoutError):
            result.get(0.01)
        with pytest.raises(RuntimeError):
            result.successful()
        assert "pending" in repr(result)
        gate.open()
        result.wait(PATIENCE)

    def test_of_a_failed_call(self, make) -> None:
        result = make(calls.reciprocal, 0)
        assert result.wait(PATIENCE) is True
        assert isinstance(result.exception(), RemoteError)
        assert not result.successful()
        assert "failed" in repr(result)
        for metadata in _each(result.metadata):
            assert [metadata[name] for name in STAMPS] == sorted(metadata[name] for name in STAMPS)
        errors = _each(result.get(return_exceptions=True))
        assert all(isinstance(error, ZeroDivisionError) for error in errors)
        assert len(errors) == (ITEMS if isinstance(result, AsyncMapResult) else _count(result))


class TestOutput:
    def test_is_this_results_alone(self, make, client: Client, capsys: pytest.CaptureFixture[str]) -> None:
        noise = [client.load_balanced_view().submit(print, "noise") for _ in range(20)]
        result = make(_say, "mine")
        noise += [client.load_balanced_view().submit(print, "noise") for _ in range(20)]
        result.wait(PATIENCE)
        result.wait_for_output(PATIENCE)
        times = ITEMS if isinstance(result, AsyncMapResult) else _count(result)
        assert "".join(_each(result.stdout)) == "out mine\n" * times
        assert "".join(_each(result.stderr)) == "err mine\n" * times
        displayed = [output for one in _outputs(result) for output in one]
        assert [output["data"]["text/html"] for output in displayed] == ["<b>mine</b>"] * times
        assert {future.stdout for future in noise if future.wait(PATIENCE)} == {"noise\n"}
        result.display_outputs()
        shown = capsys.readouterr()
        assert shown.out.count("out mine") == times
        assert shown.err.count("err mine") == times

    def test_of_a_failed_call(self, make) -> None:
        result = make(_say_and_fail, "mine")
        result.wait(PATIENCE)
        result.wait_for_output(PATIENCE)
        assert "out mine\n" in "".join(_each(result.stdout))


def _outputs(result: AsyncResult) -> list[list[Any]]:
    return [result.outputs] if result._single_result else result.outputs


def _say(text: str) -> str:
    import sys

    from IPython.display import HTML, display

    print("out", text)
    print("err", text, file=sys.stderr)
    display(HTML(f"<b>{text}</b>"))
    return text


def _say_and_fail(text: str) -> None:
    print("out", text)
    raise ValueError(text)


class TestProgress:
    def test_before_and_after(self, held, gate: Gate) -> None:
        result = held()
        total = len(result)
        assert result.progress == 0
        gate.open()
        result.wait(PATIENCE)
        assert result.progress == len(result) == total
        assert total == (ITEMS if isinstance(result, AsyncMapResult) else _count(result))

    def test_wait_interactive(self, make, capsys: pytest.CaptureFixture[str]) -> None:
        for return_when in ("ALL_COMPLETED", "FIRST_COMPLETED", "FIRST_EXCEPTION"):
            result = make(calls.identity, 5)
            result.wait_interactive(interval=0.01, timeout=PATIENCE, return_when=return_when)
            if return_when != "FIRST_COMPLETED":
                assert result.wait(PATIENCE)
                assert "100%" in capsys.readouterr().out

    def test_wait_interactive_gives_up(self, held, capsys: pytest.CaptureFixture[str], gate: Gate) -> None:
        result = held()
        result.wait_interactive(interval=0.01, timeout=0.03)
        assert not result.done()
        assert "0%" in capsys.readouterr().out
        gate.open()
        result.wait(PATIENCE)

    def test_view_and_client_count_it(self, client: Client, held, gate: Gate) -> None:
        result = held()
        assert set(result.msg_ids) <= client.outstanding
        assert client.history[-len(result.msg_ids) :] == result.msg_ids
        assert client.wait(result, 0.01) is False
        assert client.wait(result.msg_ids, 0.01) is False
        gate.open()
        assert client.wait(result, PATIENCE) is True
        assert client.wait(result.msg_ids, PATIENCE) is True
        assert client.wait(timeout=PATIENCE) is True
        _until(lambda: not client.outstanding & set(result.msg_ids))


class TestParts:
    def test_split_and_join(self, make) -> None:
        result = make(calls.identity, 5)
        parts = result.split()
        assert [part.msg_ids for part in parts] == ([[one] for one in result.msg_ids])
        if len(parts) == 1:
            assert parts[0] is result
        result.wait(PATIENCE)
        assert all(part.wait(PATIENCE) for part in parts)
        if isinstance(result, AsyncMapResult) and len(parts) > 1:  # each part is a list of chunks
            assert [value for part in parts for chunk in part.get() for value in chunk] == result.get()
        else:
            assert [value for part in parts for value in _each(part.get())] == _each(result.get())
        assert result.split() is parts or result.split() == parts
        kind = AsyncMapResult if isinstance(result, AsyncMapResult) else AsyncResult
        joined = kind.join(result, make(calls.identity, 6))
        assert joined.get(PATIENCE) == _each(result.get()) + [6] * len(_each(result.get()))
        assert joined.msg_ids[: len(result.msg_ids)] == result.msg_ids

    def test_wait_for_the_first_part(self, held, gate: Gate) -> None:
        result = held()
        done, pending = result.wait(0.01, return_when="FIRST_COMPLETED")
        assert not done
        assert len(pending) == len(result.split())
        gate.open()
        done, pending = result.wait(PATIENCE, return_when="ALL_COMPLETED")
        assert not pending

    def test_get_dict(self, make) -> None:
        result = make(calls.identity, 5)
        result.wait(PATIENCE)
        engines = _each(result.engine_id)
        if len(set(engines)) < len(engines):
            with pytest.raises(ValueError, match="jobs ran on engine"):
                result.get_dict()
            return
        if isinstance(result, AsyncMapResult):
            pytest.skip("the results of a map's parts by engine: ipyparallel pairs values with engines")
        assert result.get_dict() == result.result_dict == dict.fromkeys(engines, 5)

    def test_iteration(self, make) -> None:
        result = make(calls.identity, 5)
        if result._single_result:
            with pytest.raises(TypeError):
                iter(result).__next__()
        else:
            assert list(result) == result.get(PATIENCE)


class TestFoundAgain:
    def test_by_the_client(self, make, client: Client) -> None:
        result = make(calls.identity, 5)
        again = client.get_result(result.msg_ids)
        assert again.msg_ids == result.msg_ids
        assert again.get(PATIENCE) is not None
        flat = [value for one in again.get() for value in _each(one)]
        assert flat == _each(result.get(PATIENCE))
        assert client.get_result(result).msg_ids == result.msg_ids

    def test_by_position(self, make, client: Client) -> None:
        result = make(calls.identity, 5)
        again = client.get_result(-1)
        assert again.msg_ids == result.msg_ids[-1:]
        assert _each(again.get(PATIENCE)) == [5] * len(_each(again.get()))

    def test_by_another_client(self, make, client: Client, other: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        """What has a message of its own; the Hub knows no others."""
        monkeypatch.setattr(hub_watch, "GRACE", 1.0)
        result = make(calls.identity, 5)
        result.wait(PATIENCE)
        again = other.get_result(result.msg_ids)
        if isinstance(again.exception(PATIENCE), RemoteError):
            assert result.msg_ids[0] not in client.hub_history()
            assert "No such message" in str(again.exception())
        else:
            flat = [value for one in again.get(PATIENCE) for value in _each(one)]
            assert flat == _each(result.get())
            for metadata in again.metadata:
                assert [metadata[name] for name in STAMPS] == sorted(metadata[name] for name in STAMPS)


    def test_parts_of_what_was_joined_or_split(self, client: Client) -> None:
        view = client.load_balanced_view()
        joined = AsyncResult.join(view.submit(calls.add, 1, 2), view.submit(calls.add, 3, 4))
        parts = view.map(calls.identity, [5, 6]).split()
        joined.wait(PATIENCE)
        gc.collect()
        assert client.get_result(joined.msg_ids).get(PATIENCE) == [3, 7]
        assert [client.get_result(part.msg_ids[0]).get(PATIENCE) for part in parts] == [5, 6]


class TestAsDependency:
    @pytest.mark.parametrize("flag", ["after", "follow"])
    def test_call_waits_for_it(self, make, client: Client, gate: Gate, tracer: Trace, flag: str) -> None:
        if flag == "follow" and len(client.ids) > 1:
            first = client[client.ids[0]].submit(calls.pass_gate, gate.address)
        else:
            first = make(calls.pass_gate, gate.address)
        gate.wait_for_arrivals(1)
        view = client.load_balanced_view()
        with view.temp_flags(**{flag: first}):
            second = view.submit(calls.trace, tracer.path, "second")
        assert tracer.lines() == []
        assert not second.done()
        gate.open()
        assert second.result(PATIENCE) == "second"
        assert first.done()
        if flag == "follow":
            assert second.engine_id == first.engine_id


class TestAborted:
    @pytest.mark.parametrize("how", ["client.abort", "abort"])
    def test_what_has_not_begun(self, make, client: Client, gate: Gate, tracer: Trace, how: str) -> None:
        blocking = client.load_balanced_view().map(calls.pass_gate, [gate.address] * len(client.ids))
        gate.wait_for_arrivals(len(client.ids))
        # From here on, what is submitted stays at the client: groups sent behind a call that takes long come back.
        engines = client._engine_room.dispatcher._schedule.engines
        _until(lambda: all(engine.overrunning is not None for engine in engines.values()))
        result = make(_trace(tracer.path), "ran")
        if how == "abort":
            result.abort()
        else:
            client.abort(result, block=True)
        gate.open()
        assert result.wait(PATIENCE)
        assert tracer.lines() == []
        assert result.cancelled() or result.exception(PATIENCE) is not None
        assert not result.successful()
        with pytest.raises(RuntimeError):
            result.abort()
        assert blocking.wait(PATIENCE)


def _trace(path: str) -> Call:
    return lambda label: calls.trace(path, label)


class TestViews:
    @pytest.mark.parametrize("kind", ["balanced", "one", "several", "broadcast"])
    def test_last_result_outstanding_and_wait(self, client: Client, gate: Gate, kind: str) -> None:
        view = {
            "balanced": client.load_balanced_view,
            "one": lambda: client[client.ids[0]],
            "several": lambda: client[:],
            "broadcast": client.broadcast_view,
        }[kind]()
        result = view.submit(calls.pass_gate, gate.address, 5)
        gate.wait_for_arrivals(1)
        assert set(result.msg_ids) <= view.outstanding
        assert view.history[-len(result.msg_ids) :] == result.msg_ids
        assert view.get_result(-1).msg_ids == result.msg_ids[-1:]
        assert (view.wait(timeout=0.01), view.wait(result, 0.01)) == (False, False)
        gate.open()
        assert view.wait(timeout=PATIENCE)
        assert result.done()
        assert _each(view.get_result(-1).get(PATIENCE))[0] == 5
        _until(lambda: not view.outstanding)


class TestExceptionsAsValues:
    """What a call returns is its value, an exception as well."""

    def test_returned(self, make) -> None:
        result = make(calls.identity, ValueError("returned"))
        values = _each(result.get(PATIENCE))
        assert result.exception() is None
        assert [(type(value), value.args) for value in values] == [(ValueError, ("returned",))] * len(values)
        for part in result.split():
            assert part.exception(PATIENCE) is None

    def test_returned_by_a_call_that_is_found_again(self, client: Client, make) -> None:
        result = make(calls.identity, ValueError("returned"))
        again = client.get_result(result.msg_ids)
        assert again.exception(PATIENCE) is None

    def test_what_failed_here_is_an_error_wherever_it_is_joined(self, client: Client) -> None:
        view = client.load_balanced_view()
        failed = view.submit(calls.identity, calls.make_lock())
        for joined in (AsyncResult.join(failed, view.submit(calls.add, 1, 2)), client.get_result([failed])):
            assert type(joined.exception(PATIENCE)) is type(failed.exception(PATIENCE))
            assert not joined.successful()
        mapped = view.map(calls.identity, [1, calls.make_lock()])
        assert [part.exception(PATIENCE) is None for part in mapped.split()] == [True, False]

    def test_cancelled_among_joined(self, client: Client, gate: Gate) -> None:
        view = client[client.ids[0]]
        view.submit(calls.pass_gate, gate.address)
        gate.wait_for_arrivals(1)
        waiting = [view.submit(calls.add, n, 1) for n in range(20)]
        cancelled = waiting[-1]
        assert cancelled.cancel()
        joined = AsyncResult.join(cancelled, waiting[0])
        again = client.get_result([cancelled])
        gate.open()
        assert isinstance(joined.exception(PATIENCE), CompositeError)
        assert "TaskAborted" in str(joined.exception())
        assert isinstance(again.exception(PATIENCE), CompositeError)


class TestResultAsValue:
    """``result``, called and not, of every kind."""

    def test_stands_for_what_get_gives(self, make, client: Client, other: Client) -> None:
        made = make(calls.identity, "abc")
        for result in (made, client.get_result(made.msg_ids)):
            value = result.result(PATIENCE)
            assert result.result == value == result.get() == result.r
            assert (len(result.result), list(result.result), result.result[0]) == (len(value), list(value), value[0])
            assert f"{result.result!r} {result.result}" == f"{value!r} {value}"
            assert isinstance(result.result, type(value))

    def test_naming_it_neither_waits_nor_raises(self, held, make, gate: Gate) -> None:
        result, failed = held(), make(calls.reciprocal, 0)
        access = result.result, failed.result
        assert hasattr(result, "result")
        gate.open()
        result.wait(PATIENCE)
        assert bool(access[0] == result.get())
        with pytest.raises(type(failed.exception(PATIENCE))):
            bool(access[1])
