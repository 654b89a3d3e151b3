"""Exceptions that go to another process and back: the same class, contents, chain and notes, whatever they are."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import abc
import asyncio
import copy
import copyreg
import errno
import functools
import gc
import io
import json
import operator
import pathlib
import pickle
import subprocess
import sys
import threading
import traceback
import types
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

import cloudpickle
import ipyparallel.error
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from IPython.parallel import errors, rebuilt_errors
from IPython.parallel.on_engines import remote_errors
from IPython.parallel.on_engines.remote_errors import pack_exception
from IPython.parallel.rebuilt_errors import (
    RemoteTraceback,
    UnrebuiltError,
    rebuild_exception,
)

T = TypeVar("T")
RemoteError = ipyparallel.error.RemoteError
INFO = {"engine_id": 3, "engine_uuid": "ab-cd", "method": "apply", "host": "node7", "call": "simulate"}


def round_trip(exc: BaseException) -> Any:
    """To the engine's form and back, through the bytes a message would carry."""
    packed = pickle.dumps(pack_exception(exc, cloudpickle.dumps))
    return rebuild_exception(pickle.loads(packed), pickle.loads, INFO)


def caught(function: Callable[..., object], *args: object) -> BaseException:
    try:
        function(*args)
    except BaseException as exc:
        return exc
    raise AssertionError(f"{function} did not raise")


def raised(exc: BaseException) -> BaseException:
    def raise_it() -> None:
        raise exc

    return caught(raise_it)


# -- another process, with nothing of ours but the text of remote_errors ----------------------------------------------

CHILD = """
import pickle, sys, types
import cloudpickle
module = types.ModuleType("shipped")
exec(compile(sys.stdin.buffer.read(int(sys.argv[1])), "<shipped source>", "exec"), vars(module))
print("ready", file=sys.stderr, flush=True)
while True:
    try:
        function = pickle.load(sys.stdin.buffer)
    except EOFError:
        break
    try:
        function()
    except BaseException as exc:
        packed = module.pack_exception(exc, cloudpickle.dumps, "<string>")
    sys.stdout.buffer.write(pickle.dumps(packed))
    sys.stdout.buffer.flush()
"""


