"""Calls that depend on calls that travel in groups: the scheduler knows nothing of those, the client does."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import ipyparallel
import pytest
from hypothesis import strategies
from ipyparallel.client.futures import MessageFuture
from ipyparallel.error import ImpossibleDependency, TaskTimeout

from IPython.parallel.dependencies import Condition
from IPython.parallel.errors import ClusterGone
from IPython.parallel.tests.contracts import calls
from IPython.parallel.tests.contracts.harness import PATIENCE, Gate, Trace

KINDS = ["submit", "apply_async"]


@pytest.fixture
def view(client: ipyparallel.Client) -> ipyparallel.LoadBalancedView:
    return client.load_balanced_view()


def test_scheduler_cannot_know_a_grouped_call(view: ipyparallel.LoadBalancedView) -> None:
    """Why all this is needed: were the scheduler to learn of such calls one day, this could go."""
    result = view.submit(calls.add, 1, 2)
    result.wait(PATIENCE)
    assert not view.client.hub_history() or result.msg_ids[0] not in view.client.hub_history()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", [lambda ar: ar, lambda ar: [ar], lambda ar: ar.msg_ids, ipyparallel.Dependency])
def test_after_waits_for_a_buffered_call(
    view: ipyparallel.LoadBalancedView, gate: Any, tracer: Any, kind: str, form: Any
) -> None:
    first = view.submit(calls.pass_gate, gate.address, 1)
    gate.wait_for_arrivals(1)
    with view.temp_flags(after=form(first)):
        second = getattr(view, kind)(calls.trace, tracer.path, "second")
    # Others pass meanwhile, on the other engine.
    assert view.submit(calls.add, 1, 2).result(PATIENCE) == 3
    assert tracer.lines() == []
    assert not second.running()
    gate.open()
    second.get(PATIENCE)
    assert tracer.lines() == ["second"]


def test_follow_goes_to_the_same_engine(view: ipyparallel.LoadBalancedView) -> None:
    first = view.submit(calls.add, 1, 2)
    with view.temp_flags(follow=first):
        followers = [view.submit(calls.add, n, n) for n in range(6)]
    assert {follower.result(PATIENCE) for follower in followers} == {2 * n for n in range(6)}
    assert {follower.engine_id for follower in followers} == {first.engine_id}


@pytest.mark.parametrize("kind", KINDS)
def test_a_failed_dependency_makes_the_call_impossible(view: ipyparallel.LoadBalancedView, kind: str) -> None:
    with view.temp_flags(after=view.submit(calls.reciprocal, 0)):
        second = getattr(view, kind)(calls.add, 1, 2)
    assert isinstance(second.exception(PATIENCE), ipyparallel.error.ImpossibleDependency)


def test_a_held_call_can_be_cancelled(view: ipyparallel.LoadBalancedView, gate: Any, tracer: Any) -> None:
    first = view.submit(calls.pass_gate, gate.address, 1)
    with view.temp_flags(after=first):
        second = view.submit(calls.trace, tracer.path, "never")
    assert second.cancel()
    gate.open()
    view.shutdown()
    assert tracer.lines() == []


def test_shutdown_waits_for_held_calls(view: ipyparallel.LoadBalancedView, gate: Any) -> None:
    first = view.submit(calls.pass_gate, gate.address, 1)
    with view.temp_flags(after=first):
        second = view.submit(calls.add, 1, 2)
    gate.open()
    view.shutdown(wait=True)
    assert second.result(0) == 3


def test_grouped_and_own_messages_together(view: ipyparallel.LoadBalancedView) -> None:
    with view.temp_flags(after=[view.submit(calls.add, 1, 2), view.apply_async(calls.add, 3, 4)]):
        assert view.submit(calls.add, 5, 6).result(PATIENCE) == 11


# -- how calls have to end: all, success, failure


def over(number: int, succeeded: bool) -> MessageFuture:
    call = MessageFuture(str(number))
    call.is_value = succeeded
    call.set_result(None)
    return call


@hypothesis.given(
    ends=strategies.lists(strategies.booleans(), max_size=5),
    how=strategies.tuples(*[strategies.booleans()] * 3).filter(lambda how: how[1] or how[2]),
)
def test_flags_mean_what_they_mean_to_the_scheduler(ends: list[bool], how: tuple[bool, bool, bool]) -> None:
    """`ipyparallel.Dependency` decides by ids for the scheduler; at each step it is to decide the same."""
    named = [over(number, succeeded) for number, succeeded in enumerate(ends)]
    condition = Condition(named, all_of_them=how[0], success=how[1], failure=how[2])
    stock = ipyparallel.Dependency([call.msg_id for call in named], *how)
    completed: set[str] = set()
    failed: set[str] = set()
    for call in [None, *named]:
        if call is not None:
            condition.note(call)
            (completed if call.is_value else failed).add(call.msg_id)
        assert condition.is_met == stock.check(completed, failed)
        assert condition.is_impossible == stock.unreachable(completed, failed)


Make = Callable[..., Any]
MIXTURES: dict[str, tuple[str, str]] = {
    "two grouped": ("submit", "submit"),
    "grouped and own": ("submit", "apply_async"),
    "own and grouped": ("apply_async", "submit"),
}


@pytest.fixture(params=MIXTURES)
def make(request: pytest.FixtureRequest, client: ipyparallel.Client) -> tuple[Make, Make]:
    """How two calls are submitted, each to an engine of its own, that a third depends on."""
    first, second = (_on_one_engine(client, n, kind) for n, kind in zip(client.ids, MIXTURES[request.param]))
    return first, second


def _on_one_engine(client: ipyparallel.Client, engine: int, kind: str) -> Make:
    view = client[engine] if kind == "submit" else client.load_balanced_view([engine])
    return getattr(view, kind)


def submitted(view: Any, kind: str, flag: str, jobs: Any, **how: bool) -> Any:
    """A call on the first engine that depends on others."""
    with view.temp_flags(targets=view.client.ids[:1], **{flag: ipyparallel.Dependency(jobs, **how)}):
        return getattr(view, kind)(calls.add, 1, 2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("flag", ["after", "follow"])
def test_any_of_two(view: Any, make: tuple[Make, Make], gate: Gate, kind: str, flag: str) -> None:
    first, second = make[0](calls.add, 1, 2), make[1](calls.pass_gate, gate.address, 1)
    third = submitted(view, kind, flag, [first, second], all=False)
    assert third.result(PATIENCE) == 3
    assert not second.done()
    if flag == "follow":
        assert third.engine_id == first.engine_id


@pytest.mark.parametrize("kind", KINDS)
def test_any_of_two_is_not_spoiled_by_one_that_fails(view: Any, make: tuple[Make, Make], gate: Gate, kind: str) -> None:
    first, second = make[0](calls.reciprocal, 0), make[1](calls.pass_gate, gate.address, 1)
    third = submitted(view, kind, "after", [first, second], all=False)
    first.exception(PATIENCE)
    assert not third.done()
    gate.open()
    assert third.result(PATIENCE) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_any_of_two_is_impossible_when_both_have_failed(view: Any, make: tuple[Make, Make], kind: str) -> None:
    third = submitted(view, kind, "after", [one(calls.reciprocal, 0) for one in make], all=False)
    assert isinstance(third.exception(PATIENCE), ImpossibleDependency)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("flag", ["after", "follow"])
def test_failures_may_do(view: Any, make: tuple[Make, Make], kind: str, flag: str) -> None:
    first = make[0](calls.reciprocal, 0)
    first.exception(PATIENCE)
    jobs = [first, make[1](calls.add, 1, 2)] if flag == "after" else [first]
    third = submitted(view, kind, flag, jobs, success=True, failure=True)
    assert third.result(PATIENCE) == 3
    if flag == "follow":
        assert third.engine_id == first.engine_id


@pytest.mark.parametrize("kind", KINDS)
def test_failures_alone_may_do(view: Any, make: tuple[Make, Make], gate: Gate, kind: str) -> None:
    failing = [one(calls.reciprocal, 0) for one in make]
    assert submitted(view, kind, "after", failing, success=False, failure=True).result(PATIENCE) == 3
    jobs = [make[0](calls.add, 1, 2), make[1](calls.pass_gate, gate.address, 1)]
    third = submitted(view, kind, "after", jobs, success=False, failure=True)
    assert isinstance(third.exception(PATIENCE), ImpossibleDependency)
    assert not jobs[1].done()


@pytest.mark.parametrize("kind", KINDS)
def test_all_is_impossible_as_soon_as_one_fails(view: Any, make: tuple[Make, Make], gate: Gate, kind: str) -> None:
    failing, held = make[0](calls.reciprocal, 0), make[1](calls.pass_gate, gate.address, 1)
    third = submitted(view, kind, "after", [held, failing])
    assert isinstance(third.exception(PATIENCE), ImpossibleDependency)
    assert not held.done()


@pytest.mark.parametrize("failure", [False, True])
def test_a_cancelled_call_has_failed(view: Any, client: ipyparallel.Client, gate: Gate, failure: bool) -> None:
    pinned = client[client.ids[1]]
    held = pinned.submit(calls.pass_gate, gate.address, 1)
    gate.wait_for_arrivals(1)
    waiting = [pinned.submit(calls.add, 1, 2) for _ in range(20)]
    third = submitted(view, "submit", "after", [waiting[-1]], failure=failure)
    assert waiting[-1].cancel()
    if failure:
        assert third.result(PATIENCE) == 3
    else:
        assert isinstance(third.exception(PATIENCE), ImpossibleDependency)
    assert not held.done()


def test_single_calls_of_a_map_count(view: Any, new_gate: Callable[[], Gate]) -> None:
    closed, opened = new_gate(), new_gate()
    addresses = [closed.address, opened.address]
    opened.open()
    mapped = view.map(calls.pass_gate, addresses, [1, 2])
    closed.wait_for_arrivals(1)
    with view.temp_flags(follow=ipyparallel.Dependency(mapped, all=False)):
        third = view.submit(calls.add, 1, 2)
    assert third.result(PATIENCE) == 3
    assert mapped.progress == 1


def test_as_a_dict(view: Any) -> None:
    failing = view.submit(calls.reciprocal, 0)
    view.after = ipyparallel.Dependency(failing, failure=True).as_dict()
    assert view.submit(calls.add, 1, 2).result(PATIENCE) == 3


def test_on_a_map_of_nothing(view: Any) -> None:
    assert (
        submitted(view, "submit", "after", [view.submit(calls.add, 1, 2), view.map(calls.add, [])]).result(PATIENCE)
        == 3
    )
    view.after = view.map(calls.add, [])
    assert view.submit(calls.add, 1, 2).result(PATIENCE) == 3


def test_follow_of_two_engines(view: Any, client: ipyparallel.Client) -> None:
    apart = [client[n].submit(calls.add, 1, 2) for n in client.ids[:2]]
    assert isinstance(submitted(view, "submit", "follow", apart).exception(PATIENCE), ImpossibleDependency)
    with view.temp_flags(follow=ipyparallel.Dependency(apart, all=False)):
        either = view.submit(calls.add, 1, 2)
    assert either.result(PATIENCE) == 3
    assert either.engine_id in client.ids[:2]


def test_follow_of_what_never_ran_is_impossible(view: Any) -> None:
    never = view.submit(calls.identity, calls.ErrorAtPickle())
    third = submitted(view, "submit", "follow", [never], failure=True)
    assert isinstance(third.exception(PATIENCE), ImpossibleDependency)


def test_a_map_may_depend(view: Any, gate: Gate) -> None:
    first = view.submit(calls.pass_gate, gate.address, 1)
    with view.temp_flags(after=first):
        mapped = view.map(calls.add, range(4), range(4))
    assert not mapped.done()
    gate.open()
    assert mapped.get(PATIENCE) == [0, 2, 4, 6]


# -- the other flags of a view, for a call that is held


@pytest.mark.parametrize("kind", KINDS)
def test_targets(client: ipyparallel.Client, kind: str) -> None:
    for target in client.ids:
        view = client.load_balanced_view([target])
        with view.temp_flags(after=client.load_balanced_view().submit(calls.add, 1, 2)):
            held = [getattr(view, kind)(calls.add, 1, n) for n in range(4)]
        assert [one.result(PATIENCE) for one in held] == [1, 2, 3, 4]
        assert {one.engine_id for one in held} == {target}


def test_targets_that_are_not_what_it_follows(client: ipyparallel.Client) -> None:
    first, second = client.ids[:2]
    view = client.load_balanced_view([first])
    with view.temp_flags(follow=client[second].submit(calls.add, 1, 2)):
        assert isinstance(view.submit(calls.add, 1, 2).exception(PATIENCE), ImpossibleDependency)


@pytest.mark.parametrize("kind", KINDS)
def test_timeout(view: Any, gate: Gate, kind: str) -> None:
    first = view.submit(calls.pass_gate, gate.address, 1)
    with view.temp_flags(after=first, timeout=0.01):
        late = getattr(view, kind)(calls.add, 1, 2)
    assert isinstance(late.exception(PATIENCE), TaskTimeout)
    assert not first.done()


def test_timeout_that_is_long_enough(view: Any, client: ipyparallel.Client) -> None:
    with view.temp_flags(after=view.submit(calls.add, 1, 2), timeout=PATIENCE):
        assert view.submit(calls.add, 1, 2).result(PATIENCE) == 3


# -- what becomes of calls that are held


def test_a_retried_call_that_waits_too_long_for_an_engine(client: ipyparallel.Client, gate: Gate) -> None:
    view = client.load_balanced_view()
    held = [view.submit(calls.pass_gate, gate.address) for _ in range(20 * len(client))]
    gate.wait_for_arrivals(len(client))
    with view.temp_flags(retries=1, timeout=0.2):
        late = view.submit(calls.add, 1, 2)
    assert isinstance(late.exception(PATIENCE), TaskTimeout)
    gate.open()
    assert [call.exception(PATIENCE) for call in held] == [None] * len(held)
    assert view.submit(calls.add, 1, 2).result(PATIENCE) == 3
    assert client.wait(timeout=PATIENCE)


def test_closing_the_client(connection_file: Path, gate: Gate) -> None:
    with ipyparallel.Client(str(connection_file)) as client:
        view = client.load_balanced_view()
        grouped, own = (make(calls.pass_gate, gate.address, 1) for make in (view.submit, view.apply_async))
        with view.temp_flags(after=[grouped, own]):
            held = view.submit(calls.add, 1, 2)
        client.close()
    assert isinstance(held.exception(PATIENCE), ClusterGone)


EXIT = """
import ipyparallel, IPython.parallel
from IPython.parallel.tests.contracts import calls
client = ipyparallel.Client({connection_file!r})
view = client.load_balanced_view()
first = view.submit(calls.pass_gate, {gate!r}, 1)
with view.temp_flags(after=first):
    view.submit(calls.trace, {path!r}, "held")
print("submitted", flush=True)
"""


def test_the_interpreter_exits_when_they_are_done(connection_file: Path, gate: Gate, tracer: Trace) -> None:
    script = EXIT.format(connection_file=str(connection_file), gate=gate.address, path=tracer.path)
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as program:
        gate.wait_for_arrivals(1)
        assert program.stdout is not None
        assert program.stdout.readline() == b"submitted\n"
        gate.open()
        assert program.communicate(timeout=PATIENCE) == (b"", b"")
    assert program.returncode == 0
    assert tracer.lines() == ["held"]
