"""Functions and classes with annotations that are evaluated on demand, as of Python 3.14."""

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
