"""A script that hands its own functions and classes to an executor, and prints as JSON which of its checks passed.

Usage: main_script.py process | balanced CONNECTION_FILE | direct CONNECTION_FILE

Each `check_*` runs on the standard library's process pool as well, each `check_beyond_pools_*` on views alone. There is
one worker, so what one call leaves behind is seen by the next.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import abc
import asyncio
import collections
import contextlib
import dataclasses
import enum
import functools
import itertools
import json
import logging
import math
import multiprocessing
import os
import pickle
import re
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

TIMEOUT = 10.0

RATE = 2
RATES = {"full": 2, "reduced": 1}
STATE: Any = None
COLLECTED: list[int] = []
WORD = re.compile(r"\w+")
LOGGER = logging.getLogger("main_script")
LOCK = threading.Lock()
LOCAL = threading.local()


def gross(net: float) -> float:
    return math.floor(net) * RATE


def gross_of_all(nets: list[float]) -> list[float]:
    return [gross(net) for net in nets if net in {net for _ in RATES}]


def factorial(n: int) -> int:
    return 1 if n == 0 else n * factorial(n - 1)


def is_even(n: int) -> bool:
    return True if n == 0 else is_odd(n - 1)


def is_odd(n: int) -> bool:
    return False if n == 0 else is_even(n - 1)


@dataclasses.dataclass
class Order:
    net: int
    tags: list[str] = dataclasses.field(default_factory=list)

    def gross(self) -> int:
        return self.net * RATE

    def doubled(self) -> Order:
        return Order(self.net * 2, [*self.tags, "doubled"])

    @classmethod
    def free(cls) -> Order:
        return cls(0)

    @staticmethod
    def rate() -> int:
        return RATE


class Shape(abc.ABC):
    sides = 0

    @abc.abstractmethod
    def area(self) -> float: ...

    def describe(self) -> str:
        return f"{type(self).__name__} {self.sides} {self.area()}"


class Square(Shape):
    sides = 4

    def __init__(self, side: float) -> None:
        super().__init__()
        self.side = side

    def area(self) -> float:
        return self.side**2


class Scale:
    """An object that is called, as libraries wrap the user's function."""

    def __init__(self, function: Callable[[int], int], factor: int) -> None:
        self.function = function
        self.factor = factor

    def __call__(self, x: int) -> int:
        return self.function(x) * self.factor * RATE


class Colour(enum.Enum):
    RED = 1
    GREEN = 2


Pair = collections.namedtuple("Pair", "left right")


class OrderError(Exception):
    def __init__(self, order: Order, reason: str) -> None:
        super().__init__(order, reason)
        self.order = order


@functools.cache
def fibonacci(n: int) -> int:
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


def logged(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any) -> Any:
        LOGGER.debug("calling %s", function.__name__)
        return function(*args)

    return wrapper


@logged
def decorated(x: int) -> int:
    return x + RATE


@functools.singledispatch
def kind(value: object) -> str:
    return "object"


@kind.register
def _(value: int) -> str:
    return "int"


@contextlib.contextmanager
def rate_of(value: int) -> Iterator[None]:
    global RATE
    before, RATE = RATE, value
    try:
        yield
    finally:
        RATE = before


def refuse(order: Order) -> None:
    raise OrderError(order, "refused")


def set_state(value: Any) -> None:
    global STATE
    STATE = value


def get_state() -> Any:
    return STATE


def collect(value: int) -> int:
    COLLECTED.append(value)
    return sum(COLLECTED)


def call(function: Callable[..., Any], *args: Any) -> Any:
    return function(*args)


def call_nested(nested: dict[str, list[Callable[..., Any]]], *args: Any) -> list[Any]:
    return [function(*args) for functions in nested.values() for function in functions]


def compose_in_event_loop(n: int) -> int:
    async def part() -> int:
        await asyncio.sleep(0)
        return n * RATE

    async def whole() -> list[int]:
        return await asyncio.gather(part(), part())

    return sum(asyncio.run(whole()))


def sum_in_threads(numbers: list[int]) -> int:
    with ThreadPoolExecutor(2) as threads:
        return sum(threads.map(gross, numbers))


def exit_code_of_a_fork() -> int | None:
    child = multiprocessing.get_context("fork").Process(target=factorial, args=(5,))
    child.start()
    child.join()
    return child.exitcode


def output_of_a_program() -> str:
    program = "print('hello from a child')"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout


