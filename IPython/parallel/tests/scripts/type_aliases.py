"""Aliases made by the statement `type`, as of Python 3.12: in annotations, in code, one that refers to itself."""

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
    return f"{Number} {Number.__value__} {Pair} {[made.__name__ for made in Pair.__type_params__]} {get_args(Pair[int])}"


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
