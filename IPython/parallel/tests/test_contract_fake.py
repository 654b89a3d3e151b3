"""The contracts, bound to views of the scripted fake: what real engines pass, the fake must pass as well."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, wait

import pytest
from ipyparallel.client.futures import MessageFuture
from ipyparallel.error import RemoteError

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
        first.next().run()
        client.lose(first)
        second.step()
        assert kept.result(PATIENCE) == 1
        second.wait_for_message()
        second.step()
        assert waiting.result(PATIENCE) == 2
        with pytest.raises(EngineDied, match="note"):
            lost.result(PATIENCE)

    @pytest.mark.parametrize("engines", [1, 2])
    def test_an_engine_that_leaves_while_a_group_is_sent(self, make_client, engines: int) -> None:
        """The group never reached it: it goes to another engine, or waits for one."""
        client = make_client(engines, started=False)

        def leave(engine: FakeEngine) -> None:
            client.before_send = lambda engine: None
            client.lose(engine)

        client.before_send = leave
        result = client.view().submit(note, 1)
        if engines == 1:
            client.add()
        (other,) = client.members.values()
        other.wait_for_message()
        other.step()
        assert result.result(PATIENCE) == 1
        assert client.ran == [1]

    def test_an_engine_that_is_gone_when_the_code_is_sent(self, make_client) -> None:
        """The client finds it among its engines still, and the controller answers that it died."""
        client = make_client(1, started=False)
        (gone,) = client.members.values()
        view = client.view()
        real = client.send_apply_request

        def send_apply_request(*args: object, **kwargs: object) -> object:
            client.send_apply_request = real
            client.lose(gone)
            return real(*args, **kwargs)

        client.send_apply_request = send_apply_request
        result = view.submit(note, 1)
        other = client.add()
        other.wait_for_message()
        other.step()
        assert result.result(PATIENCE) == 1
        assert client.ran == [1]


class TestCode:
    """What runs on engines travels there by itself."""

    def test_the_code_is_brought_once_to_each_engine_before_its_first_group(self, make_client) -> None:
        client = make_client(2)
        view = client.view()
        for n in range(20):
            wait([view.submit(note, (n, k)) for k in range(2)], timeout=PATIENCE)
        assert [len(engine.doors) for engine in client.members.values()] == [1, 1]
        assert all(message.header["client"] in engine.doors for engine in client.members.values()
                   for message in engine.messages)  # fmt: skip

    def test_groups_wait_until_the_code_is_there(self, make_client) -> None:
        """1: the code is sent. 2: a group is sent behind it. 3: the engine says that it has the code."""
        client = make_client(1, started=False)
        (engine,) = client.members.values()
        view = client.view()
        answers = hold_answers(client)
        first = view.submit(note, "first")
        assert engine.messages == []
        assert first.running()
        (answer,) = answers
        answer()
        engine.step()
        assert first.result(PATIENCE) == "first"
        assert len(answers) == 1, "the code was sent again"

    def test_the_code_is_brought_again_when_the_callers_import_path_has_changed(self, make_client, monkeypatch) -> None:
        client = make_client(1)
        view = client.view()
        view.submit(note, 1).result(PATIENCE)
        monkeypatch.setattr(sys, "path", [*sys.path, "/new/directory"])
        view.submit(note, 2).result(PATIENCE)
        view.submit(note, 3).result(PATIENCE)
        (engine,) = client.members.values()
        assert len(engine.doors) == 2

    def test_preparing_that_fails_fails_the_calls_and_is_tried_again(self, make_client) -> None:
        client = make_client(1)
        view = client.view()
        answers = hold_answers(client)
        first = view.submit(note, "first")
        (answer,) = answers
        answer(RemoteError("ImportError", "no module named zlib", ""))
        with pytest.raises(RemoteError, match="zlib"):
            first.result(PATIENCE)
        second = view.submit(note, "second")
        answers[1]()
        assert second.result(PATIENCE) == "second"

    def test_a_message_that_overtakes_the_first_one_is_understood(self, make_client) -> None:
        """1: a thread is to send the first group to a new engine. 2: another sends the next. 3: the first goes."""
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


def hold_answers(client: FakeClient) -> list[Callable[..., None]]:
    """From now on engines say that they have the code when these are called."""
    answers: list[Callable[..., None]] = []
    real = client.send_apply_request

    def send_apply_request(*args: object, **kwargs: object) -> MessageFuture:
        future = real(*args, **kwargs)
        held = MessageFuture(future.msg_id, header={})
        answers.append(lambda error=None: held.set_result(error or future.result()))
        return held

    client.send_apply_request = send_apply_request
    return answers


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
        assert len(client.messages) < 500  # far fewer on a machine with nothing else to do
        assert all(sum(len(m.header["functions"]) for m in engine.messages) <= 2 for engine in client.members.values())

    def test_nothing_is_outstanding_afterwards(self, make_client) -> None:
        client = make_client(2)
        view = client.view()
        with view:
            results = [view.submit(note, n) for n in range(50)]
        assert all(result.done() for result in results)
        assert (client.outstanding, view.outstanding, client._futures) == (set(), set(), {})
        assert len(client.history) == 50
