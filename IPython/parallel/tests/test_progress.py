"""`wait_interactive`: a progress bar for futures of any kind."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import threading
import time
from concurrent.futures import (
    ALL_COMPLETED,
    FIRST_COMPLETED,
    FIRST_EXCEPTION,
    Future,
    ThreadPoolExecutor,
)
from typing import Any

import ipyparallel
import pytest
from tqdm import tqdm

import IPython.parallel
from IPython.parallel import wait_interactive
from IPython.parallel.notebook import progress
from IPython.parallel.tests.contracts import calls
from IPython.parallel.tests.contracts.harness import PATIENCE, Gate


@pytest.fixture
def view(client: ipyparallel.Client) -> ipyparallel.LoadBalancedView:
    return client.load_balanced_view()


class Bar(progress._Bar):
    """The bar, whose last state can be asked for."""

    last: Bar

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        Bar.last = self


@pytest.fixture
def bar(monkeypatch: pytest.MonkeyPatch) -> type[Bar]:
    monkeypatch.setattr(progress, "_Bar", Bar)
    return Bar


def done(value: Any = None) -> Future:
    future: Future = Future()
    future.set_result(value)
    return future


class TestWhatItWaitsFor:
    def test_list_of_futures(
        self, view: Any, bar: type[Bar], capsys: pytest.CaptureFixture[str]
    ) -> None:
        futures = [view.submit(calls.identity, n) for n in range(20)]
        finished, unfinished = wait_interactive(futures, PATIENCE, desc="twenty")
        assert (finished, unfinished) == (set(futures), set())
        assert (bar.last.n, bar.last.total) == (20, 20)
        assert "twenty: 100%" in capsys.readouterr().err

    def test_a_map_counts_with_its_calls(self, view: Any, bar: type[Bar]) -> None:
        results = view.map(calls.identity, range(30))
        assert wait_interactive(results, PATIENCE).done == {results}
        assert (bar.last.n, bar.last.total) == (30, 30)
        assert list(results) == list(range(30))

    def test_a_map_with_chunks_and_one_of_given_engines(
        self, client: ipyparallel.Client, view: Any, bar: type[Bar]
    ) -> None:
        maps = [
            view.map(calls.identity, range(10), chunksize=3),
            client[:].map(calls.identity, range(10)),
            client[:].map_async(calls.identity, range(10)),
        ]
        assert wait_interactive(maps, PATIENCE).not_done == set()
        assert bar.last.n == bar.last.total == 30

    def test_apply_on_each_engine(self, client: ipyparallel.Client, bar: type[Bar]) -> None:
        wait_interactive(client[:].apply_async(calls.identity, 1), PATIENCE)
        assert (bar.last.n, bar.last.total) == (2, 2)

    def test_a_hub_result(
        self, client: ipyparallel.Client, view: Any, connection_file: Any, bar: type[Bar]
    ) -> None:
        result = view.apply_async(calls.identity, 1)
        result.wait(PATIENCE)
        other = ipyparallel.Client(connection_file)
        try:
            hub_result = other.get_result(result.msg_ids)
            assert isinstance(hub_result, ipyparallel.AsyncHubResult)
            assert wait_interactive([hub_result], PATIENCE).done == {hub_result}
            assert bar.last.n == 1
        finally:
            other.close()

    def test_futures_of_other_executors(self, view: Any, bar: type[Bar]) -> None:
        with ThreadPoolExecutor(1) as pool:
            futures = {pool.submit(pow, 2, 3), view.submit(pow, 2, 3), done()}
            assert wait_interactive(iter(futures), PATIENCE).done == futures
        assert bar.last.n == 3

    def test_nothing(self, bar: type[Bar]) -> None:
        assert wait_interactive([]) == (set(), set())
        assert bar.last.total == 0

    def test_not_a_future(self) -> None:
        with pytest.raises(TypeError, match="waits for futures, as submit and map give them, not for 3"):
            wait_interactive([done(), 3])  # type: ignore[list-item]

    def test_failed_and_cancelled_count_as_over(self, view: Any, bar: type[Bar]) -> None:
        cancelled: Future = Future()
        cancelled.cancel()
        cancelled.set_running_or_notify_cancel()
        futures = [view.submit(calls.reciprocal, 0), cancelled]
        assert wait_interactive(futures, PATIENCE).not_done == set()
        assert bar.last.n == 2


class TestHowItWaits:
    def test_timeout(self, view: Any, gate: Gate, bar: type[Bar]) -> None:
        held = view.submit(calls.pass_gate, gate.address)
        finished, unfinished = wait_interactive([held, done()], timeout=0.05)
        assert (len(finished), unfinished, bar.last.n) == (1, {held}, 1)
        assert wait_interactive(held, timeout=0).not_done == {held}
        assert wait_interactive(held, timeout=-1).not_done == {held}

    def test_timeout_of_a_map(self, view: Any, gate: Gate, bar: type[Bar]) -> None:
        results = view.map(calls.pass_gate, [gate.address] * 3)
        assert wait_interactive(results, timeout=0.3).not_done == {results}
        assert bar.last.n == 0

    def test_wakes_when_a_future_is_done(self, bar: type[Bar]) -> None:
        first, second = Future(), Future()  # type: ignore[var-annotated]
        seen: list[int] = []
        reported = threading.Event()

        def update(self: Bar, n: float | None = 1) -> bool | None:
            seen.append(int(n or 0))
            if n:
                reported.set()
            return progress_update(self, n)

        progress_update = progress._Bar.update
        bar.update = update  # type: ignore[method-assign]
        try:
            waiter = ThreadPoolExecutor(1)
            waited = waiter.submit(wait_interactive, [first, second])
            first.set_result(None)
            assert reported.wait(PATIENCE)
            assert not waited.done()
            second.set_result(None)
            assert waited.result(PATIENCE).not_done == set()
            assert sum(seen) == 2
        finally:
            del bar.update
            waiter.shutdown()

    @pytest.mark.parametrize("return_when", [FIRST_COMPLETED, FIRST_EXCEPTION, ALL_COMPLETED])
    def test_return_when(self, return_when: str, bar: type[Bar]) -> None:
        failed, pending = Future(), Future()  # type: ignore[var-annotated]
        failed.set_exception(ValueError())
        timeout = 0.05 if return_when == ALL_COMPLETED else None
        found = wait_interactive([done(), failed, pending], timeout, return_when)
        assert found.not_done == {pending}

    def test_first_exception_goes_on_after_a_success(self, bar: type[Bar]) -> None:
        pending: Future = Future()
        found = wait_interactive([done(), pending], 0.05, FIRST_EXCEPTION)
        assert found.not_done == {pending}

    def test_unknown_condition(self) -> None:
        with pytest.raises(ValueError, match="Invalid return condition"):
            wait_interactive([], return_when="SOON")

    def test_no_bar(self, view: Any, capsys: pytest.CaptureFixture[str]) -> None:
        for disable in (True, None):
            wait_interactive([view.submit(calls.identity, 1)], PATIENCE, disable=disable)
        assert capsys.readouterr().err == ""

    def test_ten_thousand_futures(self, bar: type[Bar]) -> None:
        futures: list[Future] = [Future() for _ in range(10_000)]

        def settle() -> None:
            for future in futures:
                future.set_result(None)

        thread = threading.Thread(target=settle)
        thread.start()
        assert len(wait_interactive(futures, PATIENCE).done) == bar.last.n == 10_000
        thread.join()


class TestIpyparallelsOwn:
    """``ar.wait_interactive()`` of results whose calls travel in groups."""

    @pytest.fixture(autouse=True)
    def _no_thread_of_tqdms(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tqdm, "monitor_interval", 0)

    def test_of_one_call(self, view: Any, capsys: pytest.CaptureFixture[str]) -> None:
        result = view.submit(calls.identity, 1)
        result.wait_interactive(timeout=PATIENCE)
        assert result.done()
        assert "1/1" in capsys.readouterr().out

    def test_of_a_map(self, view: Any, capsys: pytest.CaptureFixture[str]) -> None:
        results = view.map(calls.identity, range(50))
        results.wait_interactive(timeout=PATIENCE)
        assert results.done()
        assert "50/50" in capsys.readouterr().out

    def test_timeout(self, view: Any, gate: Gate, capsys: pytest.CaptureFixture[str]) -> None:
        results = view.map(calls.pass_gate, [gate.address] * 4)
        begun = time.monotonic()
        results.wait_interactive(timeout=0.2)
        assert (results.done(), time.monotonic() - begun >= 0.2) == (False, True)
        assert "0/4" in capsys.readouterr().out

    def test_of_a_map_that_fails(self, view: Any, capsys: pytest.CaptureFixture[str]) -> None:
        results = view.map(calls.reciprocal, [1, 0, 2])
        results.wait_interactive(timeout=PATIENCE)
        assert "3/3" in capsys.readouterr().out


def test_is_public() -> None:
    assert IPython.parallel.wait_interactive is progress.wait_interactive
    assert "wait_interactive" in IPython.parallel.__all__
