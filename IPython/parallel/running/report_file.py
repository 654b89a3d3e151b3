"""``--report FILE``: the timeline of a run as a page, written when the run is over, however it ends."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..dispatch.steady_locks import SteadyLock
from .run_report import calls_in

if TYPE_CHECKING:
    from ..timelines.calls import Call
    from ..timelines.log import CallLog
    from ..timelines.timeline import Timeline

__all__ = ["ReportFile", "ReportRefused"]

# Bars kept at most, about 400 bytes each: more than a wide screen can show for each of a dozen engines.
BARS_KEPT = 20_000

UNFINISHED = "Calls that had not ended when the program did: {:,}."
# Characters of the title at most: a program given with -c can be long.
TITLE = 120


class ReportRefused(Exception):
    """The file cannot be written; the message says so in one line."""


class ReportFile:
    """Notes calls as they settle, and writes their timeline to a file.

    Futures are not kept, and neighbouring calls are taken together when there are very many, so that
    memory stays bounded. `submitted` and `over` may be called from any thread.

    Parameters
    ----------
    path : path
        Made absolute: the program may go to another directory.
    title : str
        What ran.
    """

    def __init__(self, path: Path, title: str) -> None:
        self.path = path.absolute()
        self._title = textwrap.shorten(title, TITLE)
        self._lock = SteadyLock()
        self._under_way = 0
        self._log: CallLog
        self._timeline: type[Timeline]
        self._calls_of: Callable[[Any], Iterator[Call]]

    def check(self) -> None:
        """Find out now whether the file can be written; leaves nothing behind, and what is there as it is.

        Raises
        ------
        ReportRefused
            If it cannot.
        """
        new = not self.path.exists()
        try:
            self.path.open("ab").close()
            if new:
                self.path.unlink()
        except OSError as error:
            raise ReportRefused(
                f"can't write the report to {str(self.path)!r}: {error.strerror}"
            ) from None

    def open(self, engines: Iterable[int]) -> None:
        """Begin, with a lane for each of these engines."""
        # Not at the end: after Ctrl-C, the interpreter exits as interrupted only if no source text is
        # compiled any more, and modules that define data classes do that when they are loaded.
        from ..timelines import calls as timeline_calls
        from ..timelines import log as timeline_log
        from ..timelines import timeline as timelines

        self._calls_of = timeline_calls.calls_of_result
        self._timeline = timelines.Timeline
        self._log = timeline_log.CallLog(engines, bound=BARS_KEPT)

    def submitted(self, number: int) -> None:
        """Count so many new calls, of which some may be over already."""
        with self._lock:
            self._under_way += number

    def over(self, futures: Iterable[Future[Any]]) -> None:
        """Note these calls."""
        with self._lock:
            for future in futures:
                self._under_way -= calls_in(future)
                self._log.extend(self._calls_of(future))

    def write(self) -> None:
        """Write the page.

        Raises
        ------
        OSError
            If it cannot be written any more.
        """
        with self._lock:
            notes = [UNFINISHED.format(self._under_way)] if self._under_way else []
            page = self._timeline(self._log).to_html(self._title, notes)
        self.path.write_text(page, encoding="utf-8")
