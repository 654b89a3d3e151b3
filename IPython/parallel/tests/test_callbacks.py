"""Done-callbacks: each once, in order, and in nobody's way."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from IPython.parallel.dispatch import callbacks, task_states
from IPython.parallel.dispatch.callbacks import CallbackQueue
from IPython.parallel.tests.contracts.harness import PATIENCE


class Queued(CallbackQueue, Future[Any]):
    """A future whose callbacks run on the callbacks' thread."""


class Interrupted(Queued):
    """A future on which something happens between its end and the handing over of its callbacks."""

    between: Callable[[], None]

    def _invoke_callbacks(self) -> None:
        self.between()
        super()._invoke_callbacks()


def drain() -> None:
    assert callbacks.drain(PATIENCE)


def test_each_is_called_once_with_the_future_and_in_order() -> None:
    future, seen = Queued(), []
    for n in range(5):
        future.add_done_callback(lambda f, n=n: seen.append((n, f)))
    future.set_result(1)
    drain()
    assert seen == [(n, future) for n in range(5)]


@pytest.mark.parametrize("end", ["result", "exception", "cancel"])
def test_they_are_called_whatever_the_end(end: str) -> None:
    future, seen = Queued(), []
    future.add_done_callback(seen.append)
    if end == "result":
        future.set_result(1)
    elif end == "exception":
        future.set_exception(ValueError())
    else:
        task_states.cancel(future)
        future._invoke_callbacks()
    drain()
    assert seen == [future]


def test_they_do_not_run_on_the_thread_that_settles() -> None:
    future, threads = Queued(), []
    future.add_done_callback(lambda f: threads.append(threading.current_thread()))
    future.set_result(1)
    drain()
    assert [thread.name for thread in threads] == ["IPython.parallel callbacks"]


def test_when_all_is_over_a_new_one_is_called_at_once() -> None:
    future, seen = Queued(), []
    future.set_result(1)
    future.add_done_callback(lambda f: seen.append(threading.current_thread()))
    assert seen == [threading.current_thread()]


def test_one_added_between_the_end_and_the_handing_over_comes_last() -> None:
    future, seen = Interrupted(), []
    future.between = lambda: future.add_done_callback(lambda f: seen.append("second"))
    future.add_done_callback(lambda f: seen.append("first"))
    future.set_result(1)
    drain()
    assert seen == ["first", "second"]


def test_one_added_while_others_wait_to_run_comes_last() -> None:
    future, seen, held = Queued(), [], threading.Event()
    future.add_done_callback(lambda f: seen.append(held.wait(PATIENCE)))
    future.add_done_callback(lambda f: seen.append("second"))
    future.set_result(1)
    future.add_done_callback(lambda f: seen.append("third"))
    held.set()
    drain()
    assert seen == [True, "second", "third"]


def test_one_added_by_another_comes_last() -> None:
    future, seen = Queued(), []
    future.add_done_callback(lambda f: f.add_done_callback(lambda f: seen.append("inner")))
    future.add_done_callback(lambda f: seen.append("outer"))
    future.set_result(1)
    drain()
    assert seen == ["outer", "inner"]


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_one_that_raises_is_logged_and_the_others_are_called(caplog, error: type[BaseException]) -> None:
    def fail(future: Future[Any]) -> None:
        raise error("from a callback")

    future, seen = Queued(), []
    future.add_done_callback(fail)
    future.add_done_callback(seen.append)
    future.set_result(1)
    drain()
    assert seen == [future]
    assert [(r.name, r.exc_info[0]) for r in caplog.records] == [("concurrent.futures", error)]


def test_one_that_waits_does_not_keep_futures_from_being_settled() -> None:
    first, second, seen = Queued(), Queued(), []
    first.add_done_callback(lambda f: seen.append(second.result(PATIENCE)))
    first.set_result(1)
    second.set_result(2)
    drain()
    assert seen == [2]


def test_thousands_that_wait_for_later_futures() -> None:
    futures, seen = [Queued() for _ in range(3000)], []
    for future, following in zip(futures, futures[1:]):
        future.add_done_callback(lambda f, following=following: seen.append(following.result(PATIENCE)))
    for n, future in enumerate(futures):
        future.set_result(n)
    drain()
    assert seen == list(range(1, 3000))


def test_adding_from_many_threads_while_the_future_ends() -> None:
    for _ in range(30):
        future, seen, together = Queued(), [], threading.Barrier(5)

        def add(number: int, future=future, seen=seen, together=together) -> None:
            together.wait(PATIENCE)
            for n in range(20):
                future.add_done_callback(lambda f, n=n: seen.append((number, n)))

        threads = [threading.Thread(target=add, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        together.wait(PATIENCE)
        future.set_result(1)
        for thread in threads:
            thread.join(PATIENCE)
        drain()
        assert sorted(seen) == [(number, n) for number in range(4) for n in range(20)]


def test_jobs_run_in_order_on_one_thread() -> None:
    seen: list[Any] = []
    for n in range(10):
        callbacks.post(lambda n=n: seen.append((n, threading.get_ident())))
    drain()
    assert [n for n, _ in seen] == list(range(10))
    assert len({thread for _, thread in seen}) == 1


def test_drain_gives_up() -> None:
    held = threading.Event()
    callbacks.post(lambda: held.wait(PATIENCE) and None)
    assert callbacks.drain(0.01) is False
    held.set()
    drain()


def test_drain_from_a_callback_does_not_wait_for_itself() -> None:
    answers: list[bool] = []
    callbacks.post(lambda: answers.append(callbacks.drain()))
    drain()
    assert answers == [True]
