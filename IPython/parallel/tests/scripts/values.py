"""Dataclasses, enums and other types of the script, there and back."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from collections import namedtuple
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import partial
from operator import mul


class Colour(Enum):
    RED = 1
    BLUE = 2


Pair = namedtuple("Pair", "left right")


@dataclass(order=True)
class Point:
    x: int
    y: int = 0
    tags: list = field(default_factory=list)

    def moved(self, by):
        return replace(self, x=self.x + by)

    @classmethod
    def origin(cls):
        return cls(0)


def describe(value):
    if isinstance(value, Point):
        return value.moved(1)
    if isinstance(value, Pair):
        return Pair(value.right, value.left)
    return value is Colour.RED, value


if __name__ == "__main__":
    with ProcessPoolExecutor(2) as pool:
        results = list(pool.map(describe, [Point(1, 2, ["a"]), Pair(1, Colour.BLUE), Colour.RED]))
        print(results)
        print(type(results[0]) is Point, type(results[1]) is Pair, results[2][1] is Colour.RED)
        print(pool.submit(Point(1).moved, 5).result(), pool.submit(Point.origin).result())
        print(list(pool.map(partial(mul, 3), range(4))), pool.submit(Point, 4, y=5).result())
