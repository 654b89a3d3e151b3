"""Calls that have a message of their own, and are left out by the engines that have not begun them."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import asyncio
from concurrent.futures import as_completed, wait
from typing import Any

import ipyparallel
import pytest
from ipyparallel.error import CompositeError, TaskAborted

from IPython.parallel.tests.contracts import calls
from IPython.parallel.tests.contracts.harness import PATIENCE, Gate, Recorder, Trace
from IPython.parallel.tests.contracts.views import VIEWS, flagged

KINDS = ("balanced, with a flag", "several engines", "one engine, in a list", "broadcast")


@pytest.fixture(params=KINDS)
def view(request: pytest.FixtureRequest, client: ipyparallel.Client) -> Any:
    return VIEWS[request.param](client)


@pytest.fixture
def held(client: ipyparallel.Client, gate: Gate) -> Any:
    """A call that all engines are busy with."""
    held = client[:].apply_async(calls.pass_gate, gate.address)
    gate.wait_for_arrivals(len(client.ids))
    return held


def is_aborted(error: Any) -> bool:
    return type(error) is TaskAborted or (isinstance(error, CompositeError) and "TaskAborted" in str(error))


def heard_of(client: ipyparallel.Client) -> None:
    """Return when engines have heard of what was aborted so far: such messages keep their order."""
    client.abort(["no call of anybody"], block=True)


@pytest.mark.parametrize("kind", ["submit", "apply_async"])
def test_cancel_says_no_and_lets_it_run(view: Any, held: Any, gate: Gate, tracer: Trace, kind: str) -> None:
    result = getattr(view, kind)(calls.trace, tracer.path, "ran")
    assert (result.cancel(), result.cancelled(), result.running()) == (False, False, True)
    gate.open()
    result.get(PATIENCE)
    assert set(tracer.lines()) == {"ran"}


@pytest.mark.parametrize("kind", ["submit", "apply_async"])
def test_abort_ends_it(view: Any, held: Any, gate: Gate, tracer: Trace, kind: str) -> None:
    result = getattr(view, kind)(calls.trace, tracer.path, "never")
    seen = Recorder(lambda future: future.exception(0))
    result.add_done_callback(seen)
    result.abort()
    gate.open()
    assert wait([result], PATIENCE).done == {result}
    assert list(as_completed([result], PATIENCE)) == [result]
    assert is_aborted(result.exception(PATIENCE))
    assert is_aborted(seen.wait_for(1)[0])
    assert (result.done(), result.cancelled(), result.cancel()) == (True, False, False)

    async def main() -> Any:
        return await asyncio.gather(asyncio.wrap_future(result), return_exceptions=True)

    assert is_aborted(asyncio.run(main())[0])
    held.get(PATIENCE)
    assert tracer.lines() == []


def test_cancel_futures(view: Any, held: Any, gate: Gate, tracer: Trace) -> None:
    results = [view.submit(calls.trace, tracer.path, n) for n in range(5)]
    view.shutdown(wait=False, cancel_futures=True)
    heard_of(view.client)
    gate.open()
    view.shutdown(wait=True)
    assert all(is_aborted(result.exception(0)) for result in results)
    assert tracer.lines() == []


def test_map_whose_time_is_up(view: Any, held: Any, gate: Gate, tracer: Trace) -> None:
    results = view.map(calls.trace, [tracer.path] * 6, range(6), timeout=0.05)
    with pytest.raises(TimeoutError):
        next(results)
    heard_of(view.client)
    gate.open()
    assert is_aborted(results.exception(PATIENCE))
    assert tracer.lines() == []


def test_lazy_map_whose_time_is_up(client: ipyparallel.Client, held: Any, gate: Gate, tracer: Trace) -> None:
    view = flagged(client.load_balanced_view())
    with pytest.raises(TimeoutError):
        next(view.map(calls.trace, [tracer.path] * 6, range(6), buffersize=3, timeout=0.05))
    heard_of(client)
    gate.open()
    view.shutdown(wait=True)
    assert tracer.lines() == []


def test_a_call_that_raises_timeout_error_leaves_nothing_out(view: Any, tracer: Trace) -> None:
    with pytest.raises(TimeoutError, match="its own"):
        list(view.map(calls.raise_error, [TimeoutError("its own")], timeout=PATIENCE))


def test_with_nobody_to_ask(connection_file: Any, gate: Gate) -> None:
    with ipyparallel.Client(str(connection_file)) as client:
        view = client[:]
        results = view.map(calls.pass_gate, [gate.address] * 2, timeout=0.0)
        gate.wait_for_arrivals(2)
        client.close()
        with pytest.raises(Exception, match="the client was closed"):
            list(results)
        view.shutdown(wait=True, cancel_futures=True)
