"""Exceptions that are hard to bring home, and functions that raise them. Standard library only: they travel by value.

`raise_*` must come back as themselves. `lose_*` raise what cannot: that has to be named, at least.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import asyncio
import concurrent.futures
import json
import subprocess
import threading
from typing import Any, NoReturn


class WithAttributes(ValueError):
    pass


class KeywordOnly(Exception):
    def __init__(self, *, code: int) -> None:
        super().__init__(f"code {code}")
        self.code = code


class MoreArguments(Exception):
    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} and {second}")
        self.first, self.second = first, second


class NothingToSuper(Exception):
    def __init__(self, first: str, second: str) -> None:
        self.first, self.second = first, second

    def __str__(self) -> str:
        return f"{self.first}-{self.second}"


class RequiredByNew(Exception):
    def __new__(cls, code: int) -> RequiredByNew:
        return super().__new__(cls, "from new", code)


class WithSlots(Exception):
    __slots__ = ("place",)


class WithProperty(Exception):
    @property
    def doubled(self) -> int:
        return self.args[0] * 2


class ReadOnly(Exception):
    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{name} is read-only")


class Unhashable(Exception):
    def __eq__(self, other: object) -> bool:
        raise AssertionError("compared")

    __hash__ = None  # type: ignore[assignment]


class TwoBases(KeyError, AttributeError):
    pass


class BareBase(BaseException):
    pass


class StrRaises(Exception):
    def __str__(self) -> str:
        raise AssertionError("no text")


class HoldsALock(Exception):
    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.lock = threading.Lock()


class ErrorAtReduce(Exception):
    def __reduce__(self) -> NoReturn:
        raise AssertionError("no pickling")


class ReducesToText(Exception):
    def __reduce__(self) -> tuple[Any, ...]:
        return str, ("not an exception",)


def _refuse_to_load() -> NoReturn:
    raise AssertionError("no unpickling")


class ErrorAtLoad(Exception):
    def __reduce__(self) -> tuple[Any, ...]:
        return _refuse_to_load, ()


class Final(Exception):
    def __init_subclass__(cls) -> None:
        raise TypeError("Final is final")


def raise_builtin() -> NoReturn:
    raise ValueError("wrong", 2)


def raise_with_attributes() -> NoReturn:
    error = WithAttributes("wrong")
    error.code, error.details = 5, {"a": [1, 2]}
    raise error


def raise_keyword_only() -> NoReturn:
    raise KeywordOnly(code=4)


def raise_more_arguments() -> NoReturn:
    raise MoreArguments("this", "that")


def raise_nothing_to_super() -> NoReturn:
    raise NothingToSuper("a", "b")


def raise_required_by_new() -> NoReturn:
    raise RequiredByNew(7)


def raise_with_slots() -> NoReturn:
    error = WithSlots("slotted")
    error.place = "here"
    raise error


def raise_with_property() -> NoReturn:
    raise WithProperty(21)


def raise_read_only() -> NoReturn:
    raise ReadOnly("fixed")


def raise_unhashable() -> NoReturn:
    raise Unhashable("no hash")


def raise_two_bases() -> NoReturn:
    raise TwoBases("both")


def raise_bare_base() -> NoReturn:
    raise BareBase("base")


def raise_os_error() -> NoReturn:
    raise OSError(18, "across devices", "here.txt", None, "there.txt")


def raise_file_not_found() -> None:
    open("/no/such/file")


def raise_decode_error() -> None:
    b"\xff".decode("utf-8")


def raise_encode_error() -> None:
    "\N{EURO SIGN}".encode("ascii")


def raise_syntax_error() -> None:
    compile("1 +\n", "typed.py", "exec")


def raise_import_error() -> None:
    from math import no_such_name  # noqa: F401


def raise_name_error() -> None:
    no_such_name  # noqa: B018, F821


def raise_attribute_error() -> None:
    (1).no_such_attribute  # noqa: B018


def raise_json_error() -> None:
    json.loads("{,}")


def raise_called_process_error() -> NoReturn:
    raise subprocess.CalledProcessError(3, ["tool", "-x"], output="out", stderr="err")


def raise_stop_iteration() -> NoReturn:
    raise StopIteration("value")


def raise_futures_cancelled() -> NoReturn:
    raise concurrent.futures.CancelledError("inside")


def raise_asyncio_cancelled() -> NoReturn:
    raise asyncio.CancelledError("inside")


def raise_timeout() -> NoReturn:
    raise TimeoutError("of the call itself")


def raise_broken_executor() -> NoReturn:
    raise concurrent.futures.BrokenExecutor("of the call's own pool")


def raise_recursion_error() -> None:
    raise_recursion_error()


def raise_long_message() -> NoReturn:
    raise ValueError("x" * 1_000_000)


def raise_surrogate() -> NoReturn:
    raise ValueError("\udcff alone")


def raise_null_character() -> NoReturn:
    raise ValueError("a\0b")


def raise_no_message() -> NoReturn:
    raise ValueError


def raise_group() -> NoReturn:
    raise ExceptionGroup("several", [ValueError(1), ExceptionGroup("inner", [KeyError("k"), KeywordOnly(code=2)])])


def raise_base_group() -> NoReturn:
    raise BaseExceptionGroup("with exits", [SystemExit(3), ValueError(2)])


def raise_local_class() -> NoReturn:
    class Local(LookupError):
        pass

    raise Local("local")


def raise_with_notes() -> NoReturn:
    error = ValueError("noted")
    error.add_note("first note")
    error.add_note("second note")
    raise error


def raise_from_cause() -> NoReturn:
    try:
        raise KeyError("the cause")
    except KeyError as cause:
        raise ValueError("the effect") from cause


def raise_in_handler() -> NoReturn:
    try:
        raise KeyError("the context")
    except KeyError:
        raise ValueError("while handling")  # noqa: B904  # with a context, and no cause


def raise_circular_context() -> NoReturn:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    raise first


def raise_holding_itself() -> NoReturn:
    error = ValueError("round")
    error.myself = error
    raise error


def lose_lock_in_attribute() -> NoReturn:
    raise HoldsALock("locked")


def lose_lock_in_arguments() -> NoReturn:
    raise ValueError("locked", threading.Lock())


def lose_text() -> NoReturn:
    raise StrRaises("unspeakable")


def lose_at_reduce() -> NoReturn:
    raise ErrorAtReduce("irreducible")


def lose_at_load() -> NoReturn:
    raise ErrorAtLoad("unloadable")


def lose_to_text() -> NoReturn:
    raise ReducesToText("other")


def lose_final_class() -> NoReturn:
    raise Final("last of its kind")
