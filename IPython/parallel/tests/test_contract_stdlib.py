"""The contracts, bound to the standard library's own pools: what these fail is a wrong test."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor

import pytest

from IPython.parallel.tests.contracts.asyncio_bridge import AsyncioContract
from IPython.parallel.tests.contracts.future_states import (
    CallbackContract,
    CancelContract,
    StateContract,
    WaitContract,
    WaitingCallbackContract,
)
from IPython.parallel.tests.contracts.harness import shutting_down
from IPython.parallel.tests.contracts.mapping import ChunkedMapContract, MapContract
from IPython.parallel.tests.contracts.shutting_down import ShutdownContract
from IPython.parallel.tests.contracts.submitting import (
    CallErrorContract,
    OrderContract,
    PicklingContract,
    RemoteCauseContract,
    SubmitContract,
)


class ThreadPool:
    """Binds a contract to a thread pool of its own for each test."""

    workers: int

    @pytest.fixture
    def new_executor(self) -> Iterator[Callable[[], Executor]]:
        made: list[Executor] = []

        def make() -> Executor:
            made.append(ThreadPoolExecutor(self.workers))
            return made[-1]

        with shutting_down(made):
            yield make

    @pytest.fixture
    def executor(self, new_executor: Callable[[], Executor]) -> Executor:
        return new_executor()


class ProcessPool:
    """Binds a contract to a process pool; starting one is slow, so most tests of a class share it."""

    workers: int

    @pytest.fixture
    def new_executor(self) -> Iterator[Callable[[], Executor]]:
        made: list[Executor] = []

        def make() -> Executor:
            made.append(_start_process_pool(self.workers))
            return made[-1]

        with shutting_down(made):
            yield make

    @pytest.fixture(scope="class")
    @classmethod
    def executor(cls, request: pytest.FixtureRequest) -> Iterator[Executor]:
        with _start_process_pool(request.cls.workers) as pool:
            pool.submit(int).result()  # its threads are to be there before a test looks for new ones
            yield pool


def _start_process_pool(workers: int) -> ProcessPoolExecutor:
    # Not "fork": other tests leave threads in this process.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["IPython.parallel.tests.contracts.calls"])
    return ProcessPoolExecutor(workers, mp_context=context)


class TestThreadPoolSubmit(ThreadPool, SubmitContract): ...


class TestThreadPoolOrder(ThreadPool, OrderContract): ...


class TestThreadPoolErrors(ThreadPool, CallErrorContract): ...


class TestThreadPoolStates(ThreadPool, StateContract): ...


class TestThreadPoolCancel(ThreadPool, CancelContract): ...


class TestThreadPoolCallbacks(ThreadPool, CallbackContract): ...


class TestThreadPoolWaitingCallbacks(ThreadPool, WaitingCallbackContract): ...


class TestThreadPoolWait(ThreadPool, WaitContract): ...


class TestThreadPoolMap(ThreadPool, MapContract): ...


class TestThreadPoolShutdown(ThreadPool, ShutdownContract): ...


class TestThreadPoolAsyncio(ThreadPool, AsyncioContract): ...


class TestProcessPoolSubmit(ProcessPool, SubmitContract): ...


class TestProcessPoolOrder(ProcessPool, OrderContract): ...


class TestProcessPoolErrors(ProcessPool, CallErrorContract): ...


class TestProcessPoolRemoteCause(ProcessPool, RemoteCauseContract): ...


class TestProcessPoolPickling(ProcessPool, PicklingContract): ...


class TestProcessPoolStates(ProcessPool, StateContract): ...


class TestProcessPoolCancel(ProcessPool, CancelContract): ...


class TestProcessPoolCallbacks(ProcessPool, CallbackContract): ...


class TestProcessPoolWait(ProcessPool, WaitContract): ...


class TestProcessPoolMap(ProcessPool, MapContract): ...


class TestProcessPoolChunkedMap(ProcessPool, ChunkedMapContract): ...


class TestProcessPoolShutdown(ProcessPool, ShutdownContract): ...


class TestProcessPoolAsyncio(ProcessPool, AsyncioContract): ...
