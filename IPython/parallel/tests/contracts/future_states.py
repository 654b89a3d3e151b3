"""Contract of the future: states, timeouts, cancellation, callbacks, `wait` and `as_completed`."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import (
    ALL_COMPLETED,
    FIRST_COMPLETED,
    FIRST_EXCEPTION,
    CancelledError,
    Executor,
    Future,
    as_completed,
    wait,
)
from typing import Any

import pytest

from IPython.parallel.tests.contracts.harness import (
    PATIENCE,
    Calls,
    ExecutorContract,
    Gate,
    Recorder,
    Trace,
)

# More than any executor takes out of its queue ahead of time.
MANY = 40


class StateContract(ExecutorContract):
    """pending, running, finished: what a future says is so."""

    def test_running(self, executor: Executor, calls: Calls, gate: Gate) -> None:
        (future, *_) = self.occupy(executor, calls, gate)
        assert (future.running(), future.done(), future.cancelled()) == (True, False, False)

    def test_pending(self, executor: Executor, calls: Calls, gate: Gate) -> None:
        self.occupy(executor, calls, gate)
        last = [executor.submit(calls.add, n, n) for n in range(MANY)][-1]
        assert (last.running(), last.done(), last.cancelled()) == (False, False, False)

    def test_finished(self, executor: Executor, calls: Calls) -> None:
        future = executor.submit(calls.add, 1, 2)
        future.result(PATIENCE)
        assert (future.running(), future.done(), future.cancelled()) == (False, True, False)

    def test_failed_is_done(self, executor: Executor, calls: Calls) -> None:
        future = executor.submit(calls.reciprocal, 0)
        future.exception(PATIENCE)
        assert (future.running(), future.done(), future.cancelled()) == (False, True, False)

    @pytest.mark.parametrize("timeout", [0, 0.01])
    def test_result_times_out(self, executor: Executor, calls: Calls, gate: Gate, timeout: float) -> None:
        (future, *_) = self.occupy(executor, calls, gate)
        with pytest.raises(TimeoutError):
            future.result(timeout)
        with pytest.raises(TimeoutError):
            future.result(timeout=timeout)

    @pytest.mark.parametrize("timeout", [0, 0.01])
    def test_exception_times_out(self, executor: Executor, calls: Calls, gate: Gate, timeout: float) -> None:
        (future, *_) = self.occupy(executor, calls, gate)
        with pytest.raises(TimeoutError):
            future.exception(timeout)

    def test_a_timeout_harms_nothing(self, executor: Executor, calls: Calls, gate: Gate) -> None:
        (future, *_) = self.occupy(executor, calls, gate)
        with pytest.raises(TimeoutError):
            future.result(0)
        gate.open()
        assert future.result(PATIENCE) == 0

    def test_result_wakes_the_waiting_thread(self, executor: Executor, calls: Calls, gate: Gate) -> None:
        (future, *_) = self.occupy(executor, calls, gate)
        results: list[object] = []
        waiter = threading.Thread(target=lambda: results.append(future.result(PATIENCE)))
        waiter.start()
        gate.open()
        waiter.join(PATIENCE)
        assert results == [0]

    def test_hashable_and_equal_to_itself_alone(self, executor: Executor, calls: Calls) -> None:
        first, second = (executor.submit(calls.add, 1, 1) for _ in range(2))
        assert len({first, second, first}) == 2
        assert first != second

    def test_attributes_can_be_set(self, executor: Executor, calls: Calls) -> None:
        future = executor.submit(calls.add, 1, 1)
        future.my_label = "mine"
        assert future.my_label == "mine"

    def test_probing_for_an_attribute_neither_blocks_nor_raises(self, executor, calls: Calls, gate: Gate) -> None:
        (future, *_) = self.occupy(executor, calls, gate)
        assert not hasattr(future, "no_such_attribute")
        assert hasattr(future, "result")


class CancelContract(ExecutorContract):
    """`cancel` tells the truth: True if and only if the call never runs."""

    def test_running_call(self, executor: Executor, calls: Calls, gate: Gate) -> None:
        (future, *_) = self.occupy(executor, calls, gate)
        assert future.cancel() is False
        assert not future.cancelled()
        gate.open()
        assert future.result(PATIENCE) == 0

    def test_finished_call(self, executor: Executor, calls: Calls) -> None:
        future = executor.submit(calls.add, 1, 2)
        future.result(PATIENCE)
        assert future.cancel() is False
        assert future.result() == 3

    def test_failed_call(self, executor: Executor, calls: Calls) -> None:
        future = executor.submit(calls.reciprocal, 0)
        future.exception(PATIENCE)
        assert future.cancel() is False
        assert not future.cancelled()

    def test_waiting_call(self, executor: Executor, calls: Calls, gate: Gate) -> None:
        self.occupy(executor, calls, gate)
        last = [executor.submit(calls.add, n, n) for n in range(MANY)][-1]
        assert last.cancel() is True
        assert (last.running(), last.done(), last.cancelled()) == (False, True, True)

    def test_twice(self, executor: Executor, calls: Calls, gate: Gate) -> None:
        self.occupy(executor, calls, gate)
        last = [executor.submit(calls.add, n, n) for n in range(MANY)][-1]
        assert (last.cancel(), last.cancel()) == (True, True)

    def test_result_of_a_cancelled_call(self, executor: Executor, calls: Calls, gate: Gate) -> None:
        self.occupy(executor, calls, gate)
        last = [executor.submit(calls.add, n, n) for n in range(MANY)][-1]
        last.cancel()
        with pytest.raises(CancelledError):
            last.result(0)
        with pytest.raises(CancelledError):
            last.exception(0)

    def test_cancel_wakes_the_waiting_thread(self, executor: Executor, calls: Calls, gate: Gate) -> None:
        self.occupy(executor, calls, gate)
        last = [executor.submit(calls.add, n, n) for n in range(MANY)][-1]
        raised: list[BaseException] = []

        def wait_for_result() -> None:
            with pytest.raises(CancelledError) as caught:
                last.result(PATIENCE)
            raised.append(caught.value)

        waiter = threading.Thread(target=wait_for_result)
        waiter.start()
        last.cancel()
        waiter.join(PATIENCE)
        assert len(raised) == 1

    def test_cancelled_calls_never_run_and_all_others_do(
        self, new_executor: Callable[[], Executor], calls: Calls, gate: Gate, tracer: Trace
    ) -> None:
        executor = new_executor()
        self.occupy(executor, calls, gate)
        futures = {str(n): executor.submit(calls.trace, tracer.path, n) for n in range(MANY)}
        cancelled = {label for label, future in futures.items() if future.cancel()}
        gate.open()
        executor.shutdown(wait=True)
        assert sorted(tracer.lines(), key=int) == [label for label in futures if label not in cancelled]
        assert len(cancelled) >= MANY - self.prefetched

    def test_others_go_on(self, executor: Executor, calls: Calls, gate: Gate) -> None:
        self.occupy(executor, calls, gate)
        futures = [executor.submit(calls.add, n, 1) for n in range(MANY)]
        kept = [(n, future) for n, future in enumerate(futures) if n % 2 or not future.cancel()]
        gate.open()
        assert [future.result(PATIENCE) for _, future in kept] == [n + 1 for n, _ in kept]


class CallbackContract(ExecutorContract):
    """Each callback runs exactly once, in order, with the future."""

    def test_called_with_the_future(self, executor: Executor, calls: Calls, gate: Gate) -> None:
        (future, *_) = self.occupy(executor, calls, gate)
        called = Recorder()
        future.add_done_callback(called)
        assert called.futures == []
        gate.open()
        called.wait_for(1)
        assert called.futures == [future]
        assert future.result(0) == 0

    def test_the_future_is_done_inside_the_callback(self, executor: Executor, calls: Calls, gate: Gate) -> None:
        (future, *_) = self.occupy(executor, calls, gate)
        seen = Recorder(lambda f: (f.done(), f.running(), f.result(0)))
        future.add_done_callback(seen)
        gate.open()
        assert seen.wait_for(1) == [(True, False, 0)]

    def test_in_order(self, executor: Executor, calls: Calls, gate: Gate) -> None:
        (future, *_) = self.occupy(executor, calls, gate)
        order: list[int] = []
        last = Recorder()
        for n in range(5):
            future.add_done_callback(lambda _, n=n: order.append(n))
        future.add_done_callback(last)
        gate.open()
        last.wait_for(1)
        assert order == [0, 1, 2, 3, 4]

    def test_exactly_once(self, executor: Executor, calls: Calls) -> None:
        called = Recorder()
        futures = [executor.submit(calls.reciprocal, n % 3) for n in range(60)]
        for future in futures:
            future.add_done_callback(called)
        called.wait_for(len(futures))
        # Whatever might call again would have done so before a call submitted only now is through.
        later = Recorder()
        executor.submit(calls.add, 1, 1).add_done_callback(later)
        later.wait_for(1)
        assert len(called.futures) == len(futures)
        assert set(called.futures) == set(futures)

    def test_same_callback_added_twice_is_called_twice(self, executor: Executor, calls: Calls, gate: Gate) -> None:
        (future, *_) = self.occupy(executor, calls, gate)
        called = Recorder()
        future.add_done_callback(called)
        future.add_done_callback(called)
        gate.open()
        called.wait_for(2)
        assert called.futures == [future, future]

    def test_called_for_a_failed_call(self, executor: Executor, calls: Calls) -> None:
        seen = Recorder(lambda f: type(f.exception(0)).__mro__)
        executor.submit(calls.reciprocal, 0).add_done_callback(seen)
        (mro,) = seen.wait_for(1)
        assert ZeroDivisionError in mro

    def test_called_for_a_cancelled_call(self, executor: Executor, calls: Calls, gate: Gate) -> None:
        self.occupy(executor, calls, gate)
        last = [executor.submit(calls.add, n, n) for n in range(MANY)][-1]
        seen = Recorder(lambda f: f.cancelled())
        last.add_done_callback(seen)
        last.cancel()
        assert seen.wait_for(1) == [True]
        last.cancel()
        gate.open()
        executor.submit(calls.add, 1, 1).result(PATIENCE)
        assert len(seen.futures) == 1

    def test_called_at_once_when_done(self, executor: Executor, calls: Calls) -> None:
        future = executor.submit(calls.add, 1, 2)
        future.result(PATIENCE)
        called = Recorder()
        future.add_done_callback(called)
        assert called.futures == [future]

    def test_raising_callback_is_logged_and_harms_nothing(self, executor, calls: Calls, gate: Gate, caplog) -> None:
        (future, *_) = self.occupy(executor, calls, gate)
        called = Recorder()
        future.add_done_callback(_raise_in_callback)
        future.add_done_callback(called)
        gate.open()
        called.wait_for(1)
        (record,) = [r for r in caplog.records if r.name == "concurrent.futures"]
        assert "from the callback" in str(record.exc_info[1])
        assert executor.submit(calls.add, 1, 2).result(PATIENCE) == 3

    def test_raising_callback_on_a_finished_call_is_logged_too(self, executor, calls: Calls, caplog) -> None:
        future = executor.submit(calls.add, 1, 2)
        future.result(PATIENCE)
        future.add_done_callback(_raise_in_callback)
        assert [r.name for r in caplog.records] == ["concurrent.futures"]

    def test_callback_may_submit(self, executor: Executor, calls: Calls) -> None:
        submitted = Recorder(lambda f: executor.submit(calls.add, f.result(0), 1))
        executor.submit(calls.add, 1, 2).add_done_callback(submitted)
        (second,) = submitted.wait_for(1)
        assert second.result(PATIENCE) == 4

    def test_chain_of_callbacks(self, executor: Executor, calls: Calls) -> None:
        done = Recorder(lambda f: f.result(0))

        def go_on(future: Future[int]) -> None:
            if future.result(0) < 10:
                executor.submit(calls.add, future.result(0), 1).add_done_callback(go_on)
            else:
                done(future)

        executor.submit(calls.add, 0, 1).add_done_callback(go_on)
        assert done.wait_for(1) == [10]


class WaitingCallbackContract(ExecutorContract):
    """Not in the stdlib's process pool: a callback may wait for another call without deadlock."""

    def test_callback_may_wait_for_another_call(self, executor: Executor, calls: Calls) -> None:
        results = Recorder(lambda f: executor.submit(calls.add, f.result(0), 1).result(PATIENCE))
        executor.submit(calls.add, 1, 2).add_done_callback(results)
        assert results.wait_for(1) == [4]

    def test_callback_that_blocks_does_not_block_results(self, executor, calls: Calls, gate: Gate) -> None:
        (first, *_) = self.occupy(executor, calls, gate)
        released = threading.Event()
        finished = Recorder(lambda f: released.wait(PATIENCE))
        first.add_done_callback(finished)
        futures = [executor.submit(calls.add, n, 1) for n in range(20)]
        gate.open()
        try:
            assert [future.result(PATIENCE) for future in futures] == list(range(1, 21))
        finally:
            released.set()
        assert finished.wait_for(1) == [True]


