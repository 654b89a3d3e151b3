"""Imports of IPython.parallel's old modules and names give ipyparallel's own objects, without loading
any before.

A finder before the others answers for the old paths (`names`). The module of an old path **is**
ipyparallel's: the same object, found under two names, so that ``except error.RemoteError`` means one
class. Nothing is written on it, but for those that lost names: they are told where these went.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType
from typing import Any

import ipyparallel

from .names import GONE, MODULES, MOVED, PUBLIC

PREFIX = "IPython.parallel."
# Old packages of which ipyparallel keeps parts only.
_SHELLS = {path.rpartition(".")[0] for path in MODULES} - set(MODULES) - {""}
_TOP = {path.partition(".")[0] for path in MODULES}


def install() -> None:
    """Let old paths be imported. Once is enough, also when this module has been loaded anew."""
    sys.meta_path[:] = [
        finder for finder in sys.meta_path if type(finder).__qualname__ != LegacyFinder.__qualname__
    ]
    # Before the others: in the directories of ipyparallel's packages they would find a second copy of
    # each module.
    sys.meta_path.insert(0, LegacyFinder())


def top_level(name: str) -> Any:
    """What `name` was in IPython.parallel's own namespace: for its ``__getattr__``.

    Raises
    ------
    AttributeError
        There was no such thing, or there is none any more; the message says what to write instead.
    """
    if name in PUBLIC:
        return getattr(ipyparallel, name)
    if name in _TOP:
        return importlib.import_module(PREFIX + name)
    hint = f": it is gone; {GONE[name]}" if name in GONE else ""
    raise AttributeError(f"module {PREFIX[:-1]!r} has no attribute {name!r}{hint}")


class LegacyFinder(MetaPathFinder):
    """Finds the old modules."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of an old module; see `importlib.abc.MetaPathFinder`.

        Raises
        ------
        ImportError
            The module is gone; the message says what replaced it.
        """
        if not fullname.startswith(PREFIX):
            return None
        old = fullname[len(PREFIX) :]
        if old in GONE:
            raise _gone(old)
        if old in _SHELLS:
            return ModuleSpec(fullname, _ShellLoader(), is_package=True)
        today = todays_module(old)
        spec = importlib.util.find_spec(today) if today else None
        return None if spec is None else _alias_of(spec, fullname)


def todays_module(old: str) -> str | None:
    """What ``IPython.parallel.<old>`` is called in ipyparallel; None if there was no such module."""
    head, rest = old, ""
    while head:
        if head in MODULES:
            return MODULES[head] + rest
        head, _, tail = head.rpartition(".")
        rest = f".{tail}{rest}"
    return None


def _alias_of(real: ModuleSpec, fullname: str) -> ModuleSpec:
    is_package = real.submodule_search_locations is not None
    return ModuleSpec(fullname, _AliasLoader(real.name), origin=real.origin, is_package=is_package)


class _ShellLoader(InspectLoader):
    """Makes an empty package."""

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        pass

    def get_source(self, fullname: str) -> str:
        return ""


class _AliasLoader(InspectLoader):
    """Puts ipyparallel's module where an old name is looked up."""

    def __init__(self, real: str) -> None:
        self._real = real

    def create_module(self, spec: ModuleSpec) -> None:
        # Were ipyparallel's module returned here, the import system would write this alias' spec on it.
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Import ipyparallel's module; the import system gives what it finds in `sys.modules` afterwards."""
        fullname = module.__name__
        real = importlib.import_module(self._real)
        _tell_of_lost_names(real, fullname[len(PREFIX) :])
        sys.modules[fullname] = real

    def is_package(self, fullname: str) -> bool:
        spec = importlib.util.find_spec(self._real)
        return spec is not None and spec.submodule_search_locations is not None

    def get_source(self, fullname: str) -> str | None:
        return self._real_loader().get_source(self._real)

    def get_code(self, fullname: str) -> CodeType | None:
        """The code of ipyparallel's module, for ``python -m``."""
        return self._real_loader().get_code(self._real)

    def _real_loader(self) -> InspectLoader:
        spec = importlib.util.find_spec(self._real)
        assert spec is not None and isinstance(spec.loader, InspectLoader)
        return spec.loader


def _tell_of_lost_names(module: ModuleType, old: str) -> None:
    """Give a module that lost names a ``__getattr__`` that finds them, or says what replaced them."""
    has_lost = any(name.rpartition(".")[0] == old for name in (*GONE, *MOVED))
    if not has_lost or "__getattr__" in vars(module):
        return

    def __getattr__(name: str) -> Any:
        lost = f"{old}.{name}"
        if lost in MOVED:
            where, new_name = MOVED[lost]
            return getattr(importlib.import_module(where), new_name)
        if lost in GONE:
            # Not an AttributeError: `from ... import` would make its own message of that.
            raise _gone(lost)
        raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")

    module.__getattr__ = __getattr__  # type: ignore[method-assign]


def _gone(old: str) -> ImportError:
    return ImportError(f"{PREFIX}{old} is gone: {GONE[old]}", name=PREFIX + old)
