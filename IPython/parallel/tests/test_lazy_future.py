"""A future that makes its condition late: nobody waits in vain, and nobody is told twice."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import gc
import itertools
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, InvalidStateError, as_completed, wait
from typing import Any

import pytest

from IPython.parallel.dispatch import callbacks, lazy_future, steady_locks, task_states
from IPython.parallel.dispatch.callbacks import CallbackQueue
from IPython.parallel.dispatch.lazy_future import LazyFuture
from IPython.parallel.tests.contracts.harness import PATIENCE

ROUNDS = 1000


class Queued(CallbackQueue, LazyFuture):
    """As a call's result is: callbacks run on their own thread."""


def cancel(future: LazyFuture) -> None:
    assert task_states.cancel(future)
    future.tell_cancelled()


ENDS: dict[str, Callable[[LazyFuture], None]] = {
    "result": lambda future: future.set_result(1),
    "error": lambda future: future.set_exception(LookupError("as told")),
    "cancel": cancel,
}


def outcome(future: LazyFuture) -> Any:
    """How the future ended, asked as a caller asks."""
    try:
        return future.result(PATIENCE)
    except (LookupError, CancelledError) as error:
        return type(error)


EXPECTED = {"result": 1, "error": LookupError, "cancel": CancelledError}


# The interpreter looks for signals when a function begins, and when a call of one that is written in C is over.
LOOKS = ("call", "c_return", "c_exception")


def press_at(event: int, act: Callable[[LazyFuture], object], future: LazyFuture) -> bool:
    """Act, with Ctrl-C at the given event of `threading` or of the future; whether it came."""
    left, files = event, (threading.__file__, *(module.__file__ for module in (lazy_future, callbacks, steady_locks)))

    def see(frame: Any, kind: str, argument: Any) -> None:
        nonlocal left
        if kind in LOOKS and frame.f_code.co_filename in files:
            left -= 1
            if left == -1:
                sys.setprofile(None)
                raise KeyboardInterrupt

    sys.setprofile(see)
    try:
        act(future)
    except (KeyboardInterrupt, TimeoutError):
        pass
    except RuntimeError as error:  # of `Condition.wait`, interrupted before it has the lock again: it is not kept
        assert isinstance(error.__context__, KeyboardInterrupt)
    finally:
        sys.setprofile(None)
    return left < 0


@pytest.mark.parametrize(
    "act",
    [lambda future: future.result(0), lambda future: future.add_done_callback(str)],
    ids=["result", "add_done_callback"],
)
def test_ctrl_c_leaves_no_future_locked(act: Callable[[LazyFuture], object]) -> None:
    for event in itertools.count():
        future = Queued()
        came = press_at(event, act, future)
        settling = threading.Thread(target=future.set_result, args=(1,), daemon=True)
        settling.start()
        settling.join(PATIENCE)
        assert future.done(), f"at {event}: its lock was kept"
        if not came:
            assert event > 3
            return


