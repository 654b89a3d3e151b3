"""The contracts, bound to views of a real cluster; and what views promise beyond the standard library's pools."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import asyncio
import datetime
import gc
import itertools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor, ThreadPoolExecutor, as_completed, wait
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ipyparallel
import pytest

import IPython.parallel  # noqa: F401 (its import is what makes views executors)
from IPython.parallel.executor_mixin import configure_pool
from IPython.parallel.tests.contracts import calls as importable_calls
from IPython.parallel.tests.contracts.asyncio_bridge import (
    AsyncioContract,
    AwaitableContract,
)
from IPython.parallel.tests.contracts.future_states import (
    CallbackContract,
    CancelContract,
    PromptCancelContract,
    StateContract,
    WaitContract,
    WaitingCallbackContract,
)
from IPython.parallel.tests.contracts.harness import (
    PATIENCE,
    Calls,
    ExecutorContract,
    Gate,
    Recorder,
    Trace,
    shutting_down,
)
from IPython.parallel.tests.contracts.mapping import (
    ChunkedMapContract,
    ChunkErrorContract,
    MapContract,
)
from IPython.parallel.tests.contracts.shutting_down import (
    SettledAfterShutdownContract,
    ShutdownContract,
)
from IPython.parallel.tests.contracts.submitting import (
    ArgumentsContract,
    CallErrorContract,
    HostilePayloadContract,
    OrderContract,
    PicklingContract,
    RemoteCauseContract,
    SubmitContract,
)

ENGINES = 2


class _Views:
    """Binds a contract to a fresh view for each test: a view that was shut down takes no more work."""

    workers: int
    # Two small groups may be on their way to each engine.
    prefetched = 8

    def make(self, client: ipyparallel.Client) -> Executor:
        raise NotImplementedError

    @pytest.fixture
    def new_executor(self, client: ipyparallel.Client) -> Iterator[Callable[[], Executor]]:
        made: list[Executor] = []

        def make() -> Executor:
            made.append(self.make(client))
            return made[-1]

        with shutting_down(made):
            yield make

    @pytest.fixture
    def executor(self, new_executor: Callable[[], Executor]) -> Executor:
        return new_executor()


class Balanced(_Views):
    """A LoadBalancedView of both engines."""

    workers = ENGINES

    def make(self, client: ipyparallel.Client) -> Executor:
        return client.load_balanced_view()


class BalancedSingle(_Views):
    """A LoadBalancedView that uses one engine, as a process pool with ``max_workers=1``."""

    workers = 1

    def make(self, client: ipyparallel.Client) -> Executor:
        view = client.load_balanced_view()
        configure_pool(view, max_workers=1)
        return view


class Direct(_Views):
    """A DirectView of one engine."""

    workers = 1

    def make(self, client: ipyparallel.Client) -> Executor:
        return client[client.ids[0]]


class Wrapped(_Views):
    """ipyparallel's ViewExecutor."""

    workers = ENGINES

    def make(self, client: ipyparallel.Client) -> Executor:
        return client.load_balanced_view().executor


class WrappedDirect(_Views):
    """ipyparallel's ViewExecutor of a DirectView."""

    workers = 1

    def make(self, client: ipyparallel.Client) -> Executor:
        return client[client.ids[0]].executor


class ByValue:
    """Submits functions and classes that engines cannot import, as those of a script or notebook."""

    @pytest.fixture(scope="session")
    @staticmethod
    def calls() -> Calls:
        source = Path(importable_calls.__file__)
        names: dict[str, Any] = {"__name__": "__main__"}
        exec(compile(source.read_text(encoding="utf-8"), str(source), "exec"), names)
        return SimpleNamespace(**names)


class TestBalancedSubmit(Balanced, SubmitContract): ...


class TestBalancedOrder(BalancedSingle, OrderContract): ...


class TestBalancedErrors(Balanced, CallErrorContract): ...


class TestBalancedRemoteCause(Balanced, RemoteCauseContract): ...


class TestBalancedPickling(Balanced, PicklingContract): ...


class TestBalancedHostilePayload(Balanced, HostilePayloadContract): ...


class TestBalancedArguments(Balanced, ArgumentsContract): ...


class TestBalancedStates(Balanced, StateContract): ...


class TestBalancedCancel(Balanced, CancelContract): ...


class TestBalancedPromptCancel(Balanced, PromptCancelContract): ...


class TestBalancedCallbacks(Balanced, CallbackContract): ...