class Engine:
    """A process that calls functions and answers with the exceptions they raise."""

    def __init__(self) -> None:
        source = pathlib.Path(remote_errors.__file__).read_bytes()
        command = [sys.executable, "-I", "-c", CHILD, str(len(source))]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._send(source)

    def _send(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def packed(self, function: Callable[[], object]) -> dict[str, Any]:
        # Functions of this file are sent as those of a script are: whole, as nobody else can import them.
        cloudpickle.register_pickle_by_value(sys.modules[__name__])
        try:
            self._send(cloudpickle.dumps(function))
        finally:
            cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
        return pickle.load(self.process.stdout)  # type: ignore[arg-type]

    def error_of(self, function: Callable[[], object]) -> Any:
        return rebuild_exception(self.packed(function), pickle.loads, INFO)

    def close(self) -> None:
        self.process.communicate(timeout=10)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = Engine()
    yield engine
    engine.close()


MAIN_SOURCE = """
import dataclasses, threading

class Simple(Exception):
    pass

class KeywordOnly(Exception):
    def __init__(self, *, code, where="here"):
        super().__init__(f"code {code}")
        self.code, self.where = code, where

class NoArguments(Exception):
    def __init__(self):
        super().__init__("made up inside")

class OneToTwo(ValueError):
    def __init__(self, spec):
        a, b = spec.split(":")
        super().__init__(a, b)
        self.spec = spec

class NeverCallsSuper(Exception):
    def __init__(self, name, *, size=1):
        self.name, self.size = name, size

class NewWantsMore(Exception):
    def __new__(cls, first, second, *, third):
        self = super().__new__(cls, first)
        self.both = (first, second, third)
        return self
    def __init__(self, *args, **kwargs):
        super().__init__(*args)

class Slotted(Exception):
    __slots__ = ("x", "unset")
    def __init__(self, x):
        super().__init__("slotted")
        self.x = x

class OwnStr(Exception):
    def __str__(self):
        return f"<{super().__str__()}>"
    def __repr__(self):
        return f"OwnStr!{super().__repr__()}"

class ShowsDict(Exception):
    def __init__(self, a):
        self.a = a
    def __str__(self):
        return str(vars(self))

class OwnReduce(Exception):
    def __init__(self, name):
        super().__init__(name)
        self.name, self.lock = name, threading.Lock()
    def __reduce__(self):
        return type(self), (self.name,)

class ReduceRaises(Exception):
    def __reduce__(self):
        raise RuntimeError("no")

class ReduceLies(Exception):
    def __reduce__(self):
        return int, ("5",)

class SetState(Exception):
    def __setstate__(self, state):
        self.__dict__.update(state, restored=True)

class LoadExits(Exception):
    def __reduce__(self):
        return exit, ()

class OwnOSError(OSError):
    def __init__(self, *args, extra):
        super().__init__(*args)
        self.extra = extra

class PlainOSError(OSError):
    pass

class TwoArguments(OSError):
    def __init__(self, a, b):
        self.a, self.b = a, b

class OddOSError(OSError):
    def __init__(self, where):
        self.where = where

@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    a: int
    b: str = "b"

class HasLock(Exception):
    def __init__(self):
        super().__init__("locked", 1)
        self.lock, self.name = threading.Lock(), "kept"

class NotPicklableArgument(Exception):
    pass

class Final(Exception):
    def __init_subclass__(cls):
        raise TypeError("final")

class MyGroup(ExceptionGroup):
    def __new__(cls, message, members, code):
        self = super().__new__(cls, message, members)
        self.code = code
        return self
    def derive(self, members):
        return MyGroup(self.message, members, self.code)

class Both(KeyError, OSError):
    pass

class Mixed(Exception):
    traceback = "my own"
    def __init__(self, ename):
        super().__init__(ename)
        self.ename = ename
"""


def main_module() -> types.ModuleType:
    """Like a script's `__main__`: no other process can import it."""
    module = types.ModuleType("script_of_the_user")
    exec(compile(MAIN_SOURCE, "<script>", "exec", dont_inherit=True), vars(module))
    return module


MAIN = main_module()


# By value these could not even be loaded: cloudpickle makes the class anew first, which they do not allow.
class Registry(type):
    known: dict[str, type] = {}

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> None:
        super().__init__(name, bases, namespace)
        if name in Registry.known:
            raise TypeError(f"there is a {name} already")
        Registry.known[name] = cls


class Registered(Exception, metaclass=Registry):
    pass


class NeedsCode(Exception):
    by_code: dict[int, type] = {}

    def __init_subclass__(cls, code: int, **kwargs: Any) -> None:
        NeedsCode.by_code[code] = cls


class Coded(NeedsCode, code=7):
    pass


def self_reference() -> BaseException:
    exc = ValueError("me")
    exc.me = exc  # type: ignore[attr-defined]
    exc.others = [exc, KeyError("other")]  # type: ignore[attr-defined]
    return exc


def unicode_error() -> BaseException:
    return caught(b"\xff\xfe".decode, "utf-8")


def blocking() -> BaseException:
    exc = BlockingIOError(errno.EAGAIN, "later", 5)
    assert exc.characters_written == 5
    return exc


HARD: dict[str, Callable[[], BaseException]] = {
    "no arguments": lambda: ValueError(),
    "several arguments": lambda: ValueError(1, "two", [3], {"four": 4}, None, 5.0, b"6"),
    "str of one argument is its repr": lambda: KeyError("k"),
    "exception itself": lambda: Exception("e"),
    "keyword-only init": lambda: MAIN.KeywordOnly(code=5),
    "init without arguments": MAIN.NoArguments,
    "init makes two arguments of one": lambda: MAIN.OneToTwo("a:b"),
    "init never calls super": lambda: MAIN.NeverCallsSuper("n", size=2),
    "new with required arguments": lambda: MAIN.NewWantsMore(1, 2, third=3),
    "slots": lambda: MAIN.Slotted([1]),
    "own str using super": lambda: MAIN.OwnStr("text"),
    "str shows the dict": lambda: MAIN.ShowsDict(1),
    "own reduce raises": lambda: MAIN.ReduceRaises("r"),
    "own reduce makes something else": lambda: MAIN.ReduceLies("r"),
    "loading exits": lambda: MAIN.LoadExits("r"),
    "os error": lambda: OSError(errno.ENOENT, "no such file", "a.txt", None, "b.txt"),
    "os error without number": lambda: OSError(None, "message"),
    "os error with everything given as None": lambda: MAIN.PlainOSError(None, None, None),
    "os error of the user with two arguments": lambda: MAIN.TwoArguments(1, None),
    "os error subclass of errno": lambda: caught(open, "/nonexistent/file"),
    "os error with message only": lambda: OSError("message"),
    "timeout without arguments": lambda: TimeoutError(),
    "timeout with message": lambda: TimeoutError("too late"),
    "os error of the user": lambda: MAIN.PlainOSError(errno.EACCES, "denied", "f"),
    "os error with keyword-only init": lambda: MAIN.OwnOSError(errno.EACCES, "denied", "f", extra={"x": 1}),
    "os error with another init": lambda: MAIN.OddOSError("there"),
    "two builtin bases": lambda: MAIN.Both(errno.EACCES, "denied"),
    "blocking": blocking,
    "syntax error": lambda: caught(compile, "a = (1,\nb = 2", "f.py", "exec"),
    "unicode error": unicode_error,
    "import error": lambda: ImportError("cannot import", name="mod", path="/p"),
    "module not found": lambda: caught(__import__, "no_such_module_here"),
    "attribute error": lambda: caught(getattr, io.BytesIO(), "reed"),
    "name error": lambda: caught(eval, "naem"),
    "stop iteration": lambda: StopIteration({"value": 1}),
    "stop async iteration": lambda: StopAsyncIteration(1),
    "system exit": lambda: SystemExit(3),
    "system exit with text": lambda: SystemExit("bye"),
    "keyboard interrupt": lambda: KeyboardInterrupt(),
    "generator exit": lambda: GeneratorExit(),
    "cancelled": lambda: asyncio.CancelledError("by me"),
    "json error": lambda: caught(json.loads, "{"),
    "called process error": lambda: subprocess.CalledProcessError(2, ["ls"], output=b"out", stderr=b"err"),
    "frozen dataclass": lambda: MAIN.Frozen(1),
    "class that forbids subclasses": lambda: MAIN.Final("f"),
    "attributes named as RemoteError's": lambda: MAIN.Mixed("E"),
    "engine error": lambda: errors.EngineDied(2, "f"),
    "kernel error": lambda: ipyparallel.error.UnmetDependency("d"),
    "surrogates": lambda: ValueError("\udc80"),
    "refers to itself": self_reference,
}


def contents(exc: BaseException, depth: int = 4) -> Any:
    """What must be the same after the round trip, in a form that compares; exceptions in it by their own contents."""

    def comparable(value: object) -> object:
        if isinstance(value, BaseException):
            return contents(value, depth - 1) if depth else "..."
        if isinstance(value, (list, tuple)):
            return [type(value), *map(comparable, value)]
        return value

    original = vars(type(exc)).get(remote_errors.ORIGINAL_CLASS, type(exc))
    # Wherever they are kept: a class that cloudpickle has sent by value uses its __dict__ instead of its __slots__.
    names = {*vars(exc), *dict(remote_errors.fields(exc))} - {"_remote_record"}
    members = [contents(one, depth) for one in exc.exceptions] if isinstance(exc, BaseExceptionGroup) else None
    return {
        "class": original,
        "args": [comparable(arg) for arg in exc.args],
        "str": str(exc),
        "repr": repr(exc).replace(original.__name__, "cls") if members is None else None,
        "attributes": {name: comparable(getattr(exc, name)) for name in names},
        "members": members,
    }


@pytest.mark.parametrize("name", HARD)
def test_comes_back_as_it_was(name: str) -> None:
    exc = HARD[name]()
    again = round_trip(exc)
    assert contents(again) == contents(exc)
    assert isinstance(again, type(exc))
    assert isinstance(again, RemoteError)


@pytest.mark.parametrize("name", [name for name in HARD if name not in ("refers to itself", "loading exits")])
def test_comes_back_from_another_process_as_it_was(engine: Engine, name: str) -> None:
    exc = HARD[name]()
    again = engine.error_of(functools.partial(raise_made, HARD[name]))
    assert contents(again) == contents(exc)
    assert isinstance(again, type(exc))
    assert isinstance(again, RemoteError)
    assert "[engine 3 on node7, in simulate]" in str(again.__cause__)
    assert "raise_made" in again._render_traceback_()[2]  # above it the frame of the process's own loop


def raise_made(make: Callable[[], BaseException]) -> None:
    raise make()


# -- what else a caller sees ------------------------------------------------------------------------------------------


def divide(a: int, b: int) -> float:
    return a / b


def test_a_handler_for_the_users_class_catches_it() -> None:
    with pytest.raises(ZeroDivisionError, match="^division by zero$"):
        raise round_trip(caught(divide, 1, 0))


def test_the_printed_traceback_reads_as_the_standard_librarys() -> None:
    exc = caught(divide, 1, 0)
    lines = "".join(traceback.format_exception(round_trip(exc))).splitlines()
    remote = "".join(traceback.format_exception(exc)).splitlines()
    assert lines == [
        "IPython.parallel.rebuilt_errors.RemoteTraceback: ",
        "[engine 3 on node7, in simulate]",
        *remote,
        "",
        "The above exception was the direct cause of the following exception:",
        "",
        "ZeroDivisionError: division by zero",
    ]


def test_a_handler_that_makes_another_of_the_same_class_works() -> None:
    again = round_trip(MAIN.Simple("once"))
    other = type(again)(f"{again} more")
    assert (str(other), other.args, other.evalue) == ("once more", ("once more",), "once more")
    assert (other.ename, other.traceback, other.engine_info) == ("Simple", None, {})


def test_remote_errors_attributes_serve_ipyparallel(capsys: pytest.CaptureFixture[str]) -> None:
    exc = caught(divide, 1, 0)
    again = round_trip(exc)
    text = "".join(traceback.format_exception(exc))
    assert (again.ename, again.evalue, again.traceback) == ("ZeroDivisionError", "division by zero", text)
    assert again.engine_info == {key: INFO[key] for key in ("engine_id", "engine_uuid", "method") if key in INFO}
    again.print_traceback()
    assert capsys.readouterr().out.splitlines() == ["[3:apply]", *text.splitlines()]
    with pytest.raises(ipyparallel.error.CompositeError, match=r"\[3:apply\]ZeroDivisionError: division by zero"):
        ipyparallel.error.collect_exceptions([1, again])


def test_a_partial_engine_info_serves_too() -> None:
    again = rebuild_exception(pack_exception(ValueError("v"), cloudpickle.dumps), pickle.loads, {"host": "h"})
    assert again._render_traceback_()[0] == "[?:call]"  # type: ignore[attr-defined]
    assert str(again.__cause__).splitlines()[1] == "[engine ? on h]"


class Renders(Exception):
    def render_traceback(self, colour: str) -> str:
        return colour


def test_methods_of_the_user_win_over_remote_errors() -> None:
    again = round_trip(raised(Renders("r")))
    assert again.render_traceback("red") == "red"
    assert again._render_traceback_()[0] == "[3:apply]"


def test_attributes_of_the_user_win_over_remote_errors() -> None:
    again = round_trip(raised(MAIN.Mixed("mine")))
    assert (again.ename, again.traceback) == ("mine", "my own")
    assert "raise exc" in "".join(again._render_traceback_())


def test_hasattr_and_suggestions_are_safe() -> None:
    for name in ("attribute error", "name error", "import error"):
        again = round_trip(HARD[name]())
        assert not hasattr(again, "nothing_of_the_kind")
        assert traceback.format_exception(raised(again))[-1].startswith(type(again).__name__)


def test_the_same_exception_can_be_raised_again_and_again() -> None:
    again = round_trip(ValueError("v"))
    assert [raised(again) is again for _ in range(3)] == [True] * 3
    assert isinstance(again.__cause__, RemoteTraceback)


# -- chain and groups -------------------------------------------------------------------------------------------------


def fail_with_cause() -> None:
    try:
        divide(1, 0)
    except ZeroDivisionError as exc:
        exc.add_note("a note")
        raise KeyError("k") from exc


def fail_in_handler() -> None:
    try:
        divide(1, 0)
    except ZeroDivisionError:
        raise KeyError("k")  # noqa: B904


@pytest.mark.parametrize("fail", [fail_with_cause, fail_in_handler])
def test_the_original_chain_is_in_the_text_and_rebuilt(fail: Callable[[], None]) -> None:
    again = round_trip(caught(fail))
    before = again.__context__
    assert isinstance(before, ZeroDivisionError)
    assert getattr(before, "__notes__", []) == (["a note"] if fail is fail_with_cause else [])
    assert "division by zero" in str(again.__cause__)
    assert again.__cause__.__context__ is before
    assert "".join(traceback.format_exception(again)).count("ZeroDivisionError") == 1
    assert "in divide" in before.traceback


def test_the_cause_stays_reachable_when_raised_in_a_handler() -> None:
    again = round_trip(caught(fail_with_cause))
    try:
        raise OSError("local")
    except OSError:
        raised(again)
    assert isinstance(again.__context__, OSError)
    assert isinstance(again.__cause__.__context__, ZeroDivisionError)


def test_a_suppressed_context_stays_suppressed_inside_the_chain() -> None:
    inner = KeyError("inner")
    inner.__context__, inner.__suppress_context__ = ValueError("hidden"), True
    outer = ValueError("outer")
    outer.__context__ = inner
    again = round_trip(outer).__context__
    assert (again.__suppress_context__, repr(again.__context__)) == (True, "ValueError('hidden')")


def test_a_cyclic_chain_comes_back_cyclic() -> None:
    one, two = ValueError(1), KeyError(2)
    one.__context__, two.__context__ = two, one
    again = round_trip(one)
    assert again.__context__.__context__ is again


def chain_of(length: int) -> BaseException:
    exc = ValueError(0)
    for number in range(1, length):
        before, exc = exc, ValueError(number)
        exc.__context__ = before
    return exc


def chain_length(exc: BaseException | None) -> int:
    length = 0
    while exc is not None:
        exc, length = exc.__context__, length + 1
    return length


def test_a_chain_too_long_to_read_is_cut() -> None:
    assert chain_length(round_trip(chain_of(300))) == 300
    assert chain_length(round_trip(chain_of(20_000))) == remote_errors.MAX_LINKED


def a_group() -> ExceptionGroup[Exception]:
    members = [raised(ValueError("raised")), KeyError("only made"), ExceptionGroup("in", [OSError(2, "no", "f")])]
    return ExceptionGroup("out", members)  # type: ignore[arg-type,list-item]


def test_a_group_comes_back_with_its_members() -> None:
    group = a_group()
    group.add_note("of the group")
    again = round_trip(raised(group))
    assert contents(again) == contents(group)
    assert isinstance(again, RemoteError)
    assert [type(one.__cause__) for one in again.exceptions] == [RemoteTraceback, type(None), type(None)]


def test_except_star_takes_a_group_apart() -> None:
    got: list[object] = []
    try:
        raise round_trip(a_group())
    except* OSError as some:
        got.append(some.exceptions[0].exceptions[0].filename)  # type: ignore[union-attr]
    except* (ValueError, KeyError) as some:
        got.append([type(one).__name__ for one in some.exceptions])
    assert got == ["f", ["ValueError", "KeyError"]]


def test_a_group_of_the_users_splits_its_own_way() -> None:
    again = round_trip(MAIN.MyGroup("m", [ValueError(1), KeyError(2)], 5))
    matching, rest = again.split(ValueError)
    assert (type(matching), matching.code, rest.code) == (MAIN.MyGroup, 5, 5)
    assert contents(again) == contents(MAIN.MyGroup("m", [ValueError(1), KeyError(2)], 5))


def test_a_group_with_an_interrupt() -> None:
    again = round_trip(BaseExceptionGroup("b", [KeyboardInterrupt(), SystemExit(2)]))
    assert [type(one).__name__ for one in again.exceptions] == ["KeyboardInterrupt", "SystemExit"]
    assert again.exceptions[1].code == 2


def test_a_large_group_comes_back_whole() -> None:
    shared = chain_of(50)
    members = [raised(ValueError(number)) for number in range(3000)]
    for member in members:
        member.__context__ = shared
    group = ExceptionGroup("many", members)  # type: ignore[type-var]
    entries = pack_exception(group, cloudpickle.dumps)["exceptions"]
    assert sum(len(entry.get("traceback", "")) for entry in entries) < 1.2 * remote_errors.MAX_ALL_TEXT
    again = round_trip(group)
    assert [one.args[0] for one in again.exceptions] == list(range(3000))
    assert again.exceptions[0].__context__ is again.exceptions[-1].__context__


def test_fields_computed_when_read_do_not_get_mixed_up() -> None:
    members = [BlockingIOError(errno.EAGAIN, "later", 1000 + number) for number in range(20)]
    again = round_trip(ExceptionGroup("many", members))
    assert [one.characters_written for one in again.exceptions] == list(range(1000, 1020))


# -- attributes -------------------------------------------------------------------------------------------------------


def test_one_attribute_that_does_not_pickle_costs_only_itself() -> None:
    again = round_trip(MAIN.HasLock())
    assert (again.args, again.name) == (("locked", 1), "kept")
    assert again.lock.startswith("<unlocked _thread.lock object")


def test_one_argument_that_does_not_pickle_becomes_its_repr() -> None:
    again = round_trip(MAIN.NotPicklableArgument("a", threading.Lock(), 3))
    assert (again.args[0], again.args[2]) == ("a", 3)
    assert "_thread.lock" in again.args[1]


def test_the_same_object_in_two_places_stays_one() -> None:
    shared = [[1]]
    exc = ValueError(shared)
    exc.shared = shared  # type: ignore[attr-defined]
    again = round_trip(exc)
    assert again.shared is again.args[0]


def test_an_attribute_the_caller_cannot_load_says_so() -> None:
    exc = ValueError("v")
    exc.fine, exc.odd = [[1]], operator.itemgetter(5)  # type: ignore[attr-defined]
    packed = pack_exception(exc, cloudpickle.dumps)

    def loads(data: bytes) -> object:
        if b"itemgetter" in data:
            raise ModuleNotFoundError("No module named 'elsewhere'")
        return pickle.loads(data)

    again = rebuild_exception(packed, loads, INFO)
    assert isinstance(again, ValueError)
    assert again.fine == [[1]]  # type: ignore[attr-defined]
    assert "operator.itemgetter" in again.odd and "No module named 'elsewhere'" in again.odd  # type: ignore[attr-defined]


def test_an_own_reduce_is_honoured() -> None:
    exc = MAIN.OwnReduce("n")
    exc.add_note("a note")
    again = round_trip(exc)
    assert isinstance(again.lock, type(threading.Lock()))
    assert (again.name, again.__notes__, isinstance(again, RemoteError)) == ("n", ["a note"], True)
    once_more = round_trip(raised(again))
    assert isinstance(once_more.lock, type(threading.Lock()))


def test_an_own_setstate_is_honoured() -> None:
    exc = MAIN.SetState("s")
    exc.x = 1
    again = round_trip(exc)
    assert (again.x, again.restored, again.args) == (1, True, ("s",))
    assert vars(round_trip(again)) == vars(again)


class InTable(Exception):
    pass


def made_by_table(name: str) -> InTable:
    exc = InTable(name)
    exc.by_table = True  # type: ignore[attr-defined]
    return exc


def test_copyreg_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(copyreg.dispatch_table, InTable, lambda exc: (made_by_table, exc.args))
    again = round_trip(InTable("t"))
    assert (type(again).__name__, again.args, again.by_table) == ("InTable", ("t",), True)


def test_the_object_an_attribute_was_missing_on_stays_behind() -> None:
    exc = caught(getattr, list(range(1000)), "apend")
    again = round_trip(exc)
    assert (again.name, again.obj) == ("apend", None)
    assert len(pickle.dumps(pack_exception(exc, cloudpickle.dumps))) < 3000


# -- again: pickled, copied, and through a second engine --------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in HARD if name not in ("refers to itself", "loading exits")])
@pytest.mark.parametrize("through", [copy.copy, copy.deepcopy, lambda exc: pickle.loads(pickle.dumps(exc))])
def test_a_rebuilt_exception_pickles_and_copies(name: str, through: Callable[[Any], Any]) -> None:
    exc = HARD[name]()
    exc = exc if name == "frozen dataclass" else raised(exc)
    first = round_trip(exc)
    again = through(first)
    assert again is not first
    assert contents(again) == contents(exc)
    assert type(again) is type(first)
    assert (again._render_traceback_(), again.engine_info) == (first._render_traceback_(), first.engine_info)
    assert (type(again.__cause__), str(again.__cause__)) == (RemoteTraceback, str(first.__cause__))
    assert type(again.__cause__.__cause__) is type(None)


def call_another_engine(exc: BaseException) -> None:
    raise exc


def test_through_a_second_engine_both_tracebacks_are_told() -> None:
    inner = round_trip(caught(divide, 1, 0))
    packed = pack_exception(caught(call_another_engine, inner), cloudpickle.dumps)
    outer: Any = rebuild_exception(packed, pickle.loads, {**INFO, "engine_id": 8})
    assert type(outer) is type(inner)
    assert outer.engine_info["engine_id"] == 8
    text = str(outer.__cause__)
    assert [text.index(part) for part in ("engine 8", "engine 3", "in divide", "in call_another_engine")] == sorted(
        text.index(part) for part in ("engine 8", "engine 3", "in divide", "in call_another_engine")
    )
    assert contents(outer) == contents(caught(divide, 1, 0))


@pytest.mark.parametrize(
    "exc",
    [
        RemoteError("ValueError", "v", "the text", {"engine_id": 1, "method": "apply"}),
        ipyparallel.error.CompositeError("two", [("A", "a", "tb", {"engine_id": 1, "method": "apply"})] * 2),
    ],
    ids=lambda exc: type(exc).__name__,
)
def test_ipyparallels_own_errors_come_back_as_they_are(exc: Any) -> None:
    again = round_trip(raised(exc))
    assert (type(again), str(again), repr(again)) == (type(exc), str(exc), repr(exc))
    assert again.render_traceback() == exc.render_traceback()
    assert isinstance(again.__cause__, RemoteTraceback)
    with pytest.raises(ipyparallel.error.CompositeError, match=again.ename):
        ipyparallel.error.collect_exceptions([again])


# -- classes the caller cannot have -----------------------------------------------------------------------------------


def raise_what_only_the_engine_has() -> None:
    module = types.ModuleType("only_on_the_engine")
    sys.modules["only_on_the_engine"] = module
    exec("class Odd(Exception):\n    __module__ = 'only_on_the_engine'\n", vars(module))
    exc = module.Odd("the message")
    exc.code = 5
    exc.add_note("a note")
    raise exc


def test_a_class_the_caller_cannot_import(engine: Engine) -> None:
    exc = engine.error_of(raise_what_only_the_engine_has)
    assert type(exc) is UnrebuiltError
    assert str(exc).startswith("[3:apply] only_on_the_engine.Odd: the message (")
    assert "No module named 'only_on_the_engine'" in str(exc)
    assert (exc.ename, exc.evalue, exc.code, exc.__notes__) == (
        "only_on_the_engine.Odd",
        "the message",
        5,
        ["a note"],
    )
    assert "raise_what_only_the_engine_has" in exc.traceback
    assert "[engine 3" in str(exc.__cause__)
    again = pickle.loads(pickle.dumps(exc))
    assert (str(again), vars(again)) == (str(exc), vars(exc))
    assert str(round_trip(again)) == str(exc)


def test_a_class_that_does_not_pickle() -> None:
    def dumps(value: object) -> bytes:
        raise pickle.PicklingError("never")

    exc = rebuild_exception(pack_exception(OSError(2, "no"), dumps), pickle.loads, INFO)
    assert type(exc) is UnrebuiltError
    assert "FileNotFoundError: [Errno 2] no (its class cannot be pickled)" in str(exc)


def test_what_is_no_packed_exception_at_all() -> None:
    for packed in ({}, {"exceptions": []}, {"exceptions": [{"class": b"x"}], "values": []}):
        assert isinstance(rebuild_exception(packed, pickle.loads, INFO), RemoteError)


# -- classes made on the way ------------------------------------------------------------------------------------------


def test_the_users_registries_see_nothing_of_our_classes() -> None:
    before = dict(Registry.known), dict(NeedsCode.by_code)
    for exc in (Coded("c"), Registered("r")):
        again = round_trip(exc)
        assert isinstance(again, RemoteError)
        assert contents(again) == contents(exc)
    assert (Registry.known, NeedsCode.by_code) == before


class Abstract(Exception, metaclass=abc.ABCMeta):
    pass


class Parametrised(Exception, Generic[T]):
    pass


class Concrete(Parametrised[int]):
    pass


@pytest.mark.parametrize("cls", [Abstract, Concrete])
def test_the_type_reads_as_the_original(cls: type[BaseException]) -> None:
    made = type(round_trip(cls("x")))
    assert issubclass(made, cls)
    assert (made.__name__, made.__qualname__, made.__module__) == (cls.__name__, cls.__qualname__, cls.__module__)
    assert made is type(round_trip(cls("y")))


def test_our_classes_live_no_longer_than_the_users() -> None:
    def use_one() -> weakref.ref[type]:
        cls = type("Passing", (Exception,), {"__module__": "nowhere"})
        assert isinstance(round_trip(cls("x")), cls)
        return weakref.ref(cls)

    used = [use_one() for _ in range(20)]
    gc.collect()
    assert [ref() for ref in used] == [None] * 20


# -- hostile ones: packing never raises -------------------------------------------------------------------------------


class Bang(BaseException):
    pass


def bang(*args: object, **kwargs: object) -> Any:
    raise Bang("bang")


HOSTILE_METHODS = [
    "__str__",
    "__repr__",
    "__reduce__",
    "__reduce_ex__",
    "__getattr__",
    "__getattribute__",
    "__setattr__",
    "__hash__",
    "__eq__",
    "__bool__",
    "__len__",
    "__dir__",
    "__format__",
    "__getstate__",
    "__setstate__",
    "__copy__",
    "__sizeof__",
]


@pytest.mark.parametrize("method", HOSTILE_METHODS)
def test_a_method_that_raises(method: str) -> None:
    cls = type("Hostile", (ValueError,), {method: bang, "__module__": "nowhere"})
    again = round_trip(raised(cls("x")))
    assert issubclass(type(again), ValueError)
    assert "raise exc" in str(BaseException.__dict__["__cause__"].__get__(again))
    assert BaseException.args.__get__(again) == ("x",)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "name", ["args", "__cause__", "__context__", "__dict__", "__traceback__", "__class__", "__notes__"]
)
def test_a_property_that_raises(name: str) -> None:
    cls = type("Hostile", (ValueError,), {name: property(bang), "__module__": "nowhere"})
    kept: list[object] = []  # instead of pickling: cloudpickle stumbles over a class whose __class__ is a property

    def dumps(value: object) -> bytes:
        kept.append(value)
        return str(len(kept) - 1).encode()

    packed = pack_exception(raised(cls("x")), dumps)
    made = type(rebuild_exception(packed, lambda number: kept[int(number)], INFO))
    assert issubclass(made, ValueError)


