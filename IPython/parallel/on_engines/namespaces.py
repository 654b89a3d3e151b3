"""The caller's module globals on an engine: one set per client and module, under the engine user's names.

Travels to the engine by value: standard library only.

A function that is pickled by value brings the globals it uses along. All functions of one module of one client
share one dictionary here, so that what an initializer sets with ``global`` is seen by later calls. A name that
the user put into the engine's own namespace (``push``, ``scatter``, ``execute``) wins over the caller's.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_ABSENT = object()

# How the name of a space begins whose globals stay as they came, as those of a forked worker do.
FIXED = "fixed-"

# IPython's own history names, and the temporaries that an apply message keeps in the namespace while it runs.
_NOT_THE_USERS = re.compile(r"__.*__$|_+$|_(i|ii|iii|ih|oh|dh)$|_i?\d+$|_\w+_\d+_(f|args|kwargs|result)$")


class Namespace:
    """The globals of one module of one client.

    Parameters
    ----------
    fixed : bool
        Whether a name that is here keeps its value, whatever the caller binds it to afterwards.

    Attributes
    ----------
    globals : dict
        What the functions really use as their ``__globals__``.
    """

    def __init__(self, fixed: bool = False) -> None:
        self.globals: dict[str, Any] = {}
        self._fixed = fixed
        self._versions: dict[str, float] = {}
        self._callers: dict[str, Any] = {}
        self._engines: dict[str, Any] = {}

    def offer(self, values: Mapping[str, Any], versions: Mapping[str, float]) -> None:
        """Take the caller's `values` that are newer than what is here.

        An older or equal version must not overwrite: a call may have set the name meanwhile.
        """
        for name, value in values.items():
            known = self._versions.get(name, -1)
            # A version between two whole ones is that of something that only stands for the value.
            if known >= versions[name] or (self._fixed and known >= 0 and known == int(known)):
                continue
            self._versions[name] = versions[name]
            self._callers[name] = value
            if name not in self._engines:
                self.globals[name] = value

    def overlay(self, users: Mapping[str, Any]) -> None:
        """Let the names in the engine's user namespace win, and give back those that left it."""
        for name, value in users.items():
            if self._engines.get(name, _ABSENT) is not value:
                self._engines[name] = self.globals[name] = value
        for name in self._engines.keys() - users.keys():
            self._restore(name)

    def _restore(self, name: str) -> None:
        del self._engines[name]
        if name in self._callers:
            self.globals[name] = self._callers[name]
        elif name in _fallbacks:
            self.globals[name] = _fallbacks[name]
        else:
            self.globals.pop(name, None)


_namespaces: dict[tuple[str, str], Namespace] = {}
_by_globals: dict[int, Namespace] = {}
_users: dict[str, Any] = {}
_fallbacks: dict[str, Any] = {}
_space = ""


def enter(space: str) -> None:
    """Let what is unpickled from now on belong to `space`: a client, or one pool of a client's. Main thread."""
    global _space
    _space = space


def entered() -> str:
    """The space entered last."""
    return _space


def globals_of(module: str, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The shared globals of `module` in the space entered; unpickling a function calls this."""
    namespace = _namespaces.get((_space, module))
    if namespace is None:
        namespace = _namespaces[_space, module] = Namespace(_space.startswith(FIXED))
        # Shared globals live until they are forgotten, so their id can stand for them.
        _by_globals[id(namespace.globals)] = namespace
        namespace.globals.update(_fallbacks)
        namespace.globals.update(attributes)
        namespace.overlay(_users)
    return namespace.globals


def forget(space: str) -> None:
    """Let the modules of `space` have new globals from now on; functions that are here go on using the old ones."""
    for key in [key for key in _namespaces if key[0] == space]:
        del _by_globals[id(_namespaces.pop(key).globals)]


def fall_back_on(names: Mapping[str, Any]) -> None:
    """Names that functions find when neither the user of the engine nor the caller has them."""
    _fallbacks.update(names)


def lookup(module: str, name: str) -> Any:
    """What functions of `module` in the space entered know as `name`.

    Raises
    ------
    KeyError
        If they know no such name.
    """
    return _namespaces[_space, module].globals[name]


def namespace_of(globals_: dict[str, Any]) -> Namespace | None:
    """The namespace whose globals these are; None for any other dictionary."""
    return _by_globals.get(id(globals_))


def overlay_all(users: Mapping[str, Any]) -> None:
    """Bring the engine user's names into every namespace. On the engine's main thread, before calls run."""
    _users.clear()
    _users.update(users)
    for namespace in _namespaces.values():
        namespace.overlay(users)


def user_names(user_ns: Mapping[str, Any], hidden: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What in `user_ns` is the user's own, and not IPython's (`hidden` holds those and their values)."""
    for name, value in list(user_ns.items()):  # a thread of the user's may add to it meanwhile
        if hidden.get(name, _ABSENT) is value or _NOT_THE_USERS.match(name):
            continue
        yield name, value
