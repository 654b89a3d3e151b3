"""asyncio, and what reads a future's inside, over every kind of view and result."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import _base as stdlib
from typing import Any

import pytest
from ipyparallel import AsyncMapResult, AsyncResult, Client

import IPython.parallel  # noqa: F401 (its import is what makes views executors)
from IPython.parallel.tests.contracts import calls
from IPython.parallel.tests.contracts.harness import PATIENCE, Gate, Trace
from IPython.parallel.tests.test_result_facts import ALL

VIEWS: dict[str, Callable[[Client], Any]] = {
    "balanced": lambda client: client.load_balanced_view(),
    "one engine": lambda client: client[client.ids[0]],
    "several engines": lambda client: client[:],
    "broadcast": lambda client: client.broadcast_view(),
    "view executor": lambda client: client.load_balanced_view().executor,
}


@pytest.fixture(params=ALL)
def make(request: pytest.FixtureRequest, client: Client) -> Callable[[Any, Any], AsyncResult]:
    return lambda function, argument: ALL[request.param](client, function, argument)


def _run(main: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(main, PATIENCE), debug=True)


class TestResults:
    def test_value(self, make) -> None:
        async def main() -> None:
            awaited, wrapped = make(calls.identity, 5), make(calls.identity, 5)
            values = await awaited, await asyncio.wrap_future(wrapped)
            assert values == (awaited.get(0), wrapped.get(0))
            again = await asyncio.gather(awaited, awaited, wrapped)  # all is over
            assert again == [values[0], values[0], values[1]]

        _run(main())

    def test_error(self, make) -> None:
        async def main() -> None:
            result = make(calls.reciprocal, 0)
            for awaitable in (result, asyncio.wrap_future(result), asyncio.ensure_future(result)):
                with pytest.raises(type(result.exception(PATIENCE))):
                    await awaitable
            settled = await asyncio.gather(result, return_exceptions=True)
            assert settled == [result.exception(0)]

        _run(main())

    def test_wait_for_gives_up_and_the_call_goes_on(self, make, gate: Gate) -> None:
        result = make(calls.pass_gate, gate.address)
        gate.wait_for_arrivals(1)

        async def main() -> None:
            for awaitable in (result, asyncio.shield(asyncio.wrap_future(result)), asyncio.wrap_future(result)):
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(awaitable, 0.01)
            assert not result.cancelled() or isinstance(result, AsyncMapResult)
            gate.open()
            done, _ = await asyncio.wait([asyncio.wrap_future(result)], timeout=PATIENCE)
            assert done

        _run(main())
        assert result.wait(PATIENCE)

    def test_snapshot(self, make, gate: Gate) -> None:
        """What CPython's `Future._get_snapshot` reads without a call: (done, cancelled, value, error) at one time."""
        result = make(calls.pass_gate, gate.address)
        gate.wait_for_arrivals(1)
        assert _snapshot(result) == (False, False, None, None)
        gate.open()
        result.wait(PATIENCE)
        assert _snapshot(result) == (True, False, result.result(0), None)
        failed = make(calls.reciprocal, 0)
        error = failed.exception(PATIENCE)
        assert _snapshot(failed) == (True, False, None, error)


def _snapshot(future: Future[Any]) -> tuple[bool, bool, Any, BaseException | None]:
    if hasattr(future, "_get_snapshot"):
        return future._get_snapshot()
    with future._condition:
        if future._state in (stdlib.CANCELLED, stdlib.CANCELLED_AND_NOTIFIED):
            return True, True, None, None
        if future._state == stdlib.FINISHED:
            return True, False, future._result, future._exception
        return False, False, None, None


class TestViews:
    @pytest.mark.parametrize("kind", VIEWS)
    def test_run_in_executor(self, client: Client, kind: str) -> None:
        view = VIEWS[kind](client)

        async def main() -> list[Any]:
            loop = asyncio.get_running_loop()
            return await asyncio.gather(
                *(loop.run_in_executor(view, functools.partial(calls.add, n), n) for n in range(20))
            )

        expected = [2 * n for n in range(20)]
        several = kind in ("several engines", "broadcast")
        assert _run(main()) == ([[value, value] for value in expected] if several else expected)

    @pytest.mark.parametrize("kind", ["balanced", "one engine", "view executor"])
    def test_cancelled_task_reaches_what_waits(self, client: Client, gate: Gate, tracer: Trace, kind: str) -> None:
        view = VIEWS[kind](client)
        occupied = [view.submit(calls.pass_gate, gate.address) for _ in range(1 if kind == "one engine" else 2)]
        gate.wait_for_arrivals(len(occupied))
        waiting = [view.submit(calls.trace, tracer.path, n) for n in range(30)]

        async def main() -> None:
            tasks = [asyncio.ensure_future(future) for future in waiting]
            await asyncio.sleep(0)
            tasks[-1].cancel()
            with pytest.raises(asyncio.CancelledError):
                await tasks[-1]
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await asyncio.wrap_future(waiting[-2])
            assert (waiting[-1].cancelled(), waiting[-2].cancelled()) == (True, True)
            assert _snapshot(waiting[-1]) == (True, True, None, None)
            with pytest.raises(asyncio.CancelledError):
                await waiting[-1]
            gate.open()
            await asyncio.gather(*tasks[:-2])

        _run(main())
        assert sorted(map(int, tracer.lines())) == list(range(28))

    def test_loops_in_several_threads(self, client: Client) -> None:
        view = client.load_balanced_view()

        async def main(n: int) -> list[int]:
            return await asyncio.gather(*(view.submit(calls.add, n, m) for m in range(50)))

        with ThreadPoolExecutor(4) as threads:
            results = list(threads.map(lambda n: asyncio.run(main(n)), range(4)))
        assert results == [[n + m for m in range(50)] for n in range(4)]

