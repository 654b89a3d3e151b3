"""Which names a piece of code reads before it has bound them itself."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import ast
from collections.abc import Iterable


def read_first(body: Iterable[ast.stmt]) -> set[str]:
    """The names that the statements may read before they bind them.

    Rather one too many: what is bound on some ways through the code only counts as read when it is read
    afterwards, and so does what a function reads, as if it were called where it is defined.
    """
    visitor = _Order()
    visitor.visit_all(body)
    return visitor.read


class _Order(ast.NodeVisitor):
    """Goes through code in the order in which it is run."""

    def __init__(self) -> None:
        self.read: set[str] = set()
        self._bound: set[str] = set()

    def visit_all(self, nodes: Iterable[ast.AST | None]) -> None:
        for node in nodes:
            if node is not None:
                self.visit(node)

    def _perhaps(self, nodes: Iterable[ast.AST | None]) -> None:
        """Visit what may not be run, or has a scope of its own: what it binds does not count afterwards."""
        before = set(self._bound)
        self.visit_all(nodes)
        self._bound = before

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Store):
            self._bound.add(node.id)
        elif node.id not in self._bound:
            self.read.add(node.id)

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit_all([node.value, *node.targets])

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit_all([node.value, node.target])

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            self.visit(ast.Name(node.target.id, ast.Load()))
        self.visit_all([node.value, node.target])

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.visit_all([node.value, node.target])

    def visit_If(self, node: ast.If) -> None:
        self.visit(node.test)
        self._perhaps(node.body)
        self._perhaps(node.orelse)

    visit_While = visit_If  # type: ignore[assignment]  # both have a body and an else

    def visit_For(self, node: ast.For | ast.AsyncFor) -> None:
        self.visit(node.iter)
        self._perhaps([node.target, *node.body])
        self._perhaps(node.orelse)

    visit_AsyncFor = visit_For

    def visit_Try(self, node: ast.Try) -> None:
        self._perhaps([*node.body, *node.orelse])
        for handler in node.handlers:
            self._perhaps([handler])
        self.visit_all(node.finalbody)

    visit_TryStar = visit_Try  # type: ignore[assignment]  # of the same fields

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        self.visit_all([node.type])
        self._bound |= {node.name} if node.name else set()
        self.visit_all(node.body)

    def visit_Match(self, node: ast.Match) -> None:
        self.visit(node.subject)
        for case in node.cases:
            before = set(self._bound)
            for part in ast.walk(case.pattern):
                self._bound |= {name for field in ("name", "rest") if (name := getattr(part, field, None)) is not None}
            self.visit_all([case.pattern, case.guard, *case.body])
            self._bound = before

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.visit_all(node.decorator_list)
        self._bound.add(node.name)
        self._visit_function(node.args, node.body)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._visit_function(node.args, [node.body])

    def _visit_function(self, args: ast.arguments, body: Iterable[ast.AST]) -> None:
        self.visit_all([*args.defaults, *args.kw_defaults])
        before = set(self._bound)
        self._bound |= {part.arg for part in ast.walk(args) if isinstance(part, ast.arg)}
        self.visit_all(body)
        self._bound = before

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.visit_all([*node.decorator_list, *node.bases, *node.keywords])
        self._perhaps(node.body)
        self._bound.add(node.name)

    def _visit_comprehension(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp) -> None:
        self._perhaps([*node.generators, node.elt])

    visit_ListComp = visit_SetComp = visit_GeneratorExp = _visit_comprehension

    def visit_DictComp(self, node: ast.DictComp) -> None:
        self._perhaps([*node.generators, node.key, node.value])

    def visit_comprehension(self, node: ast.comprehension) -> None:
        self.visit_all([node.iter, node.target, *node.ifs])

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> None:
        self._bound |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}

    visit_ImportFrom = visit_Import
