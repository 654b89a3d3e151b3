"""The results as a text: for each figure a block, for each contestant a line."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

from collections.abc import Iterator

from contestants import EVERYBODY
from figures import Ratio, Results


def table(results: Results, environment: list[str]) -> str:
    """The whole text; ratios are to the baseline's figures of the same round."""
    lines = [*environment, ""]
    for measure, rounds in results.rounds.items():
        if rounds:
            lines += [_heading(results, measure), *_rows(results, measure), ""]
    shown = dict.fromkeys(name for rounds in results.rounds.values() for name in rounds)
    lines += [f"{name:8} {EVERYBODY[name].what}{_share(name)}" for name in shown]
    return "\n".join(lines) + "\n"


def _heading(results: Results, measure: str) -> str:
    better = {True: "more is better", False: "less is better", None: ""}[results.more_is_better[measure]]
    aside = "; ".join(filter(None, (results.units[measure], better)))
    return f"{measure}: {results.titles[measure]}" + (f" ({aside})" if aside else "")


def _rows(results: Results, measure: str) -> Iterator[str]:
    for name in results.names(measure):
        yield f"  {name}"
        for contestant in results.rounds[measure]:
            median = results.median(measure, name, contestant)
            if median is not None:
                ratio = results.ratio(measure, name, contestant)
                yield f"    {contestant:8} {number(median):>9}   {times(ratio, results.baseline)}".rstrip()


def number(value: float) -> str:
    """About three digits."""
    if abs(value) >= 100 or value == 0:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def times(ratio: Ratio | None, baseline: str) -> str:
    """As "4.31 x pool (4.05 to 4.60)"."""
    if ratio is None:
        return ""
    between = f" ({number(ratio.least)} to {number(ratio.greatest)})" if ratio.least < ratio.greatest else ""
    return f"{number(ratio.median):>6} x {baseline}{between}"


def _share(name: str) -> str:
    share = EVERYBODY[name].share
    return "" if share == 1 else f" (given {share:.0%} of the calls where rates are measured)"
