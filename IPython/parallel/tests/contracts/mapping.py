"""Contract of `map`: order, errors, timeouts, chunks."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import Executor

import pytest

from IPython.parallel.tests.contracts.harness import (
    Calls,
    ExecutorContract,
    Gate,
    Trace,
)

MANY = 40


class MapContract(ExecutorContract):
    """`map` is the builtin, with the calls running elsewhere."""

    def test_results_in_order(self, executor: Executor, calls: Calls) -> None:
        assert list(executor.map(calls.add, range(200), range(200))) == list(range(0, 400, 2))

    def test_order_does_not_depend_on_which_ends_first(self, executor, calls: Calls, new_gate: Callable) -> None:
        gates = [new_gate() for _ in range(self.workers)]
        results = executor.map(calls.pass_gate, [gate.address for gate in gates], itertools.count())
        for gate in reversed(gates):
            gate.wait_for_arrivals(1)
            gate.open()
        assert list(results) == list(range(self.workers))

    def test_next(self, executor: Executor, calls: Calls) -> None:
        results = executor.map(calls.add, [1, 2, 3], [1, 1, 1])
        assert [next(results), next(results), next(results)] == [2, 3, 4]
        with pytest.raises(StopIteration):
            next(results)

    def test_a_loop_goes_on_where_next_ended(self, executor: Executor, calls: Calls) -> None:
        results = executor.map(calls.identity, "head rest of it".split())
        assert next(results) == "head"
        assert list(results) == ["rest", "of", "it"]

    def test_it_is_its_own_iterator(self, executor: Executor, calls: Calls) -> None:
        results = executor.map(calls.identity, range(3))
        assert isinstance(results, Iterator)
        assert iter(results) is results
        assert (next(results), iter(results) is results, next(results)) == (0, True, 1)

    def test_a_loop_goes_on_where_another_was_left(self, executor: Executor, calls: Calls) -> None:
        results = executor.map(calls.identity, "a b : c d : e".split())
        sections = [list(itertools.takewhile(lambda word: word != ":", results)) for _ in range(4)]
        assert sections == [["a", "b"], ["c", "d"], ["e"], []]

    def test_portions(self, executor: Executor, calls: Calls) -> None:
        results = executor.map(calls.identity, range(10))
        portions = list(iter(lambda: list(itertools.islice(results, 4)), []))
        assert portions == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]

    def test_portions_of_few(self, executor: Executor, calls: Calls) -> None:
        results = iter(executor.map(calls.identity, range(3)))
        assert list(iter(lambda: list(itertools.islice(results, 4)), [])) == [[0, 1, 2]]

    def test_at_its_end_it_stays(self, executor: Executor, calls: Calls) -> None:
        results = executor.map(calls.identity, range(1))
        assert list(itertools.chain(results)) == [0]
        for _ in range(2):
            with pytest.raises(StopIteration):
                next(results)

    def test_stops_at_the_shortest(self, executor: Executor, calls: Calls) -> None:
        assert list(executor.map(calls.add, [1, 2, 3], [10, 20])) == [11, 22]

    def test_infinite_beside_finite(self, executor: Executor, calls: Calls) -> None:
        assert list(executor.map(calls.add, range(3), itertools.repeat(1))) == [1, 2, 3]
        assert list(executor.map(calls.add, itertools.count(), [5])) == [5]

    def test_nothing_to_do(self, executor: Executor, calls: Calls) -> None:
        assert list(executor.map(calls.add, [], [1])) == []
        assert list(executor.map(calls.identity, iter(()))) == []

    def test_single_item(self, executor: Executor, calls: Calls) -> None:
        assert list(executor.map(calls.identity, ["only"])) == ["only"]

    def test_items_stay_whole(self, executor: Executor, calls: Calls) -> None:
        items = [(1, 2), [3], {"a": 4}, None, "text"]
        assert list(executor.map(calls.identity, items)) == items

    def test_generators(self, executor: Executor, calls: Calls) -> None:
        assert list(executor.map(calls.identity, (n * n for n in range(5)))) == [0, 1, 4, 9, 16]

    def test_input_is_taken_at_the_call(self, executor: Executor, calls: Calls, gate: Gate) -> None:
        self.occupy(executor, calls, gate)
        taken: list[int] = []
        executor.map(calls.identity, _note_each(range(5), taken))
        assert taken == [0, 1, 2, 3, 4]

    def test_an_error_in_the_input_is_the_callers(self, executor: Executor, calls: Calls) -> None:
        with pytest.raises(LookupError, match="no more input"):
            executor.map(calls.identity, _fail_after(3))

    def test_error_is_raised_at_its_position(self, executor: Executor, calls: Calls) -> None:
        results = executor.map(calls.reciprocal, [1, 2, 0, 4])
        assert [next(results), next(results)] == [1.0, 0.5]
        with pytest.raises(ZeroDivisionError):
            next(results)

    def test_error_keeps_its_type_and_attributes(self, executor: Executor, calls: Calls) -> None:
        with pytest.raises(calls.CustomError) as caught:
            list(executor.map(calls.raise_error, [calls.CustomError("broken", 9)]))
        assert caught.value.code == 9

    @pytest.mark.parametrize("timeout", [0, 0.05])
    def test_timeout(self, executor: Executor, calls: Calls, gate: Gate, timeout: float) -> None:
        self.occupy(executor, calls, gate)
        results = executor.map(calls.identity, [1, 2], timeout=timeout)
        with pytest.raises(TimeoutError):
            list(results)

    def test_timeout_that_is_not_needed(self, executor: Executor, calls: Calls) -> None:
        assert list(executor.map(calls.identity, range(20), timeout=60)) == list(range(20))

    def test_timeout_cancels_what_has_not_started(
        self, new_executor: Callable[[], Executor], calls: Calls, gate: Gate, tracer: Trace
    ) -> None:
        executor = new_executor()
        self.occupy(executor, calls, gate)
        results = executor.map(calls.trace, [tracer.path] * MANY, range(MANY), timeout=0.05)
        with pytest.raises(TimeoutError):
            next(results)
        gate.open()
        executor.shutdown(wait=True)
        assert len(tracer.lines()) <= self.prefetched

    def test_a_loop_that_is_broken_off_cancels_what_has_not_started(
        self, new_executor: Callable[[], Executor], calls: Calls, new_gate: Callable[[], Gate], tracer: Trace
    ) -> None:
        executor = new_executor()
        opened, closed = new_gate(), new_gate()
        addresses = [opened.address] + [closed.address] * MANY
        opened.open()
        for label in executor.map(calls.trace_behind_gate, addresses, itertools.repeat(tracer.path), itertools.count()):
            assert label == 0
            break
        closed.open()
        executor.shutdown(wait=True)
        assert len(tracer.lines()) <= 1 + self.workers + self.prefetched

    def test_abandoned_map_does_not_hold_up_shutdown(self, new_executor, calls: Calls) -> None:
        executor = new_executor()
        results = executor.map(calls.identity, range(50))
        assert next(results) == 0
        del results
        executor.shutdown(wait=True)

    def test_map_nobody_reads_runs_all_the_same(self, new_executor, calls: Calls, tracer: Trace) -> None:
        executor = new_executor()
        executor.map(calls.trace, [tracer.path] * 10, range(10))
        executor.shutdown(wait=True)
        assert sorted(tracer.lines()) == [str(n) for n in range(10)]

    def test_two_maps_at_once(self, executor: Executor, calls: Calls) -> None:
        first, second = (executor.map(calls.add, range(20), itertools.repeat(k)) for k in (0, 100))
        assert list(zip(first, second)) == [(n, n + 100) for n in range(20)]

    def test_map_is_lazy_about_results(self, executor: Executor, calls: Calls, gate: Gate) -> None:
        results = executor.map(calls.pass_gate, [gate.address] * self.workers, range(self.workers))
        gate.wait_for_arrivals(self.workers)  # though nobody has asked for a result
        gate.open()
        assert list(results) == list(range(self.workers))


class ChunkedMapContract(ExecutorContract):
    """Not in the thread pool, which ignores chunks: `chunksize` changes how calls travel, not what comes back."""

    @pytest.mark.parametrize("chunksize", [1, 3, 7, 20, 1000])
    def test_results_are_the_same(self, executor: Executor, calls: Calls, chunksize: int) -> None:
        assert list(executor.map(calls.add, range(20), range(20), chunksize=chunksize)) == list(range(0, 40, 2))

    def test_generators(self, executor: Executor, calls: Calls) -> None:
        assert list(executor.map(calls.identity, (n for n in range(7)), chunksize=3)) == list(range(7))

    def test_stops_at_the_shortest(self, executor: Executor, calls: Calls) -> None:
        assert list(executor.map(calls.add, range(5), itertools.count(), chunksize=2)) == [0, 2, 4, 6, 8]

    def test_nothing_to_do(self, executor: Executor, calls: Calls) -> None:
        assert list(executor.map(calls.identity, [], chunksize=5)) == []

    @pytest.mark.parametrize("chunksize", [0, -1])
    def test_wrong_chunksize(self, executor: Executor, calls: Calls, chunksize: int) -> None:
        with pytest.raises(ValueError, match="chunksize"):
            executor.map(calls.identity, [1, 2], chunksize=chunksize)

    def test_error_keeps_its_type(self, executor: Executor, calls: Calls) -> None:
        with pytest.raises(ZeroDivisionError):
            list(executor.map(calls.reciprocal, [1, 0, 2, 4], chunksize=2))

    def test_timeout(self, executor: Executor, calls: Calls, gate: Gate) -> None:
        self.occupy(executor, calls, gate)
        with pytest.raises(TimeoutError):
            list(executor.map(calls.identity, range(10), timeout=0.05, chunksize=3))


class ChunkErrorContract(ExecutorContract):
    """Views only: one failing call does not take the rest of its chunk along."""

    def test_error_in_a_chunk_is_raised_at_its_position(self, executor: Executor, calls: Calls) -> None:
        results = executor.map(calls.reciprocal, [1, 2, 0, 4], chunksize=4)
        assert [next(results), next(results)] == [1.0, 0.5]
        with pytest.raises(ZeroDivisionError):
            next(results)

    def test_every_call_of_a_failing_chunk_runs(self, new_executor, calls: Calls, tracer: Trace) -> None:
        executor = new_executor()
        paths = [tracer.path, "/no/such/directory/trace", tracer.path]
        executor.map(calls.trace, paths, "abc", chunksize=3)
        executor.shutdown(wait=True)
        assert tracer.lines() == ["a", "c"]


def _note_each(items: Iterator[int], taken: list[int]) -> Iterator[int]:
    for item in items:
        taken.append(item)
        yield item


def _fail_after(count: int) -> Iterator[int]:
    yield from range(count)
    raise LookupError("no more input")