def use_the_lock() -> bool:
    with LOCK:
        return LOCK.locked()


def keep_in_thread(value: int) -> int:
    LOCAL.total = getattr(LOCAL, "total", 0) + value
    return LOCAL.total


def words_in(text: str) -> list[str]:
    return [match.upper() for match in WORD.findall(text)]


def multiples(limit: int) -> Iterator[int]:
    for n in itertools.count():
        if n >= limit:
            return
        yield n * RATE


def sum_of_multiples(limit: int) -> int:
    return sum(multiples(limit))


def use_fibonacci(n: int) -> int:
    return fibonacci(n)


def rate_inside() -> tuple[int, int]:
    with rate_of(7):
        inside = RATE
    return inside, RATE


def kinds() -> list[str]:
    return [kind(1), kind("x")]


def own_file() -> str:
    return os.path.basename(__file__)


def copy_by_pickle(order: Order) -> Order:
    return pickle.loads(pickle.dumps(order))


def rate_with_default(x: int, rate: int = RATE) -> int:
    return x * rate


UNNAMED = ["read by nobody in plain sight"]
LARGE = bytes(3_000_000)


def by_globals(name: str) -> Any:
    return globals()[name]


def by_eval(expression: str) -> Any:
    return eval(expression)


def by_exec(statement: str) -> Any:
    names: dict[str, Any] = {}
    exec(statement, globals(), names)
    return names["out"]


def by_sys_modules(name: str) -> Any:
    return getattr(sys.modules["__main__"], name)


def by_import(name: str) -> Any:
    import __main__

    return getattr(__main__, name)


def by_import_from() -> Any:
    from __main__ import UNNAMED

    return UNNAMED


def by_string_for_large() -> int:
    return len(globals()["LARGE"])


def calls_by_globals(name: str) -> Any:
    return by_globals(name)


def unpickle(data: bytes) -> Any:
    return pickle.loads(data)


def unpickle_with_an_import(data: bytes) -> Any:
    from pickle import loads

    return loads(data)


def check_globals_and_modules(executor: Executor) -> None:
    assert executor.submit(gross, 3.5).result(TIMEOUT) == 6


def check_other_functions(executor: Executor) -> None:
    assert executor.submit(gross_of_all, [1, 2]).result(TIMEOUT) == [2, 4]


def check_recursion(executor: Executor) -> None:
    assert executor.submit(factorial, 10).result(TIMEOUT) == 3628800
    assert executor.submit(is_even, 7).result(TIMEOUT) is False


def check_generators(executor: Executor) -> None:
    assert executor.submit(sum_of_multiples, 5).result(TIMEOUT) == 20


def check_compiled_pattern(executor: Executor) -> None:
    assert executor.submit(words_in, "two words").result(TIMEOUT) == ["TWO", "WORDS"]


def check_dataclass_there_and_back(executor: Executor) -> None:
    result = executor.submit(Order.doubled, Order(2, ["new"])).result(TIMEOUT)
    assert type(result) is Order
    assert result == Order(4, ["new", "doubled"])


def check_bound_method(executor: Executor) -> None:
    assert executor.submit(Order(3).gross).result(TIMEOUT) == 6


def check_class_and_static_method(executor: Executor) -> None:
    assert executor.submit(Order.free).result(TIMEOUT) == Order(0)
    assert executor.submit(Order.rate).result(TIMEOUT) == 2


def check_class_as_callable(executor: Executor) -> None:
    assert executor.submit(Order, 5, tags=["x"]).result(TIMEOUT) == Order(5, ["x"])


def check_class_as_argument_and_result(executor: Executor) -> None:
    assert executor.submit(call, Order, 1).result(TIMEOUT) == Order(1)
    assert executor.submit(call, type, Order(1)).result(TIMEOUT) is Order


def check_inheritance(executor: Executor) -> None:
    assert executor.submit(Square(3).describe).result(TIMEOUT) == "Square 4 9"


def check_enum_members_stay_single(executor: Executor) -> None:
    assert executor.submit(call, Colour, 2).result(TIMEOUT) is Colour.GREEN
    assert executor.submit(call, next, iter([Colour.RED])).result(TIMEOUT) is Colour.RED


def check_named_tuple(executor: Executor) -> None:
    result = executor.submit(Pair, 1, right=2).result(TIMEOUT)
    assert type(result) is Pair
    assert result == Pair(1, 2)