class TestAlone:
    def test_nothing_is_made_before_somebody_asks(self) -> None:
        future = LazyFuture()
        assert (future.done(), future.running(), future.cancelled()) == (False, False, False)
        future.set_result(1)
        assert future._made_condition is None
        assert (future.done(), future.running(), future.cancelled()) == (True, False, False)
        assert (future.result(), future.exception()) == (1, None)

    @pytest.mark.parametrize("end", ENDS)
    @pytest.mark.parametrize("awaited", [True, False])
    def test_ends(self, end: str, awaited: bool) -> None:
        future = LazyFuture()
        if awaited:
            future._condition  # noqa: B018 (making it is the point)
        ENDS[end](future)
        assert future.done()
        assert future.cancelled() is (end == "cancel")
        assert outcome(future) == EXPECTED[end]

    @pytest.mark.parametrize("first", ENDS)
    @pytest.mark.parametrize("second", ["result", "error"])
    def test_it_ends_once(self, first: str, second: str) -> None:
        future = LazyFuture()
        ENDS[first](future)
        with pytest.raises(InvalidStateError):
            ENDS[second](future)
        assert outcome(future) == EXPECTED[first]

    def test_one_that_was_cancelled_and_is_not_told_yet_takes_no_result(self) -> None:
        future = LazyFuture()
        task_states.cancel(future)
        with pytest.raises(InvalidStateError):
            future.set_result(1)
        assert future.cancelled()

    @pytest.mark.parametrize("end", ENDS)
    def test_callbacks_before_and_after_the_end(self, end: str) -> None:
        future, seen = Queued(), []
        future.add_done_callback(lambda f: seen.append("before"))
        ENDS[end](future)
        assert callbacks.drain(PATIENCE)
        future.add_done_callback(lambda f: seen.append("after"))
        assert seen == ["before", "after"]

    def test_timeouts(self) -> None:
        future = LazyFuture()
        for ask in (future.result, future.exception):
            with pytest.raises(TimeoutError):
                ask(0)
        assert wait([future], 0).not_done == {future}
        with pytest.raises(TimeoutError):
            list(as_completed([future], 0))
        assert future._waiters == []

    def test_the_garbage_collector_may_ask_while_a_condition_is_put_in_place(
        self, monkeypatch
    ) -> None:
        """What is collected may be an iteration over a map, which cancels its calls."""
        others = [LazyFuture() for _ in range(3)]

        class Lock:
            def __enter__(self) -> None:
                making.acquire()
                while others:
                    cancel(others.pop())

            def __exit__(self, *error: object) -> None:
                making.release()

        making = lazy_future._making
        monkeypatch.setattr(lazy_future, "_making", Lock())
        future, asked = LazyFuture(), threading.Event()

        def ask() -> None:
            future._condition  # noqa: B018
            future.set_result(1)
            asked.set()

        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        assert asked.wait(PATIENCE), "it waits for itself"
        assert others == []


class Step:
    """Stands before a lock: the thread that comes to it lets another thing happen first.

    Parameters
    ----------
    lock : lock
    thread : str
        The name of the thread that is held up.
    meanwhile : callable
    """

    def __init__(self, lock: Any, thread: str, meanwhile: Callable[[], None]) -> None:
        self._lock = lock
        self._thread = thread
        self._meanwhile = meanwhile

    def __enter__(self) -> None:
        if threading.current_thread().name == self._thread:
            self._thread = ""
            self._meanwhile()
        self._lock.__enter__()

    def __exit__(self, *error: object) -> None:
        self._lock.__exit__(*error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lock, name)


@pytest.mark.parametrize("end", ENDS)
class TestForced:
    """The places where the thread that settles and the one that waits can meet, one by one."""

    def test_no_end_is_seen_by_who_holds_the_condition_before_the_waiters_are_told(
        self, end: str
    ) -> None:
        """1: `wait` has the condition. 2: the call ends. 3: `wait` looks at the state, and leaves word.

        4: it lets go of the condition.
        """
        future, other, came = LazyFuture(), LazyFuture(), threading.Event()
        future._made_condition = Step(future._condition, "settler", came.set)
        settler = threading.Thread(target=ENDS[end], args=(future,), name="settler")
        waiter = Waiter()
        with future._condition:
            before = future._state
            settler.start()
            assert came.wait(PATIENCE)
            assert future._state in (before, task_states.CANCELLED), "over, and nobody was told"
            future._waiters.append(waiter)
        settler.join(PATIENCE)
        assert waiter.told == [future]
        assert future.done() and not other.done()

    def test_a_condition_that_is_made_as_the_end_is_written(self, monkeypatch, end: str) -> None:
        """1: the call ends, without a condition. 2: somebody makes one, and waits. 3: the end is written."""
        future, waiter = LazyFuture(), Waiter()

        def make() -> None:
            with future._condition:
                assert future._state not in (
                    task_states.FINISHED,
                    task_states.CANCELLED_AND_NOTIFIED,
                )
                future._waiters.append(waiter)

        def meanwhile() -> None:
            making = threading.Thread(target=make)
            making.start()
            making.join(PATIENCE)

        monkeypatch.setattr(lazy_future, "_making", Step(lazy_future._making, "settler", meanwhile))
        settler = threading.Thread(target=ENDS[end], args=(future,), name="settler")
        settler.start()
        settler.join(PATIENCE)
        assert waiter.told == [future]
        assert outcome(future) == EXPECTED[end]

    def test_an_end_that_is_written_as_a_condition_is_made(self, monkeypatch, end: str) -> None:
        """1: somebody is about to make the condition. 2: the call ends. 3: the condition is there."""
        future, results = Queued(), []
        step = Step(lazy_future._making, "asks", lambda: ENDS[end](future))
        monkeypatch.setattr(lazy_future, "_making", step)
        asks = threading.Thread(
            target=lambda: results.append(wait([future], PATIENCE)), name="asks"
        )
        asks.start()
        asks.join(PATIENCE)
        assert results[0].done == {future}

    def test_a_callback_that_is_added_as_the_call_ends(self, monkeypatch, end: str) -> None:
        future, seen = Queued(), []
        step = Step(lazy_future._making, "asks", lambda: ENDS[end](future))
        monkeypatch.setattr(lazy_future, "_making", step)
        asks = threading.Thread(target=lambda: future.add_done_callback(seen.append), name="asks")
        asks.start()
        asks.join(PATIENCE)
        assert callbacks.drain(PATIENCE)
        assert seen == [future]


