"""How a timeline says durations, counts and what a bar is."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

from collections.abc import Mapping

from .calls import CANCELLED, FAILED, FINISHED, RUNNING, WAITING
from .log import Bar
from .totals import Totals

NOTHING_KNOWN = (
    "no calls are known (of a view: those whose results nobody has any more are forgotten)"
)

_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))


def duration(seconds: float) -> str:
    """Seconds as a person would say them, with three digits: "1.25 ms", "3.1 s", "2 min 5 s"."""
    if seconds >= 3600:
        return _two_units(int(seconds // 60), 60, "h", "min")
    if seconds >= 60:
        return _two_units(int(seconds), 60, "min", "s")
    for unit, name in _UNITS:
        if seconds >= unit * 0.9995:
            return f"{_three_digits(seconds / unit)} {name}"
    return "0 s" if seconds < 5e-7 else "1 µs"


def _two_units(number: int, ratio: int, large: str, small: str) -> str:
    rest = f" {number % ratio} {small}" if number % ratio else ""
    return f"{number // ratio} {large}{rest}"


def _three_digits(number: float) -> str:
    decimals = 2 if number < 9.995 else 1 if number < 99.95 else 0
    text = f"{number:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if decimals else text


def percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def plural(count: int, noun: str) -> str:
    return f"{count:,} {noun if count == 1 else noun + 's'}"


def headline(totals: Totals) -> str:
    """What it was, in one line."""
    if not totals.calls:
        return "no calls"
    where = f" on {plural(totals.engines, 'engine')}" if totals.engines else ""
    return f"{plural(totals.calls, 'call')}{where} in {duration(totals.wall_time)}"


def outcomes(totals: Totals) -> str:
    """How many calls are in which state."""
    states = (FINISHED, FAILED, CANCELLED, RUNNING, WAITING)
    return counted({state: getattr(totals, state) for state in states})


def counted(counts: Mapping[str, int]) -> str:
    """Counts by state in words; states without calls are left out."""
    return ", ".join(f"{count:,} {state}" for state, count in counts.items() if count)


def describe(bar: Bar, begin: float, group_size: int = 0) -> str:
    """What one sees on pointing at a bar: several short lines. `begin` is when the timeline does."""
    return "\n".join(
        _lines_of_one(bar, begin, group_size) if bar.calls == 1 else _lines_of_many(bar, begin)
    )


def _lines_of_one(bar: Bar, begin: float, group_size: int) -> list[str]:
    lines = [f"{bar.name} \N{EM DASH} {bar.state}{_for_how_long(bar)}"]
    if bar.error:
        lines.append(bar.error)
    if bar.label:
        lines.append(f"label {bar.label}")
    lines.append(_when(bar, begin))
    if group_size > 1:
        lines.append(f"travelled with {plural(group_size - 1, 'other call')}")
    return lines


def _for_how_long(bar: Bar) -> str:
    if bar.state in (RUNNING, WAITING):
        return f" for {duration(bar.end - bar.start)}"
    if bar.state == CANCELLED:
        return f" after {duration(bar.end - bar.start)}"
    return f" after {duration(bar.busy)}" if bar.busy else ""


def _when(bar: Bar, begin: float) -> str:
    if bar.state in (CANCELLED, WAITING):
        return f"submitted at {duration(bar.submitted - begin)}"
    where = f"engine {bar.engine}, " if bar.engine is not None else ""
    return f"{where}from {duration(max(0.0, bar.start - begin))}, waited {duration(bar.waited)}"


def _lines_of_many(bar: Bar, begin: float) -> list[str]:
    what = f"mostly {bar.name}" if bar.mixed else bar.name
    lines = [
        f"{plural(bar.calls, 'call')} of {what}"
        if not bar.mixed
        else f"{plural(bar.calls, 'call')}, {what}"
    ]
    if bar.failed:
        lines.append(
            f"{bar.failed:,} failed" + (f", the first with {bar.error}" if bar.error else "")
        )
    elif bar.state != FINISHED:
        lines[0] += f" \N{EM DASH} {bar.state}"
    where = f"engine {bar.engine}, " if bar.engine is not None else ""
    lines.append(
        f"{where}from {duration(max(0.0, bar.start - begin))} to {duration(bar.end - begin)}"
    )
    if bar.busy:
        lines.append(
            f"{duration(bar.busy / bar.calls)} a call; waited {duration(bar.waited / bar.calls)} a call"
        )
    return lines
