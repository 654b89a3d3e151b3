"""Sphinx directives that draw the old names of IPython.parallel, and what old test-suites do not pass."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

from drawn_from_code import DrawnDirective, table_head, table_row
from sphinx.application import Sphinx

TOOLS = Path(__file__).parents[3] / "tools"


class LegacyModules(DrawnDirective):
    """The old modules, from `IPython.parallel.legacy.names.MODULES`."""

    def lines(self) -> Iterator[str]:
        yield from table_head("IPython.parallel", "today", widths="40 60")
        for old, new in import_module("IPython.parallel.legacy.names").MODULES.items():
            yield from table_row(f"``.{old}``", f"``{new}``")


class LegacyMoved(DrawnDirective):
    """The names that left their module, from `IPython.parallel.legacy.names.MOVED`."""

    def lines(self) -> Iterator[str]:
        yield from table_head("IPython.parallel", "today", widths="40 60")
        for old, (module, name) in import_module("IPython.parallel.legacy.names").MOVED.items():
            yield from table_row(f"``.{old}``", f"``{module}.{name}``")


class LegacyGone(DrawnDirective):
    """What is gone, by what to write instead, from `IPython.parallel.legacy.names.GONE`."""

    def lines(self) -> Iterator[str]:
        gone = import_module("IPython.parallel.legacy.names").GONE
        yield from table_head("IPython.parallel", "instead", widths="40 60")
        for why in dict.fromkeys(gone.values()):
            names = ", ".join(f"``.{old}``" for old in gone if gone[old] == why)
            yield from table_row(names, why)


class LegacySuites(DrawnDirective):
    """What IPython's own test-suites do not pass, from ``EXPECTED`` of tools/legacy_suites.py."""

    def lines(self) -> Iterator[str]:
        expected = tool().EXPECTED
        yield from table_head("tests", "releases", "what changed, and what to write", widths="42 13 45")
        for releases, why in dict.fromkeys(expected.values()):
            patterns = [pattern for pattern, entry in expected.items() if entry == (releases, why)]
            yield from table_row("\n\n".join(f"``{each}``" for each in patterns), named(releases), why)


def named(releases: tuple[str, ...]) -> str:
    """Releases, given as beginnings of their numbers."""
    return ", ".join(f"{number}x" for number in releases if number) or "all"


def tool() -> ModuleType:
    """The tool as a module; tools find each other where they are."""
    sys.path.insert(0, str(TOOLS))
    try:
        return import_module("legacy_suites")
    finally:
        sys.path.remove(str(TOOLS))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    app.add_directive("legacy-modules", LegacyModules)
    app.add_directive("legacy-moved", LegacyMoved)
    app.add_directive("legacy-gone", LegacyGone)
    app.add_directive("legacy-suites", LegacySuites)
    return {"parallel_read_safe": True}