class Waiter:
    """What `wait` leaves with a future."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.add_result = self.add_exception = self.add_cancelled = self.told.append


# -- the same, left to chance many times: each of these asks, and says how all futures ended


def by_result(futures: list[Queued]) -> list[Any]:
    return [outcome(future) for future in futures]


def by_wait(futures: list[Queued]) -> list[Any]:
    done, not_done = wait(futures, PATIENCE)
    assert done == set(futures) and not not_done
    return by_result(futures)


def by_first_completed(futures: list[Queued]) -> list[Any]:
    left = set(futures)
    while left:
        done, left = wait(left, PATIENCE, return_when="FIRST_COMPLETED")
        assert done, "came back with nothing done"
    return by_result(futures)


def by_as_completed(futures: list[Queued]) -> list[Any]:
    seen = list(as_completed(futures, PATIENCE))
    assert len(seen) == len(futures) and set(seen) == set(futures)
    return by_result(futures)


def by_callbacks(futures: list[Queued]) -> list[Any]:
    called = threading.Semaphore(0)
    seen: list[Queued] = []
    for future in futures:
        future.add_done_callback(lambda f: (seen.append(f), called.release()))
    for _ in futures:
        assert called.acquire(timeout=PATIENCE), "a callback was not called"
    assert len(seen) == len(futures) and set(seen) == set(futures)
    return by_result(futures)


@pytest.fixture
def hasty() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.parametrize(
    "ask", [by_result, by_wait, by_first_completed, by_as_completed, by_callbacks]
)
def test_settling_races_with_asking(hasty: None, ask: Callable[[list[Queued]], list[Any]]) -> None:
    """Three futures a round, which end one after the other as somebody begins to wait for them."""
    rounds = [[Queued() for _ in ENDS] for _ in range(ROUNDS)]
    together = threading.Barrier(2)

    def settle() -> None:
        for futures in rounds:
            together.wait(PATIENCE)
            for end, future in zip(ENDS.values(), futures, strict=True):
                end(future)

    settler = threading.Thread(target=settle)
    settler.start()
    for number, futures in enumerate(rounds):
        together.wait(PATIENCE)
        assert ask(futures) == list(EXPECTED.values()), f"in round {number}"
    settler.join(PATIENCE)
    assert all(not future._waiters for futures in rounds for future in futures)


def test_what_waits_for_nobody_costs_no_condition_and_is_forgotten() -> None:
    futures = [Queued() for _ in range(100)]
    for future in futures:
        future.set_result(1)
    assert all(vars(future).keys() <= {"_state", "_result"} for future in futures)
    refs = [weakref.ref(future) for future in futures]
    del futures, future
    gc.collect()
    assert [ref() for ref in refs if ref() is not None] == []
