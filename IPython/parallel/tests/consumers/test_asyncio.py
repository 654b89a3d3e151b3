"""asyncio: `run_in_executor`, `wrap_future`, cancellation and time limits from its side."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from ipyparallel import LoadBalancedView

from IPython.parallel.tests.consumers import needed
from IPython.parallel.tests.contracts import calls
from IPython.parallel.tests.contracts.harness import PATIENCE, Gate, Trace


def run(main: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(main, PATIENCE))


def test_run_in_executor(executor: Any) -> None:
    offset = 10

    async def main() -> list[int]:
        loop = asyncio.get_running_loop()
        return await asyncio.gather(*(loop.run_in_executor(executor, lambda n: n + offset, n) for n in range(20)))

    assert run(main()) == list(range(10, 30))


def test_errors_keep_their_type(executor: Any) -> None:
    async def main() -> None:
        with pytest.raises(calls.CustomError) as caught:
            await asyncio.get_running_loop().run_in_executor(
                executor, calls.raise_error, calls.CustomError("broken", 3)
            )
        assert caught.value.code == 3

    run(main())


def test_wrap_future(executor: Any) -> None:
    async def main() -> int:
        return await asyncio.wrap_future(executor.submit(calls.add, 1, 2))

    assert run(main()) == 3


def test_another_event_loop(executor: Any) -> None:
    uvloop = needed("uvloop")

    async def main() -> list[int]:
        loop = asyncio.get_running_loop()
        assert type(loop).__module__.startswith("uvloop")
        calls_made = [loop.run_in_executor(executor, calls.add, n, n) for n in range(3)]
        return [*await asyncio.gather(*calls_made), await executor.submit(calls.add, 3, 3)]

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(asyncio.wait_for(main(), PATIENCE)) == [0, 2, 4, 6]


def test_task_group(executor: Any) -> None:
    async def double(n: int) -> int:
        return await executor.submit(calls.add, n, n)

    async def main() -> list[int]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(double(n)) for n in range(5)]
        return [task.result() for task in tasks]

    assert run(main()) == [0, 2, 4, 6, 8]


def test_a_time_limit_cancels_what_waits(view: LoadBalancedView, gate: Gate, tracer: Trace) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        held = [loop.run_in_executor(view, calls.pass_gate, gate.address) for _ in range(len(view))]
        await asyncio.to_thread(gate.wait_for_arrivals, len(view))
        # Some leave the client early, to wait at the engines; of so many, most do not.
        waiting = [view.submit(calls.trace, tracer.path, n) for n in range(50)]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await asyncio.gather(*map(asyncio.wrap_future, waiting))
        assert waiting[-1].cancelled()
        gate.open()
        await asyncio.gather(*held)
        await asyncio.to_thread(view.shutdown, wait=True)
        assert sorted(map(int, tracer.lines())) == [n for n, future in enumerate(waiting) if not future.cancelled()]

    run(main())


def test_only_a_thread_pool_can_be_the_default_executor(view: LoadBalancedView) -> None:
    async def main() -> None:
        with pytest.raises(TypeError, match="ThreadPoolExecutor"):
            asyncio.get_running_loop().set_default_executor(view)

    # The standard library's loop: uvloop, which others may have put in its place, takes anything.
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(main())
