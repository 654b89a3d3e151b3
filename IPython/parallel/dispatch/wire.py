"""What goes between the dispatcher and the engines, and who carries it."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from .groups import Group

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


class EngineLeft(Exception):
    """Raised by `Carrier.send`: the engine is gone, and nothing was sent."""


class Carrier(Protocol):
    """The way to the engines. `connection.transport.Transport` is the real one, the tests have a scripted one."""

    def engines(self) -> Sequence[str]:
        """The engines that can be used now, by a name that is never used again. Any thread; never blocks."""

    def watch(self, changed: Callable[[], None], doubt: Callable[[bool], None]) -> None:
        """Call `changed()`, which never blocks, whenever engines came or went.

        Call `doubt(True)` when reports may have been lost, and `doubt(False)` every few seconds: then nobody knows.
        """

    def give_up(self, engine: str, number: int, later: Callable[[HadBegun | None], None]) -> HadBegun | Unknown:
        """Hear no more of an engine that is gone, and let it begin none of the groups up to that number.

        What it had begun; or that it cannot be known; or that `later`, which never blocks, will be called with it,
        unless the client closes. On the dispatcher's thread; may take milliseconds.
        """

    def died(self, engine: str | None, call: str) -> Exception:
        """The error of a call whose engine is gone."""

    def send(self, group: Group, report: Callable[[Report | Lost], None]) -> None:
        """Send `group`; call `report`, which never blocks, with each report until a final one. Any thread.

        Raises
        ------
        EngineLeft
            If the engine is gone, and nothing was sent.
        """

    def ask(self, group: Group, report: Callable[[Report | Lost], None]) -> None:
        """Ask the engine what has become of a group that was sent; the answer is a final report. Any thread.

        A group that the engine never got is given back. May do nothing, if it cannot be asked now.
        """


class SettledFuture(Protocol):
    """What the dispatcher does with a task's future, besides the moves in `task_states`."""

    def settle(self, outcome: Outcome, engine: str) -> None: ...
    def fail(self, error: BaseException) -> None: ...