def test_a_metaclass_that_raises() -> None:
    hostile = {"__name__": property(bang), "__module__": property(bang), "__hash__": bang, "__eq__": bang}
    cls = type("Meta", (type,), hostile)("Hostile", (ValueError,), {})
    assert isinstance(round_trip(cls("x")), RemoteError)


def test_attributes_that_raise() -> None:
    hostile = {method: bang for method in HOSTILE_METHODS if method != "__setattr__"}
    exc = ValueError("x", type("Value", (), {**hostile, "__class__": property(bang)})())
    exc.good = 1  # type: ignore[attr-defined]
    again = round_trip(exc)
    assert (again.args[0], again.good) == ("x", 1)
    assert "Value object, its repr() failed" in again.args[1]


def test_a_recursion_error() -> None:
    def recurse(n: int) -> int:
        return recurse_too(n + 1)

    def recurse_too(n: int) -> int:
        return recurse(n + 1)

    exc = caught(recurse, 0)
    again = round_trip(exc)
    assert isinstance(again, RecursionError)
    assert len(again.traceback) <= remote_errors.MAX_TEXT + 100


def test_a_group_nested_too_deeply() -> None:
    group = ExceptionGroup("0", [ValueError("innermost")])
    for level in range(1, 3000):
        group = ExceptionGroup(str(level), [group])
    again = round_trip(group)
    assert isinstance(again, RemoteError)
    assert "2999" in str(again)


