"""A timeline as one self-contained web page: the picture, the figures, the errors."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from .layout import Layout
from .log import ERRORS_KEPT, CallLog, Share
from .style import FUNCTION_COLOURS, OTHERS_COLOUR, Palette, quoted
from .svg import NARROW, WIDE, draw_svg
from .totals import Totals
from .wording import duration, headline, percent

# More engines than this, and the table of each one is folded.
_ROWS = 16


def draw_page(
    title: str,
    totals: Totals,
    layout_for: Callable[[int], Layout],
    log: CallLog,
    notes: Sequence[str] = (),
) -> str:
    """The timeline as an HTML document.

    Parameters
    ----------
    title : str
    totals : Totals
    layout_for : callable
        Makes a layout of so many columns.
    log : CallLog
    notes : sequence of str
        What else there is to say, a paragraph each.
    """
    parts = [
        *_head(title, totals, log, notes),
        *_pictures(totals, log, layout_for),
        *_engines(totals, log),
        *_functions(log),
        *_errors(log),
        _WORDS,
    ]
    name = quoted(title)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        '<meta http-equiv="Content-Security-Policy" content="'
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:\">\n"
        f'<link rel="icon" href="data:,">\n<title>{name}</title>\n<style>{_STYLE}</style>\n</head>\n'
        "<body>\n<main>\n"
        + "\n".join(parts)
        + '\n</main>\n<div id="tip" role="status" hidden></div>\n'
        + f"<script>{_SCRIPT}</script>\n</body>\n</html>\n"
    )


def _head(title: str, totals: Totals, log: CallLog, notes: Sequence[str]) -> Iterator[str]:
    yield f"<h1>{quoted(title)}</h1>"
    yield f'<p class="lead">{quoted(headline(totals))}</p>'
    yield from (f"<p>{quoted(note)}</p>" for note in notes)
    corrected = log.clock_corrections()
    for engine, seconds in sorted(corrected.items()):
        if abs(seconds) >= 0.05:
            ahead = "behind" if seconds > 0 else "ahead of"
            off = f"{duration(abs(seconds))} {ahead} ours"
            yield f"<p>The clock of engine {engine} is {off}; its bars are moved.</p>"
    if totals.calls:
        yield '<dl class="cards">' + "".join(
            f"<div><dt>{dt}</dt><dd>{dd}</dd></div>" for dt, dd in _cards(totals)
        )
        yield "</dl>"


def _cards(totals: Totals) -> Iterator[tuple[str, str]]:
    yield "finished", f"{totals.finished:,}"
    if totals.failed:
        yield '<span class="bad">failed</span>', f'<span class="bad">{totals.failed:,}</span>'
    for count, name in (
        (totals.cancelled, "cancelled"),
        (totals.running, "running"),
        (totals.waiting, "waiting"),
    ):
        if count:
            yield name, f"{count:,}"
    if totals.engine_time:
        yield "wall time", duration(totals.wall_time)
        yield "engine time", duration(totals.engine_time)
        yield "speed-up", f"{totals.speed_up:.2f}&times;"
        yield "engines busy", percent(sum(totals.busy.values()) / max(1, len(totals.busy)))
        yield "overhead/call", duration(totals.overhead_per_call)
    if totals.messages is not None:
        yield "messages", f"{totals.messages:,}"


def _pictures(totals: Totals, log: CallLog, layout_for: Callable[[int], Layout]) -> Iterator[str]:
    yield (
        '<figure class="wide">'
        + draw_svg(totals, log, layout_for, WIDE, heading=False)
        + "</figure>"
    )
    yield (
        '<figure class="narrow">'
        + draw_svg(totals, log, layout_for, NARROW, heading=False)
        + "</figure>"
    )


def _engines(totals: Totals, log: CallLog) -> Iterator[str]:
    if not log.engines:
        return
    rows = []
    for engine in sorted(log.engines):
        share = totals.busy[engine]
        meter = f'<span class="meter"><span style="width: {100 * share:.1f}%"></span></span>{percent(share)}'
        rows.append([str(engine), meter, *_figures(log.engines[engine])])
    folded = len(rows) > _ROWS
    yield "<details><summary>Each engine</summary>" if folded else ""
    yield from _table("Engines", ["engine", "busy", "calls", "failed", "time"], rows, "figures engines")
    yield "</details>" if folded else ""


def _functions(log: CallLog) -> Iterator[str]:
    palette = Palette(log)
    ranked = sorted(log.functions.items(), key=lambda item: (-item[1].busy, item[0]))
    rows = [
        [
            f'<span class="name"><i class="{palette.css_class(name)}"></i>{quoted(name)}</span>',
            *_figures(share),
            *_per_call(share),
        ]
        for name, share in ranked
    ]
    if rows:
        yield from _table(
            "Functions", ["function", "calls", "failed", "time", "mean", "longest"], rows
        )


def _figures(share: Share) -> list[str]:
    failed = f'<span class="bad">{share.failed:,}</span>' if share.failed else "0"
    return [f"{share.calls:,}", failed, duration(share.busy)]


def _per_call(share: Share) -> list[str]:
    return [duration(share.busy / max(1, share.calls)), duration(share.longest)]


def _errors(log: CallLog) -> Iterator[str]:
    if not log.errors:
        return
    rows = [
        [f"{failures.count:,}", _engine(failures.first_engine), quoted(name), quoted(error)]
        for (name, error), failures in log.errors.items()
    ]
    title = "Errors" if len(rows) < ERRORS_KEPT else f"The first {len(rows)} different errors"
    yield from _table(title, ["calls", "first on", "function", "error"], rows, "errors")


def _engine(number: int | None) -> str:
    return "no engine" if number is None else f"engine {number}"


def _table(
    title: str, columns: list[str], rows: list[list[str]], css: str = "figures"
) -> Iterator[str]:
    yield f'<section><h2>{title}</h2>\n<div class="scroll"><table class="{css}">'
    yield (
        "<thead><tr>"
        + "".join(f"<th>{column}</th>" for column in columns)
        + "</tr></thead>\n<tbody>"
    )
    yield from ("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    yield "</tbody></table></div></section>"


_WORDS = """<details><summary>What the words mean</summary><dl>
<dt>wall time</dt><dd>From the first submission until the last result was here.</dd>
<dt>engine time</dt><dd>How long calls ran, added up over all engines.</dd>
<dt>speed-up</dt><dd>Engine time over wall time: how many engines' worth of work was done at a time.</dd>
<dt>busy</dt><dd>The share of the wall time in which an engine ran calls.</dd>
<dt>overhead/call</dt><dd>The mean time in which a call was submitted and its engine free, but it did not
run yet.</dd>
<dt>messages</dt><dd>Small calls travel to the engines together; a bracket under bars joins those that
did.</dd>
<dt>queue</dt><dd>How many calls waited for their start.</dd>
</dl></details>"""

_STYLE = """
:root { --ground: #fff; --text: #1d2530; --soft: #5b6675; --line: #dde2e8; --card: #f5f7f9; --bad: #c01f35;
  --bar: #2f74c0 }
@media (prefers-color-scheme: dark) {
  :root { --ground: #14181f; --text: #e4e8ee; --soft: #9aa5b4; --line: #2d3541; --card: #1c222b;
    --bad: #ff6b7d; --bar: #5a9be0 } }
* { box-sizing: border-box }
body { margin: 0; background: var(--ground); color: var(--text);
  font: 15px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif }
main { max-width: 1148px; margin: 0 auto; padding: 20px 24px 40px }
h1 { font-size: 22px; margin: 0; overflow-wrap: anywhere }
h2 { font-size: 16px; margin: 28px 0 8px }
.lead { margin: 2px 0 16px; color: var(--soft) }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(108px, 1fr)); gap: 8px;
  margin: 0 0 20px }
.cards div { background: var(--card); border-radius: 8px; padding: 8px 12px; display: flex;
  flex-direction: column }
.cards dt { color: var(--soft); font-size: 13px }
.cards dd { margin: 0; order: -1; font-size: 18px; font-weight: 600 }
.bad { color: var(--bad) }
figure { margin: 0 }
.narrow { display: none }
.scroll { overflow-x: auto }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th { text-align: left; color: var(--soft); font-weight: 500; font-size: 13px }
th, td { padding: 5px 14px 5px 0; border-bottom: 1px solid var(--line); vertical-align: top }
.figures th:not(:first-child), .figures td:not(:first-child) { text-align: right; white-space: nowrap }
.figures td:first-child, .errors td { overflow-wrap: anywhere }
.errors td:nth-child(-n+2) { white-space: nowrap }
.errors td:nth-child(3) { min-width: 9ch }
.name { min-width: 96px }
.name { display: block; position: relative; padding-left: 19px }
.name i { position: absolute; left: 0; top: 6px; width: 11px; height: 11px; border-radius: 2px }
.engines th:nth-child(2), .engines td:nth-child(2) { width: 66%; text-align: left }
.meter { display: inline-block; width: calc(100% - 7ch); height: 9px; border-radius: 5px;
  background: var(--line); margin-right: 10px; overflow: hidden }
.meter span { display: block; height: 100%; background: var(--bar) }
details { margin-top: 28px; color: var(--soft) }
details dt { color: var(--text); font-weight: 500 }
details dd { margin: 0 0 6px }
#tip { position: fixed; z-index: 1; max-width: min(420px, 92vw); padding: 7px 11px; border-radius: 7px;
  background: var(--text); color: var(--ground); font-size: 13px; line-height: 1.45; white-space: pre-line;
  overflow-wrap: anywhere; pointer-events: none }
