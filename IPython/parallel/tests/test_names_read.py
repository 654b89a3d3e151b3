"""Which names code reads before it binds them."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import ast

import pytest

from IPython.parallel.notebook.names_read import read_first

READ = [
    "x",
    "x += 1",
    "x = x + 1",
    "x: int = x",
    "y = x = x",
    "if c:\n    x = 1\nx",
    "while c:\n    x = 1\nx",
    "for i in x:\n    x = i",
    "for x in c:\n    pass\nx",
    "try:\n    x = 1\nexcept E:\n    pass\nx",
    "try:\n    c()\nexcept E as x:\n    pass\nx",
    "try:\n    pass\nfinally:\n    x\nx = 1",
    "match c:\n    case [x]:\n        pass\nx",
    "match c:\n    case x.y:\n        pass\nx = 1",
    "def f():\n    return x\nx = 1",
    "def f(a=x):\n    x = a",
    "@x\ndef f(): pass\nx = 1",
    "class C(x):\n    pass\nx = 1",
    "class C:\n    x = 1\nx",
    "[x for y in c]\nx = 1",
    "[x for x in c]\nx",
    "[y for y in x]\nx = 1",
    "f = lambda: x\nx = 1",
    "with x as y:\n    x = 1",
    "del x",
    "x.a = 1\nx = 2",
    "x[0] = 1\nx = 2",
    "f'{x}'\nx = 1",
    "(y := x) + (x := 1)",
]
NOT_READ = [
    "x = 1\nx += x",
    "x: int\nx = 1",
    "(x := 1) + x",
    "x, (y, *z) = c\nx + y + z",
    "import x\nx",
    "import x.y\nx",
    "import y as x\nx",
    "from y import x\nx",
    "def x(): return x()\nx()",
    "async def x(): await x()",
    "class x: pass\nx",
    "for x in c:\n    x",
    "with c as x:\n    x\nx",
    "[x for x in c if x]",
    "{x: x for x in c}",
    "{x for y in c for x in y}",
    "f = lambda x, *y, z=1: x + y + z",
    "def f(x, /, *y, **z): return x, y, z",
    "try:\n    pass\nexcept E as x:\n    x",
    "try:\n    pass\nfinally:\n    x = 1\nx",
    "match c:\n    case {'a': x, **y}:\n        x, y\n    case [x, *y] as z if x:\n        x, y, z",
    "if c:\n    x = 1\n    x\nelse:\n    x = 2\n    x",
]


@pytest.mark.parametrize("code", READ)
def test_read(code: str) -> None:
    assert "x" in read_first(ast.parse(code).body)


@pytest.mark.parametrize("code", NOT_READ)
def test_not_read(code: str) -> None:
    assert not {"x", "y", "z"} & read_first(ast.parse(code).body)
