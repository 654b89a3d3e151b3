"""Engines and controllers that die, hang or come back: nothing is lost, nothing runs twice, nobody waits for ever.

All of it by real processes that really get signals; each call leaves a line in a trace, which tells how often it ran.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import concurrent.futures
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import ipyparallel
import psutil
import pytest

from IPython.parallel.connection.transport import call_on_engine
from IPython.parallel.engine_bundle import PYTHON
from IPython.parallel.errors import ClusterGone, EngineDied
from IPython.parallel.executor_mixin import configure_pool
from IPython.parallel.running.local_cluster import LocalCluster
from IPython.parallel.tests import faults
from IPython.parallel.tests.contracts import calls
from IPython.parallel.tests.contracts.harness import PATIENCE, Gate, Trace


class Own:
    """A cluster to break, and its processes."""

    def __init__(self, cluster: LocalCluster, client: ipyparallel.Client, before: set[psutil.Process]) -> None:
        self.cluster, self.client = cluster, client
        self.controllers = faults.controllers(faults.below_here() - before)
        assert self.controllers

    def pid(self, engine_id: int) -> int:
        return int(self.client[engine_id].submit(os.getpid).result(PATIENCE))


@pytest.fixture
def start(request: pytest.FixtureRequest) -> Iterator[Callable[[int], Own]]:
    """Starts a cluster of that many engines; it is stopped at the end, whatever has become of it."""
    clusters: list[LocalCluster] = []

    def make(engines: int) -> Own:
        before = faults.below_here()
        clusters.append(LocalCluster(engines))
        return Own(clusters[-1], clusters[-1].start(), before)

    yield make
    for cluster in clusters:
        cluster.stop(grace=0)


@pytest.fixture(scope="module")
def doomed() -> Iterator[Own]:
    """A cluster with engines enough for all tests that kill some of them."""
    before = faults.below_here()
    cluster = LocalCluster(11)
    with cluster as client:
        yield Own(cluster, client, before)


def numbers(trace: Trace) -> Counter[str]:
    return Counter(trace.lines())


# -- engines


def test_engines_that_die_each_way_take_their_one_call_along(doomed: Own, tracer: Trace) -> None:
    client = doomed.client
    view = client.load_balanced_view()
    for way, die in faults.DEATHS.items():
        left = len(client.ids)
        error = view.submit(faults.trace_and, tracer.path, way, die).exception(faults.ENGINE_LIMIT)
        assert isinstance(error, EngineDied)
        assert f"engine {error.engine_id} died" in str(error) and "trace_and" in str(error)
        assert error.engine_id not in client.ids and len(client.ids) == left - 1 == view._max_workers
    assert view.submit(calls.add, 1, 2).result(PATIENCE) == 3
    assert numbers(tracer) == dict.fromkeys(faults.DEATHS, 1)


def test_what_an_engine_had_not_begun_goes_elsewhere(doomed: Own, tracer: Trace) -> None:
    view = doomed.client.load_balanced_view()
    ends = {70: faults.kill_myself, 140: faults.leave}
    futures = [view.submit(faults.trace_and, tracer.path, n, ends.get(n)) for n in range(400)]
    assert not concurrent.futures.wait(futures, PATIENCE).not_done
    # Calls that had run before in the same group have no result either: it was to be sent with the group's.
    failed = {n for n, future in enumerate(futures) if future.exception(0) is not None}
    assert failed >= ends.keys()
    assert all(isinstance(futures[n].exception(0), EngineDied) for n in failed)
    assert not failed.intersection(range(max(ends) + 1, 400))
    assert numbers(tracer) == {str(n): 1 for n in range(400)}


def test_an_engine_that_dies_in_a_map(doomed: Own, tracer: Trace) -> None:
    view = doomed.client.load_balanced_view()
    last = [None] * 30 + [faults.kill_myself] + [None] * 69
    result = view.map(faults.trace_and, [tracer.path] * 100, range(100), last, return_exceptions=True)
    values = list(result)
    assert isinstance(values[30], EngineDied)
    assert all(value == n or isinstance(value, EngineDied) for n, value in enumerate(values[:30]))
    assert values[31:] == list(range(31, 100))
    assert numbers(tracer) == {str(n): 1 for n in range(100)}


def test_an_engine_that_dies_sending_a_result(doomed: Own, tracer: Trace) -> None:
    view = doomed.client.load_balanced_view()
    futures = [view.submit(faults.trace_and, tracer.path, n) for n in range(20)]
    deadly = view.submit(faults.give_deadly_result, tracer.path, "deadly")
    futures += [view.submit(faults.trace_and, tracer.path, n) for n in range(20, 40)]
    assert isinstance(deadly.exception(faults.ENGINE_LIMIT), EngineDied)
    concurrent.futures.wait(futures, PATIENCE)
    # Its group's results were to be sent together: what had run is lost with it, and does not run again.
    lost = [n for n, future in enumerate(futures) if future.exception(0) is not None]
    assert all(isinstance(futures[n].exception(0), EngineDied) for n in lost)
    assert numbers(tracer) == {"deadly": 1} | {str(n): 1 for n in range(40)}


def test_an_engine_that_dies_idle_harms_nobody(doomed: Own, tracer: Trace) -> None:
    view = doomed.client.load_balanced_view()
    engine_id, *others = doomed.client.ids
    os.kill(doomed.pid(engine_id), signal.SIGKILL)
    futures = [view.submit(faults.trace_and, tracer.path, n) for n in range(100)]
    assert [future.result(PATIENCE) for future in futures] == list(range(100))
    assert numbers(tracer) == {str(n): 1 for n in range(100)}
    doomed.client.wait_for_engines(len(others), timeout=PATIENCE, interactive=False)
    assert view.submit(calls.add, 1, 2).result(PATIENCE) == 3


def test_an_engine_declared_dead_that_goes_on_runs_nothing_twice(
    start: Callable[[int], Own], tracer: Trace, new_gate: Callable[[], Gate]
) -> None:
    own = start(2)
    view = own.client.load_balanced_view()
    uuid, pid = own.client._engines[0], own.pid(0)
    gate = new_gate()
    held = own.client[0].submit(faults.trace_and_pass, tracer.path, "held", gate.address)
    gate.wait_for_arrivals(1)
    os.kill(pid, signal.SIGSTOP)
    try:
        futures = [view.submit(faults.trace_and, tracer.path, n) for n in range(50)]
        # By heartbeats.
        assert isinstance(held.exception(PATIENCE), EngineDied)
        assert [future.result(PATIENCE) for future in futures] == list(range(50))
    finally:
        os.kill(pid, signal.SIGCONT)
    gate.open()
    # It takes its messages in their order: when it answers, those before have been dealt with.
    answered = call_on_engine(own.client, uuid, "open_door", "another client", PYTHON)
    assert answered.result(PATIENCE) is not None
    assert numbers(tracer) == {"held": 1} | {str(n): 1 for n in range(50)}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads and limits memory the way of Linux")
def test_a_result_too_large_for_the_engines_memory(start: Callable[[int], Own]) -> None:
    client = start(1).client
    view = client.load_balanced_view()
    view.submit(faults.limit_memory, 400 << 20).result(PATIENCE)
    # One that cannot be made, and one that cannot be pickled, which takes twice its size.
    for make, size in ((faults.make_bytes, 1 << 40), (faults.make_text, 150 << 20)):
        error = view.submit(make, size).exception(PATIENCE)
        assert isinstance(error, MemoryError)
    assert view.submit(calls.add, 1, 2).result(PATIENCE) == 3
    assert client.ids == [0]


# -- retries


def test_lost_calls_alone_are_retried(doomed: Own, tracer: Trace) -> None:
    view = doomed.client.load_balanced_view()
    view.retries = 1
    dying = view.submit(faults.trace_and, tracer.path, "dies", faults.kill_myself)
    raising = view.submit(faults.trace_and_raise, tracer.path, "raises")
    assert isinstance(dying.exception(PATIENCE), EngineDied)
    assert isinstance(raising.exception(PATIENCE), ValueError)
    assert view.submit(calls.add, 1, 2).result(PATIENCE) == 3
    assert numbers(tracer) == {"dies": 2, "raises": 1}


def test_more_retries_than_engines_end(start: Callable[[int], Own], tracer: Trace) -> None:
    view = start(2).client.load_balanced_view()
    view.retries = 50
    dying = view.submit(faults.trace_and, tracer.path, "dies", faults.kill_myself)
    assert isinstance(dying.exception(2 * faults.ENGINE_LIMIT), EngineDied)
    assert numbers(tracer) == {"dies": 2}


def test_several_calls_that_take_their_engines_along_end(start: Callable[[int], Own], tracer: Trace) -> None:
    own = start(2)
    view = own.client.load_balanced_view()
    view.retries = 50
    dying = [view.submit(faults.trace_and, tracer.path, n, faults.kill_myself) for n in range(4)]
    over = concurrent.futures.as_completed(dying, 2 * faults.ENGINE_LIMIT)
    assert [type(next(over).exception()) for _ in range(2)] == [EngineDied] * 2
    # What was never begun waits for an engine that joins.
    assert numbers(tracer) == {str(n): 1 for n, future in enumerate(dying) if future.done()}


@pytest.mark.parametrize("flags", [{"track": True}, {"timeout": 60}], ids=["track", "timeout"])
def test_lost_calls_alone_are_retried_whatever_other_flags_there_are(
    flags: dict[str, Any], start: Callable[[int], Own], tracer: Trace
) -> None:
    view = start(3).client.load_balanced_view()
    view.set_flags(retries=1, **flags)
    dying = view.submit(faults.trace_and, tracer.path, "dies", faults.kill_myself)
    raising = view.submit(faults.trace_and_raise, tracer.path, "raises")
    assert isinstance(dying.exception(PATIENCE), EngineDied)
    assert isinstance(raising.exception(PATIENCE), ValueError)
    (mapped,) = view.map(faults.trace_and_raise, [tracer.path], ["mapped"], chunksize=1, block=False)._tasks
    assert isinstance(mapped.exception(PATIENCE), ValueError)
    assert numbers(tracer) == {"dies": 2, "raises": 1, "mapped": 1}


# -- no engine left


def test_work_waits_for_an_engine_that_joins(start: Callable[[int], Own], tracer: Trace) -> None:
    own = start(1)
    view = own.client.load_balanced_view()
    assert isinstance(view.submit(faults.kill_myself).exception(faults.ENGINE_LIMIT), EngineDied)
    futures = [view.submit(faults.trace_and, tracer.path, n) for n in range(20)]
    assert concurrent.futures.wait(futures, 0.2).not_done == set(futures)
    with faults.another_engine(own.cluster.connection_file):
        assert [future.result(PATIENCE) for future in futures] == list(range(20))
        with faults.another_engine(own.cluster.connection_file):
            own.client.wait_for_engines(2, timeout=PATIENCE, interactive=False)
            assert view._max_workers == 2
    assert numbers(tracer) == {str(n): 1 for n in range(20)}


def test_work_fails_where_no_engine_is_to_join(start: Callable[[int], Own]) -> None:
    view = start(1).client.load_balanced_view()
    configure_pool(view, fails_without_engines=True)
    futures = [view.submit(faults.kill_myself), *(view.submit(calls.add, n, n) for n in range(20))]
    for future in futures:
        assert isinstance(future.exception(faults.ENGINE_LIMIT), EngineDied)
    assert isinstance(view.submit(calls.add, 1, 2).exception(faults.ENGINE_LIMIT), EngineDied)


# -- the controller


def stock_calls(client: ipyparallel.Client, gate: Gate) -> dict[str, Any]:
    """A result of every kind that ipyparallel itself sends and waits for; each engine stands before the gate."""
    direct, balanced = client[:], client.load_balanced_view()
    before_the_gate = direct.apply_async(calls.pass_gate, gate.address)
    gate.wait_for_arrivals(len(client.ids))  # another scheduler's messages may be faster
    kinds = {
        "all engines": before_the_gate,
        "one engine": client[0].apply_async(calls.pass_gate, gate.address),
        "broadcast": client.broadcast_view().apply_async(calls.pass_gate, gate.address),
        "balanced": balanced.apply_async(calls.add, 1, 2),
        "direct map": direct.map_async(calls.identity, range(4)),
        "execute": direct.execute("1", block=False),
        "submitted": balanced.submit(calls.add, 1, 2),
        "submitted to all": direct.submit(calls.add, 1, 2),
        "map": balanced.map(calls.identity, range(100)),
    }
    with balanced.temp_flags(timeout=600):
        kinds["with a flag"] = balanced.apply_async(calls.add, 1, 2)
    return kinds


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_a_controller_that_is_gone_fails_results_of_every_kind(
    number: signal.Signals, start: Callable[[int], Own], new_gate: Callable[[], Gate]
) -> None:
    own, gate = start(2), new_gate()
    client = own.client
    with ipyparallel.Client(str(own.cluster.connection_file)) as other:
        results = stock_calls(client, gate)
        results["another client's"] = other.get_result(results["all engines"].msg_ids, owner=False)
        faults.send(own.controllers, number)
        with concurrent.futures.ThreadPoolExecutor(1) as thread:
            request = thread.submit(client.queue_status)
            concurrent.futures.wait([*results.values(), request], faults.CONTROLLER_LIMIT)
            outcomes = {name: type(result.exception(0)) for name, result in results.items() if result.done()}
            assert outcomes == dict.fromkeys(results, ClusterGone)
            assert isinstance(request.exception(0), ClusterGone)
        assert_refused(client)
        assert client.wait(timeout=PATIENCE)
    if number == signal.SIGSTOP:
        gate.open()
        faults.send(own.controllers, signal.SIGCONT)
        assert works_again(client) == 3
        assert client[:].apply_sync(calls.add, 1, 2) == [3, 3]
        assert client.load_balanced_view().map_sync(calls.identity, range(1000)) == list(range(1000))


def test_a_controller_that_stops_before_the_first_call_is_gone(start: Callable[[int], Own]) -> None:
    """Its host takes connections that nobody answers, so none ever breaks."""
    own = start(1)
    with ipyparallel.Client(str(own.cluster.connection_file)) as new:
        faults.send(own.controllers, signal.SIGSTOP)
        future = new.load_balanced_view().submit(calls.add, 1, 2)
        assert isinstance(future.exception(faults.CONTROLLER_LIMIT), ClusterGone)
        assert_refused(new)
        faults.send(own.controllers, signal.SIGCONT)
        assert works_again(new) == 3


@pytest.mark.parametrize("part", ["task", "iopub", "hb_ping", "broadcast"])
def test_a_controller_that_lost_one_of_its_processes_is_gone(
    part: str, start: Callable[[int], Own], new_gate: Callable[[], Gate]
) -> None:
    own, gate = start(1), new_gate()
    results = stock_calls(own.client, gate)
    # Of what engines know: clients are told neither of heartbeats nor of the leaves of the broadcast scheduler.
    file = own.cluster.connection_file
    ports = json.loads(file.with_name(file.name.replace("-client", "-engine")).read_text())[part]
    port = ports[0] if isinstance(ports, list) else ports
    # On a busy machine an engine may be there before the last of them.
    faults.wait_until(lambda: faults.listeners(port))
    faults.send(faults.listeners(port), signal.SIGKILL)
    concurrent.futures.wait(results.values(), faults.CONTROLLER_LIMIT)
    outcomes = {name: type(result.exception(0)) for name, result in results.items() if result.done()}
    assert outcomes == dict.fromkeys(results, ClusterGone)
    assert_refused(own.client)


def assert_refused(client: ipyparallel.Client) -> None:
    """New work raises at once, of every kind."""
    direct, balanced = client[:], client.load_balanced_view()
    for attempt in (balanced.submit, balanced.apply_async, direct.submit, direct.apply_async, direct.apply_sync):
        with pytest.raises(ClusterGone):
            attempt(calls.add, 1, 2)
    with pytest.raises(ClusterGone):
        balanced.map(calls.identity, range(10))
    with pytest.raises(ClusterGone):
        client.queue_status()
    balanced.shutdown()


def works_again(client: ipyparallel.Client) -> Any:
    """What a call gives that is submitted as soon as the client takes any again."""
    view = client.load_balanced_view()
    taken = concurrent.futures.Future()

    def try_again() -> None:
        try:
            taken.set_result(view.submit(calls.add, 1, 2))
        except ClusterGone:
            client._io_loop.call_later(0.05, try_again)

    client._io_loop.add_callback(try_again)
    return taken.result(PATIENCE).result(PATIENCE)