@media (max-width: 700px) {
  main { padding: 14px 16px 32px }
  .wide { display: none }
  .narrow { display: block }
  th, td { padding-right: 8px }
  .cards div { padding: 8px 9px }
  .cards dd { font-size: 16px }
  .engines th:nth-child(2), .engines td:nth-child(2) { width: 45% }
  .figures th:nth-child(6), .figures td:nth-child(6) { display: none }
  .errors th:nth-child(2), .errors td:nth-child(2) { display: none }
}
@media print { #tip { display: none } }
""" + "".join(
    f"td .c{n} {{ background: {colour} }}\n"
    for n, colour in enumerate((*FUNCTION_COLOURS, OTHERS_COLOUR))
)

# Shows what a bar says at once, and where there is no mouse; without a script the browser does after a while.
_SCRIPT = """
(function () {
  "use strict";
  var tip = document.getElementById("tip");
  document.querySelectorAll("svg title").forEach(function (title) {
    var bar = title.parentNode;
    bar.setAttribute("aria-label", title.textContent);
    bar.dataset.tip = title.textContent;
    title.remove();
  });
  function show(event) {
    var bar = event.target.closest ? event.target.closest("[data-tip]") : null;
    tip.hidden = !bar;
    if (!bar) { return; }
    tip.textContent = bar.dataset.tip;
    var left = event.clientX + 14, top = event.clientY + 16;
    if (left + tip.offsetWidth > innerWidth - 8) { left = innerWidth - 8 - tip.offsetWidth; }
    if (top + tip.offsetHeight > innerHeight - 8) { top = event.clientY - 12 - tip.offsetHeight; }
    tip.style.left = Math.max(8, left) + "px";
    tip.style.top = Math.max(8, top) + "px";
  }
  document.addEventListener("pointermove", show);
  document.addEventListener("pointerdown", show);
  document.addEventListener("pointerleave", function () { tip.hidden = true; });
  document.addEventListener("scroll", function () { tip.hidden = true; }, { passive: true });
}());
"""
