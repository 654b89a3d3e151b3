"""A callback may wait for another call, by whatever means there are."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import ipyparallel
import pytest
from ipyparallel import AsyncResult

import IPython.parallel  # noqa: F401 (its import is what makes views executors)
from IPython.parallel.dispatch import callbacks
from IPython.parallel.dispatch.callbacks import CallbackQueue
from IPython.parallel.tests.contracts import calls
from IPython.parallel.tests.contracts.harness import PATIENCE, Gate, Recorder

WAYS: dict[str, Callable[[Any, AsyncResult], Any]] = {
    "result": lambda view, ar: ar.result(PATIENCE),
    "get": lambda view, ar: ar.get(PATIENCE),
    "wait": lambda view, ar: (ar.wait(PATIENCE), ar.result(0))[1],
    "wait with return_when": lambda view, ar: (ar.wait(PATIENCE, return_when="FIRST_COMPLETED"), ar.result(0))[1],
    "client.wait": lambda view, ar: (view.client.wait([ar], PATIENCE), ar.result(0))[1],
    "view.wait": lambda view, ar: (view.wait([ar], PATIENCE), ar.result(0))[1],
    "futures.wait": lambda view, ar: concurrent.futures.wait([ar], PATIENCE).done.pop().result(0),
    "as_completed": lambda view, ar: next(concurrent.futures.as_completed([ar], PATIENCE)).result(0),
    "asyncio": lambda view, ar: asyncio.run(asyncio.wait_for(_awaited(ar), PATIENCE)),
    "asyncio.wrap_future": lambda view, ar: asyncio.run(asyncio.wait_for(_wrapped(ar), PATIENCE)),
    "join": lambda view, ar: AsyncResult.join(ar, ar).get(PATIENCE)[0],
    "get_result": lambda view, ar: view.client.get_result(ar.msg_ids).get(PATIENCE)[0],
}


async def _awaited(ar: AsyncResult) -> Any:
    return await ar


async def _wrapped(ar: AsyncResult) -> Any:
    return await asyncio.wrap_future(ar)


@pytest.fixture(params=["balanced", "one engine", "message of its own"])
def view(request: pytest.FixtureRequest, client: ipyparallel.Client) -> Any:
    if request.param == "one engine":
        return client[client.ids[0]]
    view = client.load_balanced_view()
    if request.param == "message of its own":
        view.set_flags(timeout=3 * PATIENCE)
    return view


@pytest.mark.parametrize("way", WAYS)
def test_for_another(view: Any, gate: Gate, way: str) -> None:
    def wait_for_another(future: Future[Any]) -> Any:
        return WAYS[way](view, view.submit(calls.add, 1, 2))

    first = view.submit(calls.pass_gate, gate.address, 1)
    recorder = Recorder(wait_for_another)
    first.add_done_callback(recorder)
    gate.open()
    assert recorder.wait_for(1) == [3]


@pytest.mark.parametrize("way", WAYS)
def test_for_its_own_call(view: Any, gate: Gate, way: str) -> None:
    first = view.submit(calls.pass_gate, gate.address, 1)
    recorder = Recorder(lambda future: WAYS[way](view, future))
    first.add_done_callback(recorder)
    first.add_done_callback(Recorder())  # so that there is one behind it
    gate.open()
    assert recorder.wait_for(1) == [1]


def test_from_thousands_at_once(client: ipyparallel.Client) -> None:
    view = client.load_balanced_view()
    count, waiting = 2000, 50

    def submit_and_perhaps_wait(future: Future[Any]) -> Any:
        another = view.submit(calls.add, future.result(0), 1)
        return another.result(PATIENCE) if future.result(0) % (count // waiting) == 0 else another

    recorder = Recorder(submit_and_perhaps_wait)
    futures = [view.submit(calls.identity, n) for n in range(count)]
    for future in futures:
        future.add_done_callback(recorder)
    seen = [one.result(PATIENCE) if isinstance(one, Future) else one for one in recorder.wait_for(count)]
    assert sorted(seen) == list(range(1, count + 1))
    assert set(recorder.futures) == set(futures)


def test_for_what_a_callback_behind_it_does(view: Any, gate: Gate) -> None:
    behind = threading.Event()
    recorder = Recorder(lambda future: behind.wait(PATIENCE))
    first, second = (view.submit(calls.pass_gate, gate.address, n) for n in range(2))
    first.add_done_callback(recorder)
    first.add_done_callback(lambda future: view.submit(calls.add, 1, 2))
    second.add_done_callback(lambda future: behind.set())
    gate.open()
    assert recorder.wait_for(1) == [True]


def test_for_the_end_of_its_own_view(view: Any, gate: Gate) -> None:
    """``shutdown(wait=True)``, by two at once: each waits for all calls, and nobody for the other's callback."""
    last = view.submit(calls.pass_gate, gate.address, 3)

    def shut_down(future: Future[Any]) -> int:
        view.shutdown(wait=True)
        return last.result(0)

    recorder = Recorder(shut_down)
    for number in range(2):
        view.submit(calls.add, 1, number).add_done_callback(recorder)
    last.add_done_callback(recorder)
    gate.open()
    assert recorder.wait_for(3) == [3, 3, 3]


def test_shutdown_waits_for_callbacks(view: Any, gate: Gate) -> None:
    returned, seen = threading.Event(), []
    result = view.submit(calls.pass_gate, gate.address, 1)
    result.add_done_callback(lambda future: seen.append(returned.wait(0.3)))
    gate.open()
    result.result(PATIENCE)
    view.shutdown()
    returned.set()
    assert seen == [False]


class Queued(CallbackQueue, Future[Any]):
    """A future whose callbacks run on the callbacks' thread."""


def test_what_wakes_an_event_loop_is_not_behind_a_callback_that_waits() -> None:
    future, woken = Queued(), threading.Event()

    def wake(future: Future[Any]) -> None:
        woken.set()

    wake.__module__ = "asyncio.futures"
    seen = Recorder(lambda future: woken.wait(PATIENCE))
    future.add_done_callback(seen)
    future.add_done_callback(wake)
    future.set_result(1)
    assert seen.wait_for(1) == [True]
    assert callbacks.drain(PATIENCE)
