"""Colours of a timeline, for light and dark ground, and which function has which."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import re
from html import escape

from .log import CallLog

# Told apart by people who see fewer colours, too; none is near red. White names can be read on them (4.5:1), and they
# stand out from light and from dark ground (3:1).
FUNCTION_COLOURS = ("#2f74c0", "#a36a00", "#17806f", "#8b62b5", "#5f7d26")
OTHERS_COLOUR = "#6a7583"
FAILED_COLOUR = "#d7263d"

# Text takes the colour of what is around it, so that it can be read in a notebook of any theme.
PICTURE_STYLE = f"""
.ippt {{ font: 12px system-ui, "Segoe UI", "DejaVu Sans", sans-serif; display: block; width: 100%;
  height: auto }}
.ippt text {{ fill: currentColor }}
.ippt .head {{ font-size: 14px; font-weight: 600 }}
.ippt .soft {{ opacity: .68 }}
.ippt .track {{ fill: currentColor; opacity: .07 }}
.ippt .grid {{ stroke: currentColor; opacity: .16 }}
.ippt .group {{ fill: none; stroke: currentColor; opacity: .55 }}
.ippt .queue {{ fill: currentColor; opacity: .3 }}
.ippt .inside {{ fill: #fff; font-size: 11px; pointer-events: none }}
.ippt .f {{ fill: {FAILED_COLOUR} }}
.ippt .cross {{ stroke: #fff; stroke-width: 1.6; fill: none; pointer-events: none }}
.ippt .idle {{ stroke: currentColor; stroke-opacity: .6; stroke-dasharray: 4 3 }}
.ippt .hollow {{ fill: currentColor; fill-opacity: .04 }}
.ippt .halo {{ font-weight: 600 }}
.ippt .wait {{ stroke: currentColor; stroke-width: 2; stroke-dasharray: 2 2; opacity: 0;
  pointer-events: none }}
.ippt .b:hover .wait, .ippt .b:focus .wait {{ opacity: .8 }}
.ippt .b:hover rect, .ippt .b:focus rect {{ stroke: currentColor; stroke-width: 1.5 }}
.ippt .b:focus {{ outline: none }}
""" + "".join(
    f".ippt .c{n} {{ fill: {colour} }}\n"
    for n, colour in enumerate((*FUNCTION_COLOURS, OTHERS_COLOUR))
)

GROUND_STYLE = """
.ippt { background: #fff; color: #1d2530 }
@media (prefers-color-scheme: dark) { .ippt { background: #14181f; color: #e4e8ee } }
"""


class Palette:
    """Gives the functions that took most of the time a colour of their own, and the others one for all."""

    def __init__(self, log: CallLog) -> None:
        ranked = sorted(log.functions, key=lambda name: (-log.functions[name].busy, name))
        own = ranked if len(ranked) <= len(FUNCTION_COLOURS) else ranked[: len(FUNCTION_COLOURS)]
        self.names = own
        self.has_others = len(own) < len(ranked)
        self._number = {name: number for number, name in enumerate(own)}

    def css_class(self, name: str) -> str:
        return f"c{self._number.get(name, len(FUNCTION_COLOURS))}"


_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def quoted(text: str) -> str:
    """Text of somebody's own for HTML and SVG, without the characters that neither may have."""
    return escape(_NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text), quote=True)


def clipped(text: str, characters: int) -> str:
    return (
        text
        if len(text) <= characters
        else text[: max(0, characters - 1)] + "\N{HORIZONTAL ELLIPSIS}"
    )
