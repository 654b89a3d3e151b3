"""A timeline as an SVG picture."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

from collections.abc import Callable, Iterator
from zlib import crc32

from .calls import CANCELLED, FAILED, RUNNING, WAITING
from .layout import Cell, Lane, Layout, Span, ticks
from .log import Bar, CallLog
from .style import (
    GROUND_STYLE,
    OTHERS_COLOUR,
    PICTURE_STYLE,
    Palette,
    clipped,
    quoted,
)
from .totals import Totals
from .wording import (
    NOTHING_KNOWN,
    describe,
    duration,
    headline,
    outcomes,
    percent,
    plural,
)

# Widths in pixels: of a notebook or a window on a desk, and of a telephone.
WIDE = 1100
NARROW = 360

_COLUMN = 4  # pixels: what is thinner is hard to point at
_CHARACTER = 6.6  # pixels: a little more than text of this size takes
_LINE = 20
_QUEUE = 34
_GAP = 4
_ASIDE_LABELS = {CANCELLED: "cancelled", WAITING: "waiting", RUNNING: "sent", FAILED: "not run"}
# Class and pattern of what did not come to an engine.
_ASIDE_LOOKS: dict[str, tuple[str, str | None]] = {
    CANCELLED: ("idle", "TOKENc"),
    WAITING: ("idle hollow", None),
    RUNNING: ("idle", "TOKENr"),
    FAILED: ("f", None),
}


def draw_svg(
    totals: Totals,
    log: CallLog,
    layout_for: Callable[[int], Layout],
    width: int = WIDE,
    *,
    own_ground: bool = False,
    heading: bool = True,
) -> str:
    """The timeline as an SVG element.

    Parameters
    ----------
    totals : Totals
    log : CallLog
    layout_for : callable
        Makes a layout of so many columns.
    width : int
        Pixels.
    own_ground : bool
        Whether it brings a background of its own, as it must where nothing is around it.
    heading : bool
        Whether to say in words what it shows.
    """
    return _Picture(totals, log, layout_for, width, heading).element(own_ground)


class _Picture:
    def __init__(
        self,
        totals: Totals,
        log: CallLog,
        layout_for: Callable[[int], Layout],
        width: int,
        heading: bool,
    ) -> None:
        narrow = width < 600
        self._totals = totals
        self._width = width
        self._left, self._right = (66, 42) if narrow else (78, 74)
        self._plot = width - self._left - self._right
        self._layout = layout_for(self._plot // _COLUMN)
        self._palette = Palette(log)
        self._heading = heading
        self._lane_height, self._bar_height = _heights(len(self._layout.lanes))
        self._parts: list[str] = []
        self._y = 4.0

    def element(self, own_ground: bool) -> str:
        if self._heading:
            self._head()
        self._legend()
        if self._totals.calls:
            self._plot_area()
        body = "".join(self._parts)
        # Several pictures on one page must not take each other's patterns.
        token = f"ippt{crc32(body.encode()):08x}"
        style = PICTURE_STYLE + (GROUND_STYLE if own_ground else "")
        height = f"{self._y + 4:.0f}"
        label = quoted(f"Timeline: {headline(self._totals)}")
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="ippt" viewBox="0 0 {self._width} {height}" '
            f'width="{self._width}" height="{height}" role="img" aria-label="{label}"><style>{style}</style>'
            f"{(_PATTERNS + body).replace('TOKEN', token)}</svg>"
        )

    # -- words

    def _head(self) -> None:
        if not self._totals.calls:
            self._text(8, self._y + 14, NOTHING_KNOWN, "soft")
            self._y += 24
            return
        self._text(8, self._y + 14, headline(self._totals), "head")
        facts = [outcomes(self._totals)]
        if self._totals.engine_time:
            facts += [
                f"speed-up {self._totals.speed_up:.2f}",
                f"overhead per call {duration(self._totals.overhead_per_call)}",
            ]
        self._y += 20
        for line in _wrapped(facts, int((self._width - 16) / _CHARACTER)):
            self._text(8, self._y + 14, line, "soft")
            self._y += _LINE

    def _legend(self) -> None:
        x = 8.0
        for css, text in self._legend_items():
            needed = 20 + len(text) * _CHARACTER * 1.08 + 14
            if x > 8 and x + needed > self._width - self._right:
                x, self._y = 8.0, self._y + _LINE
            self._swatch(x, css)
            self._text(x + 20, self._y + 14, text)
            x += needed
        if self._totals.engines:
            self._text(self._width - self._right + 8, self._y + 14, "busy", "soft")
        self._y += _LINE + 4

    def _legend_items(self) -> Iterator[tuple[str, str]]:
        if not self._totals.calls:
            return
        longest = 40 if self._width > 600 else 24
        for name in self._palette.names:
            yield self._palette.css_class(name), clipped(name, longest)
        if self._palette.has_others:
            yield self._palette.css_class(""), "other functions"
        if self._totals.failed:
            yield "f", "failed"
        if self._totals.running:
            yield "running", "running"
        if any(lane.groups for lane in self._layout.lanes):
            yield "group", "travelled together"
        if any(cell.bar.calls > 1 for lane in self._layout.lanes for cell in lane.cells.values()):
            yield "cell", "many short calls: height is the time they ran"

    def _swatch(self, x: float, css: str) -> None:
        y = self._y + 4
        if css == "group":
            self._parts.append(f'<path class="group" d="M{x:.0f} {y + 4:.0f}v4h14v-4"/>')
        elif css == "cell":
            self._parts.append(
                f'<path class="soft" fill="currentColor" d="M{x} {y + 12}v-4h4v-5h4v3h4v6z"/>'
            )
        elif css == "running":
            self._parts.append(
                f'<rect x="{x}" y="{y}" width="14" height="12" rx="2" fill="url(#TOKENr)" class="idle"/>'
            )
        else:
            self._parts.append(
                f'<rect x="{x}" y="{y}" width="14" height="12" rx="2" class="{css}"/>'
            )
            if css == "f":
                self._cross(x + 7, y + 6)

    # -- the plot

    def _plot_area(self) -> None:
        top = self._y
        grid = len(self._parts)
        for index, lane in enumerate(self._layout.lanes):
            self._lane(lane, index)
        for state, bars in self._layout.aside.items():
            self._aside(state, bars)
        self._queue()
        self._axis(top, grid)

    def _lane(self, lane: Lane, index: int) -> None:
        every = -(-12 // self._lane_height)
        middle = self._y + self._bar_height / 2 + 4
        if index % every == 0:
            share = sum(self._totals.busy[engine] for engine in lane.engines) / len(lane.engines)
            self._text(self._left - 8, middle, _lane_label(lane), anchor="end")
            self._text(self._width - self._right + 8, middle, percent(share), "soft")
        self._rect(self._left, self._plot, self._y, self._bar_height, "track")
        for column, cell in sorted(lane.cells.items()):
            self._cell(column, cell)
        for bar in lane.singles:
            self._single(bar)
        for group in lane.groups:
            self._group(group)
        self._y += self._lane_height

    def _cell(self, column: int, cell: Cell) -> None:
        if cell.bar.calls == 1:
            bar = cell.bar
            self._shape(bar, self._x(bar.start), max(2.0, self._length(bar)))
        else:
            self._stack(cell.bar, self._left + column * _COLUMN, _COLUMN, cell.share)

    def _single(self, bar: Bar) -> None:
        x, length = self._x(bar.start), self._length(bar)
        # A hair's breadth between neighbours, so that they are seen to be two.
        width = max(2.0, length - 0.75)
        if bar.calls > 1 and bar.state != RUNNING:
            self._stack(bar, x, width, min(1.0, bar.busy / (bar.end - bar.start)))
            return
        self._shape(bar, x, width)
        if self._bar_height >= 14 and bar.state != RUNNING:
            self._name(bar, x, length)

    def _name(self, bar: Bar, x: float, length: float) -> None:
        """What stands in a bar: a cross if it failed, and as much of the function's name as fits."""
        middle = self._y + self._bar_height / 2
        room = int((length - 10) / _CHARACTER)
        if bar.state == FAILED and length >= 12:
            self._cross(x + 8, middle)
            room -= 2
            x += 12
        if room >= min(3, len(bar.name)):
            self._text(x + 5, middle + 4, clipped(bar.name, room), "inside")

    def _stack(self, bar: Bar, x: float, width: float, share: float) -> None:
        """Several calls: as high as their share of the time, red as far as they failed."""
        full, bottom = self._bar_height, self._y + self._bar_height
        height = max(3.0, share * full)
        failed = max(3.0, height * bar.failed / bar.calls) if bar.failed else 0.0
        blocks = f'<rect x="{x:.1f}" y="{self._y}" width="{width:.1f}" height="{full}" fill="transparent"/>'
        blocks += _block(x, bottom - height, width, height, self._palette.css_class(bar.name))
        blocks += _block(x, bottom - height, width, failed, "f") if failed else ""
        self._hoverable(bar, blocks)

    def _shape(self, bar: Bar, x: float, width: float) -> None:
        top, height = self._y, self._bar_height
        if bar.state == RUNNING:
            block = _block(x, top, width, height, self._palette.css_class(bar.name))
            block += _block(x, top, width, height, "idle", "TOKENs")
        else:
            block = _block(
                x,
                top,
                width,
                height,
                "f" if bar.state == FAILED else self._palette.css_class(bar.name),
            )
        middle = self._y + self._bar_height / 2
        wait = ""
        if bar.calls == 1 and bar.start > bar.submitted:
            wait = f'<path class="wait" d="M{self._x(bar.submitted):.1f} {middle:.1f}H{x:.1f}"/>'
        self._hoverable(bar, block + wait)

    def _group(self, group: Span) -> None:
        x0, x1 = self._x(group.start) + 0.5, self._x(group.end) - 1
        bottom = self._y + self._bar_height + 1.5
        text = f"{plural(group.calls, 'call')} travelled together in one message"
        self._parts.append(
            f'<path class="group" d="M{x0:.1f} {bottom:.1f}v3H{x1:.1f}v-3">'
            f"<title>{quoted(text)}</title></path>"
        )

    def _aside(self, state: str, bars: list[Bar]) -> None:
        self._text(
            self._left - 8, self._y + self._bar_height / 2 + 4, _ASIDE_LABELS[state], anchor="end"
        )
        for bar in bars:
            x, length = self._x(bar.start), max(3.0, self._length(bar))
            self._hoverable(bar, _block(x, self._y, length, self._bar_height, *_ASIDE_LOOKS[state]))
        self._count_beside(bars)
        self._y += self._lane_height

    def _count_beside(self, bars: list[Bar]) -> None:
        """How many calls a lane of those that did not come to an engine stands for."""
        text = plural(sum(bar.calls for bar in bars), "call")
        right = self._x(max(bar.end for bar in bars)) + 8
        fits = right + len(text) * _CHARACTER < self._width
        x = right if fits else self._x(bars[0].start) + 8
        self._text(x, self._y + self._bar_height / 2 + 4, text, "" if fits else "halo")

    def _queue(self) -> None:
        """How many calls waited, as an area."""
        most = max(self._layout.waiting)
        if most <= 0.05:
            return
        self._y += 6
        bottom = self._y + _QUEUE
        points = [f"M{self._left} {bottom:.1f}"]
        for waiting in self._layout.waiting:
            points.append(f"V{bottom - waiting / most * _QUEUE:.1f}h{_COLUMN}")
        highest = self._layout.most_waiting
        title = f"calls that waited for their start: up to {highest:,} at a time"
        self._parts.append(
            f'<path class="queue" d="{"".join(points)}V{bottom:.1f}z"><title>{title}</title></path>'
        )
        self._text(self._left - 8, bottom - _QUEUE / 2 + 4, "queue", anchor="end")
        words = f"{highest:,}" if highest < 10_000 else f"{highest // 1000:,}k"
        words = f"max {words}" if self._right > 50 else words
        self._text(self._width - self._right + 8, self._y + 10, words, "soft")
        self._y = bottom + _GAP

    def _axis(self, top: float, grid: int) -> None:
        seconds = self._layout.end - self._layout.begin
        lines = []
        for moment in ticks(seconds, max(4, self._plot // 90)):
            x = self._left + moment / max(seconds, 1e-9) * self._columns_width
            lines.append(f'<path class="grid" d="M{x:.1f} {top:.1f}V{self._y + 2:.1f}"/>')
            if x < self._left + self._plot - 8:
                self._text(
                    x,
                    self._y + 15,
                    duration(moment),
                    "soft",
                    anchor="start" if moment == 0 else "middle",
                )
        self._parts[grid:grid] = lines
        self._y += 20

    # -- parts

    @property
    def _columns_width(self) -> int:
        return self._layout.columns * _COLUMN

    def _x(self, moment: float) -> float:
        return self._left + self._layout.column(moment) * _COLUMN

    def _length(self, bar: Bar) -> float:
        return self._x(bar.end) - self._x(bar.start)

    def _hoverable(self, bar: Bar, shapes: str) -> None:
        size = self._layout.group_sizes.get(bar.group, 0) if bar.group is not None else 0
        text = quoted(describe(bar, self._layout.begin, size))
        self._parts.append(f'<g class="b"><title>{text}</title>{shapes}</g>')

    def _rect(self, x: float, width: float, y: float, height: float, css: str) -> None:
        self._parts.append(
            f'<rect x="{x}" y="{y:.1f}" width="{width}" height="{height}" class="{css}"/>'
        )

    def _cross(self, x: float, y: float) -> None:
        self._parts.append(f'<path class="cross" d="M{x - 3:.1f} {y - 3:.1f}l6 6m0 -6l-6 6"/>')

    def _text(self, x: float, y: float, text: str, css: str = "", anchor: str = "") -> None:
        attributes = (f' class="{css}"' if css else "") + (
            f' text-anchor="{anchor}"' if anchor else ""
        )
        self._parts.append(f'<text x="{x:.1f}" y="{y:.1f}"{attributes}>{quoted(text)}</text>')


# Stripes for what is under way, white ones over the colour of its function, thin ones for what was cancelled.
_PATTERN = (
    '<pattern id="TOKEN{0}" width="{1}" height="{1}" patternUnits="userSpaceOnUse" '
    'patternTransform="rotate(45)"><rect width="{1}" height="{1}" fill="{2}" opacity=".25"/>'
    '<rect width="{3}" height="{1}" fill="{2}"/></pattern>'
)
_PATTERNS = (
    "<defs>"
    + _PATTERN.format("r", 8, OTHERS_COLOUR, 4)
    + _PATTERN.format("s", 8, "rgba(255, 255, 255, .65)", 4)
    + _PATTERN.format("c", 6, OTHERS_COLOUR, 1.5)
    + "</defs>"
)


def _heights(lanes: int) -> tuple[int, int]:
    """(height of a lane, of the bars in it) in pixels."""
    return (28, 19) if lanes <= 16 else (18, 12) if lanes <= 40 else (11, 8)


def _lane_label(lane: Lane) -> str:
    first, last = lane.engines[0], lane.engines[-1]
    return f"engine {first}" if first == last else f"{first}\N{EN DASH}{last}"


def _block(
    x: float, y: float, width: float, height: float, css: str, pattern: str | None = None
) -> str:
    fill = f' fill="url(#{pattern})"' if pattern else ""
    corner = ' rx="2"' if width >= 6 else ""
    place = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
    return f'<rect {place} class="{css}"{fill}{corner}/>'


def _wrapped(facts: list[str], characters: int) -> list[str]:
    """Facts in as few lines as they fit into, a dot between."""
    lines: list[str] = []
    for fact in facts:
        if lines and len(lines[-1]) + 3 + len(fact) <= characters:
            lines[-1] += f" \N{MIDDLE DOT} {fact}"
        else:
            lines.append(fact)
    return lines
