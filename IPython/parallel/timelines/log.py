"""Calls as bars on the lanes of their engines, and their totals; in bounded memory, if wanted."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from .calls import CANCELLED, FAILED, FINISHED, RUNNING, WAITING, Call

# Different errors that are kept word for word: what failed is drawn and counted anyway.
ERRORS_KEPT = 20
# Functions told apart. Programs have few, but one that makes functions as it goes has no end of them.
FUNCTIONS_KEPT = 100
OTHER_FUNCTIONS = "other functions"


class Bar(NamedTuple):
    """One call on its engine's lane, or neighbours taken together. Times are seconds since the epoch.

    Parameters
    ----------
    engine : int or None
        None for calls that did not come to an engine.
    state : str
        Of neighbours: "failed" if one of them failed.
    name : str
        Of neighbours: the function that took most of the time.
    submitted : float
        Of neighbours: the first one's.
    start, end : float
    received : float
        When the client heard of the end, or of the last one's.
    busy : float
        Seconds that calls ran.
    waited : float
        Seconds from submission to start, added up.
    lost : float
        Seconds between neighbours in which the next one was there and its engine free.
    calls, failed : int
    group : int or None
        The group in which all of them travelled.
    mixed : bool
        Whether neighbours are calls of several functions.
    error : str or None
    label : str or None
    """

    engine: int | None
    state: str
    name: str
    submitted: float
    start: float
    end: float
    received: float
    busy: float = 0.0
    waited: float = 0.0
    lost: float = 0.0
    calls: int = 1
    failed: int = 0
    group: int | None = None
    mixed: bool = False
    error: str | None = None
    label: str | None = None

    @property
    def lane(self) -> tuple[int | None, str]:
        """Bars of one lane and one kind can be taken together."""
        return (
            self.engine,
            FINISHED if self.state == FAILED and self.engine is not None else self.state,
        )


@dataclass
class Share:
    """What came together on one engine, or of one function."""

    calls: int = 0
    failed: int = 0
    busy: float = 0.0
    longest: float = 0.0

    def add(self, bar: Bar) -> None:
        """Count calls that ran."""
        if bar.state not in (FINISHED, FAILED):
            return
        self.calls += bar.calls
        self.failed += bar.failed
        self.busy += bar.busy
        self.longest = max(self.longest, bar.busy / bar.calls)


@dataclass
class Failures:
    """How often a function failed with one error, and where it did first."""

    count: int
    first_engine: int | None


class CallLog:
    """Takes calls, in any order, and gives the bars and totals of a timeline. One thread at a time.

    Parameters
    ----------
    engines : iterable of int
        Engines that get a lane even if no call comes to them.
    bound : int, optional
        Keep at most that many bars: neighbours are taken together when there are more. Totals stay exact.
    """

    def __init__(self, engines: Iterable[int] = (), bound: int | None = None) -> None:
        self.counts = dict.fromkeys((FINISHED, FAILED, CANCELLED, RUNNING, WAITING), 0)
        self.engines: defaultdict[int, Share] = defaultdict(
            Share, {engine: Share() for engine in engines}
        )
        self.functions: defaultdict[str, Share] = defaultdict(Share)
        self.errors: dict[tuple[str, str], Failures] = {}
        self._bars: list[Bar] = []
        self._bound = bound
        # The furthest that each engine's clock was seen behind ours, and before it.
        self._behind: defaultdict[int, float] = defaultdict(float)
        self._ahead: defaultdict[int, float] = defaultdict(float)

    def __repr__(self) -> str:
        return f"<CallLog {self.calls} calls in {len(self._bars)} bars>"

    @property
    def calls(self) -> int:
        return sum(self.counts.values())

    def extend(self, calls: Iterable[Call], now: float | None = None) -> None:
        """Take calls; those that are not over are drawn up to `now`, by default the present."""
        now = time.time() if now is None else now
        for call in calls:
            self._add(bar_of(call, now))

    def _add(self, bar: Bar) -> None:
        self._count(bar)
        self._bars.append(bar)
        if self._bound is not None and len(self._bars) > self._bound:
            self._coarsen(self._bound // 2)

    def _count(self, bar: Bar) -> None:
        self.counts[FAILED] += bar.failed
        self.counts[FINISHED if bar.failed else bar.state] += bar.calls - bar.failed
        name = (
            bar.name
            if bar.name in self.functions or len(self.functions) < FUNCTIONS_KEPT
            else OTHER_FUNCTIONS
        )
        self.functions[name].add(bar)
        if bar.failed:
            self._count_failure(bar)
        if bar.engine is not None:
            self.engines[bar.engine].add(bar)
            if bar.busy:
                self._behind[bar.engine] = max(self._behind[bar.engine], bar.submitted - bar.start)
                self._ahead[bar.engine] = max(self._ahead[bar.engine], bar.end - bar.received)

    def _count_failure(self, bar: Bar) -> None:
        kind = bar.name, bar.error or "failed"
        if kind in self.errors:
            self.errors[kind].count += bar.failed
        elif len(self.errors) < ERRORS_KEPT:
            self.errors[kind] = Failures(bar.failed, bar.engine)

    def _coarsen(self, at_most: int) -> None:
        """Take neighbours together until few bars are left, or one for each lane and kind."""
        length = max(bar.end for bar in self._bars) - min(bar.start for bar in self._bars)
        seconds = length / at_most
        while len(self._bars) > at_most and seconds <= 2 * length:
            self._bars = list(coarsened(self._bars, seconds))
            # Of all bars having the same time, nothing is left to be doubled.
            seconds = 2 * seconds or 1.0

    def clock_corrections(self) -> dict[int, float]:
        """Seconds to add to the times of engines whose clock is evidently not ours.

        A call cannot start before it was submitted, nor end after its end was heard of.
        """
        corrections = {
            engine: self._behind[engine] or -self._ahead[engine] for engine in list(self._behind)
        }
        return {engine: seconds for engine, seconds in corrections.items() if seconds}

    def bars(self) -> list[Bar]:
        """All bars, in order of their start, engines' clocks put right."""
        corrections = self.clock_corrections()
        bars: Iterable[Bar] = self._bars
        if corrections:
            bars = [
                shifted(bar, corrections[bar.engine])
                if bar.engine in corrections and bar.busy
                else bar
                for bar in bars
            ]
        if self.counts[RUNNING]:
            bars = started_after_others(list(bars))
        return sorted(bars, key=lambda bar: bar.start)


