"""Contract of `multiprocessing.Pool`: the standard library's, and a cluster's."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import itertools
import multiprocessing
import multiprocessing.pool
import os
import pickle
import queue
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from IPython.parallel.tests.contracts import calls
from IPython.parallel.tests.contracts.harness import PATIENCE, Gate, Trace

MakePool = Callable[..., Any]


class PoolContract:
    """Base of the contracts. A binding makes `new_pool`, and terminates what it has made."""

    @pytest.fixture
    def new_pool(self) -> MakePool:
        raise NotImplementedError("a binding provides the factory")

    @pytest.fixture
    def pool(self, new_pool: MakePool) -> Any:
        return new_pool(2)


class PoolCallsContract(PoolContract):
    """One call, many calls; results, errors, callbacks."""

    def test_apply(self, pool: Any) -> None:
        assert pool.apply(calls.echo, (1,), {"func": 2}) == ((1,), {"func": 2})

    def test_apply_async(self, pool: Any) -> None:
        result = pool.apply_async(calls.add, (1, 2))
        assert isinstance(result, multiprocessing.pool.AsyncResult)
        assert result.get(PATIENCE) == result.get() == 3
        assert result.ready() and result.successful()

    def test_map(self, pool: Any) -> None:
        assert pool.map(calls.identity, iter(range(100))) == list(range(100))

    @pytest.mark.parametrize("chunksize", [None, 1, 7, 1000])
    def test_chunks_do_not_show(self, pool: Any, chunksize: int | None) -> None:
        assert pool.map(calls.identity, range(50), chunksize) == list(range(50))
        assert pool.starmap(calls.add, zip("abc", "def"), chunksize) == ["ad", "be", "cf"]
        assert list(pool.imap(calls.identity, range(50), chunksize or 1)) == list(range(50))

    @pytest.mark.parametrize("chunksize", [None, 1, 2, 10])
    def test_an_error_in_a_chunk(self, pool: Any, chunksize: int | None) -> None:
        seen: list[BaseException] = []
        result = pool.map_async(calls.reciprocal, [1, 2, 0, 4, 5], chunksize, error_callback=seen.append)
        with pytest.raises(ZeroDivisionError) as caught:
            result.get(PATIENCE)
        assert not result.successful()
        assert "in reciprocal" in str(caught.value.__cause__)
        assert [type(error).__name__ for error in seen] == ["ZeroDivisionError"]

    def test_functions_with_a_state_have_one_for_each_chunk(self, pool: Any) -> None:
        assert pool.map(Counted(), "abcdef", 3) == [1, 2, 3, 1, 2, 3]

    def test_map_of_nothing(self, pool: Any) -> None:
        assert (
            pool.map(calls.identity, [])
            == pool.starmap(calls.add, ())
            == list(pool.imap(calls.add, ""))
            == []
        )
        assert pool.map_async(calls.identity, []).get(PATIENCE) == []

    def test_starmap_async(self, pool: Any) -> None:
        assert pool.starmap_async(calls.add, [(1, 2), [3, 4]]).get(PATIENCE) == [3, 7]

    def test_an_error_keeps_type_and_arguments(self, pool: Any) -> None:
        with pytest.raises(calls.CustomError) as caught:
            pool.apply(calls.raise_error, (calls.CustomError("broken", 7),))
        assert (caught.value.args, caught.value.code) == (("broken", 7), 7)
        assert "in raise_error" in str(caught.value.__cause__)

    def test_an_error_in_map_is_raised_for_the_whole(self, pool: Any) -> None:
        result = pool.map_async(calls.reciprocal, [1, 0, 2], 1)
        with pytest.raises(ZeroDivisionError):
            result.get(PATIENCE)
        assert result.ready() and not result.successful()

    def test_what_cannot_be_pickled_is_that_calls_error(self, pool: Any) -> None:
        with pytest.raises(TypeError, match="pickle"):
            pool.apply(calls.identity, (threading.Lock(),))
        assert pool.apply(calls.add, (1, 2)) == 3

    def test_an_input_that_fails_is_the_callers_error(self, pool: Any) -> None:
        with pytest.raises(KeyError, match="input"):
            pool.map(calls.identity, failing_input(3))

    def test_not_ready(self, pool: Any, gate: Gate) -> None:
        result = pool.apply_async(calls.pass_gate, (gate.address, 5))
        gate.wait_for_arrivals(1)
        assert not result.ready()
        with pytest.raises(ValueError, match="not ready"):
            result.successful()
        with pytest.raises(multiprocessing.TimeoutError):
            result.get(0.01)
        assert result.wait(0.01) is None
        gate.open()
        result.wait(PATIENCE)
        assert result.get(0) == 5

    def test_callbacks_come_before_the_result_is_ready(self, pool: Any) -> None:
        seen: list[Any] = []
        results = [
            pool.apply_async(calls.add, (1, 2), callback=seen.append, error_callback=seen.append),
            pool.map_async(calls.identity, range(3), callback=seen.append),
            pool.starmap_async(calls.add, [(1, 2)], callback=seen.append),
        ]
        for result in results:
            result.wait(PATIENCE)
        assert sorted(seen, key=str) == [3, [0, 1, 2], [3]]

    def test_error_callbacks(self, pool: Any) -> None:
        seen: list[Any] = []
        pool.apply_async(
            calls.reciprocal, (0,), callback=seen.append, error_callback=seen.append
        ).wait(PATIENCE)
        pool.map_async(calls.reciprocal, [1, 0], 1, error_callback=seen.append).wait(PATIENCE)
        assert [isinstance(error, ZeroDivisionError) for error in seen] == [True, True]

    def test_a_callback_may_submit(self, pool: Any) -> None:
        later: queue.SimpleQueue[Any] = queue.SimpleQueue()

        def submit(value: int) -> None:
            pool.apply_async(calls.add, (value, 1), callback=later.put)

        pool.apply_async(calls.add, (1, 2), callback=submit)
        assert later.get(timeout=PATIENCE) == 4

    def test_initializer(self, new_pool: MakePool, tracer: Trace) -> None:
        pool = new_pool(2, calls.trace, (tracer.path, "set up"))
        assert pool.apply(calls.add, (1, 2)) == 3
        assert set(tracer.lines()) == {"set up"}


class PoolImapContract(PoolContract):
    """Results one by one; the input is read on another thread."""

    def test_results_in_order(self, pool: Any) -> None:
        results = pool.imap(calls.identity, range(20))
        assert iter(results) is results
        assert [next(results), results.next(), results.next(PATIENCE), *results] == list(range(20))
        with pytest.raises(StopIteration):
            next(results)

    def test_results_as_they_arrive(self, pool: Any, new_gate: Callable[[], Gate]) -> None:
        slow, quick = new_gate(), new_gate()
        addresses = [slow.address, quick.address]
        quick.open()
        results = pool.imap_unordered(calls.pass_gate, addresses)
        assert next(results) is None  # the quick one's: the other is held
        slow.wait_for_arrivals(1)
        with pytest.raises(multiprocessing.TimeoutError):
            results.next(0.01)
        slow.open()
        assert [results.next(PATIENCE), *results] == [None]

    def test_all_results_arrive_out_of_order_too(self, pool: Any) -> None:
        assert sorted(pool.imap_unordered(calls.identity, range(200))) == list(range(200))

    @pytest.mark.parametrize("method", ["imap", "imap_unordered"])
    def test_errors_of_calls_and_results_after_them(self, pool: Any, method: str) -> None:
        results = getattr(pool, method)(calls.reciprocal, [1, 0, 2])
        outcomes = sorted(str(outcome_of(results)) for _ in range(3))
        assert outcomes == ["0.5", "1.0", "ZeroDivisionError"]
        assert list(results) == []

    @pytest.mark.parametrize("method", ["imap", "imap_unordered"])
    def test_an_error_of_the_input_comes_after_its_results(self, pool: Any, method: str) -> None:
        results = getattr(pool, method)(calls.identity, failing_input(3))
        assert sorted(results.next(PATIENCE) for _ in range(3)) == [0, 1, 2]
        with pytest.raises(KeyError, match="input"):
            results.next(PATIENCE)
        assert list(results) == []

    def test_an_error_of_the_input_takes_the_chunk_it_was_read_for(self, pool: Any) -> None:
        results = pool.imap(calls.identity, failing_input(5), 2)
        assert [next(results) for _ in range(4)] == [0, 1, 2, 3]
        with pytest.raises(KeyError, match="input"):
            next(results)
        assert list(results) == []

    def test_chunks_as_they_arrive(self, pool: Any, new_gate: Callable[[], Gate]) -> None:
        slow, quick = new_gate(), new_gate()
        addresses = [slow.address, slow.address, quick.address, quick.address]
        quick.open()
        results = pool.imap_unordered(calls.pass_gate, addresses, 2)
        assert [next(results), next(results)] == [None, None]
        slow.wait_for_arrivals(1)
        slow.open()
        assert list(results) == [None, None]

    def test_a_result_is_there_while_the_input_waits_for_its_taker(self, pool: Any) -> None:
        asked: queue.SimpleQueue[Any] = queue.SimpleQueue()
        asked.put(1)
        results = pool.imap(calls.identity, iter(asked.get, None))
        for n in range(2, 5):
            assert results.next(PATIENCE) == n - 1
            asked.put(n)
        asked.put(None)
        assert list(results) == [4]

    def test_close_and_join_run_what_nobody_has_taken(self, pool: Any, tracer: Trace) -> None:
        results = pool.imap(calls.identity, range(500))
        pool.imap_unordered(traced(tracer), range(300))
        pool.close()
        pool.join()
        assert sorted(map(int, tracer.lines())) == list(range(300))
        assert list(results) == list(range(500))

    def test_chunks_have_a_size(self, pool: Any) -> None:
        for method in (pool.imap, pool.imap_unordered):
            with pytest.raises(ValueError, match="^Chunksize must be 1\\+, not 0$"):
                list(method(calls.identity, [1], 0))


class PoolEndContract(PoolContract):
    """close, terminate, join, the with block, and what a pool says of itself."""

    def test_close_and_join_wait_for_results_and_callbacks(self, pool: Any) -> None:
        seen: list[int] = []
        results = [pool.apply_async(calls.identity, (n,), callback=seen.append) for n in range(50)]
        pool.close()
        pool.join()
        assert sorted(seen) == list(range(50))
        assert [result.get(0) for result in results] == list(range(50))

    def test_a_running_pool_cannot_be_joined(self, pool: Any) -> None:
        with pytest.raises(ValueError, match="Pool is still running"):
            pool.join()

    @pytest.mark.parametrize("end", ["close", "terminate"])
    @pytest.mark.parametrize(
        ("method", "arguments"),
        [
            ("apply", (calls.add, (1, 2))),
            ("apply_async", (calls.add, (1, 2))),
            ("map", (calls.identity, [1])),
            ("map_async", (calls.identity, [1])),
            ("starmap", (calls.add, [(1, 2)])),
            ("starmap_async", (calls.add, [(1, 2)])),
            ("imap", (calls.identity, [1])),
            ("imap_unordered", (calls.identity, [1])),
            ("__enter__", ()),
        ],
    )
    def test_nothing_is_taken_after_the_end(
        self, new_pool: MakePool, end: str, method: str, arguments: tuple[Any, ...]
    ) -> None:
        pool = new_pool(1)
        getattr(pool, end)()
        with pytest.raises(ValueError, match="^Pool not running$"):
            getattr(pool, method)(*arguments)

    def test_ends_can_be_repeated(self, pool: Any) -> None:
        pool.close()
        pool.close()
        pool.terminate()
        pool.terminate()
        pool.close()
        pool.join()
        pool.join()

    def test_leaving_the_block_terminates(self, pool: Any) -> None:
        with pool as entered:
            assert entered is pool
            assert pool.apply(calls.add, (1, 2)) == 3
        with pytest.raises(ValueError, match="Pool not running"):
            pool.apply(calls.add, (1, 2))
        pool.join()

    def test_a_pool_cannot_be_pickled(self, pool: Any) -> None:
        with pytest.raises(
            NotImplementedError, match="cannot be passed between processes or pickled"
        ):
            pickle.dumps(pool)

    def test_a_pool_shows_its_state_and_size(self, pool: Any) -> None:
        assert repr(pool).endswith("Pool state=RUN pool_size=2>")
        pool.close()
        assert "state=CLOSE" in repr(pool)
        pool.terminate()
        assert "state=TERMINATE" in repr(pool)

    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            ({"processes": 0}, ValueError, "Number of processes must be at least 1"),
            ({"processes": -1}, ValueError, "Number of processes must be at least 1"),
            ({"processes": "2"}, TypeError, "not supported between"),
            ({"initializer": 5}, TypeError, "initializer must be a callable"),
            (
                {"maxtasksperchild": 0},
                ValueError,
                "maxtasksperchild must be a positive int or None",
            ),
            (
                {"maxtasksperchild": 1.5},
                ValueError,
                "maxtasksperchild must be a positive int or None",
            ),
        ],
    )
    def test_bad_arguments(
        self, new_pool: MakePool, arguments: Any, error: type[Exception], message: str
    ) -> None:
        with warnings.catch_warnings(), pytest.raises(error, match=message):
            new_pool(**arguments)

    def test_an_unclosed_pool_is_warned_of(self, pool: Any) -> None:
        with pytest.warns(ResourceWarning, match="unclosed running multiprocessing pool"):
            pool.__del__()


class Counted:
    """A callable that counts its calls."""

    calls = 0

    def __call__(self, item: object) -> int:
        self.calls += 1
        return self.calls


class traced:
    """A call of one argument that leaves it in a trace."""

    def __init__(self, tracer: Trace) -> None:
        self.path = tracer.path

    def __call__(self, n: int) -> object:
        # One write, for lines of calls at the same time.
        with open(self.path, "ab", buffering=0) as file:
            file.write(b"%d\n" % n)
        return os.getpid()


def failing_input(count: int) -> Iterator[int]:
    yield from range(count)
    raise KeyError("input")


def outcome_of(results: Any) -> Any:
    """The next result, or the name of the class of its error."""
    try:
        return results.next(PATIENCE)
    except ZeroDivisionError:
        return "ZeroDivisionError"


def counting(seen: list[int]) -> Iterator[int]:
    """An infinite input that shows how far it was read."""
    for n in itertools.count():
        seen.append(n)
        yield n
