"""`multiprocessing.Pool` on a cluster: the contract, and what is ours alone."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import gc
import multiprocessing
import multiprocessing.pool
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from pathlib import Path
from typing import Any

import ipyparallel
import pytest

from IPython.parallel import Pool
from IPython.parallel.pools.chunks import outcomes_of
from IPython.parallel.pools.imap_feed import Feed
from IPython.parallel.pools.multiprocessing_pool import AHEAD, CHUNKS_AHEAD
from IPython.parallel.tests.contracts import calls
from IPython.parallel.tests.contracts.harness import PATIENCE, Gate
from IPython.parallel.tests.contracts.multiprocessing_pools import (
    MakePool,
    PoolCallsContract,
    PoolEndContract,
    PoolImapContract,
    counting,
    outcome_of,
)

ENGINES = 2


class Stdlib:
    """Binds a contract to the standard library's pool."""

    @pytest.fixture
    def new_pool(self) -> Iterator[MakePool]:
        # Not "fork": other tests leave threads in this process.
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["IPython.parallel.tests.contracts.calls"])
        with _terminated_afterwards(context.Pool) as make:
            yield make


class OnCluster:
    """Binds a contract to a pool of the cluster's engines."""

    @pytest.fixture
    def new_pool(self, client: ipyparallel.Client) -> Iterator[MakePool]:
        with _terminated_afterwards(
            lambda *args, **kwargs: Pool(*args, **kwargs, client=client)
        ) as make:
            yield make


class _terminated_afterwards:
    """A block with a factory of pools, which have all ended after it."""

    def __init__(self, make: Callable[..., Any]) -> None:
        self._make = make
        self._made: list[Any] = []

    def __enter__(self) -> MakePool:
        def make(*args: Any, **kwargs: Any) -> Any:
            self._made.append(self._make(*args, **kwargs))
            return self._made[-1]

        return make

    def __exit__(self, *exc_info: object) -> None:
        for pool in self._made:
            pool.terminate()
            pool.join()


class TestStdlibCalls(Stdlib, PoolCallsContract): ...


class TestStdlibImap(Stdlib, PoolImapContract): ...


class TestStdlibEnd(Stdlib, PoolEndContract): ...


class TestClusterCalls(OnCluster, PoolCallsContract): ...


class TestClusterImap(OnCluster, PoolImapContract): ...


class TestClusterEnd(OnCluster, PoolEndContract): ...


