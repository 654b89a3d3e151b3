"""tornado: executors of its loop, and futures that coroutines wait for."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ipyparallel import AsyncResult, LoadBalancedView

from IPython.parallel.tests.consumers import needed
from IPython.parallel.tests.contracts import calls
from IPython.parallel.tests.contracts.harness import PATIENCE, Gate

concurrent = needed("tornado.concurrent")
gen = needed("tornado.gen")
ioloop = needed("tornado.ioloop")


@pytest.fixture
def run() -> Iterator[Callable[..., Any]]:
    """Runs a coroutine to its end, in a loop of its own."""
    loop = ioloop.IOLoop(make_current=False)
    yield lambda main: loop.run_sync(main, timeout=PATIENCE)
    loop.close()


def test_run_in_executor(executor: Any, run: Callable[..., Any]) -> None:
    async def main() -> int:
        return await ioloop.IOLoop.current().run_in_executor(executor, calls.add, 1, 2)

    assert run(main) == 3


def test_errors_keep_their_type(executor: Any, run: Callable[..., Any]) -> None:
    async def main() -> None:
        await ioloop.IOLoop.current().run_in_executor(executor, calls.reciprocal, 0)

    with pytest.raises(ZeroDivisionError):
        run(main)


def test_coroutines_yield_our_futures(executor: Any, run: Callable[..., Any]) -> None:
    @gen.coroutine
    def main() -> Iterator[Any]:
        one = yield executor.submit(calls.add, 1, 2)
        another = yield executor.submit(calls.add, one, one)
        return one, another

    assert run(main) == (3, 6)


def test_run_on_executor(executor: Any, run: Callable[..., Any]) -> None:
    class Handler:
        @concurrent.run_on_executor(executor="pool")
        def handle(self, n: int) -> int:
            return n * self.factor

        def __init__(self, pool: Any) -> None:
            self.pool = pool
            self.factor = 7

    async def main() -> int:
        return await Handler(executor).handle(6)

    assert run(main) == 42


def test_add_future(view: LoadBalancedView, run: Callable[..., Any]) -> None:
    async def main() -> int:
        arrived: Any = gen.Future()
        ioloop.IOLoop.current().add_future(view.submit(calls.add, 1, 2), arrived.set_result)
        result = await arrived
        assert isinstance(result, AsyncResult)
        return result.result(0)

    assert run(main) == 3


def test_with_timeout(view: LoadBalancedView, run: Callable[..., Any], gate: Gate) -> None:
    async def main() -> None:
        held = view.submit(calls.pass_gate, gate.address, "through")
        with pytest.raises(gen.TimeoutError):
            await gen.with_timeout(datetime.timedelta(seconds=0.05), held)
        gate.open()
        assert await held == "through"

    run(main)
