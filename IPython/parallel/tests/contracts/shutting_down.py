"""Contract of `shutdown` and `with`."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor, wait

import pytest

from IPython.parallel.tests.contracts.harness import (
    PATIENCE,
    Calls,
    ExecutorContract,
    Gate,
    Recorder,
    Trace,
)

MANY = 40
REFUSAL = "cannot schedule new futures after shutdown"

NewExecutor = Callable[[], Executor]


class ShutdownContract(ExecutorContract):
    """No more work after shutdown; work taken before is done, unless cancelled on request."""

    @pytest.mark.parametrize("wait_for_calls", [True, False])
    def test_submit_is_refused_afterwards(self, new_executor: NewExecutor, calls: Calls, wait_for_calls: bool) -> None:
        executor = new_executor()
        executor.shutdown(wait=wait_for_calls)
        with pytest.raises(RuntimeError, match=REFUSAL):
            executor.submit(calls.add, 1, 2)

    def test_map_is_refused_afterwards(self, new_executor: NewExecutor, calls: Calls) -> None:
        executor = new_executor()
        executor.shutdown()
        with pytest.raises(RuntimeError, match=REFUSAL):
            executor.map(calls.add, [1], [2])

    def test_submit_is_refused_after_with(self, new_executor: NewExecutor, calls: Calls) -> None:
        with new_executor() as executor:
            executor.submit(calls.add, 1, 2)
        with pytest.raises(RuntimeError, match=REFUSAL):
            executor.submit(calls.add, 1, 2)

    def test_with_gives_the_executor(self, new_executor: NewExecutor) -> None:
        executor = new_executor()
        with executor as entered:
            assert entered is executor

    @pytest.mark.parametrize("arguments", [(), (True,)])
    def test_shutdown_waits(self, new_executor: NewExecutor, calls: Calls, tracer: Trace, arguments: tuple) -> None:
        executor = new_executor()
        futures = [executor.submit(calls.trace, tracer.path, n) for n in range(MANY)]
        executor.shutdown(*arguments)
        assert all(future.done() for future in futures)
        assert len(tracer.lines()) == MANY

    def test_with_waits(self, new_executor: NewExecutor, calls: Calls, tracer: Trace) -> None:
        with new_executor() as executor:
            futures = [executor.submit(calls.trace, tracer.path, n) for n in range(MANY)]
        assert all(future.done() for future in futures)
        assert len(tracer.lines()) == MANY

    def test_with_waits_after_an_error_in_the_block_too(self, new_executor: NewExecutor, calls: Calls) -> None:
        with pytest.raises(LookupError, match="in the block"), new_executor() as executor:
            futures = [executor.submit(calls.add, n, n) for n in range(MANY)]
            raise LookupError("in the block")
        assert [future.result(0) for future in futures] == list(range(0, 2 * MANY, 2))

    def test_with_does_not_raise_the_calls_errors(self, new_executor: NewExecutor, calls: Calls) -> None:
        with new_executor() as executor:
            future = executor.submit(calls.reciprocal, 0)
        assert isinstance(future.exception(0), ZeroDivisionError)

    def test_without_waiting(self, new_executor: NewExecutor, calls: Calls, gate: Gate) -> None:
        executor = new_executor()
        held = self.occupy(executor, calls, gate)
        waiting = [executor.submit(calls.add, n, 1) for n in range(MANY)]
        executor.shutdown(wait=False)
        assert not any(future.done() for future in [*held, *waiting])
        gate.open()
        assert [future.result(PATIENCE) for future in waiting] == list(range(1, MANY + 1))

    def test_shutdown_waits_for_running_calls(self, new_executor: NewExecutor, calls: Calls, gate: Gate) -> None:
        executor = new_executor()
        held = self.occupy(executor, calls, gate)
        all_done_afterwards: list[bool] = []

        def shut_down() -> None:
            executor.shutdown(wait=True)
            all_done_afterwards.append(all(future.done() for future in held))

        stopping = threading.Thread(target=shut_down)
        stopping.start()
        gate.open()
        stopping.join(PATIENCE)
        assert all_done_afterwards == [True]

    def test_cancel_futures(self, new_executor: NewExecutor, calls: Calls, gate: Gate, tracer: Trace) -> None:
        executor = new_executor()
        held = self.occupy(executor, calls, gate)
        waiting = [executor.submit(calls.trace, tracer.path, n) for n in range(MANY)]
        last_settled = threading.Event()
        waiting[-1].add_done_callback(lambda _: last_settled.set())
        stopping = threading.Thread(target=executor.shutdown, kwargs={"wait": True, "cancel_futures": True})
        stopping.start()
        assert last_settled.wait(PATIENCE)
        assert waiting[-1].cancelled()
        gate.open()
        stopping.join(PATIENCE)
        assert [future.result(0) for future in held] == list(range(self.workers))
        assert all(future.done() for future in waiting)
        kept = [n for n, future in enumerate(waiting) if not future.cancelled()]
        assert sorted(map(int, tracer.lines())) == kept
        assert len(kept) <= self.prefetched

    def test_cancel_futures_without_waiting(self, new_executor: NewExecutor, calls: Calls, gate: Gate) -> None:
        executor = new_executor()
        held = self.occupy(executor, calls, gate)
        waiting = [executor.submit(calls.add, n, 1) for n in range(MANY)]
        settled = Recorder()
        for future in waiting:
            future.add_done_callback(settled)
        executor.shutdown(wait=False, cancel_futures=True)
        gate.open()
        settled.wait_for(MANY)
        assert [future.result(PATIENCE) for future in held] == list(range(self.workers))
        assert sum(future.cancelled() for future in waiting) >= MANY // 2

    def test_callbacks_run_for_what_shutdown_cancels(self, new_executor, calls: Calls, gate: Gate) -> None:
        executor = new_executor()
        self.occupy(executor, calls, gate)
        last = [executor.submit(calls.add, n, 1) for n in range(MANY)][-1]
        called = threading.Event()
        last.add_done_callback(lambda _: called.set())
        executor.shutdown(wait=False, cancel_futures=True)
        assert called.wait(PATIENCE)

    def test_twice(self, new_executor: NewExecutor, calls: Calls) -> None:
        executor = new_executor()
        future = executor.submit(calls.add, 1, 2)
        executor.shutdown(wait=False)
        executor.shutdown(wait=True)
        executor.shutdown()
        assert future.result(PATIENCE) == 3

    def test_unused_executor(self, new_executor: NewExecutor) -> None:
        new_executor().shutdown(wait=True, cancel_futures=True)

    def test_results_outlive_the_executor(self, new_executor: NewExecutor, calls: Calls) -> None:
        with new_executor() as executor:
            futures = [executor.submit(calls.add, n, n) for n in range(5)]
        del executor
        assert [future.result() for future in futures] == [0, 2, 4, 6, 8]


class SettledAfterShutdownContract(ExecutorContract):
    """Views only: `wait` returns for what shutdown cancelled (the process pool never notifies its waiters)."""

    def test_wait_returns_for_what_shutdown_cancels(self, new_executor, calls: Calls, gate: Gate) -> None:
        executor = new_executor()
        self.occupy(executor, calls, gate)
        last = [executor.submit(calls.add, n, 1) for n in range(MANY)][-1]
        executor.shutdown(wait=False, cancel_futures=True)
        assert wait([last], timeout=PATIENCE) == ({last}, set())
