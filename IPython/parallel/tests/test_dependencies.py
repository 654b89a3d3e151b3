"""Calls that depend on calls that travel in groups: the scheduler knows nothing of those, the client does."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

from typing import Any

import ipyparallel
import pytest

from IPython.parallel.tests.contracts import calls
from IPython.parallel.tests.contracts.harness import PATIENCE

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