class TestBalancedWaitingCallbacks(Balanced, WaitingCallbackContract): ...


class TestBalancedWait(Balanced, WaitContract): ...


class TestBalancedMap(Balanced, MapContract): ...


class TestBalancedChunkedMap(Balanced, ChunkedMapContract): ...


class TestBalancedChunkErrors(Balanced, ChunkErrorContract): ...


class TestBalancedShutdown(Balanced, ShutdownContract): ...


class TestBalancedSettledAfterShutdown(Balanced, SettledAfterShutdownContract): ...


class TestBalancedAsyncio(Balanced, AsyncioContract): ...


class TestBalancedAwaitable(Balanced, AwaitableContract): ...


class TestDirectSubmit(Direct, SubmitContract): ...


class TestDirectOrder(Direct, OrderContract): ...


class TestDirectErrors(Direct, CallErrorContract): ...


class TestDirectRemoteCause(Direct, RemoteCauseContract): ...


class TestDirectPickling(Direct, PicklingContract): ...


class TestDirectHostilePayload(Direct, HostilePayloadContract): ...


class TestDirectArguments(Direct, ArgumentsContract): ...


class TestDirectStates(Direct, StateContract): ...


class TestDirectCancel(Direct, CancelContract): ...


class TestDirectPromptCancel(Direct, PromptCancelContract): ...


class TestDirectCallbacks(Direct, CallbackContract): ...


class TestDirectWaitingCallbacks(Direct, WaitingCallbackContract): ...


class TestDirectWait(Direct, WaitContract): ...


class TestDirectMap(Direct, MapContract): ...


class TestDirectChunkedMap(Direct, ChunkedMapContract): ...


class TestDirectChunkErrors(Direct, ChunkErrorContract): ...


class TestDirectShutdown(Direct, ShutdownContract): ...


class TestDirectSettledAfterShutdown(Direct, SettledAfterShutdownContract): ...


class TestDirectAsyncio(Direct, AsyncioContract): ...


class TestDirectAwaitable(Direct, AwaitableContract): ...


class TestWrappedSubmit(Wrapped, SubmitContract): ...


class TestWrappedCancel(Wrapped, CancelContract): ...


class TestWrappedMap(Wrapped, MapContract): ...


class TestWrappedShutdown(Wrapped, ShutdownContract): ...


class TestWrappedDirectShutdown(WrappedDirect, ShutdownContract): ...


class TestByValueSubmit(ByValue, Balanced, SubmitContract): ...


class TestByValueErrors(ByValue, Balanced, CallErrorContract): ...


class TestByValueRemoteCause(ByValue, Balanced, RemoteCauseContract): ...


class TestByValuePickling(ByValue, Balanced, PicklingContract): ...


class TestByValueHostilePayload(ByValue, Balanced, HostilePayloadContract): ...


class TestByValueMap(ByValue, Direct, MapContract): ...


MANY = 40


