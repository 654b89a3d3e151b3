"""Packing an exception where it was raised, so that its own type can be rebuilt elsewhere.

This source travels to the engines as text and runs there as a module of its own: standard library only, nothing
relative, Python 3.11 and later. Its other half is `rebuilt_errors`.

`pickle.dumps(exception)` is not enough: it forgets traceback, cause and context, calls ``cls(*args)`` when loading
(which fails for every ``__init__`` that takes something else) and loses everything when one attribute does not pickle.
So an exception is taken apart here and put together again without calling anything of the user's, unless the user
has written a ``__reduce__``; then that comes first.

What is packed refers to exceptions and values by number, which is what makes cycles, shared causes and deep chains
harmless::

    {"exceptions": [root, ...],      each a dict, see `_Packer._describe`
     "values": [("plain", 2), ...]}  see `_Packer._pack_value`
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import copyreg
import reprlib
import traceback
import types
from collections.abc import Callable, Iterator
from typing import Any

__all__ = [
    "ARGS",
    "CAUSE",
    "CONTEXT",
    "DICT",
    "MEMBERS",
    "MESSAGE",
    "ORIGINAL_CLASS",
    "SUPPRESS",
    "field_descriptors",
    "fields",
    "is_really",
    "pack_exception",
]

ORIGINAL_CLASS = "_remote_original_class"
"""Attribute of the classes `rebuilt_errors` makes: the user's class they stand for."""

MAX_LINKED = 1000
"""How many exceptions there may be before causes and contexts are no longer followed: more than anybody reads, and
few enough to be packed in a fraction of a second."""

MAX_TEXT = 100_000
"""Characters of one message or traceback. A traceback of a mutual recursion 1000 deep has about that many."""

MAX_ALL_TEXT = 1_000_000
"""Characters of all tracebacks together; in a group of thousands, only the first come with their own."""

# The C-level accessors: a user's property, __getattr__ or __setattr__ for one of these names has no say.
ARGS = BaseException.__dict__["args"]
DICT = BaseException.__dict__["__dict__"]
CAUSE = BaseException.__dict__["__cause__"]
CONTEXT = BaseException.__dict__["__context__"]
SUPPRESS = BaseException.__dict__["__suppress_context__"]
_TRACEBACK = BaseException.__dict__["__traceback__"]
MESSAGE = BaseExceptionGroup.__dict__["message"]
MEMBERS = BaseExceptionGroup.__dict__["exceptions"]

# A reference to the object whose attribute was missing could bring home a whole data set; CPython's own
# AttributeError.__reduce__ leaves it out for the same reason. A group's members are packed as such.
_LEFT_OUT = {(AttributeError, "obj"), (BaseExceptionGroup, "message"), (BaseExceptionGroup, "exceptions")}

_PLAIN = frozenset({str, bytes, int, float, bool, type(None)})
_PICKLE_HOOKS = ("__reduce_ex__", "__reduce__", "__setstate__", "__getstate__", "__getnewargs_ex__", "__getnewargs__")

_short_repr = reprlib.Repr()
_short_repr.maxstring = _short_repr.maxother = 1000


def pack_exception(
    exc: BaseException, dumps: Callable[[object], bytes], own_frames: str | None = None
) -> dict[str, Any]:
    """Take an exception apart into builtin types. Never raises.

    Parameters
    ----------
    exc : BaseException
        Any exception, however hostile its methods are.
    dumps : callable
        Turns one object into bytes; whatever it raises costs that object only.
    own_frames : str, optional
        Frames at the top of the traceback whose file name starts with this are the runner's, and left out.

    Returns
    -------
    dict
        For `rebuilt_errors.rebuild_exception`; contains dict, list, tuple, str, bytes, int, float, bool and None only.
    """
    try:
        return _Packer(dumps).pack(exc, own_frames)
    except BaseException:  # RecursionError or MemoryError can come from anywhere
        return {"exceptions": [_summary(exc)], "values": []}


