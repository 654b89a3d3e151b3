"""The structure of the package: imports run one way, those for types too."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import IPython.parallel

HERE = Path(IPython.parallel.__file__).parent


def module_files() -> dict[str, Path]:
    """The modules of the package by their names within it."""
    files = (file for file in HERE.rglob("*.py") if "tests" not in file.relative_to(HERE).parts)
    return {".".join(file.relative_to(HERE).with_suffix("").parts): file for file in files if file.stem != "__init__"}


def imported(name: str, source: str, modules: dict[str, Path]) -> Iterator[str]:
    """The modules of the package that a module imports, but for what its functions import when they run."""
    tree = ast.parse(source)
    inside = {node for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) for node in ast.walk(f)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or not node.level or node in inside:
            continue
        base = [*name.split(".")[: -node.level], *(node.module or "").split(".")]
        where = ".".join(part for part in base if part)
        names = {where, *(f"{where}.{alias.name}".lstrip(".") for alias in node.names)}
        yield from names & modules.keys()


def test_no_module_imports_one_that_imports_it() -> None:
    modules = module_files()
    graph = {name: set(imported(name, file.read_text(encoding="utf-8"), modules)) for name, file in modules.items()}
    assert graph["dispatch.dispatcher"] > {"dispatch.schedule", "dispatch.lines", "errors"}
    order = list(TopologicalSorter(graph).static_order())  # raises CycleError
    assert order.index("errors") < order.index("dispatch.dispatcher") < order.index("engine_room")


def test_the_dispatcher_and_what_it_stands_on_know_nothing_of_ipyparallel() -> None:
    for file in (HERE / "dispatch").glob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        froms = {(node.module or "") for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level}
        plain = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        assert not {name for name in froms | plain if name.partition(".")[0] in ("ipyparallel", "zmq", "IPython")}, file
