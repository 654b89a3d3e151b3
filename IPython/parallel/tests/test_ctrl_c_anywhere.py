"""Ctrl-C between any two calls that `submit` makes: nothing is left that nobody goes on with, nothing runs twice."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import contextlib
import gc
import itertools
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import ipyparallel
import pytest

from IPython.parallel.tests.contracts import calls
from IPython.parallel.tests.contracts.harness import PATIENCE
from IPython.parallel.tests.test_dispatcher import Bench, Steady, new_line
from IPython.parallel.tests.test_lazy_future import LOOKS

# Where it may come: the interpreter looks for signals there.
MODULES = tuple(
    f"dispatch/{name}.py" for name in ("dispatcher", "schedule", "groups", "lines", "task_states", "steady_locks")
)


class Press:
    """Raises KeyboardInterrupt at the given event in one of the modules. For this thread.

    The garbage collector waits meanwhile: an error in what it calls would go nowhere.
    """

    def __init__(self, at: int) -> None:
        self._left = at
        self.came = False

    def __enter__(self) -> Press:
        gc.disable()
        sys.setprofile(self._see)
        return self

    def __exit__(self, *exception: object) -> None:
        sys.setprofile(None)
        gc.enable()

    def _see(self, frame: FrameType, event: str, argument: Any) -> None:
        if event not in LOOKS or not frame.f_code.co_filename.endswith(MODULES):
            return
        self._left -= 1
        if self._left < 0 and not self.came:
            self.came = True
            sys.setprofile(None)
            raise KeyboardInterrupt


def interrupted(b: Bench, at: int, labels: list[Any]) -> bool:
    """Whether Ctrl-C came while these calls were submitted."""
    press = Press(at)
    try:
        with press:
            b.submit_chunks([(label,) for label in labels])
    except KeyboardInterrupt:
        pass
    return press.came


@pytest.mark.parametrize("engines", [1, 2])
@pytest.mark.parametrize("calls_to_a_group", [1, 3])
def test_ctrl_c_in_submit(engines: int, calls_to_a_group: int) -> None:
    for at in itertools.count():
        b = Bench(engines, Steady(calls=calls_to_a_group, groups=2))
        came = interrupted(b, at, list("abcde"))
        (after,) = b.submit("after")
        b.settle_all()
        assert after.done(), f"at {at}: what was begun holds up what comes after it"
        assert b.dispatcher.wait(b.line, PATIENCE), f"at {at}: calls are counted that nobody will run"
        assert max(Counter(b.cluster.ran).values()) == 1, f"at {at}: {b.cluster.ran}"
        b.dispatcher.stop(lambda: ConnectionError("over"))
        b.cluster.close()
        if not came:
            assert at > 20
            return


def test_ctrl_c_in_submit_where_no_engine_is_left() -> None:
    for at in itertools.count():
        b = Bench(1, line=new_line(only="one that is gone"))
        came = interrupted(b, at, list("abc"))
        b.submit_chunks([("after",)])
        assert b.dispatcher.wait(b.line, PATIENCE), f"at {at}: calls are counted that nobody will fail"
        assert b.cluster.ran == []
        b.dispatcher.stop(lambda: ConnectionError("over"))
        b.cluster.close()
        if not came:
            assert at > 5
            return


class Finger:
    """Presses Ctrl-C for the main thread, so many seconds later."""

    def __init__(self, after: float) -> None:
        self.has_pressed = threading.Event()
        self._thread = threading.Thread(target=self._press, args=(after,))

    def _press(self, after: float) -> None:
        time.sleep(after)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        self.has_pressed.set()

    def __enter__(self) -> Finger:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._thread.join()


def submit_one_after_the_other(view: ipyparallel.LoadBalancedView, finger: Finger) -> None:
    while not finger.has_pressed.is_set():
        view.submit(calls.identity, 1)


def map_one_after_the_other(view: ipyparallel.LoadBalancedView, finger: Finger) -> None:
    while not finger.has_pressed.is_set():
        view.map(calls.identity, range(500)).get(PATIENCE)


# Where it comes in a finalizer or in pyzmq's own code, Python says so and goes on.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("work", [submit_one_after_the_other, map_one_after_the_other])
def test_ctrl_c_again_and_again_leaves_a_client_that_works(
    work: Callable[[Any, Finger], None], client: ipyparallel.Client
) -> None:
    view = client.load_balanced_view()
    for _ in range(20):
        with contextlib.suppress(KeyboardInterrupt), Finger(random.uniform(0, 0.02)) as finger:
            work(view, finger)
    assert_works(client)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_ctrl_c_in_a_clients_first_call_leaves_a_client_that_works(
    connection_file: Path, client: ipyparallel.Client
) -> None:
    for _ in range(20):
        with ipyparallel.Client(str(connection_file)) as new:
            with contextlib.suppress(KeyboardInterrupt), Finger(random.uniform(0, 0.015)) as finger:
                submit_one_after_the_other(new.load_balanced_view(), finger)
            assert_works(new)


def hold_one_after_the_other(view: ipyparallel.LoadBalancedView, finger: Finger) -> None:
    while not finger.has_pressed.is_set():
        with view.temp_flags(after=[view.submit(calls.identity, 1)]):
            view.submit(calls.identity, 2)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_ctrl_c_while_calls_are_held_leaves_a_client_that_works(client: ipyparallel.Client) -> None:
    for _ in range(20):
        with contextlib.suppress(KeyboardInterrupt), Finger(random.uniform(0, 0.02)) as finger:
            hold_one_after_the_other(client.load_balanced_view(), finger)
    assert_works(client)


def assert_works(client: ipyparallel.Client) -> None:
    """And nobody waits there for a call that nobody has."""
    view = client.load_balanced_view()
    assert view.submit(calls.add, 1, 2).result(PATIENCE) == 3
    assert client.wait(timeout=PATIENCE)
    view.shutdown(wait=True)
