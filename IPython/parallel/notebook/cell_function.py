"""A cell as a function that can be submitted, whose value is that of its last expression."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import ast
import symtable
from collections.abc import Callable
from typing import Any

from IPython.core.interactiveshell import InteractiveShell

from .names_read import read_first

NAME = "cell"


def function_of_cell(shell: InteractiveShell, cell: str) -> Callable[[], Any]:
    """The function of no arguments that does what the cell would do.

    Names are those of the shell's namespace. What the cell assigns is local to the call; what it reads
    before, and has a value in the namespace now, begins with that, so that ``x += 1`` works. IPython's syntax
    (``!ls``, ``%time``) and top-level ``await`` work, too.

    Raises
    ------
    SyntaxError
        As the cell itself would raise it, or for ``from module import *``.
    """
    source = shell.transform_cell(cell)  # type: ignore[no-untyped-call]  # IPython's, without types
    filename = shell.compile.cache(source, shell.execution_count, raw_code=cell)
    body = ast.parse(source, filename).body
    if body and isinstance(body[-1], ast.Expr):
        body[-1] = ast.copy_location(ast.Return(body[-1].value), body[-1])
    definition = _definition(body)
    begin_with = sorted(_assigned(definition) & read_first(body) & shell.user_ns.keys())
    _add_parameters(definition, begin_with)
    if _uses_ipython(definition):
        # The engine's own: what `!ls` stands for calls it, and this session's stays here.
        definition.body[:0] = ast.parse("from IPython import get_ipython").body
    if isinstance(definition, ast.AsyncFunctionDef):
        definition = _run_by_asyncio(definition, begin_with)
    return _built(definition, filename, shell.user_ns)


def _definition(body: list[ast.stmt]) -> ast.FunctionDef | ast.AsyncFunctionDef:
    is_async = any(map(_awaits, body))
    (definition,) = ast.parse(f"{'async ' if is_async else ''}def {NAME}(): pass").body
    assert isinstance(definition, ast.FunctionDef | ast.AsyncFunctionDef)
    definition.body = body or definition.body
    return definition


def _awaits(node: ast.AST) -> bool:
    """Whether something is awaited here, functions defined here apart."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        return False
    if isinstance(node, ast.Await | ast.AsyncFor | ast.AsyncWith) or getattr(node, "is_async", False):
        return True
    return any(map(_awaits, ast.iter_child_nodes(node)))


def _uses_ipython(definition: ast.stmt) -> bool:
    return any(isinstance(node, ast.Name) and node.id == "get_ipython" for node in ast.walk(definition))


def _assigned(definition: ast.stmt) -> set[str]:
    """The names that are local to the function."""
    table = symtable.symtable(ast.unparse(definition), "<cell>", "exec")
    (function,) = (child for child in table.get_children() if child.get_name() == NAME)
    return {symbol.get_name() for symbol in function.get_symbols() if symbol.is_local()}


def _add_parameters(definition: ast.FunctionDef | ast.AsyncFunctionDef, names: list[str]) -> None:
    """Let these names be parameters that have the value of the same name where the function is defined."""
    (like,) = ast.parse(f"def {NAME}({', '.join(f'{name}={name}' for name in names)}): pass").body
    assert isinstance(like, ast.FunctionDef)
    definition.args = like.args


def _run_by_asyncio(definition: ast.AsyncFunctionDef, names: list[str]) -> ast.FunctionDef:
    (run,) = ast.parse(f"def {NAME}(): import asyncio; return asyncio.run({NAME}())").body
    assert isinstance(run, ast.FunctionDef)
    run.body.insert(1, definition)
    _add_parameters(run, names)
    return run


def _built(definition: ast.stmt, filename: str, namespace: dict[str, Any]) -> Callable[[], Any]:
    module = ast.fix_missing_locations(ast.Module([definition], []))
    made: dict[str, Any] = {}
    exec(compile(module, filename, "exec", dont_inherit=True), namespace, made)
    function: Callable[[], Any] = made[NAME]
    return function
