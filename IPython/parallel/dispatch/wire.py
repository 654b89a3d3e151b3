"""What goes between the dispatcher and the engines."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

from collections.abc import Callable, Collection
from enum import Enum
from io import IOBase
from typing import Any, NamedTuple, Protocol

# PLAIN: the data is the value itself, not a pickle.
OK, PLAIN, MISSING = "ok", "plain", "missing"


class Outcome(NamedTuple):
    """What became of a call, as its engine tells it. Times are seconds since the epoch."""

    serial: int
    status: str
    data: Any
    started: float
    completed: float
    output: tuple[str, str, list[dict[str, Any]]] | None

    @property
    def succeeded(self) -> bool:
        return self.status in (OK, PLAIN)


class Report(NamedTuple):
    """What an engine says of a group: outcomes, and the serials of calls it gives back without having run them.

    Groups with a number above `last` that were sent in an older epoch will be given back whole.
    """

    epoch: int
    last: int
    outcomes: list[Outcome]
    returned: list[int]
    final: bool

    def close_others(self, settled: Collection[tuple[Any, Outcome]]) -> None:
        """Close the outcomes that are in files, but for those that settle a task: nobody will read them."""
        if len(settled) < len(self.outcomes):
            read = {id(outcome) for _, outcome in settled}
            for outcome in self.outcomes:
                if id(outcome) not in read and isinstance(outcome.data, IOBase):
                    outcome.data.close()


class Lost(NamedTuple):
    """A group that will not be reported on: its calls fail with what `error` makes, or go elsewhere if never sent."""

    error: Callable[[str], BaseException]
    sent: bool = True


class HadBegun(NamedTuple):
    """The number of the last group that an engine began, and how many of its calls it began."""

    group: int
    calls: int


class Unknown(Enum):
    """Why nobody can say what an engine had begun."""

    FOR_EVER = None
    NOT_YET = "asked for"


class SettledFuture(Protocol):
    """What the dispatcher does with a task's future, besides the moves in `task_states`."""

    def settle(self, outcome: Outcome, engine: str) -> None: ...
    def fail(self, error: BaseException) -> None: ...