class _Packer:
    """One packing: the tables of exceptions and values, and how far it has come."""

    def __init__(self, dumps: Callable[[object], bytes]) -> None:
        self._dumps = dumps
        self._exceptions: list[BaseException] = []
        self._entries: list[dict[str, Any]] = []
        self._values: list[tuple[Any, ...]] = []
        self._index_of_exception: dict[int, int] = {}
        self._index_of_value: dict[int, int] = {}
        self._kept: list[object] = []  # an id is only good for as long as its object lives
        self._members: set[int] = set()

    def pack(self, exc: BaseException, own_frames: str | None) -> dict[str, Any]:
        self._refer(exc)
        for index, one in enumerate(self._exceptions):  # grows meanwhile
            try:
                self._entries[index].update(self._describe(one))
            except Exception:  # what cannot even be described comes by name and message
                continue
        self._add_texts(own_frames)
        return {"exceptions": self._entries, "values": self._values}

    def _refer(self, exc: BaseException) -> int:
        """The exception's number; one not seen before is added to those to be described."""
        index = self._index_of_exception.get(id(exc))
        if index is None:
            index = self._index_of_exception[id(exc)] = len(self._exceptions)
            self._exceptions.append(exc)
            self._entries.append(_summary(exc))
        return index

    def _link(self, exc: BaseException | None) -> int | None:
        """The same for a cause or context. The end of an absurdly long chain is given up; the text shows it."""
        too_many = len(self._exceptions) >= MAX_LINKED and id(exc) not in self._index_of_exception
        return None if exc is None or too_many else self._refer(exc)

    def _describe(self, exc: BaseException) -> dict[str, Any]:
        cls = _class_of(exc)
        return {
            "class": self._pickled(cls),
            "whole": self._whole(exc, cls),
            "args": [self._value(arg) for arg in ARGS.__get__(exc)],
            "dict": {key: self._value(value) for key, value in DICT.__get__(exc).items() if type(key) is str},
            "fields": {name: self._value(value) for name, value in fields(exc)},
            "group": self._group(exc) if is_really(exc, BaseExceptionGroup) else None,
            "cause": self._link(CAUSE.__get__(exc)),
            "context": self._link(CONTEXT.__get__(exc)),
            "suppress_context": bool(SUPPRESS.__get__(exc)),
            "raised": _TRACEBACK.__get__(exc) is not None,
        }

    def _group(self, exc: BaseException) -> dict[str, Any]:
        members = [self._refer(member) for member in MEMBERS.__get__(exc)]
        self._members.update(members)
        return {"message": MESSAGE.__get__(exc), "members": members}

    def _add_texts(self, own_frames: str | None) -> None:
        """Tracebacks: with causes and contexts for what may well be raised on its own, the members of groups.

        With them for all, work and text would grow with the square of the length of a chain, of the depth of groups.
        """
        left = MAX_ALL_TEXT
        for index, exc in enumerate(self._exceptions):
            if index == 0:
                text = _traceback_text(exc, own_frames)
            elif index in self._members and not is_really(exc, BaseExceptionGroup):
                text = _traceback_text(exc)
            else:
                text = _traceback_text_alone(exc)
            self._entries[index]["traceback"] = text
            left -= len(text)
            if left <= 0:
                break

    def _whole(self, exc: BaseException, cls: type) -> bytes | None:
        """The exception pickled the way its author has laid down, if there is such a way."""
        try:
            if not _has_own_pickling(cls):
                return None
            return self._pickled(exc if type(exc) is cls else exc._remote_as_original())  # type: ignore[attr-defined]
        except Exception:
            return None

    def _value(self, value: object) -> int:
        """The value's number; `self.x` being the same object as `args[0]` stays so."""
        index = self._index_of_value.get(id(value))
        if index is None:
            index = self._index_of_value[id(value)] = len(self._values)
            self._kept.append(value)
            self._values.append(self._pack_value(value))
        return index

    def _pack_value(self, value: Any) -> tuple[Any, ...]:
        if _is_plain(value):
            return ("plain", value)
        if is_really(value, BaseException):
            return ("exception", self._refer(value))
        if type(value) in (list, tuple) and value and all(is_really(one, BaseException) for one in value):
            return ("exceptions", type(value) is tuple, [self._refer(one) for one in value])
        pickled = self._pickled(value)
        return ("repr", _repr(value)) if pickled is None else ("pickle", pickled, _type_name(type(value)))

    def _pickled(self, value: object) -> bytes | None:
        try:
            return self._dumps(value)
        except BaseException:  # also what a __reduce__ that calls sys.exit() raises
            return None


# -- one exception ----------------------------------------------------------------------------------------------------


def _class_of(exc: BaseException) -> type:
    """The user's class, also of an exception that has come from another engine already."""
    for cls in type(exc).__mro__:
        original: type | None = vars(cls).get(ORIGINAL_CLASS)
        if original is not None:
            return original
    return type(exc)


def _summary(exc: BaseException) -> dict[str, Any]:
    """What can always be said of an exception."""
    cls = _class_of(exc)
    return {
        "name": _class_name(cls, "__name__"),
        "qualname": _class_name(cls, "__qualname__"),
        "module": _class_name(cls, "__module__"),
        "message": _message(exc),
    }


def _class_name(cls: type, which: str) -> str:
    """A name as the interpreter has it: a metaclass may define properties of these names."""
    try:
        return str(type.__dict__[which].__get__(cls))
    except BaseException:
        return "unknown"


