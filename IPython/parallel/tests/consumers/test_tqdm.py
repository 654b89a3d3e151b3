"""tqdm: bars over `map` of a view, and `tqdm.contrib.concurrent` under the command line."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import io
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from ipyparallel import LoadBalancedView

from IPython.parallel.tests.consumers import needed
from IPython.parallel.tests.contracts import calls
from IPython.parallel.tests.contracts.harness import Recorder

tqdm = needed("tqdm")

SCRIPT = """
from tqdm.contrib.concurrent import process_map

OFFSET = 10


def shifted(a, b):
    return a + b + OFFSET


def fail(n):
    raise KeyError(n)


if __name__ == "__main__":
    print(process_map(shifted, range(20), range(20), max_workers=2, chunksize=3))
    print(process_map(abs, [-1, -2]))
    try:
        process_map(fail, range(3))
    except KeyError as error:
        print("KeyError", error.args)
"""


@pytest.fixture(autouse=True)
def _no_monitor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without tqdm's own thread, which would outlive the test."""
    monkeypatch.setattr(tqdm.tqdm, "monitor_interval", 0)


def test_process_map_as_under_plain_python(run_script: Callable[..., str], on_the_cluster: tuple[str, ...]) -> None:
    printed = run_script(SCRIPT, *on_the_cluster)
    assert printed == run_script(SCRIPT)
    assert str([n + n + 10 for n in range(20)]) in printed


def test_bar_over_a_map(view: LoadBalancedView) -> None:
    shown = io.StringIO()
    bar = tqdm.tqdm(view.map(calls.add, range(9), range(9)), file=shown)
    assert list(bar) == list(range(0, 18, 2))
    assert (bar.total, bar.n) == (9, 9)
    assert "9/9" in shown.getvalue()


def test_bar_over_each_executor(executor: Any) -> None:
    bar = tqdm.tqdm(executor.map(calls.add, range(9), range(9)), total=9, file=io.StringIO())
    assert list(bar) == list(range(0, 18, 2))


def test_bar_updated_by_callbacks(executor: Any) -> None:
    with tqdm.tqdm(total=5, file=io.StringIO()) as bar:
        futures = [executor.submit(calls.add, n, n) for n in range(5)]
        called = Recorder()
        for future in futures:
            future.add_done_callback(lambda _: bar.update())
            future.add_done_callback(called)
        called.wait_for(5)
        assert bar.n == 5


def test_bar_over_an_endless_map(view: LoadBalancedView) -> None:
    results = view.map(calls.add, itertools.count(), itertools.repeat(1), buffersize=2)
    bar = tqdm.tqdm(itertools.islice(results, 4), file=io.StringIO())
    assert list(bar) == [1, 2, 3, 4]


def test_a_failing_call_raises_through_the_bar(executor: Any) -> None:
    with pytest.raises(ZeroDivisionError):
        list(tqdm.tqdm(executor.map(calls.reciprocal, [1, 0]), total=2, file=io.StringIO()))