def test_huge_texts_are_shortened_but_arguments_are_whole() -> None:
    again = round_trip(raised(ValueError("x" * 5_000_000)))
    assert len(again.args[0]) == 5_000_000
    assert len(again.traceback) < 2 * remote_errors.MAX_TEXT
    assert again.traceback.startswith("Traceback")


def test_only_builtin_types_are_packed() -> None:
    def types_in(value: Any) -> set[type]:
        inside = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
        return {type(value)}.union(*map(types_in, inside))

    packed = pack_exception(caught(fail_with_cause), cloudpickle.dumps)
    assert types_in(packed) <= {dict, list, tuple, str, bytes, int, bool, float, type(None)}


def test_the_runners_own_frames_are_left_out() -> None:
    source = "def run(function):\n    return run_too(function)\ndef run_too(function):\n    return function(1, 0)\n"
    namespace: dict[str, Any] = {}
    exec(compile(source, "<runner: engine>", "exec"), namespace)
    exc = caught(namespace["run"], divide)
    exc.__traceback__ = exc.__traceback__.tb_next  # type: ignore[union-attr]
    text = pack_exception(exc, cloudpickle.dumps, "<runner")["exceptions"][0]["traceback"]
    assert "<runner" not in text and "in divide" in text
    assert "<runner" in pack_exception(exc, cloudpickle.dumps)["exceptions"][0]["traceback"]