class ViewContract(ExecutorContract):
    """What a view adds to an executor, the same for all that give one result for one call."""

    def test_result_is_an_async_result(self, executor: Executor, calls: Calls) -> None:
        result = executor.submit(calls.add, 1, 2)
        assert isinstance(result, ipyparallel.AsyncResult)
        assert (result.get(PATIENCE), result.r) == (3, 3)

    def test_metadata(self, executor: Executor, client: ipyparallel.Client) -> None:
        result = executor.submit(os.getpid)
        result.wait(PATIENCE)
        assert result.engine_id in client.ids
        assert result.get() == client[result.engine_id].apply_sync(os.getpid)
        times = [result.metadata[name] for name in ("submitted", "started", "completed", "received")]
        assert all(isinstance(time, datetime.datetime) for time in times)
        assert times == sorted(times)

    def test_each_call_has_a_message_id_of_its_own(self, executor: Executor, calls: Calls) -> None:
        results = [executor.submit(calls.add, n, n) for n in range(30)]
        wait(results, timeout=PATIENCE)
        assert len({msg_id for result in results for msg_id in result.msg_ids}) == 30

    def test_each_call_has_its_own_output(self, executor: Executor) -> None:
        results = [executor.submit(print, "line", n) for n in range(5)]
        wait(results, timeout=PATIENCE)
        for result in results:
            result.wait_for_output(PATIENCE)
        assert [result.stdout for result in results] == [f"line {n}\n" for n in range(5)]

    def test_submit_is_asynchronous_on_a_blocking_view(self, executor: Executor, calls: Calls, gate: Gate) -> None:
        executor.block = True
        result = executor.submit(calls.pass_gate, gate.address, "through")
        assert not result.done()
        gate.open()
        assert result.result(PATIENCE) == "through"

    def test_map_of_a_blocking_view_returns_a_list(self, executor: Executor, calls: Calls) -> None:
        executor.block = True
        assert executor.map(calls.add, [1, 2], [3, 4]) == [4, 6]

    def test_map_with_a_timeout_is_an_iterator_on_a_blocking_view_too(self, executor, calls: Calls, gate: Gate) -> None:
        executor.block = True
        results = executor.map(calls.pass_gate, [gate.address], timeout=0.05)
        with pytest.raises(TimeoutError):
            next(results)

    def test_map_gives_an_async_map_result(self, executor: Executor, calls: Calls) -> None:
        results = executor.map(calls.add, range(5), range(5))
        assert isinstance(results, ipyparallel.AsyncMapResult)
        assert results.get(PATIENCE) == [0, 2, 4, 6, 8]

    def test_a_map_that_is_held_can_be_read_again(self, executor: Executor, calls: Calls, gate: Gate) -> None:
        """As ipyparallel's users know it; the standard library's can only go on."""
        results = executor.map(calls.pass_gate, [gate.address] * MANY, range(MANY))
        gate.open()
        assert list(results) == list(results) == sorted(results) == list(range(MANY))
        assert next(results, "at its end") == "at its end"

    def test_a_map_that_only_a_callback_waits_for(self, executor: Executor, calls: Calls, gate: Gate) -> None:
        seen = Recorder(lambda future: future.result(0))
        executor.map(calls.pass_gate, [gate.address] * MANY, range(MANY)).add_done_callback(seen)
        gc.collect()
        gate.open()
        assert seen.wait_for(1) == [list(range(MANY))]

    def test_a_cancelled_map_is_cancelled(self, executor: Executor, calls: Calls, gate: Gate) -> None:
        held = self.occupy(executor, calls, gate)
        wait_for = [executor.submit(calls.identity, n) for n in range(self.prefetched)]
        results = executor.map(calls.identity, range(MANY))
        seen = Recorder(lambda future: future.cancelled())
        results.add_done_callback(seen)
        assert results.cancel()
        assert wait([results], timeout=PATIENCE).done == {results}
        assert seen.wait_for(1) == [True]
        assert (results.cancelled(), results.done(), results.running()) == (True, True, False)
        for ask in (results.result, results.exception, results.get):
            with pytest.raises(CancelledError):
                ask(PATIENCE)
        assert "cancelled" in repr(results)
        gate.open()
        wait(held + wait_for, timeout=PATIENCE)

    def test_errors_instead_of_raising_include_cancelled_calls(
        self, executor: Executor, calls: Calls, gate: Gate
    ) -> None:
        self.occupy(executor, calls, gate)
        results = executor.map(calls.identity, range(MANY), return_exceptions=True)
        results.cancel()
        gate.open()
        ends = list(results)
        assert len(ends) == MANY
        assert {type(end) for end in ends} <= {int, CancelledError}
        assert type(ends[-1]) is CancelledError
        assert list(map(repr, results.get(PATIENCE))) == list(map(repr, ends))

    def test_number_of_workers(self, executor: Executor) -> None:
        assert executor._max_workers == self.workers

    def test_views_are_not_callable(self, executor: Executor) -> None:
        assert not callable(executor)

    def test_shutdown_leaves_engines_and_other_views_alone(
        self, new_executor, client: ipyparallel.Client, calls: Calls
    ) -> None:
        ids = client.ids
        other = new_executor()
        with new_executor() as executor:
            executor.submit(calls.add, 1, 2)
        assert client.ids == ids
        assert other.submit(calls.add, 1, 2).result(PATIENCE) == 3
        assert client[:].apply_sync(os.getpid) == client[ids].apply_sync(os.getpid)

    def test_shutdown_of_another_view_does_not_wait_for_this_one(self, new_executor, calls: Calls, gate: Gate) -> None:
        held = self.occupy(new_executor(), calls, gate)
        new_executor().shutdown(wait=True)
        assert not any(result.done() for result in held)

    def test_cancel_reaches_nearly_all_that_waits_after_many_small_calls_too(
        self, executor: Executor, calls: Calls, gate: Gate
    ) -> None:
        wait([executor.submit(calls.add, n, n) for n in range(1000)], timeout=PATIENCE)  # groups grow
        self.occupy(executor, calls, gate)
        waiting = [executor.submit(calls.add, n, n) for n in range(40)]
        assert [result.cancel() for result in waiting].count(True) >= 40 - self.prefetched

    def test_submit_from_many_threads(self, executor: Executor, calls: Calls) -> None:
        def submit_and_wait(n: int) -> int:
            return executor.submit(calls.add, n, 1).result(PATIENCE)

        with ThreadPoolExecutor(8) as threads:
            assert list(threads.map(submit_and_wait, range(100))) == list(range(1, 101))


