"""Pickle a call at the moment it is submitted, and each function once.

A function, with the globals it uses, is pickled the first time it is submitted and again only when something it
refers to was rebound, as in a notebook; the engines keep it (`engine_runner`). Arguments are pickled with every
call, so that later changes by the caller don't show.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import hashlib
import io
import pickle
import sys
import threading
import types
import uuid
import weakref
from collections.abc import Callable, Mapping
from typing import Any

from . import engine_bundle

_ABSENT = object()
_shipping = engine_bundle.load().shipping
_namespaces = engine_bundle.load().namespaces

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

    __slots__ = ("_watched", "data", "key")

    def __init__(self, data: bytes, watched: list[tuple[Mapping[str, Any], str, Any]]) -> None:
        self.data = data
        self.key = hashlib.blake2b(data, digest_size=16).digest()
        self._watched = watched

    def is_current(self) -> bool:
        """Whether every global it was pickled with is still bound to the same object."""
        return all(space.get(name, _ABSENT) is value for space, name, value in self._watched)


class _Globals:
    """Stands in a pickle for the shared globals of a module on the engine."""

    def __init__(self, module: str, attributes: dict[str, Any]) -> None:
        self._of = (CLIENT, module, attributes)

    def __reduce__(self) -> tuple[Any, ...]:
        return _namespaces.globals_of, self._of


class _Versions:
    """Counts, per module and name, how often the caller bound the name to another object."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], tuple[Any, int]] = {}
        self._lock = threading.Lock()

    def of(self, module: str, values: Mapping[str, Any]) -> dict[str, int]:
        with self._lock:
            return {name: self._of(module, name, value) for name, value in values.items()}

    def _of(self, module: str, name: str, value: Any) -> int:
        seen, version = self._seen.get((module, name), (_ABSENT, 0))
        if seen is not value:
            version += 1
            self._seen[module, name] = value, version
        return version


_versions = _Versions()


class CallPickler(_shipping.Pickler):
    """The caller's side of `shipping`: notes what a pickled function depends on."""

    homeward = False

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.watched: list[tuple[Mapping[str, Any], str, Any]] = []
        self.lasting = True
        self._shared: dict[str, _Globals] = {}

    def home(self, obj: Any) -> tuple[str, str] | None:
        return _shipping.own_home(obj)

    def reduce_function(self, function: types.FunctionType, reduced: Any, home: Any) -> Any:
        make, newargs, state, *_ = reduced
        values = state[1]["__globals__"]
        self._watch(function, values)
        module = _module_of(function)
        versions: dict[str, int] = {}
        if module is not None:
            newargs = (newargs[0], self._shared_globals(module, newargs[1]), *newargs[2:])
            versions = _versions.of(module, values)
        return make, newargs, (state, versions, home), None, None, _shipping.restore_function

    def _shared_globals(self, module: str, attributes: dict[str, Any]) -> _Globals:
        return self._shared.setdefault(module, _Globals(module, attributes))

    def _watch(self, function: types.FunctionType, values: Mapping[str, Any]) -> None:
        self.watched.extend((function.__globals__, name, value) for name, value in values.items())
        for cell in function.__closure__ or ():
            self.lasting = self.lasting and _is_fixed(cell)


def _is_fixed(cell: types.CellType) -> bool:
    try:
        return type(cell.cell_contents) in _FIXED
    except ValueError:  # not bound yet
        return False


def _module_of(function: types.FunctionType) -> str | None:
    """The name of the loaded module whose globals the function uses, None for globals made by hand."""
    name = function.__globals__.get("__name__")
    module = sys.modules.get(name) if isinstance(name, str) else None
    return name if module is not None and vars(module) is function.__globals__ else None


_functions: weakref.WeakKeyDictionary[types.FunctionType, tuple[Any, PickledFunction]] = weakref.WeakKeyDictionary()


def pickle_function(function: Callable[..., Any]) -> PickledFunction | None:
    """The pickled form of `function`, from the cache where it still holds.

    None where the function must travel with each call: it is not a plain function, or it closes over something
    that may change in place.
    """
    if type(function) is not types.FunctionType:
        return None
    made_for = (function.__code__, function.__defaults__, function.__closure__)
    cached = _functions.get(function)
    if cached is not None and cached[0] == made_for and cached[1].is_current():
        return cached[1]
    pickled, lasting = _pickle(function)
    if lasting:
        _functions[function] = made_for, pickled
        return pickled
    return None


def _pickle(function: types.FunctionType) -> tuple[PickledFunction, bool]:
    file = io.BytesIO()
    pickler = CallPickler(file)
    pickler.dump(function)
    return PickledFunction(file.getvalue(), pickler.watched), pickler.lasting


def dumps(value: Any) -> bytes:
    """Pickle anything a call carries."""
    file = io.BytesIO()
    CallPickler(file).dump(value)
    return file.getvalue()


def pickle_call(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[PickledFunction | None, bytes]:
    """What a call is made of: its function, where that is sent apart, and its payload.

    Raises
    ------
    Exception
        Whatever pickling raises: the future carries it, as with the standard library's process pool.
    """
    pickled = pickle_function(function)
    content = (args, kwargs) if pickled is not None else (function, args, kwargs)
    if pickled is not None and not kwargs and all(type(arg) in _shipping.PLAIN for arg in args):
        # What cannot refer to the caller's code needs no pickler of ours: 1 µs instead of 10.
        return pickled, pickle.dumps(content, pickle.HIGHEST_PROTOCOL)
    return pickled, dumps(content)
