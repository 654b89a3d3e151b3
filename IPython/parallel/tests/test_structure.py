"""The structure of the package: imports run one way, those for types too; what is done with a lock held."""

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


LOCKS = ("lock", "making", "condition", "idle", "sending", "adding", "changed", "removing")
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp)


def done_with_lock_held(tree: ast.AST) -> Iterator[ast.AST]:
    """What stands in the body of a ``with`` of a lock, and not in a function there."""
    for node in ast.walk(tree):
        if isinstance(node, ast.With) and any(is_lock(item.context_expr) for item in node.items):
            left: list[ast.AST] = list(node.body)
            while left:
                yield (found := left.pop())
                if not isinstance(found, (ast.FunctionDef, ast.Lambda, ast.GeneratorExp)):
                    left += ast.iter_child_nodes(found)


def is_lock(expression: ast.expr) -> bool:
    return ast.unparse(expression).rpartition(".")[2].strip("_") in LOCKS


def goes_back_by_a_condition(node: ast.AST) -> bool:
    if isinstance(node, COMPREHENSIONS):
        return any(part.ifs for part in node.generators)
    ends = (ast.If, ast.For, ast.With, ast.Try)
    return isinstance(node, ast.While) or (isinstance(node, ast.For) and isinstance(node.body[-1], ends))


def test_no_loop_stands_where_ctrl_c_in_it_would_leave_a_lock_locked() -> None:
    """Of the engine's side there is a ``while`` of a thread of its own, where Ctrl-C never comes."""
    found, held = [], 0
    for name, file in module_files().items():
        for node in done_with_lock_held(ast.parse(file.read_text(encoding="utf-8"))):
            held += 1
            if goes_back_by_a_condition(node) and not name.startswith("on_engines"):
                found.append(f"{name}, line {node.lineno}: {ast.unparse(node)}")  # type: ignore[attr-defined]
    assert held > 500
    assert found == []
