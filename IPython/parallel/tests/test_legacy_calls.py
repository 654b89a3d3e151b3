"""Code written for ipyparallel and the old IPython.parallel: nothing that worked stops working.

Apart from `TestHalfFailed`, `TestOldFacts`, `TestShutdownMeaning` and `TestOriginalErrors` these tests pass on plain
ipyparallel too, which is their point.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from typing import Any

import ipyparallel
import pytest
from ipyparallel import (
    AsyncMapResult,
    AsyncResult,
    CompositeError,
    DirectView,
    LoadBalancedView,
    RemoteError,
    interactive,
)

import IPython.parallel  # noqa: F401 (its import is what could break something)
from IPython.parallel.tests.contracts import calls
from IPython.parallel.tests.contracts.harness import PATIENCE, Gate, Trace

ENGINES = 2


@pytest.fixture
def direct(client: ipyparallel.Client) -> DirectView:
    """All engines."""
    return client[:]


@pytest.fixture
def balanced(client: ipyparallel.Client) -> LoadBalancedView:
    return client.load_balanced_view()


@pytest.fixture
def clean_namespaces(client: ipyparallel.Client) -> Iterator[None]:
    """The engines' namespaces are empty before and after."""
    client[:].clear(block=True)
    yield
    client[:].clear(block=True)


@pytest.fixture(params=["direct", "balanced"])
def view(request: pytest.FixtureRequest, direct: DirectView, balanced: LoadBalancedView) -> Any:
    return {"direct": direct, "balanced": balanced}[request.param]


def on_each(view: Any, value: Any) -> Any:
    """What apply gives on this kind of view, if each engine returns `value`."""
    return [value] * ENGINES if isinstance(view, DirectView) else value


class TestApply:
    def test_apply_sync(self, view: Any) -> None:
        assert view.apply_sync(calls.add, 1, 2) == on_each(view, 3)

    def test_apply_async(self, view: Any) -> None:
        result = view.apply_async(calls.add, 1, b=2)
        assert isinstance(result, AsyncResult)
        assert result.get(PATIENCE) == on_each(view, 3)

    def test_apply_follows_block(self, view: Any) -> None:
        view.block = False
        assert isinstance(view.apply(calls.add, 1, 2), AsyncResult)
        view.block = True
        assert view.apply(calls.add, 1, 2) == on_each(view, 3)

    def test_temp_flags(self, view: Any) -> None:
        with view.temp_flags(block=True):
            assert view.apply(calls.add, 1, 2) == on_each(view, 3)
        assert isinstance(view.apply(calls.add, 1, 2), AsyncResult)

    def test_keywords_go_to_the_call(self, view: Any) -> None:
        assert view.apply_sync(calls.echo, 1, f=2, block=3) == on_each(view, ((1,), {"f": 2, "block": 3}))

    def test_single_engine_is_a_scalar(self, client: ipyparallel.Client) -> None:
        assert client[0].apply_sync(calls.add, 1, 2) == 3

    @pytest.mark.usefixtures("clean_namespaces")
    def test_reference(self, direct: DirectView) -> None:
        direct.push({"here": 5}, block=True)
        assert direct.apply_sync(calls.add, ipyparallel.Reference("here"), 1) == [6, 6]

    def test_remote_decorator(self, direct: DirectView) -> None:
        @direct.remote(block=True)
        def pid_and(value: int) -> tuple[int, int]:
            import os

            return os.getpid(), value

        pids, values = zip(*pid_and(4))
        assert (len(set(pids)), values) == (ENGINES, (4, 4))

    def test_parallel_decorator(self, view: Any) -> None:
        @view.parallel(block=True)
        def double(x: Any) -> Any:
            return x * 2

        assert double.map([1, 2, 3]) == [2, 4, 6]

    def test_require(self, view: Any) -> None:
        @ipyparallel.require("os")
        def pid() -> int:
            return os.getpid()

        assert view.apply_sync(pid)

    def test_depend(self, balanced: LoadBalancedView, client: ipyparallel.Client) -> None:
        chosen = client[client.ids[-1]].apply_sync(os.getpid)

        @ipyparallel.depend(_has_pid, chosen)
        def pid() -> int:
            import os

            return os.getpid()

        assert [balanced.apply_sync(pid) for _ in range(4)] == [chosen] * 4


