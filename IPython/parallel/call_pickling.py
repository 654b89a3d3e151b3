"""Pickle a call at the moment it is submitted, and each function once.

A function, with the globals it uses, is pickled the first time it is submitted and again only when something it
refers to was rebound, as in a notebook; the engines keep it (`engine_runner`). Arguments are pickled with every
call, so that later changes by the caller don't show.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import functools
import hashlib
import io
import pickle
import sys
import types
import uuid
import weakref
from collections.abc import Callable, Mapping
from typing import Any

from ipyparallel import Client
from ipyparallel.client.view import View, ViewExecutor
from ipyparallel.serialize import Reference

from . import engine_bundle, inheritance, unnamed_globals
from .dispatch.steady_locks import LastingLock
from .result_shim import LazyResult

_ABSENT = object()
_SELF = object()
_CONNECTED = (Client, View, ViewExecutor)
_shipping = engine_bundle.load().shipping
_is_plain = _shipping.is_plain
_namespaces = engine_bundle.load().namespaces

Payload = bytes | list[bytes] | tuple[Any, ...]
"""What travels of a call beside its function, pickled, as it is kept until it leaves."""

# Names this process among the clients of an engine: functions of one caller share their globals there.
CLIENT = uuid.uuid4().hex

# Contents of a closure that cannot change under us: rebinding is noticed, changing in place would not be.
_FIXED = _shipping.PLAIN | {types.FunctionType, types.BuiltinFunctionType, types.ModuleType, type}


class PickledFunction:
    """A function as the engines get it.

    Attributes
    ----------
    key : bytes
        Names the function between client and engine: a digest of `data`.
    data : bytes
        The pickled function.
    """

    __slots__ = ("_cells", "_enclosed", "_sizes", "_watched", "data", "key")
    fresh = False  # engines keep it: all calls there share it

    def __init__(self, function: Any, data: bytes, pickler: CallPickler) -> None:
        self.data = data
        self.key = hashlib.blake2b(data, digest_size=16).digest()
        # A recursive function is one of its own names: referred to here, it would never be forgotten.
        self._watched = [(space, name, _or_self(value, function)) for space, name, value in pickler.watched]
        self._sizes = pickler.sizes
        own = _closure(function)
        self._enclosed = [_or_self(_content(cell), function) for cell in own]
        self._cells = [(cell, _or_self(value, function)) for cell, value in pickler.cells if cell not in own]

    def is_current(self, function: Any) -> bool:
        """Whether every name it was pickled with, global or enclosed, is still bound to the same object."""
        if not (self._watched or self._cells or self._enclosed or self._sizes):
            return True
        if any(len(space) != size for space, size in self._sizes):
            return False
        now = [(space.get(name, _ABSENT), value) for space, name, value in self._watched]
        now += [(_content(cell), value) for cell, value in self._cells]
        now += [(_content(cell), value) for cell, value in zip(_closure(function), self._enclosed, strict=True)]
        return all(found is (function if value is _SELF else value) for found, value in now)


def _plain(function: Any) -> Any:
    """The function proper of one with a cache."""
    return function.__wrapped__ if type(function) is functools._lru_cache_wrapper else function


def _closure(function: Any) -> tuple[types.CellType, ...]:
    return getattr(_plain(function), "__closure__", None) or ()


def _or_self(value: Any, function: Any) -> Any:
    return _SELF if value is function else value


class _Globals:
    """Stands in a pickle for the shared globals of a module on the engine."""

    def __init__(self, module: str, attributes: dict[str, Any]) -> None:
        self._of = (module, attributes)

    def __reduce__(self) -> tuple[Any, ...]:
        return _namespaces.globals_of, self._of


class _Apart:
    """Stands in a pickle for a global that is pickled by itself."""

    def __init__(self, name: str, data: bytes) -> None:
        self._of = (name, data)

    def __reduce__(self) -> tuple[Any, ...]:
        return _shipping.load_apart, self._of


_TOO_LARGE = f"larger than {unnamed_globals.LARGEST >> 20} MiB, and not named in the function"


class _TooLarge(Exception):
    def __str__(self) -> str:
        return _TOO_LARGE


class _SmallFile(io.BytesIO):
    """Refuses what is too large, before all of it is pickled."""

    def __init__(self, largest: int = unnamed_globals.LARGEST) -> None:
        super().__init__()
        self._largest = largest

    def write(self, data: Any) -> int:
        if self.tell() + len(data) > self._largest:
            raise _TooLarge
        return super().write(data)


def _offered(versions: dict[str, float], values: Mapping[str, Any]) -> dict[str, float]:
    """`versions`, but older for what is not there: with another function, the same version may come as it is."""
    return {
        name: version - 0.5 if type(values[name]) is _shipping.Unavailable else version
        for name, version in versions.items()
    }


class _Versions:
    """Counts, per module and name, how often the caller bound the name to another object."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], tuple[Any, int]] = {}
        self._lock = LastingLock()

    def of(self, module: str, values: Mapping[str, Any]) -> dict[str, float]:
        with self._lock:
            return {name: self._of(module, name, value) for name, value in values.items()}

    def _of(self, module: str, name: str, value: Any) -> int:
        seen, version = self._seen.get((module, name), (_ABSENT, 0))
        if seen is not value:
            version += 1
            self._seen[module, name] = value, version
        return version


