"""Who counts a pool's calls, as the command line does, hears of each exactly once, however it ends."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any

import ipyparallel
import pytest
from ipyparallel import LoadBalancedView

from IPython.parallel.dispatch import callbacks
from IPython.parallel.executor_mixin import configure_pool, submit_chunk
from IPython.parallel.tests.contracts import calls
from IPython.parallel.tests.contracts.harness import PATIENCE, Gate


class Count:
    """What was submitted, and which futures are over."""

    def __init__(self) -> None:
        self.submitted = 0
        self.ended: Counter[int] = Counter()
        self._heard = threading.Condition()

    def submit(self, number: int) -> None:
        with self._heard:
            self.submitted += number

    def over(self, futures: Sequence[Any]) -> None:
        with self._heard:
            self.ended.update(map(id, futures))
            self._heard.notify_all()

    def assert_each_once(self, futures: Sequence[Any]) -> None:
        assert all(future.done() for future in futures)
        with self._heard:
            assert self._heard.wait_for(lambda: self.ended.total() >= len(futures), PATIENCE)
            assert self.ended == Counter(map(id, futures))


@pytest.fixture
def count() -> Count:
    return Count()


@pytest.fixture
def view(client: ipyparallel.Client, count: Count) -> LoadBalancedView:
    view = client.load_balanced_view()
    configure_pool(view, on_submit=count.submit, on_over=count.over)
    return view


def test_calls_that_succeed_and_fail(view: LoadBalancedView, count: Count) -> None:
    futures = [view.submit(calls.identity, n) for n in range(50)] + [view.submit(calls.reciprocal, 0)]
    view.shutdown(wait=True)
    count.assert_each_once(futures)
    assert count.submitted == 51


def test_calls_that_cannot_be_sent(view: LoadBalancedView, count: Count) -> None:
    futures = [view.submit(calls.identity, threading.Lock()), view.submit(calls.identity, 1)]
    mapped = view.map(calls.identity, [1, threading.Lock(), 2])
    unsendable = view.map(threading.Lock().acquire, range(3))
    view.shutdown(wait=True)
    count.assert_each_once([*futures, *mapped._tasks, *unsendable._tasks])
    assert count.submitted == 8


def test_calls_that_are_cancelled(view: LoadBalancedView, count: Count, gate: Gate, client: ipyparallel.Client) -> None:
    held = [view.submit(calls.pass_gate, gate.address) for _ in client.ids]
    gate.wait_for_arrivals(len(held))
    waiting = [view.submit(calls.identity, n) for n in range(20)]
    assert any([future.cancel() for future in waiting])
    mapped = view.map(calls.identity, range(20))
    mapped.cancel()
    gate.open()
    view.shutdown(wait=True, cancel_futures=True)
    count.assert_each_once([*held, *waiting, *mapped._tasks])
    assert count.submitted == len(held) + 40


def test_a_chunk_counts_as_its_calls(view: LoadBalancedView, count: Count) -> None:
    futures = [submit_chunk(view, calls.identity, list(range(n))) for n in (1, 2, 3)]
    view.shutdown(wait=True)
    count.assert_each_once(futures)
    assert count.submitted == 6
    assert [future.chunk_size for future in futures] == [1, 2, 3]


def test_calls_whose_client_is_closed(connection_file: Any, count: Count, gate: Gate) -> None:
    with ipyparallel.Client(str(connection_file)) as client:
        view = client.load_balanced_view()
        configure_pool(view, on_submit=count.submit, on_over=count.over)
        futures = [view.submit(calls.pass_gate, gate.address) for _ in range(10)]
        gate.wait_for_arrivals(1)
        client.close()
    count.assert_each_once(futures)
    gate.open()


def test_calls_are_counted_a_group_at_a_time(
    view: LoadBalancedView, count: Count, monkeypatch: pytest.MonkeyPatch
) -> None:
    view.map(calls.identity, range(1000)).get(PATIENCE)  # from now on groups are large
    posts: list[Any] = []
    post = callbacks.post
    monkeypatch.setattr(callbacks, "post", lambda job: posts.append(job) or post(job))
    mapped = view.map(calls.identity, range(2000))
    view.shutdown(wait=True)
    assert len(posts) < 200
    assert all(task._made_condition is None for task in mapped._tasks)
    assert count.submitted == 3000
