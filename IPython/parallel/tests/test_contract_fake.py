"""The contracts, bound to views of the scripted fake: what real engines pass, the fake must pass as well."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor

import pytest

from IPython.parallel.tests.contracts.asyncio_bridge import AsyncioContract, AwaitableContract
from IPython.parallel.tests.contracts.future_states import (
    CallbackContract,
    CancelContract,
    PromptCancelContract,
    StateContract,
    WaitContract,
    WaitingCallbackContract,
)
from IPython.parallel.tests.contracts.harness import shutting_down
from IPython.parallel.tests.contracts.mapping import ChunkedMapContract, ChunkErrorContract, MapContract
from IPython.parallel.tests.contracts.shutting_down import SettledAfterShutdownContract, ShutdownContract
from IPython.parallel.tests.contracts.submitting import (
    ArgumentsContract,
    CallErrorContract,
    HostilePayloadContract,
    OrderContract,
    PicklingContract,
    RemoteCauseContract,
    SubmitContract,
)
from IPython.parallel.tests.fake_cluster import FakeClient


class Fake:
    """Binds a contract to a fresh view for each test, on engines that a class's tests share."""

    workers = 2
    # Calls take next to no time here, so groups grow: one of ten and one of eight can leave out of forty.
    prefetched = 18

    @pytest.fixture(scope="class")
    @classmethod
    def fake_client(cls, request: pytest.FixtureRequest) -> Iterator[FakeClient]:
        client = FakeClient(request.cls.workers)
        yield client
        client.close()

    @pytest.fixture
    def new_executor(self, fake_client: FakeClient) -> Iterator[Callable[[], Executor]]:
        made: list[Executor] = []

        def make() -> Executor:
            made.append(fake_client.view())
            return made[-1]

        with shutting_down(made):
            yield make

    @pytest.fixture
    def executor(self, new_executor: Callable[[], Executor]) -> Executor:
        return new_executor()


class TestSubmit(Fake, SubmitContract): ...


class TestOrder(Fake, OrderContract):
    workers = 1


class TestErrors(Fake, CallErrorContract): ...


class TestRemoteCause(Fake, RemoteCauseContract): ...


class TestPickling(Fake, PicklingContract): ...


class TestHostilePayload(Fake, HostilePayloadContract): ...


class TestArguments(Fake, ArgumentsContract): ...


class TestStates(Fake, StateContract): ...


class TestCancel(Fake, CancelContract): ...


class TestPromptCancel(Fake, PromptCancelContract): ...


class TestCallbacks(Fake, CallbackContract): ...


class TestWaitingCallbacks(Fake, WaitingCallbackContract): ...


class TestWait(Fake, WaitContract): ...


class TestMap(Fake, MapContract): ...


class TestChunkedMap(Fake, ChunkedMapContract): ...


class TestChunkErrors(Fake, ChunkErrorContract): ...


class TestShutdown(Fake, ShutdownContract): ...


class TestSettledAfterShutdown(Fake, SettledAfterShutdownContract): ...


class TestAsyncio(Fake, AsyncioContract): ...


class TestAwaitable(Fake, AwaitableContract): ...