_versions = _Versions()


class CallPickler(_shipping.Pickler):  # type: ignore[name-defined]  # loaded as the engines load it
    """The caller's side of `shipping`: notes what a pickled function depends on.

    Parameters
    ----------
    file : file
    tolerant : bool
        Whether something stands for globals that cannot be pickled, instead of the error that says so.
    within : CallPickler, optional
        The one whose globals are being pickled here, each apart from the others.
    """

    homeward = False

    def __init__(self, file: Any, *, tolerant: bool = False, within: CallPickler | None = None) -> None:
        super().__init__(file)
        self._tolerant = tolerant
        self._is_apart = within is not None
        self.watched: list[tuple[Mapping[str, Any], str, Any]] = []
        self.sizes: list[tuple[Mapping[str, Any], int]] = []
        self.cells: list[tuple[types.CellType, Any]] = []
        self._shared: dict[str, _Globals] = {}
        # Modules that come as a whole: once is enough.
        self._whole: set[tuple[int, bool]] = set() if within is None else within._whole
        self._tried: dict[int, tuple[Any, Exception | None]] = {} if within is None else within._tried

    def reducer_override(self, obj: Any) -> Any:
        if type(obj) is Reference:
            return engine_bundle.load().entry_points.resolve, (obj.name,)
        owner = obj.__self__ if type(obj) is types.MethodType else obj
        if isinstance(owner, _CONNECTED):
            # Libraries keep the map they were given beside the function that they map: lmfit sends both.
            return _shipping.Unavailable, (type(owner).__name__, "its connection belongs to the caller's process")
        if self._is_apart and type(obj) is LazyResult:
            raise pickle.PicklingError("a result is not waited for")
        if unnamed_globals.is_unpickler(obj):
            return self._reduce_unpickler(obj)
        if (reduce := inheritance.reducer(obj)) is not None:
            return reduce(obj)
        return super().reducer_override(obj)

    def home(self, obj: Any) -> tuple[str, str] | None:
        found: tuple[str, str] | None = _shipping.own_home(obj)
        return found

    def reduce_function(self, function: types.FunctionType, reduced: Any, home: Any) -> Any:
        make, newargs, state, *_ = reduced
        values = state[1]["__globals__"]
        self._watch(function)
        values = {name: value for name, value in values.items() if not _is_ipythons(value)}
        values |= self._spelt_out(function)
        shipped = {name: self._shippable(name, value) for name, value in values.items()}
        unnamed = self._unnamed(function.__globals__, function.__code__)
        shipped = {name: self._apart(name, value) for name, value in unnamed.items()} | shipped
        state[1]["__globals__"] = shipped
        module = _module_of(function)
        versions: dict[str, float] = {}
        if module is not None:
            newargs = (newargs[0], self._shared_globals(module, newargs[1]), *newargs[2:])
            versions = _offered(_versions.of(module, unnamed | values), shipped)
        return make, newargs, (state, versions, home), None, None, _shipping.restore_function

    def _spelt_out(self, function: types.FunctionType) -> dict[str, Any]:
        """The globals that a function names in its strings, if it looks names up."""
        code, space = function.__code__, function.__globals__
        if not unnamed_globals.looks_names_up(code):
            return {}
        users = unnamed_globals.of_user(space)
        values = {name: users[name] for name in unnamed_globals.spelt_out(code) & users.keys()}
        self.watched.extend((space, name, value) for name, value in values.items())
        return values

    def _unnamed(self, space: dict[str, Any], code: types.CodeType) -> dict[str, Any]:
        """The globals that `code` may ask for without naming them, unless they come along already."""
        if unnamed_globals.looks_names_up(code):
            return self._whole_module(space, code_only=False)
        return self._whole_module(space, code_only=True) if unnamed_globals.unpickles(code) else {}

    def _whole_module(self, space: dict[str, Any], *, code_only: bool) -> dict[str, Any]:
        """All globals of a module; those that are data are not watched, or each step of a loop would send them anew."""
        if (id(space), code_only) in self._whole:
            return {}
        self._whole |= {(id(space), True), (id(space), code_only)}
        users = {name: value for name, value in unnamed_globals.of_user(space).items() if not _is_ipythons(value)}
        code = {name: value for name, value in users.items() if unnamed_globals.is_code(value)}
        self.sizes.append((space, len(space)))
        self.watched.extend((space, name, value) for name, value in code.items())
        return code if code_only else users

    def _reduce_unpickler(self, obj: Any) -> Any:
        """What reads pickles, and the classes and functions that a pickle may name as the caller's."""
        main = sys.modules["__main__"]
        values = self._whole_module(vars(main), code_only=True)
        values = {name: value for name, value in values.items() if getattr(value, "__module__", "") == "__main__"}
        if not values:
            return super().reducer_override(obj)
        shipped = {name: self._apart(name, value) for name, value in values.items()}
        shared = self._shared_globals("__main__", {"__name__": "__main__", "__package__": None})
        module, name = ("pickle", "") if obj is pickle else ("pickle", obj.__name__)
        versions = _offered(_versions.of("__main__", values), shipped)
        return _shipping.offer_and_find, (shared, shipped, versions, module, name)

    def _shared_globals(self, module: str, attributes: dict[str, Any]) -> _Globals:
        return self._shared.setdefault(module, _Globals(module, attributes))

    def _shippable(self, name: str, value: Any) -> Any:
        """`value`, or what stands for a global that belongs to this process."""
        standing = _shipping.fresh(value)
        if standing is not value:
            return standing
        if self._tolerant and type(value) not in _FIXED:
            error = self._error_of(value)
            if error is not None:
                return _shipping.Unavailable(name, f"{type(error).__name__}: {error}")
        return value

    def _error_of(self, value: Any) -> Exception | None:
        """Why a global cannot be pickled; None if it can. Found out once, however many functions name it."""
        if id(value) not in self._tried:
            trial = CallPickler(io.BytesIO())
            # What comes as a whole already begins no second time: functions that refer to each other would never end.
            trial._whole, trial._tried = set(self._whole), self._tried
            try:
                trial.dump(value)
            except Exception as error:
                self._tried[id(value)] = value, error
            else:
                self._tried[id(value)] = value, None
        return self._tried[id(value)][1]

    def _apart(self, name: str, value: Any) -> Any:
        """A global that nobody names: what it takes to make it there, so that it cannot fail the others."""
        standing = _shipping.fresh(value)
        if standing is not value:
            return standing
        if _bytes_of(value) > unnamed_globals.LARGEST:
            return _shipping.Unavailable(name, _TOO_LARGE)
        file = _SmallFile()
        pickler = CallPickler(file, tolerant=True, within=self)
        try:
            pickler.dump(value)
        except _TooLarge:
            return _shipping.Unavailable(name, _TOO_LARGE)
        except Exception as error:
            return _shipping.Unavailable(name, f"{type(error).__name__}: {error}")
        self.watched.extend(pickler.watched)
        self.sizes.extend(pickler.sizes)
        return _Apart(name, file.getvalue())

    def _watch(self, function: types.FunctionType) -> None:
        """Note what its names are bound to now; one that is bound later, in a notebook, is a change as well."""
        space = function.__globals__
        names = _shipping.global_names(function.__code__)
        self.watched.extend((space, name, space.get(name, _ABSENT)) for name in names)
        self.cells.extend((cell, _content(cell)) for cell in function.__closure__ or ())

    def is_lasting(self) -> bool:
        """Whether a change of what was pickled would be noticed: not one in place of what a closure holds."""
        return all(type(value) in _FIXED for _, value in self.cells)