def check_partial(executor: Executor) -> None:
    partial = functools.partial(functools.partial(call, gross), 5)
    assert executor.submit(partial).result(TIMEOUT) == 10


def check_callable_object(executor: Executor) -> None:
    assert executor.submit(Scale(factorial, 10), 3).result(TIMEOUT) == 120


def check_functions_deep_inside_arguments(executor: Executor) -> None:
    nested = {"plain": [gross, factorial], "wrapped": [Scale(gross, 1), functools.partial(call, gross)]}
    assert executor.submit(call_nested, nested, 3).result(TIMEOUT) == [6, 6, 12, 6]


def check_decorated_function(executor: Executor) -> None:
    assert executor.submit(decorated, 1).result(TIMEOUT) == 3


def check_default_arguments(executor: Executor) -> None:
    assert executor.submit(rate_with_default, 4).result(TIMEOUT) == 8


def check_context_manager(executor: Executor) -> None:
    assert executor.submit(rate_inside).result(TIMEOUT) == (7, 2)


def check_cached_function_is_used(executor: Executor) -> None:
    assert executor.submit(use_fibonacci, 20).result(TIMEOUT) == 6765


def check_cached_function_is_submitted(executor: Executor) -> None:
    assert executor.submit(fibonacci, 20).result(TIMEOUT) == 6765


def check_single_dispatch(executor: Executor) -> None:
    assert executor.submit(kinds).result(TIMEOUT) == ["int", "object"]


def check_lock_among_the_globals(executor: Executor) -> None:
    assert executor.submit(use_the_lock).result(TIMEOUT) is True


def check_thread_local_among_the_globals(executor: Executor) -> None:
    assert executor.submit(keep_in_thread, 2).result(TIMEOUT) == 2


def check_own_file(executor: Executor) -> None:
    assert executor.submit(own_file).result(TIMEOUT) == os.path.basename(__file__)


def check_pickle_inside_a_call(executor: Executor) -> None:
    assert executor.submit(copy_by_pickle, Order(1)).result(TIMEOUT) == Order(1)


def check_global_by_its_name(executor: Executor) -> None:
    for function in (by_globals, by_sys_modules, by_import, calls_by_globals):
        assert executor.submit(function, "UNNAMED").result(TIMEOUT) == UNNAMED
        assert executor.submit(function, "Order").result(TIMEOUT) is Order
        assert executor.submit(function, "factorial").result(TIMEOUT) is factorial


def check_expressions_and_statements(executor: Executor) -> None:
    assert executor.submit(by_eval, "gross(2) + math.floor(len(UNNAMED))").result(TIMEOUT) == 5
    assert executor.submit(by_exec, "out = Order(factorial(3)).gross()").result(TIMEOUT) == 12
    assert executor.submit(by_eval, "__name__").result(TIMEOUT) in ("__main__", "__mp_main__")


def check_import_from_main(executor: Executor) -> None:
    assert executor.submit(by_import_from).result(TIMEOUT) == UNNAMED


def check_large_global_that_is_spelt_out(executor: Executor) -> None:
    assert executor.submit(by_string_for_large).result(TIMEOUT) == len(LARGE)


def check_lock_by_its_name(executor: Executor) -> None:
    assert executor.submit(by_eval, "LOCK.acquire() and LOCK.release()").result(TIMEOUT) is None


def check_pickles_among_the_arguments(executor: Executor) -> None:
    data = pickle.dumps([Order(4), Colour.GREEN, factorial])
    for function in (unpickle, unpickle_with_an_import, pickle.loads, functools.partial(call, pickle.loads)):
        assert executor.submit(function, data).result(TIMEOUT) == [Order(4), Colour.GREEN, factorial]


def check_error_class_of_the_script(executor: Executor) -> None:
    try:
        executor.submit(refuse, Order(9)).result(TIMEOUT)
    except OrderError as error:
        assert error.order == Order(9)
        assert error.args == (Order(9), "refused")
    else:
        raise AssertionError("nothing was raised")


def check_map_over_objects(executor: Executor) -> None:
    assert list(executor.map(Order.gross, [Order(n) for n in range(4)], timeout=TIMEOUT)) == [0, 2, 4, 6]


def check_later_calls_see_what_a_call_set(executor: Executor) -> None:
    executor.submit(set_state, "set by a call").result(TIMEOUT)
    assert executor.submit(get_state).result(TIMEOUT) == "set by a call"
    # Sent anew, deep inside an argument and beside another function, it still finds the same globals.
    assert executor.submit(call, Scale(call, 1).function, get_state).result(TIMEOUT) == "set by a call"
    assert STATE is None