# -- anything at all --------------------------------------------------------------------------------------------------

names = st.text("abcdefgh", min_size=1, max_size=4)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5) | st.binary()
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.tuples(inner) | st.dictionaries(names, inner, max_size=3)
)
classes = st.sampled_from(
    [ValueError, KeyError, Exception, OSError, TimeoutError, ImportError, StopIteration, SystemExit, MAIN.Simple]
    + [MAIN.OwnStr, MAIN.PlainOSError, MAIN.ShowsDict, MAIN.ReduceRaises, Abstract, Concrete]
)


@st.composite
def single(draw: st.DrawFn) -> BaseException:
    cls = draw(classes)
    exc = cls(*draw(st.lists(values, min_size=cls is MAIN.ShowsDict, max_size=1 if cls is MAIN.ShowsDict else 4)))
    vars(exc).update(draw(st.dictionaries(names, values, max_size=3)))
    for note in draw(st.lists(st.text(max_size=5), max_size=2)):
        exc.add_note(note)
    return exc


@st.composite
def chained(draw: st.DrawFn, inner: st.SearchStrategy[BaseException]) -> BaseException:
    exc = draw(single())
    exc.__context__ = draw(st.none() | inner)
    if draw(st.booleans()):
        exc.__cause__ = draw(inner)
    return exc


