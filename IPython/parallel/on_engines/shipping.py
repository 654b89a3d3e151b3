"""Pickling by value what lives in the caller's modules, the same way there and back.

Travels to the engine by value: standard library and cloudpickle only.

cloudpickle makes a new function with new globals for every pickle, and sets a class's attributes anew each time it
arrives. Here functions of one module share their globals (`namespaces`), a class that is already there is left as
it is, and what the caller can find by name goes home by that name: a returned ``__main__.Point`` is the caller's
own class.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import contextvars
import functools
import importlib
import io
import itertools
import pickle
import sys
import threading
import types
import typing
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import cloudpickle
from cloudpickle import cloudpickle as _cloudpickle

from . import namespaces

PLAIN = frozenset({int, float, complex, bool, str, bytes, type(None)})
NUMBERS = PLAIN - {str, bytes}
# Longer texts are pickled by themselves, so that they can travel without being copied.
_SHORT = 1024
# Up to this many bytes travel in one piece inside a message's header, more in frames of their own.
INLINE = 64 * 1024

# Functions and classes that came from a caller, with the (module, qualified name) under which it can find them.
_homes: weakref.WeakKeyDictionary[Any, tuple[str, str]] = weakref.WeakKeyDictionary()
_by_home: weakref.WeakValueDictionary[tuple[str, str, str], Any] = weakref.WeakValueDictionary()
# Classes whose attributes need not be set when they arrive (again).
_complete: weakref.WeakSet[type] = weakref.WeakSet()


def is_plain(value: Any) -> bool:
    """Whether a value may be put into a message as it is: immutable, short, and the same everywhere."""
    kind = type(value)
    return kind in NUMBERS or (kind in PLAIN and len(value) < _SHORT)


def find(module: str, qualname: str) -> Any:
    """The object of that name in a loaded module; unpickling at the caller's calls this."""
    found: Any = sys.modules[module]
    for part in qualname.split("."):
        found = getattr(found, part)
    return found


def own_home(obj: Any) -> tuple[str, str] | None:
    """(module, qualified name) if `obj` can be found by it in this process, else None."""
    module, qualname = getattr(obj, "__module__", None), getattr(obj, "__qualname__", "")
    if module is None or "<" in qualname:
        return None
    try:
        return (module, qualname) if find(module, qualname) is obj else None
    except (KeyError, AttributeError):
        return None


def restore_function(function: types.FunctionType, state: tuple[Any, ...]) -> None:
    """Fill in a function that arrived: like cloudpickle's own setter, but globals are offered, not imposed."""
    (attributes, slots), versions, home = state
    namespace = namespaces.namespace_of(function.__globals__)
    if namespace is not None:
        values, slots["__globals__"] = slots["__globals__"], {}
        namespace.offer(values, versions)
    _cloudpickle._function_setstate(function, (attributes, slots))
    _remember(function, home)


def restore_class(cls: type, state: tuple[Any, ...]) -> None:
    """Fill in a class that arrived, unless it is here already."""
    original, home = state
    if cls not in _complete:
        _complete.add(cls)
        _cloudpickle._class_setstate(cls, original)
    _remember(cls, home)


def _remember(obj: Any, home: tuple[str, str] | None) -> None:
    if home is not None:
        _homes[obj] = home
        _by_home[namespaces.entered(), *home] = obj


def arrived(name: str) -> Any:
    """What came from a caller's ``__main__`` as `name`: pickling inside a call looks there.

    Raises
    ------
    AttributeError
        As a module without that name.
    """
    try:
        found = _by_home.get((namespaces.entered(), "__main__", name))
        return found if found is not None else namespaces.lookup("__main__", name)
    except KeyError:
        raise AttributeError(f"module '__main__' has no attribute {name!r}") from None


def global_names(code: types.CodeType) -> Iterable[str]:
    """The names of globals that `code`, and the code of functions defined in it, refers to."""
    names: Iterable[str] = _cloudpickle._extract_code_globals(code)
    return names


def make_cached(function: Any, parameters: dict[str, Any]) -> Any:
    """A function with `functools.lru_cache`, with an empty cache."""
    return functools.lru_cache(**parameters)(function)