class TestBalancedView(Balanced, ViewContract):
    def test_client_executor_is_a_working_executor(self, client: ipyparallel.Client, calls: Calls) -> None:
        with client.executor() as executor:
            assert isinstance(executor, Executor)
            assert executor.submit(calls.add, 1, 2).result(PATIENCE) == 3
        with pytest.raises(RuntimeError, match="after shutdown"):
            executor.submit(calls.add, 1, 2)

    def test_idle_engines_take_long_calls_at_once(self, executor: Executor, calls: Calls, new_gate) -> None:
        first, second = new_gate(), new_gate()
        # Small calls first, so that groups have grown by the time the long ones come.
        wait([executor.submit(calls.add, n, n) for n in range(500)], timeout=PATIENCE)
        long_call = executor.submit(calls.pass_gate, first.address)
        first.wait_for_arrivals(1)
        other_long_call = executor.submit(calls.pass_gate, second.address)
        second.wait_for_arrivals(1)
        assert not long_call.done()
        assert not other_long_call.done()

    def test_small_calls_behind_a_long_one_go_elsewhere(self, executor: Executor, calls: Calls, gate: Gate) -> None:
        long_call = executor.submit(calls.pass_gate, gate.address)
        futures = [executor.submit(calls.add, n, n) for n in range(100)]
        assert wait(futures, timeout=PATIENCE).not_done == set()
        assert not long_call.done()


class TestDirectViewOfOne(Direct, ViewContract): ...


