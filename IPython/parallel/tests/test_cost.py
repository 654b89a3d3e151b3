"""The shape of what calls cost: messages, pickles, locks and objects, counted on a real cluster; and nothing timed."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import gc
import pickle
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Container, Iterator
from concurrent.futures import wait
from typing import Any, NamedTuple

import pytest
from ipyparallel import Client, LoadBalancedView

from IPython.parallel import call_pickling
from IPython.parallel.dispatch import groups
from IPython.parallel.engine_room import room_of
from IPython.parallel.task_result import TaskResult
from IPython.parallel.tests.contracts import calls
from IPython.parallel.tests.contracts.harness import PATIENCE, Gate
from IPython.parallel.tests.source_tree import find_source_tree

STREAMS = ("_mux_stream", "_task_stream", "_control_stream", "_query_stream", "_broadcast_stream")
# Frames of a group: engine, delimiter, signature, four parts of a message, then its own header.
OWN_HEADER = 7


class Heard(NamedTuple):
    """A report, as its frames say it."""

    outcomes: list[Any]
    final: bool


class Traffic:
    """What one client sends and hears, from now on.

    Attributes
    ----------
    sent : list
        The messages on the connection of groups, and on all streams of the client.
    heard : list of Heard
        The reports of groups.
    """

    def __init__(self, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent: list[list[Any]] = []
        self.heard: list[Heard] = []
        for stream in (getattr(client, name) for name in STREAMS):
            if stream is not None:
                monkeypatch.setattr(stream, "send_multipart", self._sending(stream.send_multipart))
        channel = room_of(client)._transport._channel
        monkeypatch.setattr(channel._connection, "send", self._sending(channel._connection.send))
        monkeypatch.setattr(channel, "_hear", self._hearing(channel._hear, channel._under_way))

    def _sending(self, send: Callable[..., Any]) -> Callable[..., Any]:
        def send_multipart(message: list[Any], *args: Any, **kwargs: Any) -> Any:
            self.sent.append(list(message))
            return send(message, *args, **kwargs)

        return send_multipart

    def _hearing(self, hear: Callable[..., Any], under_way: Container[bytes]) -> Callable[..., Any]:
        def _hear(parts: Any, final: bool) -> None:
            # An early report of a group that is over may still arrive: nobody listens.
            if parts[2].bytes in under_way:
                self.heard.append(Heard(pickle.loads(parts[5].buffer)["outcomes"], final))
            hear(parts, final)

        return _hear

    @property
    def final(self) -> list[Heard]:
        """The reports after which a group is over: one for each."""
        return [heard for heard in self.heard if heard.final]

    @property
    def groups(self) -> list[tuple[bytes, dict[str, Any]]]:
        """The engine and the header of each group that was sent."""
        return [(bytes(message[0]), pickle.loads(message[OWN_HEADER])) for message in self.sent]


@pytest.fixture
def view(client: Client) -> LoadBalancedView:
    """A view whose engines have the code, and have run small calls."""
    view = client.load_balanced_view()
    assert view.map(calls.identity, range(1000)).get(PATIENCE) == list(range(1000))
    return view


@pytest.fixture
def traffic(client: Client, view: LoadBalancedView, monkeypatch: pytest.MonkeyPatch) -> Traffic:
    wait_until_quiet(view)
    # A machine that stalls would make a group overrun: it is reported twice then, and others are sent again.
    monkeypatch.setattr(groups, "OVERRUN", PATIENCE)
    return Traffic(client, monkeypatch)


@pytest.fixture
def full(view: LoadBalancedView, client: Client, gate: Gate) -> Iterator[LoadBalancedView]:
    """The view while each engine runs a call that waits for the gate, and has overrun its time: nothing goes there."""
    held = [view.submit(calls.pass_gate, gate.address) for _ in client.ids]
    gate.wait_for_arrivals(len(held))
    engines = room_of(client).dispatcher._schedule.engines
    assert wait_until(lambda: all(engine.overrunning for engine in engines.values()))
    yield view
    gate.open()
    view.wait(timeout=PATIENCE)


def wait_until_quiet(view: LoadBalancedView) -> None:
    """Return when the dispatcher has nothing more to do with calls of the view, which are all over."""
    room = room_of(view.client)
    assert room.dispatcher.wait(view.__dict__["_executor_state"].balanced, PATIENCE)
    # Of a group that overran its time, the calls may be over and the final report still to come.
    assert wait_until(lambda: not room.dispatcher._schedule.groups())


def wait_until(condition: Callable[[], bool]) -> bool:
    """Whether the condition came true in time: for what another thread does last, and tells nobody."""
    deadline = time.monotonic() + PATIENCE
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


# -- messages ----------------------------------------------------------------------------------------------------


def test_a_lone_call_is_one_group_and_one_report(view: LoadBalancedView, traffic: Traffic) -> None:
    for n in range(3):
        assert view.submit(calls.identity, n).result(PATIENCE) == n
        assert (len(traffic.sent), len(traffic.final)) == (n + 1, n + 1)
    assert [len(header["calls"]) for _, header in traffic.groups] == [1, 1, 1]
    assert [len(heard.outcomes) for heard in traffic.final] == [1, 1, 1]




def test_calls_submitted_one_by_one_travel_in_few_groups(
    full: LoadBalancedView, gate: Gate, traffic_of_full: Traffic
) -> None:
    # While nothing can leave: how much leaves at once is not to depend on who is faster, submitter or engines.
    futures = [full.submit(calls.identity, n) for n in range(2000)]
    gate.open()
    assert [future.result(PATIENCE) for future in futures] == list(range(2000))
    assert len(traffic_of_full.sent) <= 200


def test_cancelling_sends_no_message(full: LoadBalancedView, gate: Gate, traffic_of_full: Traffic) -> None:
    waiting = [full.submit(calls.identity, n) for n in range(200)]
    assert all([future.cancel() for future in waiting])
    gate.open()
    full.wait(timeout=PATIENCE)
    assert traffic_of_full.sent == []


@pytest.fixture
def traffic_of_full(full: LoadBalancedView, monkeypatch: pytest.MonkeyPatch) -> Traffic:
    return Traffic(full.client, monkeypatch)


def test_a_function_is_sent_to_each_engine_once(view: LoadBalancedView, traffic: Traffic) -> None:
    def new(n: int) -> int:
        return n + 1

    for _ in range(3):
        assert view.map(new, range(200)).get(PATIENCE) == list(range(1, 201))
    sent = Counter((engine, key) for engine, header in traffic.groups for key, *_ in header["functions"])
    assert set(sent.values()) == {1}
    assert {engine for engine, _ in sent} == {engine for engine, _ in traffic.groups}


# -- work --------------------------------------------------------------------------------------------------------


def test_plain_arguments_and_results_have_no_pickle_of_their_own(
    view: LoadBalancedView, traffic: Traffic, monkeypatch: pytest.MonkeyPatch
) -> None:
    pickled: list[Any] = []
    monkeypatch.setattr(call_pickling, "_dump", pickled.append)
    values = [1, 2.5, 3j, "four", b"five", None, True]
    assert view.map(calls.identity, values).get(PATIENCE) == values
    # By their text, as 1 equals True; and once, as a group may be given back and sent again.
    payloads = {repr(payload) for _, header in traffic.groups for _, _, payload, _ in header["calls"]}
    assert (pickled, payloads) == ([], {repr((value,)) for value in values})
    assert {outcome[1] for heard in traffic.heard for outcome in heard.outcomes} == {"plain"}


def test_what_is_asked_of_nobody_is_not_made(view: LoadBalancedView) -> None:
    mapped = view.map(calls.identity, range(300))
    assert mapped.wait(PATIENCE)
    single = [view.submit(calls.identity, n) for n in range(300)]
    wait_until_quiet(view)
    results = [*mapped._tasks, *single]
    assert all(result.done() for result in results)
    assert all(result._made_condition is None for result in results)
    assert all(result._made_metadata is None for result in results)
    assert all(result._made_child is None for result in results)
    # What can be made is made when asked for: otherwise the above would say nothing.
    assert single[0].metadata["msg_id"]
    assert not wait(single[:1], PATIENCE).not_done
    assert None not in (single[0]._made_metadata, single[0]._made_condition)


def test_a_submit_does_the_same_however_many_are_outstanding(full: LoadBalancedView) -> None:
    futures = [full.submit(calls.identity, n) for n in range(20)]
    few = steps_of_a_submit(full, futures)
    futures += [full.submit(calls.identity, n) for n in range(5000)]
    assert steps_of_a_submit(full, futures) == few
    assert few > 10
    for future in futures:
        future.cancel()


def steps_of_a_submit(view: LoadBalancedView, futures: list[Any]) -> int:
    """How many functions one submit calls; the least of some, as now and then somebody tidies up."""
    counts = []
    for _ in range(5):
        steps = Steps()
        sys.setprofile(steps)
        try:
            future = view.submit(calls.identity, 0)
        finally:
            sys.setprofile(None)
        futures.append(future)
        counts.append(steps.count)
    return min(counts)


class Steps:
    """Counts the calls, of Python's and of C's functions, of the thread that it profiles."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, frame: Any, event: str, argument: Any) -> None:
        self.count += event in ("call", "c_call")


