"""Sphinx directives that draw what is kept as data: the table of patches, the life of a task, the modules, the news."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import ast
import inspect
import pkgutil
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

KINDS = {"add": "added", "replace": "replaced"}


class DrawnDirective(SphinxDirective):
    """A directive without content of its own, which writes reStructuredText and has it parsed in its place."""

    def run(self) -> list[nodes.Node]:
        """Parse the text drawn from the code."""
        return self.parse_text_to_nodes("\n".join(self.lines()), allow_section_headings=True)

    def lines(self) -> Iterable[str]:
        """The lines of reStructuredText to be parsed."""
        raise NotImplementedError


class PatchTable(DrawnDirective):
    """What is patched: one table for each class, from `IPython.parallel.patching.PATCHES`."""

    def lines(self) -> Iterator[str]:
        patches = import_module("IPython.parallel.patching").PATCHES
        for target in dict.fromkeys(patch.target for patch in patches):
            rows = [patch for patch in patches if patch.target is target]
            yield from patch_table(f"{target.__module__}.{target.__qualname__}", rows)


class TaskStates(DrawnDirective):
    """The life of a task, from `IPython.parallel.dispatch.task_states.MOVES`."""

    def lines(self) -> Iterator[str]:
        yield from literal(moves_drawing(import_module("IPython.parallel.dispatch.task_states").MOVES))


class ResultLimits(DrawnDirective):
    """What `ar.result` without a call cannot honour, from `IPython.parallel.result_shim.LIMITS`."""

    def lines(self) -> Iterator[str]:
        yield from table_head("value", "what differs with ``x = ar.result``", "why", widths="15 45 40")
        for limit in import_module("IPython.parallel.result_shim").LIMITS:
            yield from table_row(f"``{limit.value}``", code_cell(limit.code), limit.why)


class ErrorTable(DrawnDirective):
    """The errors of our own, from `IPython.parallel.errors`."""

    def lines(self) -> Iterator[str]:
        errors = import_module("IPython.parallel.errors")
        yield from table_head("error", "also caught by", "meaning", widths="20 25 55")
        for name in errors.__all__:
            error = getattr(errors, name)
            bases = ", ".join(f"``{base.__name__}``" for base in error.__bases__)
            yield from table_row(f"``{name}``", bases, first_paragraph(inspect.getdoc(error) or ""))


class PackageMap(DrawnDirective):
    """The modules of the package, part by part, and the one job of each, from the first lines of the files."""

    def lines(self) -> Iterator[str]:
        for part, directory in package_parts():
            if part:
                yield from ("", f"``{part}/``: {job_of(directory / '__init__.py')}")
            yield from table_head("module", "its one job", widths="25 75")
            for name in module_names(directory):
                yield from table_row(f"``{name}``", job_of(directory / f"{name}.py"))


class NewsSnippets(DrawnDirective):
    """The news of what is not released yet, from the snippets in `whatsnew/pr`."""

    def lines(self) -> Iterator[str]:
        snippets = sorted(Path(self.env.srcdir, "whatsnew", "pr").glob("*.rst"))
        for path in snippets:
            yield from ("", *path.read_text(encoding="utf-8").splitlines(), "")
        if not snippets:
            yield "Nothing yet."


def package_parts() -> Iterator[tuple[str, Path]]:
    """The package itself, under an empty name, and its sub-packages; its tests are no part of the interface."""
    package = Path(import_module("IPython.parallel").__path__[0])
    yield "", package
    parts = (module.name for module in pkgutil.iter_modules([str(package)]) if module.ispkg and module.name != "tests")
    yield from ((part, package / part) for part in sorted(parts))


def module_names(directory: Path) -> list[str]:
    """The names of the modules in a directory."""
    return sorted(module.name for module in pkgutil.iter_modules([str(directory)]) if not module.ispkg)


def job_of(path: Path) -> str:
    """What a module says of itself in its first paragraph."""
    return first_paragraph(ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "")


def first_paragraph(text: str) -> str:
    """The first paragraph of a docstring on one line."""
    return " ".join(text.partition("\n\n")[0].split())


def patch_table(target: str, patches: Iterable[Any]) -> Iterator[str]:
    """A table of the patches on one class."""
    yield from table_head("name", "", "why", title=f"``{target}``", widths="20 12 68")
    for patch in patches:
        yield from table_row(f"``{patch.name}``", KINDS[patch.kind], " ".join(patch.why.split()))


def table_head(*columns: str, widths: str, title: str = "") -> Iterator[str]:
    """The beginning of a list-table, with its first row."""
    yield from ("", f".. list-table:: {title}".rstrip(), "   :header-rows: 1", f"   :widths: {widths}", "")
    yield from table_row(*columns)


def table_row(first: str, *others: str) -> Iterator[str]:
    """One row of a list-table; a cell may have several lines."""
    for mark, cell in zip(["   * - ", *["     - "] * len(others)], [first, *others]):
        head, *rest = cell.split("\n")
        yield mark + head
        yield from (f"       {line}".rstrip() for line in rest)


def code_cell(code: str) -> str:
    """Code as the content of a cell: in the line, or as a block when it has several."""
    if "\n" not in code:
        return f"``{code}``"
    indented = "\n".join(f"   {line}" for line in code.splitlines())
    return f".. code-block:: python\n\n{indented}"


def moves_drawing(moves: Mapping[Any, Iterable[Any]]) -> Iterator[str]:
    """Each state with arrows to those that may follow it, final states marked as such."""
    width = max(len(state_name(state)) for state in moves)
    for state, following in moves.items():
        name = state_name(state)
        arrows = [f"──▶ {state_name(next_state)}" for next_state in following] or ["(final)"]
        yield f"{name:<{width}} {arrows[0]}"
        yield from (f"{'':<{width}} {arrow}" for arrow in arrows[1:])


def state_name(state: Any) -> str:
    """The name of a state, be it a member of an enumeration or a plain string."""
    return str(getattr(state, "name", state))


def literal(lines: Iterable[str]) -> Iterator[str]:
    """A literal block."""
    yield from ("::", "")
    yield from (f"   {line}" for line in lines)
    yield ""


DIRECTIVES: dict[str, type[DrawnDirective]] = {
    "patch-table": PatchTable,
    "task-states": TaskStates,
    "result-limits": ResultLimits,
    "error-table": ErrorTable,
    "package-map": PackageMap,
    "news-snippets": NewsSnippets,
}


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    for name, directive in DIRECTIVES.items():
        app.add_directive(name, directive)
    return {"parallel_read_safe": True}
