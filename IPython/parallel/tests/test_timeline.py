"""Timelines, and the short displays of results, views and clients, on a real cluster."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import gc
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from ipyparallel import AsyncHubResult, Client

from IPython.parallel import timeline
from IPython.parallel.engine_room import room_of
from IPython.parallel.tests.contracts import calls
from IPython.parallel.tests.contracts.harness import Gate
from IPython.parallel.tests.source_tree import find_source_tree
from IPython.parallel.tests.test_docs import examples
from IPython.parallel.timelines.calls import (
    CANCELLED,
    FAILED,
    FINISHED,
    RUNNING,
    WAITING,
    calls_of,
)


def refuse(reason: str) -> None:
    raise ValueError(reason)


def states(source: Any) -> list[str]:
    return [call.state for call in calls_of(source)]


@pytest.fixture
def view(client: Client) -> Any:
    return client.load_balanced_view()


# -- what is read


def test_result_of_submit(view: Any, client: Client) -> None:
    before = time.time()
    result = view.submit(abs, -3)
    result.result(timeout=30)
    (call,) = calls_of(result)
    assert (call.name, call.state, call.failed, call.calls) == ("abs", FINISHED, 0, 1)
    assert call.engine in client.ids
    assert (
        before <= call.submitted <= call.started <= call.completed <= call.received <= time.time()
    )


def test_failed_call_carries_its_error(view: Any) -> None:
    result = view.submit(refuse, "no such thing")
    result.exception(timeout=30)
    (call,) = calls_of(result)
    assert (call.state, call.error) == (FAILED, "ValueError: no such thing")


def test_what_is_under_way_is_seen_as_it_is(
    view: Any, client: Client, new_gate: Callable[[], Gate]
) -> None:
    gate = new_gate()
    held = [view.submit(calls.pass_gate, gate.address, n) for n in range(len(client.ids))]
    gate.wait_for_arrivals(len(client.ids))
    queued = [view.submit(abs, n) for n in range(50)]
    cancelled = [result for result in queued if result.cancel()]
    assert set(states(held)) == {RUNNING}
    assert {call.engine for call in calls_of(held)} == set(client.ids)
    assert states(cancelled) == [CANCELLED] * len(cancelled) and len(cancelled) > 40
    later = view.submit(abs, 1)
    totals = timeline([*held, *cancelled, later]).totals
    assert (totals.running, totals.cancelled, totals.waiting) == (2, len(cancelled), 1)
    gate.open()
    wait([*held, later], timeout=30)
    assert timeline([*held, later]).totals.finished == 3
    assert states(later) == [FINISHED]


def test_cancelled_call_knows_when_it_was_cancelled(view: Any, gate: Gate, client: Client) -> None:
    held = [view.submit(calls.pass_gate, gate.address, n) for n in range(len(client.ids))]
    gate.wait_for_arrivals(len(client.ids))
    results = [view.submit(abs, n) for n in range(30)]
    before = time.time()
    assert results[-1].cancel()
    (call,) = calls_of(results[-1])
    assert call.submitted <= before <= call.received <= time.time()
    assert results[-1].metadata["received"] is not None
    gate.open()
    wait([*held, *results], timeout=30)


def test_forced_chunks_travel_together(view: Any) -> None:
    result = view.map(abs, range(40), chunksize=10)
    result.get(timeout=30)
    groups: dict[int | None, list[int | None]] = {}
    for call in calls_of(result):
        groups.setdefault(call.group, []).append(call.engine)
    assert None not in groups
    assert all(len(engines) % 10 == 0 and len(set(engines)) == 1 for engines in groups.values())
    assert timeline(result).totals.messages == len(groups)


def test_map_on_a_direct_view_is_a_bar_per_message(client: Client) -> None:
    view = client[:]
    result = view.map_async(abs, range(10))
    result.get(timeout=30)
    found = list(calls_of(result))
    assert sum(call.calls for call in found) == 10
    assert sorted(call.engine for call in found) == client.ids
    assert {call.state for call in found} == {FINISHED}


def test_error_in_a_chunk_of_a_direct_view(client: Client) -> None:
    result = client[:].map_async(lambda n: 1 // n, range(-2, 2))
    wait([result], timeout=30)
    totals = timeline(result).totals
    assert (totals.calls, totals.failed, totals.finished) == (4, 1, 3)


def test_apply_on_several_engines(client: Client) -> None:
    result = client[:].apply_async(refuse, "everywhere")
    wait([result], timeout=30)
    assert [(call.engine, call.state) for call in calls_of(result)] == [
        (engine, FAILED) for engine in client.ids
    ]


def test_message_that_waits_is_waiting(client: Client, gate: Gate) -> None:
    result = client[:].apply_async(calls.pass_gate, gate.address, 1)
    assert set(states(result)) <= {WAITING, RUNNING}
    gate.open()
    wait([result], timeout=30)
    assert states(result) == [FINISHED] * len(client.ids)


def test_hub_result_is_not_asked_for(client: Client) -> None:
    done = client[:].apply_async(abs, 1)
    done.get(timeout=30)
    while not set(done.msg_ids) <= set(client.hub_history()):
        pass  # the Hub hears of messages by another way, maybe later than we
    with room_of(client).hub._changed:  # nobody hears of an answer meanwhile
        from_hub = AsyncHubResult(client, done.msg_ids, "abs")
        assert len(states(from_hub)) == len(client.ids)
        assert not Future.done(from_hub)
    assert from_hub.wait(timeout=30)
    assert states(from_hub) == [FINISHED] * len(client.ids)


def test_each_call_counts_once(view: Any) -> None:
    mapped = view.map(abs, range(5))
    mapped.get(timeout=30)
    single = view.submit(abs, 1)
    single.result(timeout=30)
    assert timeline([mapped, single, single, view, view.executor]).totals.calls == 6


def test_view_shows_what_is_still_known(view: Any, client: Client) -> None:
    kept = [view.submit(abs, n) for n in range(3)]
    dropped = view.submit(abs, 4)
    alone = view.apply_async(abs, 5)
    wait([*kept, dropped, alone], timeout=30)
    dropped.result()
    del dropped
    gc.collect()
    found = timeline(view)
    assert 4 <= found.totals.calls <= 5
    assert sorted(found.totals.busy) == client.ids


@pytest.mark.parametrize("thing", [3, "text", None, [1], ["text"], iter(())], ids=repr)
def test_other_things_are_refused_in_one_sentence(thing: object) -> None:
    with pytest.raises(
        TypeError, match=r"^a timeline is made of results .* or a view, not of \w+$"
    ):
        timeline(thing)  # type: ignore[arg-type]


def test_five_thousand_calls_drawn_from_their_results(view: Any) -> None:
    result = view.map(abs, range(5000))
    result.get(timeout=50)
    found = timeline(result)
    assert found.totals.finished == 5000
    ElementTree.fromstring(found.to_svg())
    # Nothing was made and kept for each result to draw it.
    assert all(task._made_metadata is None for task in result._tasks)


def test_importing_the_package_does_not_load_the_drawing() -> None:
    code = (
        "import sys, IPython.parallel as p; loaded = [m for m in sys.modules if '.timeline' in m]; "
        "print(loaded, p.timeline.__name__, callable(p.timeline), 'timeline' in p.__all__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=True
    )
    assert done.stdout.split() == ["[]", "timeline", "True", "True"]


def test_example_of_the_documentation_runs(connection_file: Path, tmp_path: Path) -> None:
    (example,) = examples(find_source_tree() / "docs" / "source" / "timeline.rst")
    security = tmp_path / "profile_default" / "security"
    security.mkdir(parents=True)
    shutil.copy(connection_file, security / "ipcontroller-client.json")
    environment = os.environ | {"IPYTHONDIR": str(tmp_path)}
    command = [sys.executable, "-c", example]
    subprocess.run(command, cwd=tmp_path, env=environment, timeout=50, check=True)
    assert "200 calls on 2 engines" in (tmp_path / "timeline.html").read_text(encoding="utf-8")


# -- the line in a notebook


def plain(markup: str) -> str:
    ElementTree.fromstring(markup)
    return re.sub(r"<[^>]+>", "", markup)


def test_line_of_a_result(view: Any) -> None:
    result = view.submit(abs, -3)
    result.result(timeout=30)
    engine = result.metadata["engine_id"]
    took = r"ran [\d.]+ [mµ]?s · [\d.]+ m?s from submission to result"
    pattern = rf"● TaskResult abs finished · engine {engine} · {took}"
    assert re.fullmatch(pattern, plain(result._repr_html_()))


def test_line_of_a_failed_map_names_the_error(view: Any) -> None:
    result = view.map([1].__getitem__, [0, 1])
    wait([result], timeout=30)
    shown = plain(result._repr_html_())
    assert "failed: 1 finished, 1 failed" in shown
    assert shown.endswith("IndexError: list index out of range")


def test_line_of_a_map_says_its_state_once(view: Any) -> None:
    result = view.map(abs, range(3))
    wait([result], timeout=30)
    assert plain(result._repr_html_()).startswith("● MapResult abs 3 finished · engine")
    assert plain(view.map(abs, [])._repr_html_()) == "● MapResult abs no calls"


def test_lines_do_not_wait(view: Any, client: Client, gate: Gate) -> None:
    held = view.submit(calls.pass_gate, gate.address, 1)
    gate.wait_for_arrivals(1)
    assert plain(held._repr_html_()).startswith("● TaskResult pass_gate running · engine ")
    assert plain(view._repr_html_()) == "● LoadBalancedView open · engines 0–1 · 1 outstanding"
    assert "outstanding" in plain(client._repr_html_())
    message = client[:].apply_async(calls.pass_gate, gate.address, 1)
    assert "submission" in plain(message._repr_html_())
    gate.open()
    wait([held, message], timeout=30)


def test_line_of_a_view_that_was_shut_down(view: Any) -> None:
    view.shutdown()
    assert (
        plain(view._repr_html_())
        == "● LoadBalancedView shut down · engines 0–1 · nothing outstanding"
    )


def test_line_of_a_view_of_one_engine(client: Client) -> None:
    assert plain(client[1]._repr_html_()) == "● DirectView open · engine 1 · nothing outstanding"


def test_lines_quote_what_is_the_users(view: Any) -> None:
    result = view.submit(refuse, "<b>&")
    result.exception(timeout=30)
    assert "ValueError: &lt;b&gt;&amp;" in result._repr_html_()


def test_text_repr_is_as_ever(view: Any) -> None:
    result = view.submit(abs, 1)
    result.result(timeout=30)
    assert repr(result) == "<TaskResult(abs): finished>"
    assert repr(view) == "<LoadBalancedView None>"
