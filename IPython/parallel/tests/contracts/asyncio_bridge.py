"""Contract with asyncio: wrapped futures, `run_in_executor`, cancellation from that side."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import CancelledError, Executor

import pytest

from IPython.parallel.tests.contracts.harness import (
    PATIENCE,
    Calls,
    ExecutorContract,
    Gate,
    Trace,
)

MANY = 40


class AsyncioContract(ExecutorContract):
    """Event loops can use the executor and its futures."""

    def test_run_in_executor(self, executor: Executor, calls: Calls) -> None:
        async def main() -> int:
            return await asyncio.get_running_loop().run_in_executor(executor, calls.add, 1, 2)

        assert _run(main()) == 3

    def test_wrap_future(self, executor: Executor, calls: Calls) -> None:
        async def main() -> int:
            return await asyncio.wrap_future(executor.submit(calls.add, 1, 2))

        assert _run(main()) == 3

    def test_wrap_finished_future(self, executor: Executor, calls: Calls) -> None:
        future = executor.submit(calls.add, 1, 2)
        future.result(PATIENCE)

        async def main() -> int:
            return await asyncio.wrap_future(future)

        assert _run(main()) == 3

    def test_debug_mode(self, executor: Executor, calls: Calls) -> None:
        async def main() -> int:
            return await asyncio.wrap_future(executor.submit(calls.add, 1, 2))

        assert asyncio.run(asyncio.wait_for(main(), PATIENCE), debug=True) == 3

    def test_gather(self, executor: Executor, calls: Calls) -> None:
        async def main() -> list[int]:
            loop = asyncio.get_running_loop()
            return await asyncio.gather(*(loop.run_in_executor(executor, calls.add, n, n) for n in range(30)))

        assert _run(main()) == list(range(0, 60, 2))

    def test_as_completed(self, executor: Executor, calls: Calls) -> None:
        async def main() -> set[int]:
            wrapped = [asyncio.wrap_future(executor.submit(calls.add, n, 0)) for n in range(10)]
            return {await each for each in asyncio.as_completed(wrapped)}

        assert _run(main()) == set(range(10))

    def test_errors_keep_their_type(self, executor: Executor, calls: Calls) -> None:
        async def main() -> None:
            with pytest.raises(calls.CustomError) as caught:
                await asyncio.wrap_future(executor.submit(calls.raise_error, calls.CustomError("broken", 3)))
            assert caught.value.code == 3

        _run(main())

    def test_gather_returns_exceptions(self, executor: Executor, calls: Calls) -> None:
        async def main() -> list[object]:
            wrapped = [asyncio.wrap_future(executor.submit(calls.reciprocal, n)) for n in (1, 0)]
            return await asyncio.gather(*wrapped, return_exceptions=True)

        value, error = _run(main())
        assert value == 1.0
        assert isinstance(error, ZeroDivisionError)

    def test_the_loop_goes_on_meanwhile(self, executor: Executor, calls: Calls, gate: Gate) -> None:
        async def main() -> object:
            waiting = asyncio.get_running_loop().run_in_executor(executor, calls.pass_gate, gate.address, "through")
            asyncio.get_running_loop().call_soon(gate.open)
            return await waiting

        assert _run(main()) == "through"

    def test_wait_for_times_out_and_leaves_the_running_call_alone(self, executor, calls: Calls, gate: Gate) -> None:
        (future, *_) = self.occupy(executor, calls, gate)

        async def main() -> None:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.wrap_future(future), 0.05)

        _run(main())
        assert not future.cancelled()
        gate.open()
        assert future.result(PATIENCE) == 0

    def test_cancelling_the_wrapper_cancels_a_waiting_call(
        self, new_executor: Callable[[], Executor], calls: Calls, gate: Gate, tracer: Trace
    ) -> None:
        executor = new_executor()
        self.occupy(executor, calls, gate)
        futures = [executor.submit(calls.trace, tracer.path, n) for n in range(MANY)]

        async def main() -> None:
            wrapped = asyncio.wrap_future(futures[-1])
            wrapped.cancel()
            with pytest.raises(asyncio.CancelledError):
                await wrapped

        _run(main())
        assert futures[-1].cancelled()
        gate.open()
        executor.shutdown(wait=True)
        assert sorted(map(int, tracer.lines())) == list(range(MANY - 1))

    def test_cancelling_the_task_cancels_a_waiting_call(self, executor, calls: Calls, gate: Gate) -> None:
        self.occupy(executor, calls, gate)
        futures = [executor.submit(calls.add, n, n) for n in range(MANY)]

        async def main() -> None:
            task = asyncio.ensure_future(_await(asyncio.wrap_future(futures[-1])))
            await asyncio.sleep(0)  # let it begin to wait
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        _run(main())
        assert futures[-1].cancelled()

    def test_cancelling_the_future_cancels_the_wrapper(self, executor, calls: Calls, gate: Gate) -> None:
        self.occupy(executor, calls, gate)
        future = [executor.submit(calls.add, n, n) for n in range(MANY)][-1]

        async def main() -> None:
            wrapped = asyncio.wrap_future(future)
            assert future.cancel()
            with pytest.raises((asyncio.CancelledError, CancelledError)):
                await wrapped

        _run(main())

    def test_loop_that_ended_before_the_call_harms_nothing(self, executor, calls: Calls, gate: Gate) -> None:
        (future, *_) = self.occupy(executor, calls, gate)

        async def main() -> None:
            asyncio.wrap_future(future)

        _run(main())
        gate.open()
        assert future.result(PATIENCE) == 0
        assert executor.submit(calls.add, 1, 2).result(PATIENCE) == 3


class AwaitableContract(ExecutorContract):
    """Views only: the future itself can be awaited (the stdlib's must be wrapped)."""

    def test_await(self, executor: Executor, calls: Calls) -> None:
        async def main() -> int:
            return await executor.submit(calls.add, 1, 2)

        assert _run(main()) == 3

    def test_await_raises(self, executor: Executor, calls: Calls) -> None:
        async def main() -> None:
            with pytest.raises(ZeroDivisionError):
                await executor.submit(calls.reciprocal, 0)

        _run(main())

    def test_await_finished(self, executor: Executor, calls: Calls) -> None:
        future = executor.submit(calls.add, 1, 2)
        future.result(PATIENCE)
        assert _run(_await(future)) == 3

    def test_gather(self, executor: Executor, calls: Calls) -> None:
        async def main() -> list[int]:
            return await asyncio.gather(*(executor.submit(calls.add, n, 1) for n in range(5)))

        assert _run(main()) == [1, 2, 3, 4, 5]


def _run(main):
    """Run a coroutine in a new event loop, not for ever."""
    return asyncio.run(asyncio.wait_for(main, PATIENCE))


async def _await(awaitable):
    return await awaitable
