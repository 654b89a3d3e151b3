"""The figures of a timeline: how long, how busy, how much faster, and what a call cost beside its work."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .calls import CANCELLED, FAILED, FINISHED, RUNNING, WAITING
from .log import Bar, CallLog, by_lane, lost_between, united


@dataclass(frozen=True)
class Totals:
    """What a timeline comes to. Times are in seconds.

    Attributes
    ----------
    calls, finished, failed, cancelled, running, waiting : int
        All calls, and how many of them are in which state. `running` are those that left this machine.
    engines : int
        How many lanes there are.
    wall_time : float
        From the first submission until the last result came.
    engine_time : float
        How long calls ran, added up over all engines.
    speed_up : float
        `engine_time` over `wall_time`: how many engines' worth of work was done at a time.
    busy : dict of {int: float}
        For each engine, the share of `wall_time` in which it ran calls.
    overhead_per_call : float
        The mean time in which a call was submitted and its engine free, but it did not run yet.
    messages : int or None
        How many groups the calls travelled in, where all of that is known.
    """

    calls: int
    finished: int
    failed: int
    cancelled: int
    running: int
    waiting: int
    engines: int
    wall_time: float
    engine_time: float
    speed_up: float
    busy: dict[int, float]
    overhead_per_call: float
    messages: int | None


def totals_of(log: CallLog, bars: list[Bar]) -> Totals:
    """The figures of `log`, whose bars are `bars`."""
    begin, end = span(bars)
    wall = end - begin
    busy = {engine: share.busy for engine, share in sorted(log.engines.items())}
    for engine, seconds in _under_way(bars):
        busy[engine] += seconds
    engine_time = sum(busy.values())
    ran = log.counts[FINISHED] + log.counts[FAILED]
    return Totals(
        calls=log.calls,
        finished=log.counts[FINISHED],
        failed=log.counts[FAILED],
        cancelled=log.counts[CANCELLED],
        running=log.counts[RUNNING],
        waiting=log.counts[WAITING],
        engines=len(log.engines),
        wall_time=wall,
        engine_time=engine_time,
        speed_up=engine_time / wall if wall else 0.0,
        busy={engine: _share(seconds, wall) for engine, seconds in busy.items()},
        overhead_per_call=_lost(bars) / ran if ran else 0.0,
        messages=_messages(bars),
    )


def span(bars: list[Bar]) -> tuple[float, float]:
    """When the first call was submitted, and when the last was heard of; (0, 0) without calls."""
    begin = min((min(bar.submitted, bar.start) for bar in bars), default=0.0)
    return begin, max((max(bar.received, bar.end) for bar in bars), default=0.0)


def _share(part: float, whole: float) -> float:
    return min(1.0, part / whole) if whole else 0.0


def _under_way(bars: list[Bar]) -> Iterator[tuple[int, float]]:
    """How long engines have been at what is running; calls sent together are one after the other there."""
    for (engine, kind), lane in by_lane(bars).items():
        if engine is not None and kind == RUNNING:
            yield engine, sum(bar.end - bar.start for bar in united(lane))


def _lost(bars: list[Bar]) -> float:
    """What engines lost between calls."""
    lost = 0.0
    for lane in by_lane(bar for bar in bars if bar.busy).values():
        previous = None
        for bar in lane:
            lost += bar.lost + lost_between(previous, bar)
            previous = bar
    return lost


def _messages(bars: list[Bar]) -> int | None:
    groups = {bar.group for bar in bars if bar.busy}
    return len(groups) if groups and None not in groups else None
