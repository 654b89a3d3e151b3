"""A submit and the end of its view, or of its client, at the same time: one comes first, whatever the threads do."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import ipyparallel
import pytest
from ipyparallel.client.futures import MessageFuture

from IPython.parallel import engine_room
from IPython.parallel.connection.stock_messages import StockMessages
from IPython.parallel.errors import ClusterGone
from IPython.parallel.tests.contracts import calls
from IPython.parallel.tests.contracts.harness import PATIENCE
from IPython.parallel.tests.contracts.views import VIEWS, flagged
from IPython.parallel.view_state import ViewState

KINDS = ("balanced", "balanced, with a flag", "one engine", "several engines", "broadcast")


@pytest.fixture(params=KINDS)
def view(request: pytest.FixtureRequest, client: ipyparallel.Client) -> Any:
    return VIEWS[request.param](client)


@pytest.mark.parametrize("kind", ["submit", "map"])
def test_shutdown_waits_for_a_message_that_is_being_sent(client: ipyparallel.Client, kind: str) -> None:
    """1: a call passes the check for shutdown. 2: another thread shuts down. 3: the call is sent."""
    view = flagged(client.load_balanced_view())
    sending, goes_on, send = threading.Event(), threading.Event(), view._really_apply

    def send_late(*args: Any, **kwargs: Any) -> Any:
        sending.set()
        assert goes_on.wait(PATIENCE)
        return send(*args, **kwargs)

    view._really_apply = send_late
    with ThreadPoolExecutor(2) as threads:
        submitted = threads.submit(getattr(view, kind), calls.identity, [1])
        assert sending.wait(PATIENCE)
        ended = threads.submit(view.shutdown)
        assert wait([ended], 0.1).done == set()
        goes_on.set()
        ended.result(PATIENCE)
        assert submitted.result(PATIENCE).done()
    with pytest.raises(RuntimeError, match="after shutdown"):
        view.submit(calls.add, 1, 2)


def test_a_line_that_is_made_after_the_end_is_closed() -> None:
    """By a submit to one engine, the first, that passed the check before."""
    state = ViewState()
    before = state.pinned("engine")
    state.close()
    assert [state.pinned("engine").closed, state.pinned("another").closed] == [True, True]
    assert before in state.lines()


def test_from_many_threads(view: Any) -> None:
    """Each submit is refused, or done when ``shutdown(wait=True)`` returns."""
    together, submitted = threading.Barrier(5), []

    def submit() -> int:
        together.wait(PATIENCE)
        for n in range(50):
            try:
                submitted.append(view.submit(calls.add, 1, n))
            except RuntimeError as error:
                assert "after shutdown" in str(error)
                return n
        return 50

    with ThreadPoolExecutor(4) as threads:
        counts = [threads.submit(submit) for _ in range(4)]
        together.wait(PATIENCE)
        view.shutdown(wait=True)
        unfinished = [result for result in list(submitted) if not result.done()]
        assert sum(count.result(PATIENCE) for count in counts) == len(submitted)
    assert unfinished == []
    assert all(result.done() and result.exception(0) is None for result in submitted)


def test_a_message_that_the_end_of_the_client_overtook_fails(client: ipyparallel.Client) -> None:
    stock = StockMessages(client)
    call, request = MessageFuture("call"), MessageFuture("request")
    call.output = Future()
    stock.note_sent(call)
    assert not call.done()
    stock._broken = lambda: ClusterGone("closed")
    for future in (call, request, call):
        stock.note_sent(future)
    assert type(call.result(0)) is ClusterGone
    assert type(request.exception(0)) is ClusterGone


def test_closing_the_client_while_many_submit(connection_file: Path) -> None:
    client = ipyparallel.Client(str(connection_file))
    ways = [VIEWS[kind](client).submit for kind in KINDS]
    together, ended, futures = threading.Barrier(len(ways) + 1), threading.Event(), []

    def submit(way: Any) -> None:
        together.wait(PATIENCE)
        while not ended.is_set():
            try:
                futures.append(way(calls.add, 1, 2))
            except (RuntimeError, OSError):  # in their own words, as long as ipyparallel is not asked by way of ours
                pass

    with ThreadPoolExecutor(len(ways)) as threads:
        submitting = [threads.submit(submit, way) for way in ways]
        together.wait(PATIENCE)
        wait(futures[:1], PATIENCE)
        client.close()
        ended.set()
        for one in submitting:
            one.result(PATIENCE)
    assert wait(futures, PATIENCE).not_done == set()
    assert {type(future.exception(0)) for future in futures} <= {type(None), ClusterGone}


def test_a_client_may_be_collected_while_another_ones_first_call_is_made(
    connection_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The garbage collector runs on any thread, that one too, and closes what it finds."""
    make, collected = engine_room.EngineRoom, ipyparallel.Client(str(connection_file))

    def collect_and_make(client: ipyparallel.Client) -> engine_room.EngineRoom:
        collected.close()
        return make(client)

    monkeypatch.setattr(engine_room, "EngineRoom", collect_and_make)
    with ipyparallel.Client(str(connection_file)) as client:
        assert client.load_balanced_view().submit(calls.add, 1, 2).result(PATIENCE) == 3
    with pytest.raises(ClusterGone, match="the client was closed"):
        collected.load_balanced_view().submit(calls.add, 1, 2)


def test_a_view_of_a_closed_client_says_so(connection_file: Path) -> None:
    with ipyparallel.Client(str(connection_file)) as client:
        views = [VIEWS[kind](client) for kind in KINDS]
        for view in views:
            view.submit(calls.add, 1, 2).result(PATIENCE)
    for view in views:
        with pytest.raises(ClusterGone, match="the client was closed"):
            view.submit(calls.add, 1, 2)
