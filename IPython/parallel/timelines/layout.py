"""Where the bars of a timeline go: lanes and columns, with what is too thin to be seen alone taken together.

A bar at least a column wide is drawn as itself. Thinner ones are taken together by column: what is drawn
then is the share of the column's time in which calls ran. So a drawing has no more parts than it has columns,
however many calls.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import NamedTuple

from .calls import RUNNING
from .log import Bar, CallLog, joined, united
from .totals import span

# More lanes than this, and each takes several engines.
MAX_LANES = 64
# Columns that calls which travelled together must span for that to be seen.
VISIBLE_GROUP = 1.5


class Cell(NamedTuple):
    """The thin bars of one column as one, and the share of the column's time in which they ran."""

    bar: Bar
    share: float


class Span(NamedTuple):
    """Calls that travelled together."""

    start: float
    end: float
    calls: int


@dataclass
class Lane:
    """One engine, or several where there are very many.

    Attributes
    ----------
    engines : sequence of int
    singles : list of Bar
        Wide enough to be drawn as they are.
    cells : dict of {int: Cell}
        By column.
    groups : list of Span
    """

    engines: Sequence[int]
    singles: list[Bar] = field(default_factory=list)
    cells: dict[int, Cell] = field(default_factory=dict)
    groups: list[Span] = field(default_factory=list)


@dataclass
class Layout:
    """A whole timeline in `columns` columns.

    Attributes
    ----------
    begin, end : float
    columns : int
    lanes : list of Lane
    aside : dict of {str: list of Bar}
        By state, what did not come to an engine; overlapping bars taken together.
    waiting : list of float
        How many calls waited for their start, on average over each column.
    most_waiting : int
        The most that waited at a time, however short that was: it does not depend on the columns.
    group_sizes : dict of {int: int}
        How many calls travelled in each group.
    """

    begin: float
    end: float
    columns: int
    lanes: list[Lane]
    aside: dict[str, list[Bar]]
    waiting: list[float]
    most_waiting: int
    group_sizes: dict[int, int]

    def column(self, moment: float) -> float:
        """Where a moment is, in columns from the left."""
        return (moment - self.begin) / self.column_seconds

    @property
    def column_seconds(self) -> float:
        return max(self.end - self.begin, 1e-9) / self.columns


