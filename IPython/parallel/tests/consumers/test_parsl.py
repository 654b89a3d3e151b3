"""parsl: our futures as arguments of its apps."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from IPython.parallel.tests.consumers import needed
from IPython.parallel.tests.contracts import calls
from IPython.parallel.tests.contracts.harness import PATIENCE, Gate

parsl = needed("parsl")
executors = needed("parsl.executors")
errors = needed("parsl.dataflow.errors")


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Any]:
    """An app that adds up what it is given, in a kernel of its own."""
    config = parsl.Config(
        executors=[executors.ThreadPoolExecutor(max_threads=2)],
        run_dir=str(tmp_path / "runs"),
        usage_tracking=0,
        initialize_logging=False,
    )

    @parsl.python_app
    def total(first: Any, *, second: Any = 0, inputs: Any = ()) -> Any:
        return first + second + sum(inputs)

    with parsl.load(config):
        yield total
    parsl.clear()


def test_futures_as_arguments(executor: Any, app: Any) -> None:
    assert app(executor.submit(calls.add, 1, 2)).result(PATIENCE) == 3


def test_futures_as_keywords_and_inputs(executor: Any, app: Any) -> None:
    inputs = [executor.submit(calls.add, n, n) for n in range(3)]
    assert app(1, second=executor.submit(calls.add, 1, 2), inputs=inputs).result(PATIENCE) == 10


def test_the_app_waits_for_them(executor: Any, app: Any, gate: Gate) -> None:
    future = app(executor.submit(calls.pass_gate, gate.address, 7))
    gate.wait_for_arrivals(1)
    assert not future.done()
    gate.open()
    assert future.result(PATIENCE) == 7


def test_error(executor: Any, app: Any) -> None:
    with pytest.raises(errors.DependencyError) as caught:
        app(executor.submit(calls.reciprocal, 0)).result(PATIENCE)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
