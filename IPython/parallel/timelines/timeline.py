"""Who did what when: a picture of calls on engines, from what their results know."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from ipyparallel import AsyncResult
from ipyparallel.client.view import View

from .calls import calls_of
from .layout import Layout, lay_out
from .log import Bar, CallLog
from .page import draw_page
from .svg import WIDE, draw_svg
from .text import COLUMNS, draw_text
from .totals import Totals, totals_of
from .wording import headline, outcomes

__all__ = ["Timeline", "timeline"]


def timeline(results_or_view: AsyncResult | View | Collection[AsyncResult]) -> Timeline:
    """Draw what ran where and when.

    Parameters
    ----------
    results_or_view : AsyncResult, list of AsyncResult, or View
        Of a view, the calls that are not over and those whose results somebody still has: a view does not
        keep the calls that nobody can ask for any more.

    Returns
    -------
    Timeline
        The state of this moment; it does not change when calls go on. ``print`` it, display it in a
        notebook, or `Timeline.save` it.

    Raises
    ------
    TypeError
        For anything that is no result, list of results or view.

    Notes
    -----
    Any thread; waits for nothing.

    .. versionadded:: 0.1
    """
    log = CallLog(_engines_of(results_or_view))
    log.extend(calls_of(results_or_view))
    return Timeline(log)


def _engines_of(source: Any) -> Iterable[int]:
    """Engines that have a lane also without a call: of a view, all it may use."""
    if not isinstance(source, View):
        return ()
    targets = source.targets
    if targets is None or targets == "all":
        return source.client.ids  # type: ignore[no-any-return]
    return [targets] if isinstance(targets, int) else targets


class Timeline:
    """One lane per engine, one bar per call, and what it comes to. Made by `timeline`.

    Parameters
    ----------
    log : CallLog

    Attributes
    ----------
    totals : Totals
        The figures: calls by state, times in seconds, busy share per engine, speed-up, overhead per call.

    Notes
    -----
    Displays itself in a notebook, needing no network; ``str()`` is a plain-text form of about 90 columns.
    Thin bars are drawn together, so 100,000 calls are drawn in seconds and can be read.

    .. versionadded:: 0.1
    """

    def __init__(self, log: CallLog) -> None:
        self._log = log
        self._bars: list[Bar] = log.bars()
        self.totals: Totals = totals_of(log, self._bars)

    def __repr__(self) -> str:
        shown = outcomes(self.totals)
        return f"<Timeline: {headline(self.totals)}{': ' + shown if shown else ''}>"

    def __str__(self) -> str:
        return draw_text(self.totals, self._layout(COLUMNS, singles=False), self._log)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))

    def _repr_html_(self) -> str:
        return f'<div style="max-width: {WIDE}px">{self._wide_svg}</div>'

    def _layout(self, columns: int, *, singles: bool = True) -> Layout:
        return lay_out(self._log, self._bars, columns, singles=singles)

    @cached_property
    def _wide_svg(self) -> str:
        return draw_svg(self.totals, self._log, self._layout, WIDE)

    def to_svg(self) -> str:
        """The picture as an SVG document that is readable on light and dark ground. Any thread.

        .. versionadded:: 0.1
        """
        return draw_svg(self.totals, self._log, self._layout, WIDE, own_ground=True)

    def to_html(self, title: str = "Timeline", notes: Sequence[str] = ()) -> str:
        """The picture, the figures and the errors as one page that needs nothing else, for any screen.

        Parameters
        ----------
        title : str
        notes : sequence of str
            What else there is to say, a paragraph each.

        Returns
        -------
        str
            An HTML document.

        Notes
        -----
        Any thread.

        .. versionadded:: 0.1
        """
        return draw_page(title, self.totals, self._layout, self._log, notes)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the timeline to a file.

        Parameters
        ----------
        path : str or path
            Its ending says what it becomes: ``.svg`` the picture, ``.html`` a page, ``.txt`` plain text.

        Raises
        ------
        ValueError
            For another ending.
        OSError
            If it cannot be written.

        Notes
        -----
        Any thread.

        .. versionadded:: 0.1
        """
        writers = {".svg": self.to_svg, ".html": self.to_html, ".txt": self.__str__}
        ending = Path(path).suffix.lower()
        if ending not in writers:
            raise ValueError(
                f"cannot save a timeline as {os.fspath(path)!r}; name it *.svg, *.html or *.txt"
            )
        Path(path).write_text(writers[ending](), encoding="utf-8")