def check_changed_in_place_stays_changed(executor: Executor) -> None:
    assert [executor.submit(collect, n).result(TIMEOUT) for n in (1, 2, 3)] == [1, 3, 6]
    assert COLLECTED == []


def check_event_loop_in_a_call(executor: Executor) -> None:
    assert executor.submit(compose_in_event_loop, 3).result(TIMEOUT) == 12
    assert executor.submit(compose_in_event_loop, 4).result(TIMEOUT) == 16


def check_threads_in_a_call(executor: Executor) -> None:
    assert executor.submit(sum_in_threads, [1, 2, 3]).result(TIMEOUT) == 12


def check_fork_in_a_call(executor: Executor) -> None:
    assert executor.submit(exit_code_of_a_fork).result(TIMEOUT) == 0


def check_program_started_by_a_call(executor: Executor) -> None:
    assert executor.submit(output_of_a_program).result(TIMEOUT) == "hello from a child\n"


def check_module_beside_the_script(executor: Executor) -> None:
    import beside_main_script

    assert executor.submit(beside_main_script.triple, 3).result(TIMEOUT) == 9
    assert executor.submit(call, beside_main_script.triple, 4).result(TIMEOUT) == 12


def check_beyond_pools_lambda(executor: Executor) -> None:
    assert executor.submit(lambda x: gross(x) + RATE, 1).result(TIMEOUT) == 4


def check_beyond_pools_closure(executor: Executor) -> None:
    offset = 10

    def shifted(x: int) -> int:
        return gross(x) + offset

    assert executor.submit(shifted, 1).result(TIMEOUT) == 12
    offset = 20
    assert executor.submit(shifted, 1).result(TIMEOUT) == 22


def check_beyond_pools_local_class(executor: Executor) -> None:
    class Local:
        def __init__(self, value: int) -> None:
            self.value = value * RATE

    result = executor.submit(Local, 4).result(TIMEOUT)
    assert type(result) is Local
    assert result.value == 8


def check_beyond_pools_local_error_class(executor: Executor) -> None:
    class LocalError(Exception):
        pass

    def fail() -> None:
        raise LocalError("local")

    assert isinstance(executor.submit(fail).exception(TIMEOUT), LocalError)


def check_beyond_pools_rebound_global(executor: Executor) -> None:
    """As in a notebook: a name bound anew at the caller is new for later calls."""
    global RATE
    assert executor.submit(gross, 1).result(TIMEOUT) == 2
    RATE = 5
    try:
        assert executor.submit(gross, 1).result(TIMEOUT) == 5
    finally:
        RATE = 2
    assert executor.submit(gross, 1).result(TIMEOUT) == 2


def check_beyond_pools_redefined_function(executor: Executor) -> None:
    global gross
    original = gross
    assert executor.submit(gross_of_all, [3]).result(TIMEOUT) == [6]
    gross = lambda net: -net  # noqa: E731
    try:
        assert executor.submit(gross_of_all, [3]).result(TIMEOUT) == [-3]
    finally:
        gross = original
    assert executor.submit(gross_of_all, [3]).result(TIMEOUT) == [6]


@contextlib.contextmanager
def open_executor(kind: str, connection_file: str | None) -> Iterator[Executor]:
    if kind == "process":
        with ProcessPoolExecutor(1) as pool:
            yield pool
        return
    import ipyparallel

    import IPython.parallel  # noqa: F401

    with ipyparallel.Client(connection_file) as client:
        engine = client.ids[0]
        with {"balanced": client.load_balanced_view([engine]), "direct": client[engine]}[kind] as view:
            yield view


def run_checks(executor: Executor, beyond_pools: bool) -> dict[str, str]:
    """For each check "ok" or the traceback of its failure."""
    outcomes = {}
    for name, check in list(globals().items()):
        if not name.startswith("check_") or (name.startswith("check_beyond_pools_") and not beyond_pools):
            continue
        try:
            check(executor)
            outcomes[name] = "ok"
        except BaseException:
            outcomes[name] = traceback.format_exc()
    return outcomes


if __name__ == "__main__":
    with open_executor(sys.argv[1], *sys.argv[2:] or [None]) as opened:
        print(json.dumps(run_checks(opened, beyond_pools=sys.argv[1] != "process")))
