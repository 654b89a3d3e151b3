"""Messages lost on their way: connections that are delayed, stalled, cut and reset, between real processes."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import concurrent.futures
import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import ipyparallel
import pytest

from IPython.parallel.connection import mux_connection, stock_messages
from IPython.parallel.connection.transport import call_on_engine
from IPython.parallel.engine_bundle import PYTHON
from IPython.parallel.engine_room import room_of
from IPython.parallel.errors import ClusterGone, EngineDied
from IPython.parallel.running import local_cluster
from IPython.parallel.running.local_cluster import LocalCluster
from IPython.parallel.tests import faults
from IPython.parallel.tests.contracts import calls
from IPython.parallel.tests.contracts.harness import PATIENCE, Gate, Trace
from IPython.parallel.tests.relay import Relay

ENGINES = 2


def leads_through(relay: Relay, info: dict[str, Any]) -> dict[str, Any]:
    """The connection file's contents, by way of the relay."""
    return {
        key: [relay.ports[port] for port in value] if key == "broadcast" and isinstance(value, list)
        else relay.ports.get(value, value) if isinstance(value, int) else value
        for key, value in info.items()
    }  # fmt: skip


def ports(info: dict[str, Any]) -> Iterator[int]:
    for value in info.values():
        yield from (port for port in (value if isinstance(value, list) else [value]) if type(port) is int)


class Wires:
    """A cluster whose engines and client are each behind a relay of their own."""

    def __init__(self, undo: ExitStack, directory: Path) -> None:
        cluster = LocalCluster(1)
        self.near = near = undo.enter_context(cluster)
        client, engine = (
            json.loads(cluster.connection_file.with_name(f"ipcontroller-local-{kind}.json").read_text())
            for kind in ("client", "engine")
        )
        self.engines, self.clients = (self._relay(undo, info) for info in (engine, client))
        security = directory / "profile" / "security"
        security.mkdir(parents=True)
        (security / "far-engine.json").write_text(json.dumps(leads_through(self.engines, engine)))
        self._far = security / "far-client.json"
        for _ in range(ENGINES):
            undo.enter_context(self.another_engine())
        near.wait_for_engines(1 + ENGINES, timeout=PATIENCE, interactive=False)
        os.kill(cluster.engine_pids[0], signal.SIGKILL)  # the one that is not behind the relay
        faults.wait_until(lambda: len(near.ids) == ENGINES)
        self._info = leads_through(self.clients, client)
        self.client = undo.enter_context(ipyparallel.Client(self._info))
        self.client.wait_for_engines(ENGINES, timeout=PATIENCE, interactive=False)

    def _relay(self, undo: ExitStack, info: dict[str, Any]) -> Relay:
        relay = Relay(ports(info))
        undo.callback(relay.close)
        return relay

    def another_engine(self) -> AbstractContextManager[int]:
        return faults.another_engine(self._far)

    def relays(self, where: str) -> list[Relay]:
        return {"clients": [self.clients], "engines": [self.engines], "both": [self.clients, self.engines]}[where]


@pytest.fixture(scope="module")
def wires(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wires]:
    with pytest.MonkeyPatch.context() as patch, ExitStack() as undo:
        patch.setattr(mux_connection, "LOOK", 0.2)
        patch.setattr(local_cluster, "DEAD_AFTER_MS", 10_000)  # hearts beat by way of this busy process
        yield Wires(undo, tmp_path_factory.mktemp("wires"))


@pytest.fixture(autouse=True)
def _mended(wires: Wires) -> Iterator[None]:
    yield
    for relay in wires.relays("both"):
        relay.mend()
    done = concurrent.futures.Future()
    ask_until_it_works(wires.client, done)
    assert done.result(PATIENCE) == 3


def ask_until_it_works(client: ipyparallel.Client, done: concurrent.futures.Future[Any]) -> None:
    """A client that was cut off takes work when its connections are back."""
    try:
        client.load_balanced_view().submit(calls.add, 1, 2).add_done_callback(lambda f: done.set_result(f.result()))
    except ClusterGone:
        client._io_loop.call_later(0.05, ask_until_it_works, client, done)


def assert_each_ran_once(futures: list[concurrent.futures.Future[Any]], tracer: Trace) -> None:
    assert [future.result(PATIENCE) for future in futures] == list(range(len(futures)))
    assert Counter(tracer.lines()) == {str(n): 1 for n in range(len(futures))}


@pytest.mark.parametrize("where", ["clients", "engines", "both"])
def test_a_result_that_was_lost_is_sent_again(where: str, wires: Wires, tracer: Trace, gate: Gate) -> None:
    view = wires.client.load_balanced_view()
    held = [view.submit(faults.trace_and_pass, tracer.path, n, gate.address) for n in range(ENGINES)]
    gate.wait_for_arrivals(ENGINES)
    for relay in wires.relays(where):
        relay.stall()
    gate.open()  # the results are on their way now, or will be
    futures = [view.submit(calls.trace, tracer.path, n) for n in range(ENGINES, 50)]
    assert concurrent.futures.wait([*held, *futures], 0.3).done == set()
    for relay in wires.relays(where):
        relay.reset()
        relay.flow()
    assert_each_ran_once([*held, *futures], tracer)