def bar_of(call: Call, now: float) -> Bar:
    """The bar of one call."""
    known = [
        t for t in (call.submitted, call.started, call.completed, call.received) if t is not None
    ]
    submitted = call.submitted if call.submitted is not None else min(known, default=now)
    over = call.state not in (RUNNING, WAITING)
    received = (
        call.received if call.received is not None else max(known, default=now) if over else now
    )
    ran = call.started is not None and call.completed is not None
    start = call.started if call.started is not None else submitted
    end = call.completed if call.completed is not None else received
    return Bar(
        call.engine,
        call.state,
        call.name,
        submitted,
        start,
        max(start, end),
        received,
        busy=end - start if ran else 0.0,
        waited=max(0.0, (start if call.engine is not None else end) - submitted) * call.calls,
        calls=call.calls,
        failed=call.failed,
        group=call.group,
        error=call.error,
        label=call.label,
    )


def shifted(bar: Bar, seconds: float) -> Bar:
    """`bar` with its engine's clock put right."""
    waited = max(0.0, bar.waited + seconds * bar.calls)
    return bar._replace(start=bar.start + seconds, end=bar.end + seconds, waited=waited)


def started_after_others(bars: list[Bar]) -> Iterator[Bar]:
    """Bars of which those under way start when their engine was free: their own start is not known yet."""
    free: dict[int | None, float] = {}
    for bar in bars:
        if bar.engine is not None and bar.busy:
            free[bar.engine] = max(free.get(bar.engine, 0.0), bar.end)
    for bar in bars:
        start = max(bar.start, free.get(bar.engine, 0.0)) if bar.state == RUNNING else bar.start
        yield bar._replace(start=min(start, bar.end))


def by_lane(bars: Iterable[Bar]) -> dict[tuple[int | None, str], list[Bar]]:
    """Bars by engine and kind, each list in order of start."""
    lanes: dict[tuple[int | None, str], list[Bar]] = {}
    for bar in sorted(bars, key=lambda bar: bar.start):
        lanes.setdefault(bar.lane, []).append(bar)
    return lanes


def coarsened(bars: list[Bar], seconds: float) -> Iterator[Bar]:
    """Fewer bars: neighbours on a lane are taken together while that makes a bar of at most `seconds`."""
    for lane in by_lane(bars).values():
        current = lane[0]
        for bar in lane[1:]:
            if max(current.end, bar.end) - current.start <= seconds:
                current = joined(current, bar)
            else:
                yield current
                current = bar
        yield current


def joined(first: Bar, second: Bar) -> Bar:
    """Two neighbours as one bar; `first` started first."""
    larger = first if first.busy >= second.busy else second
    return Bar(
        first.engine,
        FAILED if FAILED in (first.state, second.state) else first.state,
        larger.name,
        first.submitted,
        first.start,
        max(first.end, second.end),
        max(first.received, second.received),
        busy=first.busy + second.busy,
        waited=first.waited + second.waited,
        lost=first.lost + second.lost + lost_between(first, second),
        calls=first.calls + second.calls,
        failed=first.failed + second.failed,
        group=first.group if first.group == second.group else None,
        mixed=first.mixed or second.mixed or first.name != second.name,
        error=first.error or second.error,
    )


def united(bars: Iterable[Bar]) -> list[Bar]:
    """Bars of one kind, those that overlap taken together."""
    result: list[Bar] = []
    for bar in sorted(bars, key=lambda bar: bar.start):
        if result and bar.start < result[-1].end:
            result[-1] = joined(result[-1], bar)
        else:
            result.append(bar)
    return result


def lost_between(previous: Bar | None, bar: Bar) -> float:
    """Seconds in which a call was there and its engine free, but it did not run yet."""
    free = bar.submitted if previous is None else max(previous.end, bar.submitted)
    return max(0.0, bar.start - free)
