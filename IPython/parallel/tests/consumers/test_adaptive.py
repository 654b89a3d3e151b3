"""adaptive: runners that find the number of cores by themselves."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest
from ipyparallel import Client, LoadBalancedView

from IPython.parallel.tests.consumers import needed
from IPython.parallel.tests.contracts import calls
from IPython.parallel.tests.contracts.harness import PATIENCE

adaptive = needed("adaptive")


def learner_of(function: Any) -> Any:
    return adaptive.Learner1D(function, bounds=(-1, 1))


def test_blocking_runner(executor: Any) -> None:
    offset = 10
    learner = learner_of(lambda x: math.sin(x) + offset)
    runner = adaptive.BlockingRunner(learner, executor=executor, npoints_goal=20)
    assert learner.npoints >= 20
    assert learner.data[1] == math.sin(1) + offset
    assert runner._get_max_tasks() == executor.size


def test_client_as_executor(client: Client) -> None:
    learner = learner_of(math.sin)
    runner = adaptive.BlockingRunner(learner, executor=client, npoints_goal=20)
    assert learner.npoints >= 20
    assert runner._get_max_tasks() == len(client)


def test_async_runner(executor: Any) -> None:
    learner = learner_of(math.sin)

    async def main() -> None:
        runner = adaptive.AsyncRunner(learner, executor=executor, npoints_goal=20)
        await asyncio.wait_for(runner.task, PATIENCE)
        assert runner.status() == "finished"

    asyncio.run(main())
    assert learner.npoints >= 20


def test_cancelled_runner_leaves_a_view_that_works(view: LoadBalancedView) -> None:
    learner = learner_of(math.sin)

    async def main() -> None:
        runner = adaptive.AsyncRunner(learner, executor=view, goal=lambda learner: False)
        while learner.npoints < 5:
            await asyncio.sleep(0)
        runner.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(runner.task, PATIENCE)
        assert runner.status() == "cancelled"

    asyncio.run(asyncio.wait_for(main(), PATIENCE))
    assert view.submit(calls.add, 1, 2).result(PATIENCE) == 3


def test_error_of_the_function(executor: Any) -> None:
    def fail(x: float) -> float:
        raise calls.CustomError("broken", 3)

    with pytest.raises(RuntimeError) as caught:
        adaptive.BlockingRunner(learner_of(fail), executor=executor, npoints_goal=20)
    assert isinstance(caught.value.__cause__, calls.CustomError)