class TestMap:
    def test_map_sync(self, view: Any) -> None:
        assert view.map_sync(calls.add, range(5), range(5)) == [0, 2, 4, 6, 8]

    def test_map_async(self, view: Any) -> None:
        results = view.map_async(calls.add, range(5), range(5))
        assert isinstance(results, AsyncMapResult)
        assert results.get(PATIENCE) == [0, 2, 4, 6, 8]

    def test_map_with_block(self, view: Any) -> None:
        assert view.map(calls.identity, [1, 2, 3], block=True) == [1, 2, 3]
        assert view.map(calls.identity, [1, 2, 3], block=False).get(PATIENCE) == [1, 2, 3]

    def test_map_iterates(self, view: Any) -> None:
        assert list(view.map_async(calls.identity, range(7))) == list(range(7))

    def test_imap(self, view: Any) -> None:
        assert list(view.imap(calls.identity, range(7))) == list(range(7))

    def test_indexing_and_length(self, view: Any) -> None:
        results = view.map_async(calls.identity, range(6))
        results.wait(PATIENCE)
        assert (results[3], results[1:3], len(results), results.progress) == (3, [1, 2], 6, 6)

    def test_chunksize(self, balanced: LoadBalancedView) -> None:
        results = balanced.map_async(calls.identity, range(6), chunksize=2)
        assert results.get(PATIENCE) == list(range(6))
        assert len(results) == 6

    def test_unordered(self, balanced: LoadBalancedView) -> None:
        results = balanced.map_async(calls.identity, range(6), ordered=False)
        assert sorted(results) == list(range(6))

    def test_error(self, view: Any) -> None:
        with pytest.raises(RemoteError, match="ZeroDivisionError"):
            view.map_sync(calls.reciprocal, [1, 0])

    def test_map_on_a_blocking_view(self, view: Any) -> None:
        view.block = True
        assert view.map(calls.identity, [3, 4]) == [3, 4]


@pytest.mark.usefixtures("clean_namespaces")
class TestNamespaceCalls:
    def test_push_and_pull(self, direct: DirectView) -> None:
        direct.push({"a": 1, "b": "two"}, block=True)
        assert direct.pull(("a", "b"), block=True) == [[1, "two"]] * ENGINES

    def test_items(self, direct: DirectView) -> None:
        direct["a"] = 5
        assert direct["a"] == [5] * ENGINES

    def test_scatter_and_gather(self, direct: DirectView) -> None:
        direct.scatter("part", list(range(8)), block=True)
        assert direct.apply_sync(interactive(lambda: len(part))) == [4, 4]  # noqa: F821 (lives on the engines)
        assert direct.gather("part", block=True) == list(range(8))

    def test_execute(self, direct: DirectView) -> None:
        direct.execute("c = 6 * 7", block=True)
        assert direct["c"] == [42] * ENGINES

    def test_execute_error(self, direct: DirectView) -> None:
        with pytest.raises(CompositeError, match="ZeroDivisionError"):
            direct.execute("1 / 0", block=True)

    def test_functions_use_pushed_names(self, view: Any, direct: DirectView) -> None:
        direct.push({"offset": 10}, block=True)
        assert view.apply_sync(interactive(lambda x: x + offset), 1) == on_each(view, 11)  # noqa: F821

    def test_pushed_functions_can_be_called(self, direct: DirectView) -> None:
        direct.push({"double": lambda x: 2 * x}, block=True)
        assert direct.apply_sync(interactive(lambda: double(4))) == [8, 8]  # noqa: F821

    def test_sync_imports(self, direct: DirectView) -> None:
        with direct.sync_imports(quiet=True):
            import colorsys  # noqa: F401
        assert direct.apply_sync(_name_of_colorsys) == ["colorsys"] * ENGINES

    def test_clear(self, direct: DirectView) -> None:
        direct.push({"a": 1}, block=True)  # clear() overtakes what the engines have not begun
        direct.clear(block=True)
        with pytest.raises(CompositeError, match="NameError"):
            direct.pull("a", block=True)


