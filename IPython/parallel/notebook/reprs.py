"""What results, views and clients show of themselves in a notebook: a line each. Nothing here waits."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ipyparallel import AsyncResult, Client
from ipyparallel.client.view import View

from ..view_state import state_of

if TYPE_CHECKING:
    from ..timelines.log import CallLog

_COLOURS = {
    "failed": "#d7263d",
    "running": "#2f74c0",
    "waiting": "#7c8896",
    "cancelled": "#7c8896",
    "finished": "#1f9e89",
}


def result_html(self: AsyncResult) -> str:
    """State, engine and timings of this result, in HTML. Any thread; waits for nothing."""
    # Loaded when something is to be shown, as all that draws.
    from ..timelines.calls import calls_of_result
    from ..timelines.log import CallLog

    log = CallLog()
    log.extend(calls_of_result(self))
    state = _state(log)
    return _line(f"{type(self).__name__} {self._fname}", _COLOURS[state], _facts(state, log))


def view_html(self: View) -> str:
    """Engines and outstanding calls of this view, in HTML. Any thread; waits for nothing."""
    client = self.client
    closed = state_of(self).closed
    facts = ["shut down" if closed else "open", _engines(_targets(self))]
    facts.append(_outstanding(len(self.outstanding & client.outstanding)))
    return _line(type(self).__name__, _COLOURS["waiting" if closed else "finished"], facts)


def client_html(self: Client) -> str:
    """Engines and outstanding calls of this client, in HTML. Any thread; waits for nothing."""
    facts = [
        "closed" if self._closed else "connected",
        _engines(self.ids),
        _outstanding(len(self.outstanding)),
    ]
    return _line(type(self).__name__, _COLOURS["waiting" if self._closed else "finished"], facts)


def _state(log: CallLog) -> str:
    """One word for all calls: they are not over before the last one is."""
    there = [state for state, count in log.counts.items() if count]
    if "running" in there or ("waiting" in there and len(there) > 1):
        return "running"
    return (
        "failed"
        if "failed" in there
        else "finished"
        if "finished" in there or not there
        else there[0]
    )


def _facts(state: str, log: CallLog) -> list[str]:
    from ..timelines.totals import span
    from ..timelines.wording import duration

    facts = [state if log.calls == 1 else _several(state, log)]
    if log.engines:
        facts.append(_engines(log.engines))
    if busy := sum(share.busy for share in log.engines.values()):
        facts.append(f"ran {duration(busy)}")
    if log.calls:
        begin, end = span(log.bars())
        until = (
            "since submission" if state in ("waiting", "running") else "from submission to result"
        )
        facts.append(f"{duration(end - begin)} {until}")
    return facts + [error for _, error in list(log.errors)[:1]]


def _several(state: str, log: CallLog) -> str:
    """How many calls are in which state, after the state of all, where that is not the same."""
    from ..timelines.wording import counted

    words = counted(log.counts)
    return f"{state}: {words}" if len([*filter(None, log.counts.values())]) > 1 else words or "no calls"


def _targets(view: View) -> Sequence[int]:
    targets = view.targets
    if isinstance(targets, int):
        return [targets]
    return list(targets) if isinstance(targets, (list, tuple)) else list(view.client.ids)


def _engines(ids: Iterable[int]) -> str:
    """Engines by number, neighbours taken together: "engines 0–3, 7"."""
    ranges: list[list[int]] = []
    for number in sorted(ids):
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    if not ranges:
        return "no engines"
    single = len(ranges) == 1 and ranges[0][0] == ranges[0][1]
    parts = [str(first) if first == last else f"{first}\N{EN DASH}{last}" for first, last in ranges]
    return f"{'engine' if single else 'engines'} {', '.join(parts)}"


def _outstanding(count: int) -> str:
    return f"{count:,} outstanding" if count else "nothing outstanding"


def _line(what: str, colour: str, facts: Iterable[str]) -> str:
    """The line, which takes colours and type of the notebook around it."""
    dot = f'<span style="color: {colour}">\N{BLACK CIRCLE}</span>'
    shown = " \N{MIDDLE DOT} ".join(html.escape(fact) for fact in facts)
    return f'<div>{dot} <b>{html.escape(what)}</b> <span style="opacity: .75">{shown}</span></div>'
