"""Rebuilding, in the caller's process, an exception that `remote_errors` has packed on an engine.

What comes back is an instance of a class made on the spot from the user's class and `ipyparallel.error.RemoteError`::

    ValueError                  RemoteError        so `except ValueError` and `except RemoteError` both catch it,
          \\                         |
           \\                 FromEngine            which answers what RemoteError promises (`ename`, `evalue`, ...)
            \\                 /                    and otherwise keeps RemoteError out of the user's class's way,
    _Transport /             /
          \\   |             /
           ValueError (made here, same name)       and `_Transport` makes it pickle and copy.

Its ``__cause__`` is a `RemoteTraceback`, as in the standard library's pool; the exception's original cause, or else its
context, is that one's ``__context__``. It keeps its original ``__context__`` as well, until it is raised while another
exception is being handled.

Classes that cannot be had here, or cannot be combined, end as `UnrebuiltError`, a RemoteError that names type,
message and traceback. An exception that only derives from BaseException (SystemExit, KeyboardInterrupt) becomes an
Exception too by this, for RemoteError is one: ipyparallel's own results would hand out anything else as a value.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import pickle
import types
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import cloudpickle
from ipyparallel import error
from ipyparallel.error import CompositeError, RemoteError

from .on_engines.remote_errors import (
    ARGS,
    CAUSE,
    CONTEXT,
    DICT,
    MEMBERS,
    MESSAGE,
    ORIGINAL_CLASS,
    SUPPRESS,
    field_descriptors,
    fields,
    is_really,
    pack_exception,
)

__all__ = ["FromEngine", "RemoteTraceback", "UnrebuiltError", "rebuild_exception"]

_RECORD = "_remote_record"
# What a RemoteError's `engine_info` has in ipyparallel; host and call are in the cause's headline.
_ENGINE_INFO = ("engine_id", "engine_uuid", "method")


def rebuild_exception(
    packed: Mapping[str, Any], loads: Callable[[bytes], Any], engine_info: Mapping[str, Any] | None = None
) -> BaseException:
    """Put an exception together again. Never raises; any thread may call it.

    Parameters
    ----------
    packed : dict
        From `remote_errors.pack_exception`.
    loads : callable
        The inverse of the `dumps` it was packed with; whatever it raises costs one attribute, or the class.
    engine_info : dict, optional
        Where it was raised: `engine_id`, `engine_uuid`, `method`, `host`, `call`.

    Returns
    -------
    BaseException
        An `ipyparallel.error.RemoteError`, and wherever possible an instance of the class that was raised.
    """
    info = _complete(engine_info)
    try:
        return _Rebuilder(packed, loads, info).outermost()
    except BaseException as problem:  # hostile classes, or a packed form that is none
        return _unrebuilt(_first_entry(packed), info, f"it could not be rebuilt here: {_shown(problem)}")


def _first_entry(packed: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return dict(packed["exceptions"][0])
    except Exception:
        return {}


def _complete(engine_info: Mapping[str, Any] | None) -> dict[str, Any]:
    """With the keys RemoteError takes for granted in an engine_info that is not empty."""
    return {"engine_id": "?", "method": "call", **engine_info} if engine_info else {}


# -- what the caller gets ---------------------------------------------------------------------------------------------


class RemoteTraceback(Exception):
    """The cause of a rebuilt exception: its ``str()`` is the traceback from the engine."""

    def __init__(self, text: str) -> None:
        super().__init__(text)

    def __str__(self) -> str:
        return "\n" + str(self.args[0]).rstrip("\n")


class UnrebuiltError(RemoteError):
    """An exception whose class this process cannot have; its message names type, message and the reason.

    `ename` is the full name of the type. Attributes and notes are those of the original.
    """

    def __init__(self, ename: str, evalue: str, traceback: str | None, engine_info: dict[str, Any], why: str) -> None:
        super().__init__(ename, evalue, traceback, engine_info)
        self.why = why

    def __str__(self) -> str:
        return f"{super().__str__()} ({self.why})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.ename, self.evalue, self.traceback, self.engine_info, self.why), dict(vars(self))


class _FromRecord:
    """An attribute of RemoteError. Has no `__set__`, so an attribute of the user's of the same name is what counts."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, exc: BaseException | None, owner: type | None = None) -> Any:
        return None if exc is None else _record(exc)[self._name]