def lay_out(log: CallLog, bars: list[Bar], columns: int, *, singles: bool = True) -> Layout:
    """Put `bars` into `columns` columns.

    Parameters
    ----------
    log : CallLog
    bars : list of Bar
        In order of their start.
    columns : int
    singles : bool
        Whether bars may be drawn on their own.
    """
    begin, end = span(bars)
    engines = sorted(log.engines)
    per_lane = -(-len(engines) // MAX_LANES) or 1
    lanes = [Lane(engines[i : i + per_lane]) for i in range(0, len(engines), per_lane)]
    layout = Layout(begin, end, columns, lanes, _aside(bars), [], _most_waiting(bars), _group_sizes(bars))
    layout.waiting = _waiting(layout, bars)
    lane_of = {engine: lane for lane in lanes for engine in lane.engines}
    on_lanes: dict[int, list[Bar]] = {id(lane): [] for lane in lanes}
    for bar in bars:
        if bar.engine is not None:
            on_lanes[id(lane_of[bar.engine])].append(bar)
    for lane in lanes:
        _fill(layout, lane, on_lanes[id(lane)], singles and per_lane == 1)
    return layout


def _fill(layout: Layout, lane: Lane, bars: list[Bar], singles: bool) -> None:
    under_way = [bar for bar in bars if bar.state == RUNNING]
    over = [bar for bar in bars if bar.state != RUNNING]
    width = layout.column_seconds
    thin = [bar for bar in over if not singles or bar.end - bar.start < width]
    if singles:
        lane.singles = [bar for bar in over if bar.end - bar.start >= width] + united(under_way)
        lane.groups = _groups(layout, over)
    else:
        thin += united(under_way)
    lane.cells = _cells(layout, thin, len(lane.engines))


def _cells(layout: Layout, bars: Iterable[Bar], capacity: int) -> dict[int, Cell]:
    together: dict[int, Bar] = {}
    busy: dict[int, float] = {}
    for bar in bars:
        for column, seconds in _spread(layout, bar):
            together[column] = joined(together[column], bar) if column in together else bar
            busy[column] = busy.get(column, 0.0) + seconds
    whole = layout.column_seconds * capacity
    return {column: Cell(bar, min(1.0, busy[column] / whole)) for column, bar in together.items()}


def _spread(layout: Layout, bar: Bar) -> Iterable[tuple[int, float]]:
    """The columns of a bar, and the seconds of work in each; a thin one belongs to a single column."""
    first, last = layout.column(bar.start), layout.column(bar.end)
    length = last - first
    if length <= 1:
        return ((_inside(layout, (first + last) / 2), bar.busy),)
    per_column = (bar.busy or bar.end - bar.start) / length
    begin, end = _inside(layout, first), _inside(layout, last)
    return [(c, per_column * (min(last, c + 1) - max(first, c))) for c in range(begin, end + 1)]


def _inside(layout: Layout, column: float) -> int:
    return max(0, min(layout.columns - 1, int(column)))


def _aside(bars: list[Bar]) -> dict[str, list[Bar]]:
    states: dict[str, list[Bar]] = {}
    for bar in bars:
        if bar.engine is None:
            states.setdefault(bar.state, []).append(bar)
    return {state: united(of_state) for state, of_state in states.items()}


def _group_sizes(bars: Iterable[Bar]) -> dict[int, int]:
    sizes: dict[int, int] = {}
    for bar in bars:
        if bar.group is not None:
            sizes[bar.group] = sizes.get(bar.group, 0) + bar.calls
    return sizes


def _groups(layout: Layout, bars: Iterable[Bar]) -> list[Span]:
    groups: dict[int, Span] = {}
    for bar in bars:
        if bar.group is not None:
            before = groups.get(bar.group, Span(bar.start, bar.end, 0))
            start, end = min(before.start, bar.start), max(before.end, bar.end)
            groups[bar.group] = Span(start, end, before.calls + bar.calls)
    least = VISIBLE_GROUP * layout.column_seconds
    return [
        group for group in groups.values() if group.calls > 1 and group.end - group.start >= least
    ]


def _waiting(layout: Layout, bars: Iterable[Bar]) -> list[float]:
    """Calls that waited, on average over each column."""
    part = [0.0] * (layout.columns + 1)
    step = [0] * (layout.columns + 2)
    for bar in bars:
        first = layout.column(bar.submitted)
        last = layout.column(_waited_until(bar))
        if last <= first:
            continue
        begin, end = _inside(layout, first), _inside(layout, last)
        if begin == end:
            part[begin] += bar.calls * (last - first)
            continue
        part[begin] += bar.calls * (begin + 1 - first)
        part[end] += bar.calls * (last - end)
        step[begin + 1] += bar.calls
        step[end] -= bar.calls
    return _summed(part, step, layout.columns)


def _most_waiting(bars: Iterable[Bar]) -> int:
    changes = [
        change
        for bar in bars
        if bar.submitted < _waited_until(bar)
        for change in ((bar.submitted, bar.calls), (_waited_until(bar), -bar.calls))
    ]
    return max(accumulate(by for _, by in sorted(changes)), default=0)


def _waited_until(bar: Bar) -> float:
    return bar.end if bar.engine is None else bar.start


def _summed(part: Sequence[float], step: Sequence[int], columns: int) -> list[float]:
    level, waiting = 0, []
    for column in range(columns):
        level += step[column]
        waiting.append(level + part[column])
    return waiting


def ticks(seconds: float, at_most: int) -> list[float]:
    """Round moments from 0 to `seconds`, at most about that many."""
    if seconds <= 0:
        return [0.0]
    step = next(s for s in _steps(seconds) if seconds / s <= at_most)
    return [n * step for n in range(int(seconds / step * 1.0001) + 1)]


def _steps(seconds: float) -> Iterable[float]:
    magnitude = 1e-6
    while magnitude < 0.1:
        yield from (magnitude * factor for factor in (1, 2, 5))
        magnitude *= 10
    yield from (
        0.1,
        0.2,
        0.5,
        1,
        2,
        5,
        10,
        20,
        30,
        60,
        120,
        300,
        600,
        1200,
        1800,
        3600,
        7200,
        14400,
        21600,
        43200,
    )
    days = 86400.0
    while True:
        yield days
        days *= 2
