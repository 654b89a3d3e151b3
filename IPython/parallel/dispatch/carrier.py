"""Who carries groups to engines, and reports back."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from .groups import Group
from .wire import HadBegun, Lost, Report, Unknown


class EngineLeft(Exception):
    """Raised by `Carrier.send`: the engine is gone, and nothing was sent."""


class Carrier(Protocol):
    """The way to the engines. `connection.transport.Transport` is the real one, the tests have a scripted one."""

    def engines(self) -> Sequence[str]:
        """The engines that can be used now, by a name that is never used again. Any thread; never blocks."""

    def look_for_engines(self) -> None:
        """Find out whether there are others than `engines` says, as news may have been lost. Any thread; never blocks.

        Of a difference `watch` tells.
        """

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