# -- what stays --------------------------------------------------------------------------------------------------




class Kept:
    """What a client keeps of calls."""

    def __init__(self, client: Client, view: LoadBalancedView) -> None:
        gc.collect()
        objects = gc.get_objects()
        self.objects = len(objects)
        self.results = sum(type(found) is TaskResult for found in objects)
        self.futures = len(client._futures)
        self.known = len(room_of(client).results._refs)
        self.outstanding = len(client.outstanding), len(view.outstanding)
        self.histories = len(client.history), len(view.history)


# -- the benchmarks ----------------------------------------------------------------------------------------------


def test_the_benchmarks_run() -> None:
    command = [sys.executable, str(find_source_tree() / "tools" / "benchmarks")]
    done = subprocess.run(
        [*command, "--quick", "--only", "submit", "--against", "pool"], capture_output=True, text=True, timeout=55
    )
    assert done.returncode == 0, done.stderr
    rows = {line.split()[0]: line for line in done.stdout.splitlines() if line.startswith("    ")}
    assert set(rows) == {"ours", "pool"}
    assert "x pool" in rows["ours"]


def test_the_benchmarks_refuse_what_they_do_not_know() -> None:
    command = [sys.executable, str(find_source_tree() / "tools" / "benchmarks"), "--only", "colour"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=55)
    assert done.returncode == 2
    assert "submit" in done.stderr
    assert "not colour" in done.stderr