def make_dispatching(implementations: list[tuple[type, Any]]) -> Any:
    """A function with `functools.singledispatch`; the first implementation is the one for object."""
    dispatching = functools.singledispatch(implementations[0][1])
    for cls, implementation in implementations[1:]:
        dispatching.register(cls, implementation)
    return dispatching


class Unavailable:
    """Stands on the engine for a global of the caller's that could not be pickled: whoever uses it is told."""

    def __init__(self, name: str, reason: str) -> None:
        self.__dict__["_of"] = name, reason
        self.__dict__["_why"] = (
            f"the caller's global {name!r} cannot be sent to engines ({reason}); make it where it is used, "
            "or in an initializer"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # Made anew by its arguments: unpickling would look for a __setstate__, which is refused.
        return Unavailable, self.__dict__["_of"]

    def _refuse(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(self.__dict__["_why"])

    __getattr__ = __setattr__ = __call__ = __getitem__ = __iter__ = __len__ = __bool__ = __enter__ = _refuse


def load_apart(name: str, data: bytes) -> Any:
    """A global that was pickled by itself, as the others do not depend on it; if that fails, it alone is missing."""
    try:
        return pickle.loads(data)
    except Exception as error:
        return Unavailable(name, f"{type(error).__name__}: {error}")


def offer_and_find(
    globals_: dict[str, Any], values: dict[str, Any], versions: dict[str, float], module: str, qualname: str
) -> Any:
    """An object of an importable module, once what it will look for is there."""
    namespace = namespaces.namespace_of(globals_)
    if namespace is not None:
        namespace.offer(values, versions)
    found = importlib.import_module(module)
    return find(module, qualname) if qualname else found


_DISPATCHING_CODE = functools.singledispatch(lambda first: None).__code__  # type: ignore[attr-defined]  # it is a function


# Of its version and the reader's.
REFUSAL = (
    "code of Python {}.{} cannot run on Python {}.{}: use the same version at the client and on the engines, "
    "or put the function into a module that both can import"
)


def refusal(version: tuple[int, int]) -> str:
    """What is said of code of another version of Python than this one."""
    return REFUSAL.format(*version, *sys.version_info[:2])


def make_code(version: tuple[int, int], filename: str, arguments: tuple[Any, ...]) -> types.CodeType:
    """A code object that arrived; another Python's byte code could crash the interpreter."""
    if version != sys.version_info[:2]:
        raise TypeError(refusal(version))
    # cloudpickle keeps the file's name to itself, in newer versions; without it a traceback would not show the line.
    return types.CodeType(*arguments).replace(co_filename=filename)


def _with_slots(cls: type, make: Any, newargs: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
    """What makes `cls` anew, told of its slots: they must be there when the class is made, not be set later."""
    slots = vars(cls).get("__slots__")
    if not slots or make is not _cloudpickle._make_skeleton_class:
        return make, newargs
    return make, (*newargs[:3], {**newargs[3], "__slots__": slots}, *newargs[4:])


# What belongs to one process by nature: where a function uses such a global, or a class has such an attribute, the
# engine finds a new one, as a worker would that the standard library spawned.
_PROCESS_LOCAL: dict[type, Callable[[], Any]] = {
    type(make()): make
    for make in (threading.Lock, threading.RLock, threading.local, threading.Event, threading.Condition)
}
_SEMAPHORES = (threading.Semaphore, threading.BoundedSemaphore)


class _Fresh:
    """Stands in a pickle for what is made anew where it arrives."""

    def __init__(self, make: Callable[..., Any], *args: Any) -> None:
        self._made = make, args

    def __reduce__(self) -> tuple[Any, ...]:
        return self._made


def fresh(value: Any) -> Any:
    """What stands for `value` if it belongs to this process, else `value`."""
    if type(value) in _SEMAPHORES:
        return _Fresh(type(value), value._value)
    if type(value) is contextvars.ContextVar:
        return _Fresh(make_variable, value.name, *_value_of(value))
    make = _PROCESS_LOCAL.get(type(value))
    return value if make is None else _Fresh(make)


def annotations_of(obj: Any) -> dict[str, Any]:
    """A function's or class's annotations: values, or text for what has none, as names that only type checkers import.

    From Python 3.14 on they are evaluated on demand, so one that nobody has asked for may be impossible to evaluate.
    """
    try:
        return dict(obj.__annotations__)
    except Exception:
        if sys.version_info < (3, 14):
            raise
        annotationlib = importlib.import_module("annotationlib")  # which earlier versions don't have
        found = annotationlib.get_annotations(obj, format=annotationlib.Format.FORWARDREF)
        return {name: getattr(value, "__forward_arg__", value) for name, value in found.items()}


def with_plain_annotations(function: types.FunctionType) -> types.FunctionType:
    """`function`, or one like it, whose annotations can be had."""
    try:
        function.__annotations__  # noqa: B018 (this evaluates them)
    except Exception:
        code, names, defaults = function.__code__, function.__globals__, function.__defaults__
        alike = types.FunctionType(code, names, function.__name__, defaults, function.__closure__)
        alike.__dict__.update(function.__dict__)
        alike.__module__, alike.__qualname__ = function.__module__, function.__qualname__
        alike.__doc__ = function.__doc__
        alike.__kwdefaults__ = function.__kwdefaults__
        alike.__annotations__ = annotations_of(function)
        return alike
    return function


def make_forward_reference(text: str, module: str | None, is_class: bool) -> Any:
    """What stands in annotations for a name that has no value, without all the globals it was to be looked up in."""
    return typing.ForwardRef(text, module=module, is_class=is_class)


def make_alias(name: str, value: Any, parameters: tuple[Any, ...]) -> Any:
    """What ``type name[parameters] = value`` makes, from Python 3.12 on."""
    return _ALIAS(name, value, type_params=parameters)


def _value_of(variable: contextvars.ContextVar[Any]) -> tuple[Any, ...]:
    """The value of a context variable, if it has one that can be pickled."""
    try:
        value = variable.get()
        pickle.dumps(value)
    except Exception:
        return ()
    return (value,)


def make_variable(name: str, *value: Any) -> contextvars.ContextVar[Any]:
    """A context variable; the value that the caller's has is everywhere its default."""
    return contextvars.ContextVar(name, default=value[0]) if value else contextvars.ContextVar(name)


def make_cached_property(function: Any, name: str | None) -> Any:
    """A `functools.cached_property`, which has a lock of its own before Python 3.12."""
    made = functools.cached_property(function)
    if name is not None:
        made.__set_name__(type(None), name)
    return made


_ALIAS: Any = getattr(typing, "TypeAliasType", ())  # from Python 3.12 on
# From Python 3.14 on it holds on to the globals of its module: a dataclass that names itself has one.
_FORWARD_REFERENCE: Any = typing.ForwardRef if sys.version_info >= (3, 14) else ()
_REDUCED = (
    *(kind for kind in (_ALIAS, _FORWARD_REFERENCE) if kind),
    types.FunctionType,
    type,
    types.CodeType,
    functools._lru_cache_wrapper,
    functools.cached_property,
)


class Pickler(cloudpickle.Pickler):
    """cloudpickle's pickler, with its reductions of code, functions and classes changed as this module says."""

    # Aliases on the way: one that is part of its own value is named there.
    _aliases: tuple[Any, ...] = ()

    def reducer_override(self, obj: Any) -> Any:
        if not isinstance(obj, _REDUCED):
            return NotImplemented
        if isinstance(obj, _ALIAS):
            return self._reduce_alias(obj)
        if isinstance(obj, _FORWARD_REFERENCE):
            return make_forward_reference, (obj.__forward_arg__, obj.__forward_module__, obj.__forward_is_class__)
        if type(obj) is types.CodeType:
            return make_code, (sys.version_info[:2], obj.co_filename, _cloudpickle._code_reduce(obj)[1])
        if type(obj) is functools._lru_cache_wrapper:
            return self._reduce_cached(obj)
        if type(obj) is functools.cached_property:
            return make_cached_property, (obj.func, obj.attrname)
        if isinstance(obj, functools.cached_property):
            return NotImplemented
        if getattr(obj, "__code__", None) is _DISPATCHING_CODE and self.is_by_value(obj):
            registry = obj.registry
            rest = [(cls, function) for cls, function in registry.items() if cls is not object]
            return make_dispatching, ([(object, registry[object]), *rest],)
        reduced = super().reducer_override(obj)
        if reduced is NotImplemented or len(reduced) != 6:
            return reduced
        home = self.home(obj)
        if home is not None and self.homeward:
            return find, home
        if isinstance(obj, type):
            # Whoever sends a class has it whole, also when an instance of it comes back.
            _complete.add(obj)
            make, newargs = _with_slots(obj, *reduced[:2])
            attributes, slots = reduced[2]
            if sys.version_info >= (3, 14):  # of which cloudpickle leaves them out
                attributes = {**attributes, "__annotations__": annotations_of(obj)}
            state = {name: fresh(value) for name, value in attributes.items()}, slots
            return make, newargs, (state, home), None, None, restore_class
        return self.reduce_function(obj, reduced, home)

    def _dynamic_function_reduce(self, func: types.FunctionType) -> Any:
        return super()._dynamic_function_reduce(with_plain_annotations(func))

    def _reduce_alias(self, alias: Any) -> Any:
        """By its name, as pickle has it, if the module can be imported where it arrives; else by its value."""
        module = alias.__module__
        by_value = module == "__main__" or module in _cloudpickle.list_registry_pickle_by_value()
        if not by_value and getattr(sys.modules.get(module), alias.__name__, None) is alias:
            return NotImplemented
        if any(alias is begun for begun in self._aliases):
            return typing.ForwardRef, (alias.__name__,)
        self._aliases += (alias,)
        return make_alias, (alias.__name__, alias.__value__, alias.__type_params__)

    def _reduce_cached(self, cached: Any) -> Any:
        """By its function if that travels by value; by its own name, as pickle has it, if not."""
        if isinstance(cached.__wrapped__, types.FunctionType) and self.is_by_value(cached):
            return make_cached, (cached.__wrapped__, cached.cache_parameters())
        return NotImplemented

    @staticmethod
    def is_by_value(obj: Any) -> bool:
        home = own_home(obj)
        return home is None or home[0] == "__main__" or home[0] in _cloudpickle.list_registry_pickle_by_value()

    # The engine's side, where what came from the caller goes home by name. The caller's pickler overrides these.
    homeward = True

    def home(self, obj: Any) -> tuple[str, str] | None:
        return _homes.get(obj)

    def reduce_function(self, function: types.FunctionType, reduced: Any, home: Any) -> Any:
        return reduced


def raw(piece: Any) -> Any:
    """What a pickler writes, as bytes in the order of memory: an array's columns may be first there."""
    return piece.raw() if type(piece) is pickle.PickleBuffer else piece


class Chunks(list):  # type: ignore[type-arg]
    """What a pickler writes, piece by piece: a large text is here as it is, not copied into one piece with the rest."""

    def write(self, piece: Any) -> None:
        # A buffer that may change later, as an array's, is copied: values are taken as they are now.
        self.append(piece if type(piece) is bytes else bytes(raw(piece)))

    def joined(self) -> bytes:
        return b"".join(self)

    def frames(self) -> bytes | list[bytes]:
        """The pickle in one piece, or, if it is large, in frames that can be sent as they are."""
        if sum(map(len, self)) <= INLINE:
            return self.joined()
        frames: list[bytes] = []
        for large, pieces in itertools.groupby(self, lambda piece: len(piece) > INLINE):
            frames += pieces if large else [b"".join(pieces)]  # noqa: B031  # used once
        return frames


class _Frames(io.RawIOBase):
    """A pickle in frames, to be read."""

    def __init__(self, frames: Sequence[Any]) -> None:
        self._left = [memoryview(frame) for frame in reversed(frames)]

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while self._left and not len(self._left[-1]):
            self._left.pop()
        if not self._left:
            return 0
        frame = self._left[-1]
        size = min(len(frame), len(buffer))
        buffer[:size] = frame[:size]
        self._left[-1] = frame[size:]
        return size


def loads(data: Any) -> Any:
    """Unpickle what came in one piece, in a list of frames, or in a file."""
    if type(data) is list:
        return pickle.load(io.BufferedReader(_Frames(data)))
    if isinstance(data, io.BufferedReader):
        with data:  # whatever becomes of it: an error would keep it open
            return pickle.load(data)
    return pickle.loads(data)


def dumps(value: Any) -> bytes:
    """Pickle an engine's answer in one piece."""
    return _chunks(value).joined()


def dump_frames(value: Any) -> bytes | list[bytes]:
    """Pickle an engine's answer: in one piece, or in frames."""
    return _chunks(value).frames()


def _chunks(value: Any) -> Chunks:
    chunks = Chunks()
    Pickler(chunks).dump(value)
    return chunks
