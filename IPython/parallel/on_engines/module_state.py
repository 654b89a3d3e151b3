"""What the caller's program has changed in its modules since they were imported, as a forked worker would find it.

Travels to the engine by value: standard library only.

The caller sends the values of its modules' names, the engine compares them with its own, so that a module which is as
it was imported is left alone. A module that is not here yet is waited for: calls that do not need it do not pay for it.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import contextlib
import enum
import importlib.machinery
import io
import pickle
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

from . import shipping

_ABSENT = object()

# Names of a module or, with a dot, of a class in it, with their pickled values.
State = dict[str, bytes]

# For modules that are not imported here yet.
_awaited: dict[str, State] = {}


def read(modules: Iterable[ModuleType], pickled: Callable[[Any], bytes]) -> dict[str, State]:
    """The state of the caller's modules.

    Parameters
    ----------
    modules : iterable of module
    pickled : callable
        Pickles one value, or raises what it likes: that value stays behind.
    """
    return {module.__name__: _pickled(_names(module), pickled) for module in modules}


def _names(module: ModuleType) -> Iterator[tuple[str, Any]]:
    for name, value in list(vars(module).items()):
        if name.startswith("__") or isinstance(value, ModuleType):
            continue
        yield name, value
        # A class goes by its name; what was set on it, does not.
        if isinstance(value, type) and value.__module__ == module.__name__ and not issubclass(value, enum.Enum):
            yield from ((f"{name}.{part}", own) for part, own in list(vars(value).items()) if not part.startswith("__"))


def _pickled(values: Iterable[tuple[str, Any]], pickled: Callable[[Any], bytes]) -> State:
    state = {}
    for name, value in values:
        with contextlib.suppress(Exception):
            state[name] = pickled(value)
    return state


def apply(states: Mapping[str, State]) -> None:
    """Bring modules to the caller's state: now, or when they are imported. On the engine's main thread."""
    _awaited.clear()
    for name, state in states.items():
        if name in sys.modules:
            _apply_to(sys.modules[name], state)
        else:
            _awaited[name] = state
    if _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)


def _apply_to(module: ModuleType, state: State) -> None:
    for path, data in state.items():
        with contextlib.suppress(Exception):
            owner, _, name = path.rpartition(".")
            _set(getattr(module, owner) if owner else module, name, data)


def _set(owner: Any, name: str, data: bytes) -> None:
    here = vars(owner).get(name, _ABSENT)
    if here is not _ABSENT and _is_same(here, data):
        return
    value = pickle.loads(data)
    if not (type(here) is type(value) and _change_in_place(here, value)):
        setattr(owner, name, value)


def _is_same(here: Any, data: bytes) -> bool:
    with contextlib.suppress(Exception):
        return shipping.dumps(here) == data
    return False


def _change_in_place(here: Any, value: Any) -> bool:
    """Change what others may refer to by a name of their own; whether that can be done."""
    if isinstance(value, (dict, set)):
        here.clear()
        here.update(value)
    elif isinstance(value, list):
        here[:] = value
    elif isinstance(value, deque):
        here.clear()
        here.extend(value)
    elif getattr(type(value), "__module__", "builtins") != "builtins" and hasattr(value, "__dict__"):
        if isinstance(value, type) or callable(value):
            return False
        vars(here).clear()
        vars(here).update(vars(value))
    else:
        return False
    return True


class _Finder:
    """Finds the modules that the caller has imported already: here, that happens without a word."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name not in _awaited:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and type(spec.loader) is importlib.machinery.SourceFileLoader:
            _finish_with(spec.loader, _awaited.pop(name))
        return spec


def _finish_with(loader: Any, state: State) -> None:
    """Let the loader bring the module that it executes to a state."""
    execute = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        del loader.exec_module
        nowhere = io.StringIO()
        with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
            execute(module)
        _apply_to(module, state)

    loader.exec_module = exec_module
