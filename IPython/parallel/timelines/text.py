"""A timeline for a terminal: one line an engine."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from .calls import FAILED, RUNNING
from .layout import Cell, Lane, Layout
from .log import CallLog
from .totals import Totals
from .wording import (
    NOTHING_KNOWN,
    duration,
    headline,
    outcomes,
    percent,
    plural,
)

COLUMNS = 60
_LEVELS = " ▁▂▃▄▅▆▇█"
_FAILED = "×"
_UNDER_WAY = "░"


def draw_text(totals: Totals, layout: Layout, log: CallLog) -> str:
    """The timeline in plain text: the height of a block is the share of time in which calls ran."""
    if not totals.calls:
        return NOTHING_KNOWN
    return "\n".join([*_head(totals), "", *_rows(totals, layout), *_foot(log)])


def _head(totals: Totals) -> Iterator[str]:
    yield f"{headline(totals)}: {outcomes(totals)}"
    if totals.engine_time:
        yield (
            f"speed-up {totals.speed_up:.2f} ({duration(totals.engine_time)} of work), "
            f"overhead per call {duration(totals.overhead_per_call)}"
        )


def _rows(totals: Totals, layout: Layout) -> Iterator[str]:
    labels = [_label(lane) for lane in layout.lanes]
    width = max([*map(len, labels), len("waiting")])
    for label, lane in zip(labels, layout.lanes, strict=True):
        share = sum(totals.busy[engine] for engine in lane.engines) / len(lane.engines)
        yield f"{label:>{width}} |{_row(lane.cells, layout.columns)}| {percent(share):>5} busy"
    most = max(layout.waiting)
    if most > 0:
        row = "".join(_block(waiting / most) for waiting in layout.waiting)
        yield f"{'waiting':>{width}} |{row}| up to {plural(layout.most_waiting, 'call')}"
    end = duration(layout.end - layout.begin)
    yield f"{'':>{width}}  0 s{end:>{layout.columns - 3}}"


def _label(lane: Lane) -> str:
    first, last = lane.engines[0], lane.engines[-1]
    return f"engine {first}" if first == last else f"engines {first}\N{EN DASH}{last}"


def _row(cells: dict[int, Cell], columns: int) -> str:
    return "".join(
        _character(cells[column]) if column in cells else " " for column in range(columns)
    )


def _character(cell: Cell) -> str:
    if cell.bar.state == FAILED:
        return _FAILED
    return _UNDER_WAY if cell.bar.state == RUNNING else _block(cell.share)


def _block(share: float) -> str:
    """At least the lowest block for anything at all."""
    return _LEVELS[max(1, round(share * 8))] if share > 0.001 else " "


def _foot(log: CallLog) -> Iterator[str]:
    for (name, error), failures in islice(log.errors.items(), 3):
        times = f" ({failures.count:,} times)" if failures.count > 1 else ""
        yield f"{_FAILED} {name}: {error}{times}"
    if len(log.errors) > 3:
        yield f"{_FAILED} and other errors"
