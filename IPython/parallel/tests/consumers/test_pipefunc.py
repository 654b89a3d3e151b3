"""pipefunc: pipelines that map over a view."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import asyncio
from typing import Any

import pytest
from ipyparallel import LoadBalancedView

from IPython.parallel.tests.consumers import needed
from IPython.parallel.tests.contracts import calls
from IPython.parallel.tests.contracts.harness import PATIENCE

pipefunc = needed("pipefunc")
needed("numpy")


def pipeline() -> Any:
    offset = 10

    @pipefunc.pipefunc(output_name="y", mapspec="x[i] -> y[i]")
    def shifted(x: int) -> int:
        return x + offset

    @pipefunc.pipefunc(output_name="total")
    def total(y: Any) -> int:
        return sum(y)

    return pipefunc.Pipeline([shifted, total])


def test_map(executor: Any) -> None:
    results = pipeline().map({"x": list(range(5))}, executor=executor, storage="dict", show_progress=False)
    assert results["total"].output == 60


def test_map_of_many_in_chunks(executor: Any) -> None:
    """The number of cores decides how many items travel together."""
    results = pipeline().map({"x": list(range(200))}, executor=executor, storage="dict", show_progress=False)
    assert results["total"].output == sum(range(10, 210))


def test_executor_for_each_output(view: LoadBalancedView) -> None:
    executors = {"y": view, "total": view.executor}
    results = pipeline().map({"x": list(range(5))}, executor=executors, storage="dict", show_progress=False)
    assert results["total"].output == 60


def test_map_async(executor: Any) -> None:
    async def main() -> int:
        runner = pipeline().map_async({"x": list(range(5))}, executor=executor, storage="dict", show_progress=False)
        results = await asyncio.wait_for(runner.task, PATIENCE)
        return results["total"].output

    assert asyncio.run(main()) == 60


def test_errors_keep_their_type(executor: Any) -> None:
    @pipefunc.pipefunc(output_name="y", mapspec="x[i] -> y[i]")
    def fail(x: int) -> int:
        raise calls.CustomError("broken", x)

    with pytest.raises(calls.CustomError):
        pipefunc.Pipeline([fail]).map({"x": [1, 2]}, executor=executor, storage="dict", show_progress=False)