def test_engines_that_come_and_go_while_the_client_does_not_hear_of_it(wires: Wires, gate: Gate) -> None:
    with wires.another_engine() as pid:
        faults.wait_until(lambda: len(wires.client.ids) == ENGINES + 1)
        held = [wires.client.load_balanced_view().submit(calls.pass_gate, gate.address) for _ in range(ENGINES + 1)]
        gate.wait_for_arrivals(ENGINES + 1)
        wires.clients.cut()
        os.kill(pid, signal.SIGKILL)
        faults.wait_until(lambda: len(wires.near.ids) == ENGINES)
    with wires.another_engine():
        faults.wait_until(lambda: len(wires.near.ids) == ENGINES + 1)
        wires.clients.mend()
        faults.wait_until(lambda: wires.client.ids == wires.near.ids)
        gate.open()
        # Cut off for so long, all may fail; but the call of the engine that left has no other end.
        errors = [future.exception(PATIENCE) for future in held]
        assert all(isinstance(error, (EngineDied, ClusterGone, type(None))) for error in errors) and any(errors)


def test_engines_that_come_while_the_client_has_given_the_controller_up(wires: Wires) -> None:
    dispatcher = room_of(wires.client).dispatcher
    wires.clients.cut()
    faults.wait_until(lambda: dispatcher._broken is not None)
    with wires.another_engine():
        faults.wait_until(lambda: len(wires.near.ids) == ENGINES + 1)
        wires.clients.mend()
        faults.wait_until(lambda: wires.client.ids == wires.near.ids)


@pytest.mark.parametrize("where", ["clients", "engines"])
def test_connections_that_break_again_and_again(where: str, wires: Wires, tracer: Trace) -> None:
    view = wires.client.load_balanced_view()
    futures = []
    for n in range(600):
        futures.append(view.submit(calls.trace, tracer.path, n))
        if n % 100 == 50:
            for relay in wires.relays(where):
                relay.break_next()
    assert_each_ran_once(futures, tracer)


def test_large_results_on_connections_that_break(wires: Wires) -> None:
    view = wires.client.load_balanced_view()
    futures = [view.submit(faults.make_bytes, 1 << 20) for _ in range(12)]
    wires.clients.break_next()
    assert {len(future.result(PATIENCE)) for future in futures} == {1 << 20}


def test_a_network_that_loses_and_delays(wires: Wires, tracer: Trace) -> None:
    for relay in wires.relays("both"):
        relay.delay(0.0, 0.05)
    view = wires.client.load_balanced_view()
    assert list(view.map(calls.trace, [tracer.path] * 500, range(500))) == list(range(500))
    assert Counter(tracer.lines()) == {str(n): 1 for n in range(500)}


def test_a_stall_shorter_than_the_grace_is_only_a_stall(wires: Wires, tracer: Trace) -> None:
    view = wires.client.load_balanced_view()
    futures = [view.submit(calls.trace, tracer.path, n) for n in range(100)]
    wires.clients.stall()
    futures += [view.submit(calls.trace, tracer.path, n) for n in range(100, 200)]
    assert concurrent.futures.wait(futures, 1.0).not_done
    wires.clients.flow()
    assert_each_ran_once(futures, tracer)


def test_a_client_that_is_cut_off(wires: Wires, tracer: Trace) -> None:
    view = wires.client.load_balanced_view()
    wires.clients.cut()
    futures = [view.submit(calls.trace, tracer.path, n) for n in range(50)]
    concurrent.futures.wait(futures, faults.CONTROLLER_LIMIT)
    assert {type(future.exception(0)) for future in futures} == {ClusterGone}


def test_the_code_for_an_engine_that_was_lost_is_sent_again(wires: Wires, tracer: Trace) -> None:
    with ipyparallel.Client(wires._info) as client:
        client.wait_for_engines(ENGINES, timeout=PATIENCE, interactive=False)
        wires.engines.stall()  # what brings the code to the engines is under way
        futures = [client.load_balanced_view().submit(calls.trace, tracer.path, n) for n in range(20)]
        assert concurrent.futures.wait(futures, 0.3).done == set()
        wires.engines.reset()
        wires.engines.flow()
        assert_each_ran_once(futures, tracer)
        assert client.wait(timeout=PATIENCE)


def test_an_answer_that_nobody_waits_for_any_more_is_dropped(
    client: ipyparallel.Client, capsys: pytest.CaptureFixture[str]
) -> None:
    engine, queued = client._engines[client.ids[0]], threading.Event()
    client._io_loop.add_callback(queued.wait)  # or the answer might come first
    late, next_one = (call_on_engine(client, engine, "open_door", "another client", PYTHON) for _ in range(2))
    client._io_loop.add_callback(stock_messages.forget, client, late.msg_id)
    queued.set()
    assert next_one.result(PATIENCE) is not None
    assert not late.done()
    assert capsys.readouterr().out == ""  # stock prints it