def _is_ipythons(value: Any) -> bool:
    """Whether a global is one of the names that IPython keeps in a user's namespace: engines have their own."""
    kind = type(value.__self__) if type(value) is types.MethodType else type(value)
    return (kind.__module__ or "").partition(".")[0] in ("IPython", "ipykernel")


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not bound yet
        return _ABSENT


def _module_of(function: types.FunctionType) -> str | None:
    """The name of the loaded module whose globals the function uses, None for globals made by hand."""
    name = function.__globals__.get("__name__")
    module = sys.modules.get(name) if isinstance(name, str) else None
    return name if module is not None and vars(module) is function.__globals__ else None


_functions: weakref.WeakKeyDictionary[Callable[..., Any], tuple[Any, PickledFunction]] = weakref.WeakKeyDictionary()


def pickle_function(function: Callable[..., Any]) -> PickledFunction | None:
    """The pickled form of `function`, from the cache where it still holds.

    None where the function must travel with each call: it is neither a plain function nor found by its name, or it
    closes over something that may change in place.
    """
    plain = _plain(function)
    if type(plain) is not types.FunctionType:
        return _pickle_by_name(function)
    made_for = (plain.__code__, plain.__defaults__)
    cached = _functions.get(function)
    if cached is not None and cached[0] == made_for and cached[1].is_current(function):
        return cached[1]
    with inheritance.heirs():
        chunks, pickler = _dump(function)
    if not pickler.is_lasting():
        return None
    pickled = PickledFunction(function, chunks.joined(), pickler)
    _functions[function] = made_for, pickled
    return pickled


