"""What the contract tests submit. Standard library only: these functions also travel by value."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import dataclasses
import socket
import threading
from typing import Any, NoReturn

# Longer than any test may take: a worker that nobody lets through must end some day.
GATE_TIMEOUT = 18.0  # less than anybody waits: a call that is left standing must not hold up the tests behind it


def add(a: Any, b: Any) -> Any:
    return a + b


def echo(*args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return args, kwargs


def identity(value: Any) -> Any:
    return value


def append_there(target: list[Any]) -> list[Any]:
    target.append("there")
    return target


def reciprocal(x: float) -> float:
    return 1 / x


def raise_error(error: BaseException) -> NoReturn:
    raise error


def raise_from(error: BaseException, cause: BaseException) -> NoReturn:
    raise error from cause


def trace(path: str, label: object) -> object:
    """Leave a line in a file: the proof that, and how often, a call ran."""
    with open(path, "a", encoding="utf-8") as file:
        file.write(f"{label}\n")
    return label


def pass_gate(address: tuple[str, int], value: Any = None) -> Any:
    """Tell the test that this call has begun, wait until the test opens the gate, return `value`."""
    try:
        with socket.create_connection(address, timeout=GATE_TIMEOUT) as connection:
            connection.recv(1)
    except ConnectionError:
        pass  # opened before this call arrived
    return value


def trace_behind_gate(address: tuple[str, int], path: str, label: object) -> object:
    pass_gate(address)
    return trace(path, label)


def fail_behind_gate(address: tuple[str, int], error: BaseException) -> NoReturn:
    pass_gate(address)
    raise error


def make_lock() -> Any:
    """A result that cannot be pickled."""
    return threading.Lock()


@dataclasses.dataclass(frozen=True)
class Point:
    """A class that arguments and results are made of."""

    x: int
    y: int

    def scaled(self, factor: int) -> Point:
        return Point(self.x * factor, self.y * factor)


class CustomError(Exception):
    """An exception with attributes beside its arguments."""

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message, code)
        self.code = code


class ErrorAtPickle:
    """Cannot be pickled, and says so with an error of its own."""

    def __reduce__(self) -> NoReturn:
        raise CustomError("no pickling", 1)


def _refuse_to_load() -> NoReturn:
    raise CustomError("no unpickling", 2)


class ErrorAtUnpickle:
    """Pickles well, and raises wherever it is unpickled."""

    def __reduce__(self) -> tuple[Any, tuple[()]]:
        return _refuse_to_load, ()


def make_error_at_pickle() -> ErrorAtPickle:
    return ErrorAtPickle()


def make_error_at_unpickle() -> ErrorAtUnpickle:
    return ErrorAtUnpickle()
