"""Figures of several rounds: their medians, and their ratios to another executor's of the same round."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import NamedTuple

Figures = dict[str, float]


class Ratio(NamedTuple):
    """The median of the rounds' ratios, and the least and the greatest of them."""

    median: float
    least: float
    greatest: float


class Results:
    """What was measured: for each measure and contestant, the figures of each round.

    Parameters
    ----------
    baseline : str
        The contestant that the others are compared with.
    """

    def __init__(self, baseline: str) -> None:
        self.baseline = baseline
        self.rounds: dict[str, dict[str, list[Figures]]] = {}
        self.titles: dict[str, str] = {}
        self.units: dict[str, str] = {}
        self.more_is_better: dict[str, bool | None] = {}
        self.has_ratios: dict[str, bool] = {}

    def begin(
        self, measure: str, title: str, unit: str, more_is_better: bool | None, has_ratios: bool = True
    ) -> None:
        self.titles[measure] = title
        self.units[measure] = unit
        self.more_is_better[measure] = more_is_better
        self.has_ratios[measure] = has_ratios
        self.rounds[measure] = {}

    def add(self, measure: str, contestant: str, figures: Figures) -> None:
        self.rounds[measure].setdefault(contestant, []).append(figures)

    def names(self, measure: str) -> list[str]:
        """The figures of a measure, in the order in which they were given."""
        found = [name for rounds in self.rounds[measure].values() for figures in rounds for name in figures]
        return list(dict.fromkeys(found))

    def values(self, measure: str, name: str, contestant: str) -> list[float]:
        rounds = self.rounds[measure].get(contestant, ())
        return [figures[name] for figures in rounds if name in figures]

    def median(self, measure: str, name: str, contestant: str) -> float | None:
        values = self.values(measure, name, contestant)
        return statistics.median(values) if values else None

    def ratio(self, measure: str, name: str, contestant: str) -> Ratio | None:
        """How many times the baseline's figure, round by round: what disturbs one round disturbs both."""
        if contestant == self.baseline or not self.has_ratios[measure]:
            return None
        return paired_ratio(self.values(measure, name, contestant), self.values(measure, name, self.baseline))


def paired_ratio(values: Sequence[float], baseline: Sequence[float]) -> Ratio | None:
    """The ratios of figures measured in the same rounds; None where there are none."""
    ratios = [value / base for value, base in zip(values, baseline, strict=False) if base > 0]
    return Ratio(statistics.median(ratios), min(ratios), max(ratios)) if ratios else None
