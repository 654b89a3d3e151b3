"""Globals that a function reaches without naming them: by ``globals()``, ``eval``, ``__main__`` or a pickle.

A function brings along the globals that its code names. One that looks names up while it runs could ask for any, so it
brings its whole module, as a forked worker would have it, apart from what is too large, or cannot be sent.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import pickle
import types
from collections.abc import Iterator, Mapping
from typing import Any

from . import engine_bundle

_NOT_THE_USERS = engine_bundle.load().namespaces._NOT_THE_USERS
_global_names = engine_bundle.load().shipping.global_names
# What IPython puts beside the user's names, its history among it.
_OF_IPYTHON = frozenset({"In", "Out", "exit", "quit", "get_ipython"})

# Whoever calls one of these looks names up in the globals of its module; whoever has to do with `__main__`, there.
_LOOKING_UP = frozenset({"globals", "eval", "exec"})
_MAIN = "__main__"
# A pickle names classes and functions.
_UNPICKLING = frozenset({"pickle", "_pickle", "cloudpickle"})
_UNPICKLERS = frozenset(map(id, (pickle, pickle.loads, pickle.load, pickle.Unpickler)))

# Bytes of one global that nobody names: a session's data, which most such functions would not ask for.
LARGEST = 1 << 20


def looks_names_up(code: types.CodeType) -> bool:
    """Whether `code`, or code in it, may ask for any global."""
    if not _LOOKING_UP.isdisjoint(_global_names(code)):
        return True
    return any(_MAIN in part.co_names or _MAIN in _strings(part) for part in _parts(code))


def is_unpickler(obj: Any) -> bool:
    """Whether this is pickle, or what reads pickles in it."""
    return id(obj) in _UNPICKLERS


def unpickles(code: types.CodeType) -> bool:
    """Whether `code`, or code in it, imports what reads pickles; imported outside, that is a global it names."""
    return any(not _UNPICKLING.isdisjoint(part.co_names) for part in _parts(code))


def spelt_out(code: types.CodeType) -> set[str]:
    """The strings in `code`, and code in it: a global of that name is as good as named."""
    return {text for part in _parts(code) for text in _strings(part)}


def of_user(space: Mapping[str, Any]) -> dict[str, Any]:
    """The globals in `space` that are its user's, not Python's or IPython's."""
    hidden = _OF_IPYTHON if "get_ipython" in space else frozenset()
    return {
        name: value for name, value in list(space.items()) if name not in hidden and not _NOT_THE_USERS.match(name)
    }


def is_code(value: Any) -> bool:
    """Whether a pickle could name it, and a notebook may define it anew."""
    return isinstance(value, (types.FunctionType, type))


def _parts(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _parts(constant)


def _strings(code: types.CodeType) -> Iterator[str]:
    for constant in code.co_consts:
        if isinstance(constant, str):
            yield constant
        elif isinstance(constant, (tuple, frozenset)):
            yield from (item for item in constant if isinstance(item, str))
