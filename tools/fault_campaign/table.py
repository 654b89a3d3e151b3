"""What was observed, kept as lines of JSON so that a campaign can be run in parts, and shown as a table."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

HEADINGS = ("faults", "outstanding", "failed", "unrun", "wrong", "lost", "hung", "twice")
HEADINGS += ("error after", "longest wait", "lived on")


@dataclass
class Observation:
    """What became of the calls of one fault.

    Attributes
    ----------
    outstanding : int
        Futures that were not done when the fault was made, and those submitted right after it.
    failed : int
        Futures with an error that says what broke.
    unrun : int
        Those of them whose calls had not begun: somebody else could have run them.
    wrong : int
        Futures with an error that says something else, or with another call's result; programs that did not end well.
    lost, hung, twice : int
        Calls that have neither run nor an error, that did not end in time, and that ran more than once.
    error_after, longest_wait : float or None
        Seconds from the fault to the last error, and to the end of the last future.
    lived_on : bool
        Whether the same executor took work afterwards.
    """

    contestant: str
    fault: str
    moment: str
    outstanding: int = 0
    failed: int = 0
    unrun: int = 0
    wrong: int = 0
    lost: int = 0
    hung: int = 0
    twice: int = 0
    error_after: float | None = None
    longest_wait: float | None = None
    lived_on: bool = True

    @property
    def is_good(self) -> bool:
        return not (self.wrong or self.lost or self.hung or self.twice)


def keep(file: Path, observation: Observation) -> None:
    with file.open("a", encoding="utf-8") as kept:
        kept.write(json.dumps(asdict(observation)) + "\n")


def read(file: Path) -> list[Observation]:
    return [Observation(**json.loads(line)) for line in file.read_text(encoding="utf-8").splitlines()]


def render(observations: Iterable[Observation]) -> str:
    """A table for each contestant: a line for each fault at each moment, and one for all."""
    by_contestant: dict[str, list[Observation]] = {}
    for observation in observations:
        by_contestant.setdefault(observation.contestant, []).append(observation)
    return "\n\n".join(_table(name, mine) for name, mine in by_contestant.items()) + "\n"


def _table(contestant: str, observations: list[Observation]) -> str:
    rows: dict[tuple[str, str], list[Observation]] = {}
    for observation in observations:
        rows.setdefault((observation.fault, observation.moment), []).append(observation)
    width = max(len(fault) for fault, _ in rows) + 2
    form = f"{{:<{width}}}{{:<18}}{{:>6}}{{:>13}}{{:>8}}{{:>7}}{{:>7}}{{:>6}}{{:>6}}{{:>7}}{{:>13}}{{:>14}}{{:>10}}"
    lines = [contestant, "=" * len(contestant), form.format("fault", "moment", *HEADINGS)]
    lines += [form.format(fault, moment, *_sums(of_row)) for (fault, moment), of_row in sorted(rows.items())]
    return "\n".join([*lines, form.format("all", "", *_sums(observations))])


def _sums(observations: list[Observation]) -> tuple[object, ...]:
    def total(name: str) -> int:
        return sum(getattr(observation, name) for observation in observations)

    def most(name: str) -> str:
        known = [value for each in observations if (value := getattr(each, name)) is not None]
        return f"{max(known):.2f} s" if known else "-"

    sums = [total(name) for name in ("outstanding", "failed", "unrun", "wrong", "lost", "hung", "twice")]
    return len(observations), *sums, most("error_after"), most("longest_wait"), total("lived_on")