class TestAsyncResults:
    def test_get_and_r(self, view: Any) -> None:
        result = view.apply_async(calls.add, 1, 2)
        assert result.get() == result.get(-1) == result.get(None) == result.r == on_each(view, 3)

    def test_get_times_out(self, balanced: LoadBalancedView, gate: Gate) -> None:
        result = balanced.apply_async(calls.pass_gate, gate.address, 1)
        with pytest.raises(ipyparallel.TimeoutError):
            result.get(0.05)
        assert (result.ready(), result.wait(0.05)) == (False, False)
        with pytest.raises(RuntimeError):
            result.successful()
        gate.open()
        assert result.wait(PATIENCE)
        assert (result.ready(), result.successful(), result.get()) == (True, True, 1)

    def test_failed(self, view: Any) -> None:
        result = view.apply_async(calls.reciprocal, 0)
        result.wait(PATIENCE)
        assert (result.ready(), result.successful()) == (True, False)
        with pytest.raises(RemoteError):
            result.get()
        with pytest.raises(RemoteError):
            result.r  # noqa: B018 (legacy code waits and raises like this)

    def test_get_dict(self, direct: DirectView, client: ipyparallel.Client) -> None:
        result = direct.apply_async(calls.add, 1, 2)
        assert result.get_dict(PATIENCE) == result.result_dict == dict.fromkeys(client.ids, 3)

    def test_iteration_and_index(self, direct: DirectView) -> None:
        result = direct.apply_async(os.getpid)
        pids = result.get(PATIENCE)
        assert list(result) == pids
        assert (result[0], result[-1], len(result)) == (pids[0], pids[-1], ENGINES)

    def test_metadata(self, direct: DirectView, client: ipyparallel.Client) -> None:
        result = direct.apply_async(calls.add, 1, 2)
        result.wait(PATIENCE)
        assert result.engine_id == result["engine_id"] == client.ids
        assert [each["status"] for each in result.metadata] == ["ok", "ok"]
        assert result.elapsed >= 0
        assert result.serial_time >= 0
        assert result.wall_time >= 0
        with pytest.raises(AttributeError):
            result.no_such_key  # noqa: B018
        with pytest.raises(KeyError):
            result["no such key"]

    def test_output(self, balanced: LoadBalancedView) -> None:
        result = balanced.apply_async(print, "hello")
        result.wait_for_output(PATIENCE)
        assert result.stdout == "hello\n"

    def test_abort_of_a_finished_call(self, balanced: LoadBalancedView) -> None:
        result = balanced.apply_async(calls.add, 1, 2)
        result.wait(PATIENCE)
        with pytest.raises(RuntimeError):
            result.abort()

    def test_abort(self, client: ipyparallel.Client, gate: Gate, tracer: Trace) -> None:
        engine = client[0]
        held = engine.apply_async(calls.pass_gate, gate.address, 1)
        gate.wait_for_arrivals(1)
        waiting = engine.apply_async(calls.trace, tracer.path, "ran")
        engine.abort(waiting, block=True)
        gate.open()
        assert held.get(PATIENCE) == 1
        with pytest.raises(ipyparallel.TaskAborted):
            waiting.get(PATIENCE)
        assert tracer.lines() == []

    def test_is_a_future(self, view: Any) -> None:
        results = [view.apply_async(calls.add, n, n) for n in range(4)]
        assert wait(results, timeout=PATIENCE).not_done == set()


