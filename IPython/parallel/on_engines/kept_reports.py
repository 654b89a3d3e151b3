"""The last reports of each client: one that was lost on its way can be asked for again.

Travels to the engine by value: standard library only.

A connection that breaks takes along what was in it. The client cannot tell a group whose report is lost from one that
never arrived, and neither from one that takes long; the engine can. So it keeps each report until the client says that
it has it: with every group the client says which others it still waits for.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

# For all clients together. Beyond that the oldest go, and only the fact remains that there was one.
MOST_BYTES = 32 << 20


class KeptReports:
    """Reports by client and number of the group. On the engine's main thread."""

    def __init__(self, most: int = MOST_BYTES) -> None:
        self._most = most
        self._bytes = 0
        self._begun: dict[str, list[int]] = {}
        self._reports: OrderedDict[tuple[str, int], list[bytes]] = OrderedDict()

    def begin(self, client: str, number: int, awaited: Iterable[int]) -> list[int]:
        """A group has come; of those before it, the client still waits for these. The others, whose reports it has."""
        begun = self._begun.setdefault(client, [])
        heard = [earlier for earlier in begun if earlier < number and earlier not in awaited]
        for earlier in heard:
            begun.remove(earlier)
            self._drop(client, earlier)
        begun.append(number)
        return heard

    def keep(self, client: str, number: int, report: list[bytes]) -> list[bytes]:
        """Keep the report on a group that has come; the report."""
        self._reports[client, number] = report
        self._bytes += _size(report)
        while self._bytes > self._most:
            self._drop(*next(iter(self._reports)))
        return report

    def find(self, client: str, number: int) -> list[bytes] | None:
        """The report on a group; None if the group never came.

        Raises
        ------
        LookupError
            If it came, and the report is not there any more.
        """
        report = self._reports.get((client, number))
        if report is None and number in self._begun.get(client, ()):
            raise LookupError("the result was lost on its way, and the engine could not keep it")
        return report

    def _drop(self, client: str, number: int) -> None:
        report = self._reports.pop((client, number), None)
        self._bytes -= 0 if report is None else _size(report)


def _size(report: list[bytes]) -> int:
    return sum(map(len, report))