class FromEngine(RemoteError):
    """What every rebuilt exception is besides an instance of its own class.

    In the method resolution order it stands between the user's class and RemoteError. Without it the user's
    ``super().__str__()`` and ``super().__init__(message)`` would end in RemoteError's.
    """

    ename = _FromRecord()
    evalue = _FromRecord()
    traceback = _FromRecord()
    engine_info = _FromRecord()

    def __init__(self, *args: object, **kwargs: object) -> None:
        super(RemoteError, self).__init__(*args, **kwargs)

    def __str__(self) -> str:
        return str(super(RemoteError, self).__str__())

    def __repr__(self) -> str:
        return str(super(RemoteError, self).__repr__())

    def render_traceback(self) -> list[str]:
        """The traceback from the engine as a list of lines."""
        record = _record(self)
        text = record["traceback"] or "No traceback available"
        return [self._get_engine_str(_complete(record["engine_info"])), *text.splitlines()]

    def _render_traceback_(self) -> list[str]:
        return FromEngine.render_traceback(self)  # a render_traceback of the user's may want arguments

    def _remote_as_original(self) -> BaseException:
        """A plain instance of the user's class, for a `__reduce__` of the user's to work on."""
        return _copied(self, getattr(type(self), ORIGINAL_CLASS))


def _record_slot(exc: BaseException) -> Any:
    for cls in type(exc).__mro__:  # the first but for subclasses of ours
        if _RECORD in vars(cls):
            return vars(cls)[_RECORD]
    return None


def _record(exc: BaseException) -> dict[str, Any]:
    """The facts from the engine; made up for an instance that was never there, such as ``type(e)("again")``."""
    try:
        record: dict[str, Any] = _record_slot(exc).__get__(exc)
    except AttributeError:
        return {"ename": type(exc).__name__, "evalue": str(exc), "traceback": None, "engine_info": {}}
    return record


def _has_record(exc: BaseException) -> bool:
    try:
        return bool(_record_slot(exc).__get__(exc))
    except AttributeError:
        return False


def _set_record(exc: BaseException, record: dict[str, Any]) -> None:
    slot = _record_slot(exc)
    if slot is not None:
        slot.__set__(exc, record)
    elif is_really(exc, RemoteError):  # one of ipyparallel's own: what it does not say itself
        if is_really(exc, CompositeError):  # by its bare name, collect_exceptions would look for a list in evalue
            record = {**record, "ename": f"{type(exc).__module__}.{type(exc).__qualname__}"}
        DICT.__get__(exc).update({**record, **DICT.__get__(exc)})


class _Transport:
    """Stands first among the bases: what must not be the user's class's business."""

    __slots__ = ()

    def __init_subclass__(cls, **kwargs: object) -> None:
        """Ends here: the user's would enter our class in a registry, or miss an argument."""

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return _revived, (pack_exception(self, cloudpickle.dumps),)  # type: ignore[arg-type]

    def __copy__(self) -> BaseException:
        return _copied(self, type(self))  # type: ignore[arg-type]


def _revived(packed: dict[str, Any]) -> BaseException:
    """What was pickled: already rebuilt, so its record and its links are its own."""
    return _Rebuilder(packed, pickle.loads, {}).root()


# -- the classes ------------------------------------------------------------------------------------------------------

# By the id of the user's class, which cannot be reused while the class made from it lives. So nothing is kept alive:
# a notebook that defines its exceptions again and again leaks none of them.
_combined_classes: weakref.WeakValueDictionary[tuple[int, int], type] = weakref.WeakValueDictionary()


def _combined_class(original: type[BaseException]) -> type[BaseException]:
    """The class that is `original` and a RemoteError, with the names of `original`.

    Raises
    ------
    TypeError
        There can be no such class: `original` allows no subclasses.
    """
    key = id(original), id(error.RemoteError)
    combined = _combined_classes.get(key)
    if combined is None:
        combined = _combined_classes.setdefault(key, _combine(original))
    return combined


def _combine(original: type[BaseException]) -> type[BaseException]:
    # Exception, KernelError: a base already, and a class cannot stand before its own subclass.
    bases: tuple[type, ...] = (_Transport, FromEngine)
    if not issubclass(FromEngine, original):
        bases = (_Transport, original, FromEngine)
    if not issubclass(FromEngine, error.RemoteError):
        # Somebody has put a class of their own in its place, as ipyparallel's tests do, and expects to catch that.
        bases += (error.RemoteError,)
    names = {
        "__module__": original.__module__,
        "__qualname__": original.__qualname__,
        "__doc__": original.__doc__,
        # A slot, not an entry in __dict__: __str__ methods that print their __dict__ are common.
        "__slots__": (_RECORD,),
        ORIGINAL_CLASS: original,
    }
    try:
        return types.new_class(original.__name__, bases, exec_body=lambda body: body.update(names))
    except Exception:  # a metaclass that keeps a registry, or forbids subclasses
        return type.__new__(type(original), original.__name__, bases, names)