class TestBookkeeping:
    def test_view_wait_and_outstanding(self, view: Any, gate: Gate) -> None:
        result = view.apply_async(calls.pass_gate, gate.address)
        assert set(result.msg_ids) <= view.outstanding
        assert not view.wait(timeout=0.05)
        gate.open()
        assert view.wait(timeout=PATIENCE)
        assert view.outstanding == set()

    def test_client_wait_and_outstanding(self, view: Any, client: ipyparallel.Client, gate: Gate) -> None:
        result = view.apply_async(calls.pass_gate, gate.address)
        assert set(result.msg_ids) <= client.outstanding
        gate.open()
        assert client.wait(result, timeout=PATIENCE)
        assert not set(result.msg_ids) & client.outstanding

    def test_client_wait_for_what_fails_or_is_cancelled(
        self, view: Any, client: ipyparallel.Client, caplog: pytest.LogCaptureFixture, gate: Gate
    ) -> None:
        results = [view.submit(calls.fail_behind_gate, gate.address, ValueError(n)) for n in range(4)]
        results += [view.submit(calls.pass_gate, gate.address) for _ in range(4)]
        for result in results[4:]:
            result.cancel()
        waiting = threading.Thread(target=client.wait, args=(results, PATIENCE))
        waiting.start()
        gate.open()
        waiting.join(PATIENCE)
        assert client.wait(results, 0)
        assert client.wait([result.msg_ids[0] for result in results], 0)
        assert caplog.records == []

    def test_history(self, view: Any) -> None:
        result = view.apply_async(calls.add, 1, 2)
        result.wait(PATIENCE)
        assert view.history[-len(result.msg_ids) :] == result.msg_ids

    def test_client_get_result(self, balanced: LoadBalancedView, client: ipyparallel.Client) -> None:
        result = balanced.apply_async(calls.add, 1, 2)
        result.wait(PATIENCE)
        assert client.get_result(result.msg_ids).get(PATIENCE) == [3]

    def test_view_get_result(self, balanced: LoadBalancedView) -> None:
        balanced.apply_sync(calls.add, 1, 2)
        assert balanced.get_result(-1).get(PATIENCE) == 3

    def test_queue_status(self, view: Any) -> None:
        view.apply_sync(calls.add, 1, 2)
        assert view.queue_status()

    def test_dependencies(self, balanced: LoadBalancedView, gate: Gate, tracer: Trace) -> None:
        first = balanced.apply_async(calls.pass_gate, gate.address)
        gate.wait_for_arrivals(1)
        with balanced.temp_flags(after=first):
            second = balanced.apply_async(calls.trace, tracer.path, "second")
        with balanced.temp_flags(follow=first):
            third = balanced.apply_async(os.getpid)
        assert tracer.lines() == []
        gate.open()
        assert second.get(PATIENCE) == "second"
        third.wait(PATIENCE)
        assert third.engine_id == first.engine_id


class TestExecutors:
    def test_view_executor(self, balanced: LoadBalancedView) -> None:
        with balanced.executor as executor:
            assert executor.submit(calls.add, 1, 2).result(PATIENCE) == 3
            assert list(executor.map(calls.add, [1, 2], [3, 4])) == [4, 6]

    def test_client_executor(self, client: ipyparallel.Client) -> None:
        with client.executor() as executor:
            assert executor.submit(calls.add, 1, 2).result(PATIENCE) == 3


class TestHalfFailed:
    """A result of several engines, of which one failed."""

    @pytest.fixture
    def result(self, direct: DirectView, client: ipyparallel.Client) -> AsyncResult:
        direct.scatter("part", [0, 1], block=True)
        result = direct.apply_async(calls.reciprocal, ipyparallel.Reference("part[0]"))
        result.wait(PATIENCE)
        return result

    def test_what_succeeded(self, result: AsyncResult) -> None:
        assert (result[1], result[-1], result[1:]) == (1, 1, [1])

    @pytest.mark.parametrize("key", [0, -2, slice(None), slice(0, 1)])
    def test_what_failed(self, result: AsyncResult, key: Any) -> None:
        with pytest.raises(CompositeError, match="ZeroDivisionError"):
            result[key]

    def test_metadata(self, result: AsyncResult) -> None:
        assert result["status"] == ["error", "ok"]

    def test_no_such_part(self, result: AsyncResult) -> None:
        with pytest.raises(IndexError):
            result[2]
        with pytest.raises(TypeError):
            result[1.5]