class WaitContract(ExecutorContract):
    """`wait` and `as_completed` see finished, failed and cancelled futures."""

    def done_failed_cancelled(self, executor: Executor, calls: Calls, gate: Gate) -> list[Future[Any]]:
        """One future of each kind, none of them certain to be settled before the gate opens."""
        done = executor.submit(calls.add, 1, 2)
        failed = executor.submit(calls.reciprocal, 0)
        self.occupy(executor, calls, gate)
        cancelled = [executor.submit(calls.add, n, n) for n in range(MANY)][-1]
        assert cancelled.cancel()
        return [done, failed, cancelled]

    @pytest.mark.parametrize("mode", [ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION])
    def test_wait_for_nothing(self, executor: Executor, mode: str) -> None:
        assert wait([], timeout=PATIENCE, return_when=mode) == (set(), set())

    def test_all_completed(self, executor: Executor, calls: Calls, gate: Gate) -> None:
        futures = self.done_failed_cancelled(executor, calls, gate)
        gate.open()
        assert wait(futures, timeout=PATIENCE) == (set(futures), set())

    def test_first_completed_returns_with_a_finished_call(self, executor, calls: Calls, gate: Gate) -> None:
        done = executor.submit(calls.add, 1, 2)
        pending = self.occupy(executor, calls, gate)
        settled, waiting = wait([*pending, done], timeout=PATIENCE, return_when=FIRST_COMPLETED)
        assert (settled, waiting) == ({done}, set(pending))

    def test_first_completed_returns_with_a_cancelled_call(self, executor, calls: Calls, gate: Gate) -> None:
        *_, cancelled = self.done_failed_cancelled(executor, calls, gate)
        gate.open()
        settled, _ = wait([cancelled], timeout=PATIENCE, return_when=FIRST_COMPLETED)
        assert settled == {cancelled}

    def test_first_exception_returns_with_a_failed_call(self, executor: Executor, calls: Calls, new_gate) -> None:
        failing_gate, other_gate = new_gate(), new_gate()
        failing = executor.submit(calls.fail_behind_gate, failing_gate.address, ValueError("x"))
        failing_gate.wait_for_arrivals(1)
        pending = executor.submit(calls.pass_gate, other_gate.address)
        failing_gate.open()
        settled, waiting = wait([pending, failing], timeout=PATIENCE, return_when=FIRST_EXCEPTION)
        assert (settled, waiting) == ({failing}, {pending})

    def test_first_exception_waits_for_all_without_one(self, executor: Executor, calls: Calls) -> None:
        futures = [executor.submit(calls.add, n, n) for n in range(5)]
        assert wait(futures, timeout=PATIENCE, return_when=FIRST_EXCEPTION) == (set(futures), set())

    def test_first_exception_passes_over_cancelled_calls(self, executor, calls: Calls, gate: Gate) -> None:
        done, _, cancelled = self.done_failed_cancelled(executor, calls, gate)
        gate.open()
        assert wait([done, cancelled], timeout=PATIENCE, return_when=FIRST_EXCEPTION).not_done == set()

    def test_wait_times_out(self, executor: Executor, calls: Calls, gate: Gate) -> None:
        done = executor.submit(calls.add, 1, 2)
        done.result(PATIENCE)
        pending = self.occupy(executor, calls, gate)
        assert wait([done, *pending], timeout=0.05) == ({done}, set(pending))

    def test_waiting_thread_wakes(self, executor: Executor, calls: Calls, gate: Gate) -> None:
        pending = self.occupy(executor, calls, gate)
        settled: list[set[Future[Any]]] = []
        waiter = threading.Thread(target=lambda: settled.append(wait(pending, timeout=PATIENCE).done))
        waiter.start()
        gate.open()
        waiter.join(PATIENCE)
        assert settled == [set(pending)]

    def test_as_completed(self, executor: Executor, calls: Calls, gate: Gate) -> None:
        futures = self.done_failed_cancelled(executor, calls, gate)
        gate.open()
        assert set(as_completed(futures, timeout=PATIENCE)) == set(futures)

    def test_as_completed_yields_what_is_done_first(self, executor: Executor, calls: Calls, gate: Gate) -> None:
        done = executor.submit(calls.add, 1, 2)
        pending = self.occupy(executor, calls, gate)
        completed = as_completed([*pending, done], timeout=PATIENCE)
        assert next(completed) is done
        gate.open()
        assert set(completed) == set(pending)

    def test_as_completed_yields_each_once(self, executor: Executor, calls: Calls) -> None:
        future = executor.submit(calls.add, 1, 2)
        assert list(as_completed([future, future], timeout=PATIENCE)) == [future]

    def test_as_completed_times_out(self, executor: Executor, calls: Calls, gate: Gate) -> None:
        done = executor.submit(calls.add, 1, 2)
        done.result(PATIENCE)
        pending = self.occupy(executor, calls, gate)
        seen = []
        with pytest.raises(TimeoutError):
            for future in as_completed([done, *pending], timeout=0.05):
                seen.append(future)
        assert seen == [done]

    def test_as_completed_over_many(self, executor: Executor, calls: Calls) -> None:
        futures = [executor.submit(calls.add, n, 0) for n in range(200)]
        assert sorted(f.result() for f in as_completed(futures, timeout=PATIENCE)) == list(range(200))

    def test_as_completed_of_futures_of_the_standard_library_too(self, executor: Executor, calls: Calls) -> None:
        foreign: Future[int] = Future()
        foreign.set_result(1)
        ours = executor.submit(calls.add, 1, 2)
        assert set(as_completed([foreign, ours], timeout=PATIENCE)) == {foreign, ours}


class PromptCancelContract(ExecutorContract):
    """Views only: waiting for a cancelled call ends at once (the pools notify when a worker gets to it)."""

    def test_wait_and_as_completed_return_while_all_workers_are_busy(self, executor, calls: Calls, gate: Gate) -> None:
        self.occupy(executor, calls, gate)
        last = [executor.submit(calls.add, n, n) for n in range(MANY)][-1]
        last.cancel()
        assert wait([last], timeout=PATIENCE) == ({last}, set())
        assert list(as_completed([last], timeout=PATIENCE)) == [last]


def _raise_in_callback(future: Future[Any]) -> None:
    raise RuntimeError("from the callback")
