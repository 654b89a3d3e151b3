"""The threads of done-callbacks: one at a time, and a successor where one is held up."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import threading
from concurrent.futures import Future
from functools import partial
from typing import Any

import pytest

from IPython.parallel.dispatch import callback_threads, callbacks
from IPython.parallel.dispatch.callbacks import CallbackQueue
from IPython.parallel.tests.contracts.harness import PATIENCE


class Queued(CallbackQueue, Future[Any]):
    """A future whose callbacks run on the callbacks' thread."""


class Clock:
    """Stands where the watch waits: it goes on when the test says that the time is up, once for each time."""

    def __init__(self) -> None:
        self.pauses: list[float] = []
        self.began, self._up = threading.Semaphore(0), threading.Semaphore(0)
        self._stopped = False

    def pause(self, seconds: float) -> None:
        if not self._stopped:
            self.pauses.append(seconds)
            self.began.release()
            self._up.acquire(timeout=PATIENCE)

    def strike(self) -> None:
        """The time is up."""
        self._up.release()

    def stop(self) -> None:
        self._stopped = True
        self._up.release()


@pytest.fixture
def threads() -> callback_threads.CallbackThreads:
    return callbacks._threads


@pytest.fixture
def impatient(threads: callback_threads.CallbackThreads, monkeypatch: pytest.MonkeyPatch) -> None:
    """A watch that never waits: whoever is busy while others wait is held up."""
    monkeypatch.setattr(threads, "_pause", lambda seconds: None)


@pytest.fixture
def clock(threads: callback_threads.CallbackThreads, monkeypatch: pytest.MonkeyPatch) -> Any:
    clock = Clock()
    monkeypatch.setattr(threads, "_pause", clock.pause)
    yield clock
    clock.stop()


def done(*futures: Future[Any]) -> None:
    for future in futures:
        future.set_result(1)


@pytest.mark.usefixtures("impatient")
def test_one_may_wait_for_what_another_behind_it_does() -> None:
    first, second, behind, seen = Queued(), Queued(), threading.Event(), []
    first.add_done_callback(lambda f: seen.append(behind.wait(PATIENCE)))
    second.add_done_callback(lambda f: behind.set())
    done(first, second)
    assert callbacks.drain(PATIENCE)
    assert seen == [True]


@pytest.mark.usefixtures("impatient")
def test_hundreds_may_wait_for_the_last() -> None:
    futures, last, seen = [Queued() for _ in range(300)], threading.Event(), []
    for future in futures:
        future.add_done_callback(lambda f: seen.append(last.wait(PATIENCE)))
    futures.append(Queued())
    futures[-1].add_done_callback(lambda f: last.set())
    done(*futures)
    assert callbacks.drain(PATIENCE)
    assert seen == [True] * 300


@pytest.mark.usefixtures("impatient")
def test_those_of_one_future_keep_their_order() -> None:
    first, second, behind, seen = Queued(), Queued(), threading.Event(), []
    first.add_done_callback(lambda f: seen.append(("first", behind.wait(PATIENCE))))
    first.add_done_callback(lambda f: seen.append("second"))
    second.add_done_callback(lambda f: behind.set())
    done(first, second)
    first.add_done_callback(lambda f: seen.append("third"))
    assert callbacks.drain(PATIENCE)
    assert seen == [("first", True), "second", "third"]


def test_nobody_is_relieved_while_nobody_waits_or_the_time_is_not_up(
    threads: callback_threads.CallbackThreads, clock: Clock
) -> None:
    begun, goes_on, seen = threading.Event(), threading.Event(), []
    threads.post(lambda: (begun.set(), goes_on.wait(PATIENCE), seen.append("first")))
    assert begun.wait(PATIENCE)
    assert clock.began.acquire(timeout=PATIENCE)
    clock.strike()  # nobody waits
    assert clock.began.acquire(timeout=PATIENCE)
    threads.post(lambda: seen.append("second"))  # the time is not up
    assert len(threads._relieved) == 0
    goes_on.set()
    assert callbacks.drain(PATIENCE)
    assert seen == ["first", "second"]


