"""more-executors: views below its executors that retry, throttle, limit and combine."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import pytest
from ipyparallel import LoadBalancedView

from IPython.parallel.tests.consumers import needed
from IPython.parallel.tests.contracts import calls
from IPython.parallel.tests.contracts.harness import PATIENCE, Gate, Trace

more_executors = needed("more_executors")
retry = needed("more_executors.retry")


def fail_first(path: str, times: int, error: type[Exception]) -> int:
    """Fail that many times, counted in a file, then give the number of the try."""
    with open(path, "a+", encoding="utf-8") as file:
        file.seek(0)
        tries = len(file.readlines()) + 1
        file.write("tried\n")
    if tries <= times:
        raise error("not yet")
    return tries


def test_retry(executor: Any, tmp_path: Path) -> None:
    with more_executors.RetryExecutor(executor, max_attempts=5, sleep=0.01) as retrying:
        future = retrying.submit(fail_first, str(tmp_path / "tries"), 2, OSError)
        assert future.result(PATIENCE) == 3


def test_retry_gives_up_with_the_error_itself(executor: Any, tmp_path: Path) -> None:
    with more_executors.RetryExecutor(executor, max_attempts=2, sleep=0.01) as retrying:
        future = retrying.submit(fail_first, str(tmp_path / "tries"), 5, OSError)
        assert isinstance(future.exception(PATIENCE), OSError)
    assert len((tmp_path / "tries").read_text().splitlines()) == 2


def test_retry_of_some_errors_only(executor: Any, tmp_path: Path) -> None:
    policy = retry.ExceptionRetryPolicy(max_attempts=5, sleep=0.01, exception_base=OSError)
    with more_executors.RetryExecutor(executor, retry_policy=policy) as retrying:
        retried = retrying.submit(fail_first, str(tmp_path / "os"), 1, ConnectionError)
        refused = retrying.submit(fail_first, str(tmp_path / "value"), 1, ValueError)
        assert retried.result(PATIENCE) == 2
        assert isinstance(refused.exception(PATIENCE), ValueError)
    assert (tmp_path / "value").read_text().splitlines() == ["tried"]


def test_throttle(view: LoadBalancedView, gate: Gate, tracer: Trace) -> None:
    with more_executors.ThrottleExecutor(view, count=1) as throttled:
        held = throttled.submit(calls.pass_gate, gate.address, "held")
        gate.wait_for_arrivals(1)
        later = [throttled.submit(calls.trace, tracer.path, n) for n in range(4)]
        # An engine is free: had the call been submitted, it would be done before this one.
        view.submit(calls.trace, tracer.path, "free").result(PATIENCE)
        assert tracer.lines() == ["free"]
        gate.open()
        assert [future.result(PATIENCE) for future in (held, *later)] == ["held", 0, 1, 2, 3]


def test_timeout_cancels_what_waits(view: LoadBalancedView, gate: Gate, tracer: Trace) -> None:
    for _ in range(len(view)):
        view.submit(calls.pass_gate, gate.address)
    gate.wait_for_arrivals(len(view))
    others = [view.submit(calls.add, n, n) for n in range(20)]  # what leaves the client early
    with more_executors.TimeoutExecutor(view, timeout=0.05) as limited:
        future = limited.submit(calls.trace, tracer.path, "late")
        with pytest.raises(CancelledError):
            future.result(PATIENCE)
        gate.open()
    assert [other.result(PATIENCE) for other in others] == list(range(0, 40, 2))
    assert tracer.lines() == []


def test_timeout_leaves_what_is_quick(executor: Any) -> None:
    with more_executors.TimeoutExecutor(executor, timeout=PATIENCE) as limited:
        assert limited.submit(calls.add, 1, 2).result(PATIENCE) == 3


def test_map_and_flat_map(executor: Any) -> None:
    with more_executors.MapExecutor(executor, fn=lambda value: value * 10) as mapping:
        assert mapping.submit(calls.add, 1, 2).result(PATIENCE) == 30
    fresh = executor.view.client.load_balanced_view()
    with more_executors.FlatMapExecutor(fresh, fn=lambda value: fresh.submit(calls.add, value, 1)) as mapping:
        assert mapping.submit(calls.add, 1, 2).result(PATIENCE) == 4


def test_cancel_on_shutdown(view: LoadBalancedView, gate: Gate) -> None:
    cancelling = more_executors.CancelOnShutdownExecutor(view)
    held = [cancelling.submit(calls.pass_gate, gate.address) for _ in range(len(view))]
    gate.wait_for_arrivals(len(view))
    waiting = [cancelling.submit(calls.add, n, n) for n in range(50)]
    waiting[-1].add_done_callback(lambda future: gate.open())
    cancelling.shutdown(wait=True)
    assert waiting[-1].cancelled()
    assert all(future.done() for future in (*held, *waiting))


def test_chain(executor: Any) -> None:
    with more_executors.RetryExecutor(executor).with_throttle(2).with_timeout(PATIENCE) as chained:
        assert [chained.submit(calls.add, n, n).result(PATIENCE) for n in range(5)] == [0, 2, 4, 6, 8]
