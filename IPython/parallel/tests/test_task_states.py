"""The table of a task's moves is closed, and the moves keep to it."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import itertools
import threading
from concurrent.futures import CancelledError, Future, as_completed, wait
from typing import Any

import pytest

from IPython.parallel.dispatch import task_states
from IPython.parallel.dispatch.lazy_future import LazyFuture
from IPython.parallel.dispatch.task_states import (
    CANCELLED,
    CANCELLED_AND_NOTIFIED,
    FINISHED,
    MOVES,
    PENDING,
    RUNNING,
    begin,
    cancel,
)
from IPython.parallel.tests.contracts.harness import PATIENCE


def future_in(state: str) -> Future[Any]:
    future: Future[Any] = Future()
    future._state = state
    return future


def test_every_move_leads_to_a_state_of_the_table() -> None:
    assert {to for moves in MOVES.values() for to in moves} <= MOVES.keys()


def test_every_state_can_be_reached_from_pending() -> None:
    reached, new = {PENDING}, {PENDING}
    while new := {to for state in new for to in MOVES[state]} - reached:
        reached |= new
    assert reached == MOVES.keys()


def test_the_ends_are_the_ones_futures_know() -> None:
    assert {state for state, moves in MOVES.items() if not moves} == {CANCELLED_AND_NOTIFIED, FINISHED}


@pytest.mark.parametrize(("before", "after"), itertools.product(MOVES, MOVES))
def test_a_move_is_made_if_the_table_has_it_and_changes_nothing_otherwise(before: str, after: str) -> None:
    future = future_in(before)
    allowed = after in MOVES[before]
    assert task_states._move(future, after) is allowed
    assert future._state == (after if allowed else before)


@pytest.mark.parametrize("state", MOVES)
def test_begin(state: str) -> None:
    future = future_in(state)
    assert begin(future) is (state == PENDING)
    assert future._state == (RUNNING if state == PENDING else state)


@pytest.mark.parametrize(
    ("state", "answer"),
    [(PENDING, True), (CANCELLED, None), (CANCELLED_AND_NOTIFIED, None), (RUNNING, False), (FINISHED, False)],
)
def test_cancel_tells_whether_it_did(state: str, answer: bool | None) -> None:
    future = future_in(state)
    assert cancel(future) is answer
    assert future.cancelled() is (state in (PENDING, CANCELLED, CANCELLED_AND_NOTIFIED))


@pytest.mark.parametrize("kind", [Future, LazyFuture])
def test_who_cancels_tells_once_and_others_learn_that_it_was_cancelled(kind: type[Future[Any]]) -> None:
    future = kind()
    assert [cancel(future), cancel(future)] == [True, None]
    assert (future.cancelled(), future.done(), begin(future)) == (True, True, False)


def test_a_cancelled_future_is_past_cancelled_when_it_was_told() -> None:
    future = LazyFuture()
    cancel(future)
    assert future._state == CANCELLED
    future.tell_cancelled()
    assert future._state == CANCELLED_AND_NOTIFIED
    assert (future.cancelled(), future.done(), cancel(future)) == (True, True, None)


def test_wait_and_as_completed_that_wait_already_hear_of_a_cancel() -> None:
    future = LazyFuture()
    heard: list[Any] = []
    waiters = [
        threading.Thread(target=lambda: heard.append(wait([future], PATIENCE).done)),
        threading.Thread(target=lambda: heard.append(set(as_completed([future], PATIENCE)))),
    ]
    for waiter in waiters:
        waiter.start()
    _until(lambda: len(future._waiters) == 2)
    cancel(future)
    future.tell_cancelled()
    for waiter in waiters:
        waiter.join(PATIENCE)
    assert heard == [{future}, {future}]


def test_cancel_wakes_who_waits_for_the_result() -> None:
    future = LazyFuture()
    caught: list[type[BaseException]] = []

    def ask() -> None:
        try:
            future.result(PATIENCE)
        except BaseException as error:
            caught.append(type(error))

    waiter = threading.Thread(target=ask)
    waiter.start()
    _until(lambda: len(future._condition._waiters) == 1)
    cancel(future)
    future.tell_cancelled()
    waiter.join(PATIENCE)
    assert caught == [CancelledError]


def test_of_many_threads_that_cancel_and_begin_one_decides() -> None:
    for _ in range(50):
        future: Future[Any] = Future()
        answers: list[Any] = []
        together = threading.Barrier(4)
        dispatchers = threading.Lock()

        def act(move: Any, future=future, answers=answers, together=together, lock=dispatchers) -> None:
            together.wait(PATIENCE)
            with lock:
                answers.append((move, move(future)))

        threads = [threading.Thread(target=act, args=(move,)) for move in (begin, cancel, begin, cancel)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        assert [answer for _, answer in answers].count(True) == 1
        assert future.cancelled() is ((cancel, True) in answers)


def _until(condition: Any) -> None:
    """Wait for another thread to have come to where it waits: nothing tells, so look again and again."""
    looks = threading.Event()
    for _ in range(int(PATIENCE / 0.01)):
        if condition():
            return
        looks.wait(0.01)
    raise AssertionError("the other thread never came to wait")