def _pickle_by_name(function: Any) -> PickledFunction | None:
    """The pickled form of a builtin function or a class that engines find by its name; None for anything else."""
    if not isinstance(function, (types.BuiltinFunctionType, type)):
        return None
    cached = _functions.get(function)
    if cached is not None:
        return cached[1]
    if _shipping.Pickler.is_by_value(function):  # also a method of an object, as [].append
        return None
    chunks, pickler = _dump(function)
    data = chunks.joined()
    if data != pickle.dumps(function, pickle.HIGHEST_PROTOCOL):  # which is its name: it comes by value all the same
        return None
    pickled = PickledFunction(function, data, pickler)
    _functions[function] = None, pickled
    return pickled


def _dump(value: Any) -> tuple[Any, CallPickler]:
    """Pickle `value`; functions may use globals that cannot be pickled, unless they use them on the engine."""
    try:
        return _dump_with(value, tolerant=False)
    except Exception as error:
        try:
            return _dump_with(value, tolerant=True)
        except Exception:
            raise error from None


def _dump_with(value: Any, *, tolerant: bool) -> tuple[Any, CallPickler]:
    file = _shipping.Chunks()
    pickler = CallPickler(file, tolerant=tolerant)
    pickler.dump(value)
    return file, pickler


def dumps(value: Any) -> bytes:
    """Pickle anything a call carries, in one piece.

    Raises
    ------
    Exception
        Whatever pickling raises.
    """
    return _dump(value)[0].joined()  # type: ignore[no-any-return]


def dumps_inherited(value: Any) -> bytes:
    """Pickle what a worker would have got when it was forked, in one piece.

    Raises
    ------
    Exception
        Whatever pickling raises.
    """
    with inheritance.heirs():
        return dumps(value)


def dumps_small(value: Any) -> bytes:
    """Pickle what is small enough to travel beside the calls.

    Raises
    ------
    Exception
        Whatever pickling raises, and if it is too large.
    """
    file = _SmallFile(_shipping.INLINE)
    if _bytes_of(value) > _shipping.INLINE:
        raise _TooLarge
    with inheritance.heirs():
        CallPickler(file).dump(value)
    return file.getvalue()


def _bytes_of(value: Any) -> int:
    """How many bytes an array has; 0 for all else. Objects that make up attributes are not asked for this one."""
    return value.nbytes if hasattr(type(value), "nbytes") else 0


def _dump_frames(value: Any) -> Payload:
    return _dump(value)[0].frames()  # type: ignore[no-any-return]


class FreshFunction:
    """Something callable that is sent once, and made anew for each call: what one call does to it, no other sees."""

    __slots__ = ("data", "key")
    fresh = True

    def __init__(self, function: Callable[..., Any]) -> None:
        self.data = dumps(function)
        self.key = hashlib.blake2b(self.data, digest_size=16).digest()


def pickle_mapped(function: Callable[..., Any]) -> PickledFunction | FreshFunction:
    """The pickled form of a function that is called many times, as it is now.

    Raises
    ------
    Exception
        Whatever pickling raises.
    """
    pickled = pickle_function(function)
    return FreshFunction(function) if pickled is None else pickled


def pickle_arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Payload:
    """The payload of a call whose function is sent apart.

    A pickle, in frames if it is large; or the arguments themselves where these are plain values: they cannot change,
    and are pickled with the whole group.

    Raises
    ------
    Exception
        Whatever pickling raises.
    """
    if not kwargs and (_shipping.NUMBERS.issuperset(map(type, args)) or all(map(_is_plain, args))):
        return args
    return _dump_frames((args, kwargs))


def pickle_call(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[PickledFunction | None, Payload]:
    """What a call is made of: its function, where that is sent apart, and its payload.

    Raises
    ------
    Exception
        Whatever pickling raises: the future carries it, as with the standard library's process pool.
    """
    pickled = pickle_function(function)
    return pickled, _dump_frames((function, args, kwargs)) if pickled is None else pickle_arguments(args, kwargs)