def test_one_that_is_held_up_is_relieved_when_the_time_is_up(
    threads: callback_threads.CallbackThreads, clock: Clock
) -> None:
    begun, goes_on, others = threading.Event(), threading.Event(), threading.Event()
    seen: list[str] = []
    threads.post(lambda: (begun.set(), goes_on.wait(PATIENCE), seen.append("first")))
    assert begun.wait(PATIENCE)
    threads.post(lambda: (seen.append("second"), others.set()))
    while not others.wait(0):
        assert clock.began.acquire(timeout=PATIENCE)
        clock.strike()
    assert seen == ["second"]
    (held_up,) = threads._relieved
    goes_on.set()
    held_up.join(PATIENCE)
    assert not held_up.is_alive()
    assert seen == ["second", "first"]
    assert not threads._relieved


@pytest.mark.usefixtures("impatient")
def test_drain_waits_for_those_that_are_held_up(threads: callback_threads.CallbackThreads) -> None:
    goes_on, relieved, seen = threading.Event(), threading.Event(), []
    threads.post(lambda: (goes_on.wait(PATIENCE), seen.append("held up")))
    threads.post(relieved.set)
    assert relieved.wait(PATIENCE)
    assert callbacks.drain(0.01) is False
    goes_on.set()
    assert callbacks.drain(PATIENCE)
    assert seen == ["held up"]


def test_a_job_that_begins_as_the_watch_goes_to_rest_is_watched(
    threads: callback_threads.CallbackThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert callbacks.drain(PATIENCE)
    worker = threads._worker
    monkeypatch.setattr(threads, "watching", threading.Event())
    monkeypatch.setattr(worker, "is_busy", True)  # it found the watch awake a moment ago
    threads._rest(worker)
    assert threads.watching.is_set()


def test_without_threads_to_be_had_it_is_tried_again(
    threads: callback_threads.CallbackThreads, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = [RuntimeError("can't start new thread")] * 2
    start = threading.Thread.start

    def refuse(self: threading.Thread) -> None:
        if isinstance(self, callback_threads._Worker) and refusals:
            raise refusals.pop()
        start(self)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    begun, behind = threading.Event(), threading.Event()
    threads.post(lambda: (begun.set(), behind.wait(PATIENCE)))
    assert begun.wait(PATIENCE)
    threads.post(behind.set)
    while not behind.wait(0):
        assert clock.began.acquire(timeout=PATIENCE)
        clock.strike()
    assert refusals == []


def test_jobs_posted_from_many_threads_run_once_each_whoever_is_held_up(
    threads: callback_threads.CallbackThreads, impatient: None
) -> None:
    together, seen, last = threading.Barrier(4), [], threading.Event()

    def post(number: int) -> None:
        together.wait(PATIENCE)
        for n in range(200):
            threads.post(lambda n=n: seen.append((number, n)))
            if n == 100:
                threads.post(lambda: last.wait(PATIENCE) and None)
        threads.post(lambda: number == 0 and last.set() or None)

    posting = [threading.Thread(target=post, args=(number,)) for number in range(4)]
    for thread in posting:
        thread.start()
    for thread in posting:
        thread.join(PATIENCE)
    assert callbacks.drain(PATIENCE)
    assert sorted(seen) == [(number, n) for number in range(4) for n in range(200)]


def test_where_no_thread_can_be_started_jobs_run_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in an interpreter that exits, as of Python 3.12."""

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    threads = callback_threads.CallbackThreads()
    monkeypatch.setattr(threading.Thread, "start", refuse)
    ran: list[int] = []
    for number in range(3):
        threads.post(partial(ran.append, number))
    assert ran == [0, 1, 2]
    assert threads.drain(0)
