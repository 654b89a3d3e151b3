"""What views have beside PEP 3148 because existing code asks it of pools and of ipyparallel's own executor."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import itertools
import multiprocessing
import warnings
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

import ipyparallel
import pytest
import tqdm.auto
import tqdm.std
from ipyparallel.client.view import ViewExecutor

import IPython.parallel  # noqa: F401 (its import is what makes views executors)
from IPython.parallel.executor_mixin import configure_pool
from IPython.parallel.pool_mixin import only_guards_the_terminal
from IPython.parallel.tests.contracts import calls
from IPython.parallel.tests.contracts.harness import PATIENCE, Gate

VIEWS: dict[str, Callable[[ipyparallel.Client], Any]] = {
    "balanced": lambda client: client.load_balanced_view(),
    "one engine": lambda client: client[client.ids[0]],
    "several engines": lambda client: client[:],
    "broadcast": lambda client: client.broadcast_view(),
}
EXECUTORS = VIEWS | {
    "view.executor": lambda client: client.load_balanced_view().executor,
    "client.executor()": lambda client: client.executor(),
}


@pytest.fixture(params=VIEWS)
def view(request: pytest.FixtureRequest, client: ipyparallel.Client) -> Any:
    return VIEWS[request.param](client)


@pytest.fixture(params=EXECUTORS)
def executor(request: pytest.FixtureRequest, client: ipyparallel.Client) -> Any:
    return EXECUTORS[request.param](client)


class TestViewIsItsExecutor:
    def test_for_those_who_know_only_ipyparallels_executor(self, view: Any) -> None:
        assert isinstance(view, ViewExecutor)
        assert isinstance(view, Executor)
        assert view.view is view

    def test_view_executor_is_what_it_was(self, view: Any) -> None:
        assert type(view.executor) is ViewExecutor
        assert view.executor.view is view

    def test_making_a_view_warns_of_nothing(self, client: ipyparallel.Client) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert [len(make(client)) for make in VIEWS.values()] == [2, 1, 2, 2]


class TestSize:
    def test_is_the_number_of_engines(self, client: ipyparallel.Client) -> None:
        assert {name: make(client).size for name, make in EXECUTORS.items()} == {
            name: 1 if name == "one engine" else len(client) for name in EXECUTORS
        }


class TestStarmap:
    def test_spreads_each_tuple(self, executor: Any) -> None:
        assert list(executor.starmap(calls.add, [(1, 2), (3, 4), (5, 6)])) == [3, 7, 11]

    def test_tuples_need_not_be_of_one_length(self, executor: Any) -> None:
        assert list(executor.starmap(max, [(1, 2), (5, 3, 4)])) == [2, 5]

    def test_takes_what_can_be_unpacked(self, executor: Any) -> None:
        assert list(executor.starmap(calls.add, iter([[1, 2], range(3, 5)]))) == [3, 7]

    def test_nothing(self, executor: Any) -> None:
        assert list(executor.starmap(calls.add, [])) == []

    def test_functions_by_value(self, executor: Any) -> None:
        offset = 10
        assert list(executor.starmap(lambda a, b: a + b + offset, [(1, 2), (3, 4)])) == [13, 17]

    def test_an_error_is_raised_at_its_position(self, executor: Any) -> None:
        results = iter(executor.starmap(divmod, [(7, 2), (1, 0)]))
        assert next(results) == (3, 1)
        with pytest.raises(ZeroDivisionError):
            next(results)

    def test_options_are_those_of_map(self, client: ipyparallel.Client) -> None:
        view = client.load_balanced_view()
        endless = ((n, n) for n in itertools.count())
        assert list(itertools.islice(view.starmap(calls.add, endless, buffersize=2), 3)) == [0, 2, 4]
        with pytest.raises(ValueError, match="chunksize"):
            view.starmap(calls.add, [], chunksize=0)

    def test_timeout(self, client: ipyparallel.Client, gate: Gate) -> None:
        results = client.load_balanced_view().starmap(calls.pass_gate, [(gate.address, 1)], timeout=0.05)
        with pytest.raises(TimeoutError):
            next(results)

    def test_is_named_after_the_function(self, client: ipyparallel.Client) -> None:
        result = client.load_balanced_view().starmap(calls.add, [(1, 2)])
        assert "add" in repr(result)
        assert result.get(PATIENCE) == [3]

    def test_after_shutdown(self, executor: Any) -> None:
        executor.shutdown()
        with pytest.raises(RuntimeError, match="after shutdown"):
            executor.starmap(calls.add, [(1, 2)])


class TestTerminalLock:
    def test_is_tqdms(self) -> None:
        assert only_guards_the_terminal(tqdm.std.tqdm.set_lock)
        assert only_guards_the_terminal(tqdm.auto.tqdm.set_lock)

    @pytest.mark.parametrize("initializer", [calls.add, print, tqdm.std.tqdm.get_lock, Gate.open, {}.update])
    def test_is_nobody_elses(self, initializer: Callable[..., object]) -> None:
        assert not only_guards_the_terminal(initializer)

    def test_is_not_needed_on_engines(self, client: ipyparallel.Client) -> None:
        view = client.load_balanced_view()
        lock = multiprocessing.get_context("fork").RLock()  # cannot be sent
        configure_pool(view, initializer=tqdm.std.tqdm.set_lock, initargs=(lock,))
        assert view.submit(calls.add, 1, 2).result(PATIENCE) == 3