class MultiTargetContract(ExecutorContract):
    """A view of several engines runs a call on each; its result is the list of theirs."""

    workers = ENGINES

    def test_results_are_a_list(self, executor: Executor, calls: Calls) -> None:
        assert executor.submit(calls.add, 1, 2).result(PATIENCE) == [3] * ENGINES

    def test_one_result_of_each_engine(self, executor: Executor, client: ipyparallel.Client) -> None:
        result = executor.submit(os.getpid)
        assert len(set(result.result(PATIENCE))) == ENGINES
        assert result.engine_id == client.ids

    def test_every_keyword_goes_to_the_call(self, executor: Executor, calls: Calls) -> None:
        result = executor.submit(calls.echo, 0, fn=1, self=2, block=3, targets=4)
        assert result.result(PATIENCE) == [((0,), {"fn": 1, "self": 2, "block": 3, "targets": 4})] * ENGINES

    def test_single_target_in_a_list(self, client: ipyparallel.Client, calls: Calls) -> None:
        assert client[[client.ids[0]]].submit(calls.add, 1, 2).result(PATIENCE) == [3]

    def test_errors_are_composed(self, executor: Executor, calls: Calls) -> None:
        result = executor.submit(calls.reciprocal, 0)
        with pytest.raises(ipyparallel.CompositeError, match="ZeroDivisionError"):
            result.result(PATIENCE)
        assert isinstance(result.exception(), ipyparallel.CompositeError)

    def test_parts_of_composed_errors_keep_their_type(self, executor: Executor, calls: Calls) -> None:
        result = executor.submit(calls.raise_error, calls.CustomError("broken", 5))
        parts = result.get(PATIENCE, return_exceptions=True)
        assert [part.code for part in parts] == [5] * ENGINES
        assert all(isinstance(part, calls.CustomError) for part in parts)
        assert all(isinstance(part, ipyparallel.RemoteError) for part in parts)

    def test_running(self, executor: Executor, calls: Calls, gate: Gate) -> None:
        result = executor.submit(calls.pass_gate, gate.address, "through")
        gate.wait_for_arrivals(ENGINES)
        assert (result.running(), result.done(), result.cancel()) == (True, False, False)
        gate.open()
        assert result.result(PATIENCE) == ["through"] * ENGINES

    def test_done_only_when_all_are(self, executor: Executor, client, calls: Calls, new_gate) -> None:
        gates = {engine: new_gate() for engine in client.ids}
        client[:].scatter("contract_gate", [gate.address for gate in gates.values()], flatten=True, block=True)
        result = executor.submit(_pass_gate_in_namespace, ipyparallel.Reference("contract_gate"))
        first, second = gates.values()
        first.wait_for_arrivals(1)
        second.wait_for_arrivals(1)
        first.open()
        assert wait([result], timeout=0.1).done == set()
        second.open()
        assert result.result(PATIENCE) == [None] * ENGINES

    def test_unpicklable_argument(self, executor: Executor, calls: Calls) -> None:
        assert executor.submit(calls.identity, calls.make_lock()).exception(PATIENCE) is not None
        assert executor.submit(calls.add, 1, 2).result(PATIENCE) == [3] * ENGINES

    def test_cancelled_calls_never_run_and_all_others_do(
        self, new_executor, calls: Calls, gate: Gate, tracer: Trace
    ) -> None:
        executor = new_executor()
        executor.submit(calls.pass_gate, gate.address)
        gate.wait_for_arrivals(ENGINES)
        results = {str(n): executor.submit(calls.trace, tracer.path, n) for n in range(20)}
        cancelled = {label for label, result in results.items() if result.cancel()}
        gate.open()
        executor.shutdown(wait=True)
        expected = [label for label in results if label not in cancelled]
        assert sorted(tracer.lines(), key=int) == [label for label in expected for _ in range(ENGINES)]

    def test_wait_and_as_completed(self, executor: Executor, calls: Calls) -> None:
        results = [executor.submit(calls.add, n, n) for n in range(5)]
        assert wait(results, timeout=PATIENCE) == (set(results), set())
        assert set(as_completed(results, timeout=PATIENCE)) == set(results)

    def test_callback(self, executor: Executor, calls: Calls) -> None:
        seen = Recorder(lambda result: result.result(0))
        executor.submit(calls.add, 1, 2).add_done_callback(seen)
        assert seen.wait_for(1) == [[3] * ENGINES]

    def test_asyncio(self, executor: Executor, calls: Calls) -> None:
        async def main() -> tuple[list[int], list[int]]:
            return await executor.submit(calls.add, 1, 2), await asyncio.wrap_future(executor.submit(calls.add, 3, 4))

        assert asyncio.run(asyncio.wait_for(main(), PATIENCE)) == ([3] * ENGINES, [7] * ENGINES)

    def test_map_spreads_its_items(self, executor: Executor, calls: Calls) -> None:
        assert list(executor.map(calls.add, range(11), range(11))) == list(range(0, 22, 2))

    def test_lazy_map_runs_each_call_once(self, executor: Executor, client, calls: Calls, gate: Gate) -> None:
        results = executor.map(calls.add, itertools.count(), itertools.count(), buffersize=3)
        assert list(itertools.islice(results, 11)) == list(range(0, 22, 2))
        held = executor.map(calls.pass_gate, [gate.address] * ENGINES, itertools.count(), buffersize=ENGINES)
        gate.wait_for_arrivals(ENGINES)  # one on each engine
        gate.open()
        assert list(held) == list(range(ENGINES))

    def test_lazy_map_ends_with_the_view(self, new_executor, calls: Calls) -> None:
        executor = new_executor()
        results = executor.map(calls.add, itertools.count(), itertools.count(), buffersize=3)
        assert next(results) == 0
        executor.shutdown(wait=True)
        with pytest.raises(RuntimeError, match="after shutdown"):
            list(results)

    def test_map_error(self, executor: Executor, calls: Calls) -> None:
        with pytest.raises(ZeroDivisionError):
            list(executor.map(calls.reciprocal, [1, 0]))

    def test_shutdown(self, new_executor, calls: Calls, tracer: Trace) -> None:
        with new_executor() as executor:
            for n in range(5):
                executor.submit(calls.trace, tracer.path, n)
        assert len(tracer.lines()) == 5 * ENGINES
        with pytest.raises(RuntimeError, match="after shutdown"):
            executor.submit(calls.add, 1, 2)

    def test_number_of_workers(self, executor: Executor) -> None:
        assert executor._max_workers == ENGINES


def _pass_gate_in_namespace(address: tuple[str, int]) -> None:
    importable_calls.pass_gate(tuple(address))


class TestDirectViewOfSeveral(_Views, MultiTargetContract):
    def make(self, client: ipyparallel.Client) -> Executor:
        return client[:]


class TestBroadcastView(_Views, MultiTargetContract):
    def make(self, client: ipyparallel.Client) -> Executor:
        return client.broadcast_view()