@st.composite
def grouped(draw: st.DrawFn, inner: st.SearchStrategy[BaseException]) -> BaseException:
    group = BaseExceptionGroup(draw(st.text(max_size=5)), draw(st.lists(inner, min_size=1, max_size=3)))
    group.__context__ = draw(st.none() | inner)
    return group


exceptions = st.recursive(single(), lambda inner: chained(inner) | grouped(inner), max_leaves=6)


def chain(exc: BaseException | None) -> list[Any]:
    """Contents of an exception and of what was before it, whether or not a remote traceback is in between."""
    found = []
    while exc is not None:
        found.append(contents(exc))
        cause = exc.__cause__
        exc = cause.__context__ if isinstance(cause, RemoteTraceback) else exc.__context__ if cause is None else cause
    return found


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(exceptions)
def test_any_exception_comes_back(exc: BaseException) -> None:
    again = round_trip(exc)
    assert isinstance(again, RemoteError)
    assert chain(again) == chain(exc)
    assert chain(pickle.loads(pickle.dumps(again))) == chain(exc)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(exc=exceptions)
def test_any_exception_comes_back_from_another_process(engine: Engine, exc: BaseException) -> None:
    packed = pack_exception(exc, cloudpickle.dumps)  # pickle itself loses notes and chain on the way there
    again = engine.error_of(functools.partial(raise_rebuilt, packed))
    expected = chain(exc)
    assert chain(again)[: len(expected)] == expected


def raise_rebuilt(packed: dict[str, Any]) -> None:
    raise rebuilt_errors._Rebuilder(packed, pickle.loads, {}).root()