def _is_remote_already(cls: type[BaseException]) -> bool:
    """Needs no combining, and its own idea of RemoteError's attributes is the better one."""
    return issubclass(cls, (RemoteError, RemoteTraceback))


# -- instances --------------------------------------------------------------------------------------------------------


class _Rebuilder:
    """One rebuilding: every exception and every value of the packed tables at most once.

    First all exceptions are made, empty; then they are filled. So anything can refer to anything.
    """

    def __init__(self, packed: Mapping[str, Any], loads: Callable[[bytes], Any], info: dict[str, Any]) -> None:
        self._entries: list[dict[str, Any]] = packed["exceptions"]
        self._packed_values: list[tuple[Any, ...]] = packed["values"]
        self._loads = loads
        self._info = info
        self._made: dict[int, BaseException] = {}
        self._whole: set[int] = set()  # made by the user's own __reduce__, contents and all
        self._values: dict[int, Any] = {}

    def root(self) -> BaseException:
        """The exception as it was, with the causes and contexts it had."""
        for index in range(len(self._entries)):
            self._instance(index)
        for index in range(len(self._entries)):
            self._fill(index)
        return self._made[0]

    def outermost(self) -> BaseException:
        """The same, with the traceback from the engine as its cause, and as that of the members of a group."""
        root = self.root()
        _set_record(root, self._new_record(0))  # instead of that of an engine further away
        for index in self._to_be_headed():
            self._head(index)
        return root

    # -- making

    def _instance(self, index: int) -> BaseException:
        if index not in self._made:
            self._made[index] = self._new_instance(index)
        return self._made[index]

    def _new_instance(self, index: int) -> BaseException:
        entry = self._entries[index]
        if entry.get("class") is None:
            return _unrebuilt(entry, self._info, "its class cannot be pickled")
        try:
            original = self._loads(entry["class"])
        except BaseException as problem:  # a module that calls sys.exit() when imported, too
            return _unrebuilt(entry, self._info, f"its class cannot be loaded here: {_shown(problem)}")
        try:
            return self._instance_of(original, index)
        except Exception as problem:
            return _unrebuilt(entry, self._info, f"its class cannot be made a RemoteError: {_shown(problem)}")

    def _instance_of(self, original: type[BaseException], index: int) -> BaseException:
        entry = self._entries[index]
        whole = self._loaded_whole(entry["whole"], original)
        if whole is not None:
            self._whole.add(index)
            return whole if _is_remote_already(original) else _copied(whole, _combined_class(type(whole)))
        cls = original if _is_remote_already(original) else _combined_class(original)
        return _empty(cls, *self._group_arguments(entry["group"]))

    def _loaded_whole(self, pickled: bytes | None, original: type[BaseException]) -> BaseException | None:
        """What the user's own `__reduce__` makes of it, if that works and keeps to the class."""
        if pickled is None:
            return None
        try:
            whole = self._loads(pickled)
            return whole if issubclass(type(whole), original) else None
        except BaseException:
            return None

    def _group_arguments(self, group: dict[str, Any] | None) -> tuple[Any, ...]:
        """A group's message and members can only be given to it when it is made."""
        return () if group is None else (group["message"], [self._instance(one) for one in group["members"]])

    # -- filling

    def _fill(self, index: int) -> None:
        exc, entry = self._made[index], self._entries[index]
        if "class" in entry:
            if index in self._whole:
                self._add_to_whole(exc, entry)
            else:
                self._fill_contents(exc, entry)
            self._fill_links(exc, entry)
        if not _has_record(exc):
            _set_record(exc, self._new_record(index))

    def _fill_contents(self, exc: BaseException, entry: dict[str, Any]) -> None:
        if not is_really(exc, UnrebuiltError):
            ARGS.__set__(exc, tuple(self._value(value) for value in entry["args"]))
        contents = {name: self._value(value) for name, value in entry["dict"].items()}
        contents |= {name: self._value(value) for name, value in entry["fields"].items()}
        _set_contents(exc, contents)

    def _add_to_whole(self, exc: BaseException, entry: dict[str, Any]) -> None:
        """What a `__reduce__` does not know of: notes, which anybody may add, and our record."""
        if "__notes__" in entry["dict"]:
            DICT.__get__(exc)["__notes__"] = self._value(entry["dict"]["__notes__"])
        if _RECORD in entry["fields"]:
            _set_record(exc, self._value(entry["fields"][_RECORD]))

    def _fill_links(self, exc: BaseException, entry: dict[str, Any]) -> None:
        CAUSE.__set__(exc, self._made.get(entry["cause"]))
        CONTEXT.__set__(exc, self._made.get(entry["context"]))
        SUPPRESS.__set__(exc, entry["suppress_context"])  # last: setting a cause sets this too

    def _value(self, index: int) -> Any:
        if index not in self._values:
            self._values[index] = self._unpacked(*self._packed_values[index])
        return self._values[index]

    def _unpacked(self, kind: str, content: Any, detail: Any = None) -> Any:
        if kind == "exception":
            return self._made[content]
        if kind == "exceptions":
            some = [self._made[index] for index in detail]
            return tuple(some) if content else some
        return self._loaded(content, detail) if kind == "pickle" else content

    def _loaded(self, pickled: bytes, type_name: str) -> Any:
        try:
            return self._loads(pickled)
        except BaseException as problem:
            return f"<{type_name} object, which cannot be loaded here: {_shown(problem)}>"

    # -- the traceback from the engine

    def _new_record(self, index: int) -> dict[str, Any]:
        entry = self._entries[index]
        return {
            "ename": entry["name"],
            "evalue": entry["message"],
            "traceback": entry.get("traceback"),
            "engine_info": {key: self._info[key] for key in _ENGINE_INFO if key in self._info},
        }

    def _to_be_headed(self) -> list[int]:
        """The root and, since `except*` takes groups apart, those of the members that were raised."""
        seen, waiting = {0}, [0]
        while waiting:
            members = (self._entries[waiting.pop()].get("group") or {}).get("members", ())
            new = [index for index in members if index not in seen]
            seen.update(new)
            waiting.extend(new)
        return [index for index in sorted(seen) if index == 0 or self._entries[index].get("raised")]

    def _head(self, index: int) -> None:
        exc, entry = self._made[index], self._entries[index]
        text = entry.get("traceback") or f"{entry['qualname']}: {entry['message']}\n"
        head = RemoteTraceback(_headline(self._info) + text)
        cause = CAUSE.__get__(exc)
        CONTEXT.__set__(head, CONTEXT.__get__(exc) if cause is None else cause)
        SUPPRESS.__set__(head, True)  # the text shows it already
        CAUSE.__set__(exc, head)