class TestOnCluster(OnCluster):
    """What the standard library's pool does not promise."""

    @pytest.fixture
    def pool(self, new_pool: MakePool) -> Any:
        return new_pool()

    def test_it_is_found_to_be_a_pool(self, pool: Any) -> None:
        assert isinstance(pool, multiprocessing.pool.Pool)
        assert (
            repr(pool)
            == f"<IPython.parallel.pools.multiprocessing_pool.Pool state=RUN pool_size={ENGINES}>"
        )

    def test_functions_that_cannot_be_imported(self, pool: Any) -> None:
        assert pool.map(lambda n: n + ENGINES, range(3)) == [2, 3, 4]

    @pytest.mark.parametrize("chunksize", [1, 2, 3])
    @pytest.mark.parametrize("method", ["imap", "imap_unordered"])
    def test_a_failing_call_takes_no_others_of_its_chunk_along(self, pool: Any, method: str, chunksize: int) -> None:
        results = getattr(pool, method)(calls.reciprocal, [1, 0, 2], chunksize)
        outcomes = [outcome_of(results) for _ in range(3)]
        assert sorted(map(str, outcomes)) == ["0.5", "1.0", "ZeroDivisionError"]
        assert list(results) == []

    def test_a_call_that_exits_takes_no_others_of_its_chunk_along(self, pool: Any) -> None:
        results = pool.imap(raise_or_return, [1, SystemExit(3), 2], 3)
        assert next(results) == 1
        with pytest.raises(SystemExit):
            next(results)
        assert list(results) == [2]

    def test_an_error_that_is_returned_is_a_value(self, pool: Any) -> None:
        (value,) = pool.map(calls.identity, [KeyError("value")], 2)
        assert repr(value) == "KeyError('value')"

    def test_a_chunk_is_one_call(self, pool: Any) -> None:
        assert pool.map(calls.identity, range(100), 30) == list(range(100))
        assert len(pool._view.history) == 4
        assert list(pool.imap(calls.identity, range(100), 30)) == list(range(100))
        assert len(pool._view.history) == 8
        assert pool.map(calls.identity, range(100)) == list(range(100))
        assert len(pool._view.history) == 108

    def test_an_infinite_input_is_read_some_chunks_ahead(self, pool: Any) -> None:
        read: list[int] = []
        results = pool.imap(calls.identity, counting(read), 1000)
        assert [next(results) for _ in range(5000)] == list(range(5000))
        assert len(read) <= 5000 + (ENGINES * CHUNKS_AHEAD + 1) * 1000

    def test_an_infinite_input_is_read_some_way_ahead(self, pool: Any) -> None:
        read: list[int] = []
        results = pool.imap(calls.identity, counting(read))
        assert [next(results) for _ in range(1000)] == list(range(1000))
        assert len(read) <= 1000 + ENGINES * AHEAD + 1

    def test_no_thread_is_left_of_an_input_nobody_finished(self, pool: Any) -> None:
        before = threading.enumerate()  # that of an earlier test may be about to end
        next(pool.imap(calls.identity, counting([])))
        new = [thread for thread in threading.enumerate() if thread not in before]
        (thread,) = (thread for thread in new if thread.name == "IPython.parallel imap")
        pool.terminate()
        thread.join(PATIENCE)
        assert not thread.is_alive()

    def test_nor_when_the_pool_is_forgotten(self, client: ipyparallel.Client) -> None:
        pool = Pool(client=client)
        before = threading.enumerate()  # that of an earlier test may be about to end
        next(pool.imap(calls.identity, counting([])))
        new = [thread for thread in threading.enumerate() if thread not in before]
        (thread,) = (thread for thread in new if thread.name == "IPython.parallel imap")
        with pytest.warns(ResourceWarning, match="unclosed"):
            del pool
            gc.collect()
        thread.join(PATIENCE)
        assert not thread.is_alive()

    def test_a_pool_lives_as_long_as_its_results(self, client: ipyparallel.Client) -> None:
        pool = Pool(client=client)
        result, alive = pool.apply_async(calls.add, (1, 2)), weakref.ref(pool)
        del pool
        gc.collect()
        assert alive() is not None
        assert result.get(PATIENCE) == 3
        alive().terminate()

    def test_terminate_waits_for_nothing(self, new_pool: MakePool, gate: Gate) -> None:
        pool, told = new_pool(1), []
        held = pool.apply_async(
            calls.pass_gate, (gate.address,), callback=told.append, error_callback=told.append
        )
        gate.wait_for_arrivals(1)
        waiting = pool.map_async(calls.identity, range(1000))
        reading = pool.imap(calls.identity, counting([]))
        pool.terminate()
        pool.join()
        for outcome in (held.get, waiting.get, reading.next):
            with pytest.raises(CancelledError):
                outcome(PATIENCE)
        assert told == []

    def test_a_callback_that_raises_is_logged(
        self, pool: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        result = pool.apply_async(calls.add, (1, 2), callback=calls.reciprocal.__class__)
        assert result.get(PATIENCE) == 3
        assert "exception calling callback" in caplog.text
        assert pool.apply(calls.add, (1, 2)) == 3

    def test_a_callback_may_wait_for_another_result(self, pool: Any) -> None:
        seen: list[int] = []
        other = pool.apply_async(calls.add, (3, 4))
        pool.apply_async(
            calls.add, (1, 2), callback=lambda value: seen.append(value + other.get())
        ).wait(PATIENCE)
        assert seen == [10]

    def test_a_callback_may_terminate(self, pool: Any) -> None:
        result = pool.apply_async(calls.add, (1, 2), callback=lambda value: pool.terminate())
        assert result.get(PATIENCE) == 3
        pool.join()

    def test_an_initializer_that_fails_is_every_calls_error(self, new_pool: MakePool) -> None:
        from IPython.parallel.errors import InitializerFailed

        pool = new_pool(1, calls.raise_error, (ValueError("no"),))
        with pytest.raises(InitializerFailed, match="raise_error failed .*ValueError: no"):
            pool.apply(calls.add, (1, 2))

    def test_what_only_forked_children_can_inherit_is_refused_with_a_way_out(
        self, new_pool: MakePool
    ) -> None:
        with pytest.raises(RuntimeError) as caught:
            new_pool(1, calls.identity, (multiprocessing.Lock(),))
        assert "multiprocessing.Manager" in " ".join(caught.value.__notes__)

    def test_an_engine_begins_anew_after_some_tasks(self, new_pool: MakePool, tmp_path: Path) -> None:
        begun = tmp_path / "begun"

        def note() -> None:
            with begun.open("a") as file:
                file.write("begun\n")

        pool = new_pool(1, note, maxtasksperchild=2)
        assert [pool.apply(abs, (-number,)) for number in range(5)] == list(range(5))
        assert begun.read_text() == "begun\n" * 3

    def test_one_cluster_only(self, client: ipyparallel.Client) -> None:
        with pytest.raises(ValueError, match="give no profile with it"):
            Pool(client=client, profile="default")


def raise_or_return(value: Any) -> Any:
    if isinstance(value, BaseException):
        raise value
    return value


# -- chunks


def test_what_ends_a_chunk_is_the_error_of_each_of_its_calls() -> None:
    error = ConnectionError("the engine died")
    failed: Any = Future()
    failed.set_exception(error)
    failed.chunk_size = 3
    assert [outcome.error for outcome in outcomes_of(failed)] == [error] * 3
    cancelled: Any = Future()
    cancelled.cancel()
    cancelled.chunk_size = 2
    assert [type(outcome.error) for outcome in outcomes_of(cancelled)] == [CancelledError] * 2


# -- the feed of a lazy map


def settled(value: Any) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(value)
    return future


def taken(feed: Feed) -> list[Any]:
    """All that is left in a feed."""
    return [future.result() for future in iter(lambda: feed.take(PATIENCE), None)]


def test_a_feed_reads_no_further_than_it_may() -> None:
    read: list[int] = []
    reached = threading.Semaphore(0)

    def submit(item: int) -> Future[Any]:
        read.append(item)
        reached.release()
        return settled(item)

    feed = Feed(submit, range(10), 3, in_order=True)
    for _ in range(3):
        assert reached.acquire(timeout=PATIENCE)
    assert read == [0, 1, 2]
    assert feed.take(PATIENCE).result() == 0
    assert reached.acquire(timeout=PATIENCE)
    assert read == [0, 1, 2, 3]
    feed.finish()
    assert taken(feed) == list(range(1, 10))


@pytest.mark.parametrize("in_order", [True, False])
def test_a_feed_gives_up_a_wait_and_loses_nothing(in_order: bool) -> None:
    future: Future[Any] = Future()
    feed = Feed(lambda item: future, [0], 1, in_order=in_order)
    for _ in range(2):
        with pytest.raises(TimeoutError):
            feed.take(0.01)
    future.set_result(5)
    assert taken(feed) == [5]


def test_a_feed_that_was_stopped_wakes_who_waits() -> None:
    blocked = threading.Event()
    feed = Feed(settled, iter(blocked.wait, True), 1, in_order=True)
    errors: list[BaseException] = []

    def take() -> None:
        try:
            feed.take(None)
        except BaseException as error:
            errors.append(error)

    taker = threading.Thread(target=take)
    taker.start()
    feed.stop()
    taker.join(PATIENCE)
    blocked.set()
    assert [type(error) for error in errors] == [CancelledError]
