"""The results as a drawing in SVG: a panel for each figure, a bar for each contestant, a line over the rounds."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

from collections.abc import Iterator
from xml.sax.saxutils import escape

from contestants import BASELINE, EVERYBODY, OURS
from figures import Results
from text_table import number

COLUMNS = 3
PANEL, GAP, LEFT, BAR, HEAD = 300, 24, 64, 18, 44
# Room for the figure behind the longest bar.
ROOM = 76
COLOURS = {OURS: "#0b6e4f", "direct": "#5fa777", BASELINE: "#3a5a98"}
OTHERS = "#9a9a9a"
STYLE = (
    "text{font:12px sans-serif;fill:#222}.t{font-weight:bold}.s{font-size:11px;fill:#666}"
    "rect.page{fill:#fff}line{stroke:#222}"
)


def draw(results: Results, environment: list[str]) -> str:
    """The whole drawing."""
    panels = [(measure, name) for measure in results.rounds for name in results.names(measure)]
    rows = [panels[i : i + COLUMNS] for i in range(0, len(panels), COLUMNS)]
    parts, top = [], 16 + 16 * len(environment)
    for row in rows:
        for column, (measure, name) in enumerate(row):
            left = GAP + column * (PANEL + GAP)
            parts.append(f'<g transform="translate({left},{top})">{"".join(_panel(results, measure, name))}</g>')
        top += HEAD + BAR * max(len(_shown(results, *panel)) for panel in row) + GAP
    width = COLUMNS * (PANEL + GAP) + GAP
    head = [_text(GAP, 20 + 16 * i, line, "s") for i, line in enumerate(environment)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {top}" width="{width}" height="{top}">'
        f'<style>{STYLE}</style><rect class="page" width="{width}" height="{top}"/>{"".join(head + parts)}</svg>\n'
    )


def _shown(results: Results, measure: str, name: str) -> list[str]:
    return [contestant for contestant in EVERYBODY if results.values(measure, name, contestant)]


def _panel(results: Results, measure: str, name: str) -> Iterator[str]:
    better = {True: "more is better", False: "less is better", None: ""}[results.more_is_better[measure]]
    yield _text(0, 14, f"{measure}: {name}" if name != measure else name, "t")
    yield _text(0, 30, ", ".join(filter(None, (results.units[measure], better))), "s")
    shown = _shown(results, measure, name)
    most = max([*(max(results.values(measure, name, each)) for each in shown), 1e-12])
    for index, contestant in enumerate(shown):
        yield from _bar(results.values(measure, name, contestant), contestant, HEAD + BAR * index, most, results.median(
            measure, name, contestant
        ))


def _bar(values: list[float], contestant: str, y: float, most: float, median: float | None) -> Iterator[str]:
    scale = (PANEL - LEFT - ROOM) / most
    length, middle = max(1.0, (median or 0.0) * scale), y + (BAR - 4) / 2
    colour = COLOURS.get(contestant, OTHERS)
    yield _text(LEFT - 6, y + 12, contestant, "", "end")
    yield f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR - 4}" fill="{colour}"/>'
    least, greatest = (LEFT + max(0.0, bound(values)) * scale for bound in (min, max))
    yield f'<line x1="{least:.1f}" x2="{greatest:.1f}" y1="{middle}" y2="{middle}"/>'
    yield _text(max(LEFT + length, greatest) + 5, y + 12, number(median or 0.0))


def _text(x: float, y: float, text: str, style: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y}" class="{style}" text-anchor="{anchor}">{escape(text)}</text>'