def _headline(info: dict[str, Any]) -> str:
    if not info:
        return ""
    host = f" on {info['host']}" if info.get("host") else ""
    call = f", in {info['call']}" if info.get("call") else ""
    return f"[engine {info['engine_id']}{host}{call}]\n"


def _shown(problem: BaseException) -> str:
    return f"{type(problem).__name__}: {problem}"


def _unrebuilt(entry: dict[str, Any], info: dict[str, Any], why: str) -> UnrebuiltError:
    module, name = entry.get("module", "builtins"), entry.get("qualname", "unknown")
    full_name = name if module == "builtins" else f"{module}.{name}"
    return UnrebuiltError(full_name, entry.get("message", ""), entry.get("traceback"), dict(info), why)


def _empty(cls: type[BaseException], *args: object) -> BaseException:
    """An instance for which neither `__init__` nor `__new__` of the user's was called."""
    for owner in cls.__mro__:
        new = vars(owner).get("__new__")
        if isinstance(new, types.BuiltinFunctionType):
            try:
                made: BaseException = new(cls, *args)
            except TypeError:  # of several builtin bases only one has the right layout
                continue
            return made
    raise TypeError(f"{cls.__name__} cannot be instantiated")


def _set_contents(exc: BaseException, contents: dict[str, Any]) -> None:
    """Attributes, each where this process's class keeps it, which need not be where it was kept.

    A class that cloudpickle has sent by value has no slots, so its instances come without any; and the `winerror` of
    another system has no field here.
    """
    places = {name: descriptor for _, name, descriptor in field_descriptors(type(exc)) if name in contents}
    others = DICT.__get__(exc)
    for name, value in contents.items():
        try:
            places[name].__set__(exc, value)
        except (AttributeError, KeyError, TypeError, ValueError):  # no such field, or a read-only one
            if name != _RECORD:
                others.setdefault(name, value)


def _copied(exc: BaseException, cls: type[BaseException]) -> BaseException:
    """`exc` as an instance of `cls`: the same contents and links, no traceback."""
    is_group = is_really(exc, BaseExceptionGroup)
    copied = _empty(cls, *((MESSAGE.__get__(exc), MEMBERS.__get__(exc)) if is_group else ()))
    ARGS.__set__(copied, ARGS.__get__(exc))
    _set_contents(copied, DICT.__get__(exc) | dict(fields(exc)))
    CAUSE.__set__(copied, CAUSE.__get__(exc))
    CONTEXT.__set__(copied, CONTEXT.__get__(exc))
    SUPPRESS.__set__(copied, SUPPRESS.__get__(exc))
    return copied
