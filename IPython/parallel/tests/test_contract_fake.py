"""The contracts, bound to views of the scripted fake: what real engines pass, the fake must pass as well."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, wait

import pytest

from IPython.parallel import task_result
from IPython.parallel.errors import EngineDied
from IPython.parallel.tests.contracts.asyncio_bridge import (
    AsyncioContract,
    AwaitableContract,
)
from IPython.parallel.tests.contracts.future_states import (
    CallbackContract,
    CancelContract,
    PromptCancelContract,
    StateContract,
    WaitContract,
    WaitingCallbackContract,
)
from IPython.parallel.tests.contracts.harness import PATIENCE, shutting_down
from IPython.parallel.tests.contracts.mapping import (
    ChunkedMapContract,
    ChunkErrorContract,
    MapContract,
)
from IPython.parallel.tests.contracts.shutting_down import (
    SettledAfterShutdownContract,
    ShutdownContract,
)
from IPython.parallel.tests.contracts.submitting import (
    ArgumentsContract,
    CallErrorContract,
    HostilePayloadContract,
    OrderContract,
    PicklingContract,
    RemoteCauseContract,
    SubmitContract,
)
from IPython.parallel.tests.fake_cluster import (
    Event,
    FakeClient,
    FakeEngine,
    note,
    note_and_wait,
)


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


@pytest.fixture
def make_client() -> Iterator[Callable[..., FakeClient]]:
    made: list[FakeClient] = []

    def make(engines: int, **options: bool) -> FakeClient:
        made.append(FakeClient(engines, **options))
        return made[-1]

    yield make
    for client in made:
        client.close()


class TestLosingEngines:
    """What the real transport makes of a client that loses engines."""

    def test_a_lost_engines_call_fails_and_the_others_go_on(self, make_client) -> None:
        client = make_client(2, started=False)
        view = client.view()
        lost, kept, waiting = (view.submit(note, n) for n in range(3))
        first, second = client.members.values()
        client.lose(first)
        second.step()
        assert kept.result(PATIENCE) == 1
        second.wait_for_message()
        second.step()
        assert waiting.result(PATIENCE) == 2
        with pytest.raises(EngineDied, match="note"):
            lost.result(PATIENCE)

    def test_an_engine_that_leaves_while_a_group_is_sent(self, make_client) -> None:
        client = make_client(1, started=False)
        client.before_send = client.lose
        result = client.view().submit(note, 1)
        assert isinstance(result.exception(PATIENCE), EngineDied)


class TestCode:
    """What runs on engines travels there by itself."""

    def test_messages_bring_the_code_until_one_was_answered(self, make_client) -> None:
        client = make_client(2)
        view = client.view()
        for n in range(20):
            wait([view.submit(note, (n, k)) for k in range(2)], timeout=PATIENCE)
        bundled = [[message.bundled for message in engine.messages] for engine in client.members.values()]
        assert all(each[0] and not each[-1] and each == sorted(each, reverse=True) for each in bundled)

    def test_a_message_that_overtakes_the_first_one_is_understood(self, make_client) -> None:
        """1: a thread is about to send the first group to a new engine. 2: another sends the next. 3: the first goes."""
        client = make_client(1)
        view = client.view()
        wait([view.submit(note, n) for n in range(50)], timeout=PATIENCE)  # two groups may be at an engine from now on
        about_to_send, go_on = threading.Event(), threading.Event()

        def hold(engine: FakeEngine) -> None:
            client.before_send = lambda engine: None
            about_to_send.set()
            assert go_on.wait(PATIENCE)

        (old,) = client.members.values()
        busy = Event()
        held = view.submit(note_and_wait, "held", busy)
        busy.wait_for_arrival()
        behind = view.submit(note, "behind")  # the old engine is full now
        client.before_send = hold
        client.add()
        first: list[Future[object]] = []
        sender = threading.Thread(target=lambda: first.append(view.submit(note, "first")))
        sender.start()
        assert about_to_send.wait(PATIENCE)
        second = view.submit(note, "second")
        go_on.set()
        sender.join(PATIENCE)
        busy.set()
        assert [f.result(PATIENCE) for f in (held, behind, *first, second)] == ["held", "behind", "first", "second"]


class TestCost:
    """The shape of the cost of small calls, counted."""

    def test_what_only_few_ask_for_is_not_made(self, make_client, monkeypatch) -> None:
        client = make_client(1)
        view = client.view()
        view.submit(note, 0).result(PATIENCE)
        monkeypatch.setattr(task_result, "MessageFuture", None)
        monkeypatch.setattr(task_result, "Metadata", None)
        results = [view.submit(note, n) for n in range(100)]
        assert [result.result(PATIENCE) for result in results] == list(range(100))

    def test_messages_and_functions_for_a_thousand_calls(self, make_client) -> None:
        client = make_client(2)
        view = client.view()
        wait([view.submit(note, n) for n in range(1000)], timeout=PATIENCE)
        assert len(client.ran) == 1000
        assert len(client.messages) < 200
        assert all(sum(len(m.header["functions"]) for m in engine.messages) <= 2 for engine in client.members.values())

    def test_nothing_is_outstanding_afterwards(self, make_client) -> None:
        client = make_client(2)
        view = client.view()
        with view:
            results = [view.submit(note, n) for n in range(50)]
        assert all(result.done() for result in results)
        assert (client.outstanding, view.outstanding, client._futures) == (set(), set(), {})
        assert len(client.history) == 50
