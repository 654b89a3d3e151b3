"""Thousands of cancels that race with execution: no True that ran, no False that did not."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import asyncio
import itertools
import random
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from typing import Any

import ipyparallel
import pytest

import IPython.parallel  # noqa: F401 (its import is what makes views executors)
from IPython.parallel.tests.contracts import calls
from IPython.parallel.tests.contracts.harness import PATIENCE, Gate, Trace

THREADS = 4

VIEWS: dict[str, Callable[[ipyparallel.Client], Any]] = {
    "balanced": lambda client: client.load_balanced_view(),
    "one engine": lambda client: client[client.ids[0]],
    "several engines": lambda client: client[:],
    "broadcast": lambda client: client.broadcast_view(),
    "message of its own": lambda client: _flagged(client.load_balanced_view()),
}
# Calls for each view: one message each takes a hundred times as long as a call in a group.
COUNTS = {"balanced": 4000, "one engine": 4000, "several engines": 120, "broadcast": 120, "message of its own": 120}


def _flagged(view: Any) -> Any:
    view.set_flags(retries=0, timeout=PATIENCE)
    return view


def _check(tracer: Trace, answers: dict[int, bool], futures: list[Future[Any]], times: int) -> None:
    """What ran is what could not be cancelled, and each future says the same."""
    expected = sorted(n for n, cancelled in answers.items() if not cancelled)
    assert sorted(map(int, tracer.lines())) == [n for n in expected for _ in range(times)]
    for n, future in enumerate(futures):
        assert future.cancelled() is answers[n]
        if answers[n]:
            with pytest.raises(CancelledError):
                future.result(0)
        else:
            assert future.exception(0) is None


@pytest.mark.parametrize("kind", VIEWS)
def test_cancels_race_with_execution(client: ipyparallel.Client, tracer: Trace, kind: str) -> None:
    view = VIEWS[kind](client)
    count = COUNTS[kind]
    futures: list[Future[Any]] = []
    answers: dict[int, bool] = {}
    turn = itertools.count()
    submitting = threading.Event()

    def cancel_behind_the_one_that_submits(seed: int) -> None:
        # Some right away, some when they are long on their way: each future by one thread, in no order.
        choose = random.Random(seed)
        held: list[int] = []
        while (n := next(turn)) < count:
            while len(futures) <= n:
                submitting.wait(0.001)
            held.append(n)
            if choose.random() < 0.5:
                picked = held.pop(choose.randrange(len(held)))
                answers[picked] = futures[picked].cancel()
        for n in held:
            answers[n] = futures[n].cancel()

    with ThreadPoolExecutor(THREADS) as threads:
        cancelling = [threads.submit(cancel_behind_the_one_that_submits, seed) for seed in range(THREADS)]
        for n in range(count):
            futures.append(view.submit(calls.trace, tracer.path, n))
            if n % 500 == 0:
                futures[-1].done()  # the other threads get on when this one lets go of the interpreter
        submitting.set()
        for one in cancelling:
            one.result(PATIENCE)
    assert not wait(futures, timeout=PATIENCE).not_done
    _check(tracer, answers, futures, times=2 if kind in ("several engines", "broadcast") else 1)
    assert not all(answers.values())
    assert any(answers.values()) or COUNTS[kind] < 1000  # messages of their own are under way at once


def test_every_thread_that_cancels_the_same_call_hears_the_same(client: ipyparallel.Client, tracer: Trace) -> None:
    view = client.load_balanced_view()
    futures = [view.submit(calls.trace, tracer.path, n) for n in range(1500)]
    with ThreadPoolExecutor(THREADS) as threads:
        heard = list(threads.map(lambda _: [future.cancel() for future in futures], range(THREADS)))
    assert not wait(futures, timeout=PATIENCE).not_done
    # A call that an engine gave back is pending again: a False may be followed by a True, but no True by a False.
    final = {n: future.cancelled() for n, future in enumerate(futures)}
    assert all(final[n] for answers in heard for n, answer in enumerate(answers) if answer)
    _check(tracer, final, futures, times=1)


def test_cancels_race_with_shutdown_and_map(client: ipyparallel.Client, tracer: Trace) -> None:
    view = client.load_balanced_view()
    mapped = view.map(calls.trace, [tracer.path] * 1500, range(1500))
    futures = list(mapped._tasks)
    cancelling = threading.Thread(target=lambda: [future.cancel() for future in reversed(futures)])
    cancelling.start()
    view.shutdown(wait=True, cancel_futures=True)
    cancelling.join(PATIENCE)
    assert not wait(futures, timeout=PATIENCE).not_done
    _check(tracer, {n: future.cancelled() for n, future in enumerate(futures)}, futures, times=1)


def test_cancels_of_asyncio_race_with_execution(client: ipyparallel.Client, tracer: Trace) -> None:
    view = client.load_balanced_view()
    futures: list[Future[Any]] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        wrapped = []
        for n in range(1500):
            futures.append(view.submit(calls.trace, tracer.path, n))
            wrapped.append(asyncio.wrap_future(futures[-1], loop=loop))
            if n % 3 == 0:
                wrapped[n // 2].cancel()
            if n % 100 == 0:
                await asyncio.sleep(0)
        await asyncio.gather(*wrapped, return_exceptions=True)

    asyncio.run(asyncio.wait_for(main(), PATIENCE))
    assert not wait(futures, timeout=PATIENCE).not_done
    _check(tracer, {n: future.cancelled() for n, future in enumerate(futures)}, futures, times=1)


def test_cancelling_sends_nothing(
    client: ipyparallel.Client, gate: Gate, tracer: Trace, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = client.load_balanced_view()
    blocking = [view.submit(calls.pass_gate, gate.address) for _ in client.ids]
    gate.wait_for_arrivals(len(client.ids))
    waiting = [view.submit(calls.trace, tracer.path, n) for n in range(400)]
    sent: list[str] = []
    original = ipyparallel.Client._send

    def count(self: ipyparallel.Client, socket: Any, msg_type: str, *args: Any, **kwargs: Any) -> Any:
        sent.append(msg_type)
        return original(self, socket, msg_type, *args, **kwargs)

    monkeypatch.setattr(ipyparallel.Client, "_send", count)
    answers = {n: future.cancel() for n, future in enumerate(waiting)}
    assert sent == []
    assert sum(answers.values()) > 350
    gate.open()
    assert not wait([*blocking, *waiting], timeout=PATIENCE).not_done
    assert sorted(map(int, tracer.lines())) == [n for n, cancelled in answers.items() if not cancelled]
