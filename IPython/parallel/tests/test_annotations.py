"""Annotations evaluated on demand, and type aliases: scripts that use them run as under plain Python."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import ipyparallel
import pytest

from IPython.parallel.tests.test_command_line import python

# Each of them is text: earlier versions cannot read all of it.
LAZY = """
from annotationlib import Format, get_annotations
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_type_hints

if TYPE_CHECKING:
    from decimal import Decimal


@dataclass
class Node:
    value: int
    next: Node | None = None
    price: Decimal | None = None

    def before(self, value: Decimal) -> Node:
        return Node(value, self)


class Known:
    mine: Node
    other: list[Node]


class Partly:
    mine: Known
    other: Decimal


def chain(length: int, price: Decimal = 0) -> Node:
    found = Node(0, None, price)
    for value in range(1, length):
        found = found.before(value)
    return found


def local(value: int):
    def inner(given: Decimal) -> Node:
        return Node(given)

    return inner(value)


def annotations(of):
    return {name: getattr(hint, "__name__", str(hint)) for name, hint in get_type_hints(of).items()}


def names(of):
    return sorted(get_annotations(of, format=Format.FORWARDREF))


if __name__ == "__main__":
    with ProcessPoolExecutor() as pool:
        print(pool.submit(chain, 3).result())
        print(list(pool.map(chain, range(1, 4), buffersize=2)))
        print(pool.submit(local, 4).result())
        print(pool.submit(Node(1).before, 2).result())
        print(type(pool.submit(chain, 1).result()) is Node)
        print(pool.submit(annotations, Known).result())
        print(pool.submit(names, Partly).result())
"""

ALIASES = """
from concurrent.futures import ProcessPoolExecutor
from typing import get_args

type Number = int | float
type Pair[T] = tuple[T, T]
type Json = dict[str, Json] | list[Json] | str


def half(number: Number) -> Number:
    return number / 2


def both(given: Pair[int]) -> Pair[Number]:
    return given[0] / 2, given[1] / 2


def shown() -> str:
    parameters = [made.__name__ for made in Pair.__type_params__]
    return f"{Number} {Number.__value__} {Pair} {parameters} {get_args(Pair[int])}"


def depth(document: Json) -> int:
    return 1 + max(map(depth, document), default=0) if isinstance(document, list) else 0


class Box[T]:
    def __init__(self, content: T) -> None:
        self.content = content


def boxed[T](content: T) -> Box[T]:
    return Box(content)


if __name__ == "__main__":
    with ProcessPoolExecutor() as pool:
        print(pool.submit(half, 3).result(), pool.submit(both, (1, 2)).result())
        print(pool.submit(shown).result())
        print(pool.submit(depth, [[], [[]]]).result(), str(Json))
        print(pool.submit(boxed, 5).result().content, type(pool.submit(boxed, 5).result()) is Box)
"""

SCRIPTS = [
    pytest.param(LAZY, marks=pytest.mark.skipif(sys.version_info < (3, 14), reason="new in 3.14"), id="on demand"),
    pytest.param(ALIASES, marks=pytest.mark.skipif(sys.version_info < (3, 12), reason="new in 3.12"), id="aliases"),
]


@pytest.mark.parametrize("text", SCRIPTS)
def test_runs_as_under_plain_python(text: str, tmp_path: Path, connection_file: Path) -> None:
    (tmp_path / "script.py").write_text(text)
    expected = python("script.py", cwd=tmp_path)
    assert expected[1] == 0, expected
    via = ("--quiet", "--connection-file", str(connection_file))
    assert python("script.py", via=via, cwd=tmp_path) == expected


@pytest.mark.skipif(sys.version_info < (3, 14), reason="new in 3.14")
def test_what_ipyparallel_sends(client: ipyparallel.Client) -> None:
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile("def twice(x: Missing) -> int:\n    return 2 * x", "script.py", "exec", dont_inherit=True), names)
    assert client[:].apply_sync(names["twice"], 2) == [4] * len(client.ids)
    engine = client[client.ids[0]]
    engine.push({"_twice": names["twice"]}, block=True)
    engine.execute("_found = _twice(3), _twice.__annotations__; del _twice", block=True)
    assert engine.pull("_found", block=True) == (6, {"x": "Missing", "return": int})
    engine.execute("del _found", block=True)