class TestOldFacts:
    """What a result told in IPython 1 to 3, and plain ipyparallel's does not, or not at once."""

    def test_sent_is_known_at_once(self, view: Any) -> None:
        results = [view.apply_async(len, "x" * 100_000) for _ in range(20)]
        assert [(result.sent, result._tracker.done) for result in results] == [(True, True)] * 20

    def test_sent_of_a_tracked_message(self, direct: DirectView) -> None:
        result = direct.push({"large": b"x" * 1_000_000}, track=True, block=False)
        assert result.sent == result._tracker.done
        result.wait_for_send(PATIENCE)
        assert result.sent
        result.get(PATIENCE)

    def test_the_receiving_thread_does_not_wait_for_itself(
        self, direct: DirectView, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        told: list[bool] = []
        result = direct.apply_async(os.getpid)
        result.wait_for_send(PATIENCE)
        asked = threading.Event()
        monkeypatch.setattr(result._sent_event, "wait", lambda timeout: told.append(False))

        def ask() -> None:
            told.append(result.sent)
            asked.set()

        direct.client._io_loop.add_callback(ask)
        assert asked.wait(PATIENCE)
        assert told == [True]

    def test_pyout(self, client: ipyparallel.Client) -> None:
        result = client[client.ids[0]].execute("2 + 3", silent=False)
        assert result.wait_for_output(PATIENCE)
        assert result.pyout["data"]["text/plain"] == "5"
        assert result.get(PATIENCE).pyout == result.execute_result


class TestShutdownMeaning:
    """`shutdown` means the executor's, unless an argument of the engines' shutdown is given."""

    @pytest.fixture
    def stopped(self, client: ipyparallel.Client, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
        """What was asked of the client's shutdown, which stops engines and is not carried out here."""
        asked: list[dict[str, Any]] = []
        monkeypatch.setattr(client, "shutdown", lambda **options: asked.append(options))
        return asked

    @pytest.mark.parametrize(
        "shut_down",
        [
            lambda view: view.shutdown(),
            lambda view: view.shutdown(True),
            lambda view: view.shutdown(False),
            lambda view: view.shutdown(wait=True),
            lambda view: view.shutdown(wait=False, cancel_futures=True),
            lambda view: view.shutdown(cancel_futures=True),
            lambda view: view.__enter__().__exit__(None, None, None),
        ],
    )
    def test_executors_meaning(self, view: Any, stopped: list[dict[str, Any]], shut_down: Callable) -> None:
        shut_down(view)
        assert stopped == []
        with pytest.raises(RuntimeError, match="after shutdown"):
            view.submit(calls.add, 1, 2)

    @pytest.mark.parametrize(
        ("shut_down", "expected"),
        [
            (lambda view: view.shutdown([0]), {"targets": [0], "restart": False, "hub": False}),
            (lambda view: view.shutdown("all", False, True), {"restart": False, "hub": True}),
            (lambda view: view.shutdown(0), {"targets": 0, "restart": False, "hub": False}),
            (lambda view: view.shutdown(targets=[0]), {"targets": [0], "restart": False, "hub": False}),
            (lambda view: view.shutdown(hub=True), {"restart": False, "hub": True}),
            (lambda view: view.shutdown(restart=True), {"restart": True, "hub": False}),
            (lambda view: view.shutdown(block=True), {"hub": False, "block": True}),
            (lambda view: view.shutdown(targets=[0], block=False, wait=True), {"targets": [0], "block": False}),
        ],
    )
    def test_engines_meaning(self, view: Any, stopped, shut_down: Callable, expected: dict[str, Any]) -> None:
        shut_down(view)
        (options,) = stopped
        assert {name: options[name] for name in expected} == expected

    def test_wait_beside_the_engines_meaning(self, balanced, stopped: list[dict[str, Any]]) -> None:
        result = balanced.submit(calls.add, 1, 2)
        balanced.shutdown(hub=True, wait=True)
        assert result.done()
        assert len(stopped) == 1


class TestOriginalErrors:
    """What `apply` and `map` raise is a RemoteError as ever, and now also what was raised on the engine."""

    def test_apply(self, balanced: LoadBalancedView) -> None:
        with pytest.raises(calls.CustomError) as caught:
            balanced.apply_sync(calls.raise_error, calls.CustomError("broken", 3))
        assert isinstance(caught.value, RemoteError)
        assert (caught.value.ename, caught.value.code) == ("CustomError", 3)

    def test_apply_on_one_engine(self, client: ipyparallel.Client) -> None:
        with pytest.raises(ZeroDivisionError) as caught:
            client[0].apply_async(calls.reciprocal, 0).get(PATIENCE)
        assert isinstance(caught.value, RemoteError)

    def test_apply_on_several_engines(self, direct: DirectView) -> None:
        parts = direct.apply_async(calls.reciprocal, 0).get(PATIENCE, return_exceptions=True)
        assert all(isinstance(part, ZeroDivisionError) and isinstance(part, RemoteError) for part in parts)

    def test_map(self, view: Any) -> None:
        with pytest.raises(RemoteError, match="ZeroDivisionError"):
            view.map_sync(calls.reciprocal, [1, 0])
        with pytest.raises(ZeroDivisionError):
            list(view.map(calls.reciprocal, [1, 0]))


@interactive
def _name_of_colorsys() -> str:
    return colorsys.__name__  # noqa: F821 (imported on the engines)


def _has_pid(pid: int) -> bool:
    return os.getpid() == pid