def _type_name(cls: type) -> str:
    return f"{_class_name(cls, '__module__')}.{_class_name(cls, '__qualname__')}"


def _message(exc: BaseException) -> str:
    try:
        return _shortened(str(exc))
    except BaseException:
        return "<str() of the exception failed>"


def _repr(value: object) -> str:
    try:
        return _short_repr.repr(value)
    except BaseException:
        return f"<{_type_name(type(value))} object, its repr() failed>"


def is_really(value: object, cls: type) -> bool:
    """`isinstance` that does not ask the value for its ``__class__``, which may raise or lie."""
    return issubclass(type(value), cls)


def _is_plain(value: Any) -> bool:
    """True for what needs no pickling of its own: scalars, and flat lists of them such as `__notes__`."""
    if type(value) in (list, tuple):
        return len(value) < 100 and all(type(item) in _PLAIN for item in value)
    return type(value) in _PLAIN


def field_descriptors(cls: type) -> Iterator[tuple[type, str, Any]]:
    """Where a class keeps what is neither in `args` nor in `__dict__`: the builtins' C fields, and `__slots__`.

    Yields
    ------
    owner : type
    name : str
    descriptor
        With ``__get__`` and ``__set__``; going by the attribute's name could end in a property of a subclass.
    """
    for owner in cls.__mro__:
        if owner is not BaseException and owner is not object:
            for name, descriptor in vars(owner).items():
                if isinstance(descriptor, types.MemberDescriptorType | types.GetSetDescriptorType):
                    if name[:2] != "__" and (owner, name) not in _LEFT_OUT:
                        yield owner, name, descriptor


def fields(exc: BaseException) -> Iterator[tuple[str, object]]:
    """Names and values of what an exception keeps in its `field_descriptors`."""
    for owner, name, descriptor in field_descriptors(type(exc)):
        try:
            value = descriptor.__get__(exc)
        except Exception:  # an empty slot
            continue
        if value is not None or owner.__module__ != "builtins" or _given_as_none(exc, name):
            yield name, value


def _given_as_none(exc: BaseException, name: str) -> bool:
    """A builtin's field that was never set reads as None, too; the difference shows in the text of an OSError.

    ``OSError(2, "no")`` with its filename set to None reads "[Errno 2] no: None"; ``OSError(None, "no")`` with its
    errno not set reads "(None, 'no')" instead of "[Errno None] no".
    """
    if name not in ("errno", "strerror") or not is_really(exc, OSError):
        return False
    args = ARGS.__get__(exc)
    return 2 <= len(args) <= 5 and args[name == "strerror"] is None


def _has_own_pickling(cls: type) -> bool:
    if cls in copyreg.dispatch_table:
        return True
    owners = [owner for owner in cls.__mro__ if owner.__module__ != "builtins"]
    return any(hook in vars(owner) for owner in owners for hook in _PICKLE_HOOKS)


# -- the text ---------------------------------------------------------------------------------------------------------


def _traceback_text(exc: BaseException, own_frames: str | None = None) -> str:
    try:
        frames = _without_own(_TRACEBACK.__get__(exc), own_frames)
        return _shortened("".join(traceback.format_exception(type(exc), exc, frames)))
    except BaseException:  # a group too deeply nested, a class with a hostile __getattribute__, ...
        return _traceback_text_alone(exc, own_frames)


def _traceback_text_alone(exc: BaseException, own_frames: str | None = None) -> str:
    """Without cause and context, which `format_exception(chain=False)` works through all the same."""
    try:
        frames = traceback.format_tb(_without_own(_TRACEBACK.__get__(exc), own_frames))
    except BaseException:  # reading source text runs a module's __loader__
        frames = []
    header = "Traceback (most recent call last):\n" if frames else ""
    return _shortened(header + "".join(frames) + _last_line(exc))


def _last_line(exc: BaseException) -> str:
    module, _, name = _type_name(_class_of(exc)).rpartition(".")
    shown = name if module == "builtins" else f"{module}.{name}"
    return f"{shown}: {_message(exc)}\n"


def _without_own(frames: types.TracebackType | None, own_frames: str | None) -> types.TracebackType | None:
    while own_frames and frames is not None and frames.tb_frame.f_code.co_filename.startswith(own_frames):
        frames = frames.tb_next
    return frames


def _shortened(text: str) -> str:
    """The text with its middle left out if it is too long: both ends of a traceback matter."""
    if len(text) <= MAX_TEXT:
        return text
    half = MAX_TEXT // 2
    return f"{text[:half]}\n... {len(text) - MAX_TEXT} characters left out ...\n{text[-half:]}"
