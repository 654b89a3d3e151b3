"""executorlib: our futures as arguments of calls of its executors."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from IPython.parallel.tests.consumers import needed
from IPython.parallel.tests.contracts import calls
from IPython.parallel.tests.contracts.harness import PATIENCE, Gate

executorlib = needed("executorlib")


@pytest.fixture
def single_node() -> Iterator[Any]:
    with executorlib.SingleNodeExecutor(max_workers=1) as executor:
        yield executor


def test_futures_as_arguments(executor: Any, single_node: Any) -> None:
    assert single_node.submit(calls.add, executor.submit(calls.add, 1, 2), 10).result(PATIENCE) == 13


def test_futures_in_lists(executor: Any, single_node: Any) -> None:
    assert single_node.submit(sum, [executor.submit(calls.add, n, n) for n in range(4)]).result(PATIENCE) == 12


def test_the_call_waits_for_them(executor: Any, single_node: Any, gate: Gate) -> None:
    future = single_node.submit(calls.add, executor.submit(calls.pass_gate, gate.address, 7), 1)
    gate.wait_for_arrivals(1)
    assert not future.done()
    gate.open()
    assert future.result(PATIENCE) == 8


def test_error(executor: Any, single_node: Any) -> None:
    future = single_node.submit(calls.add, executor.submit(calls.reciprocal, 0), 10)
    with pytest.raises(ZeroDivisionError):
        future.result(PATIENCE)


def test_its_futures_as_what_we_wait_for(executor: Any, single_node: Any) -> None:
    from concurrent.futures import wait

    futures = {executor.submit(calls.add, 1, 2), single_node.submit(calls.add, 3, 4)}
    assert {future.result() for future in wait(futures, timeout=PATIENCE).done} == {3, 7}
