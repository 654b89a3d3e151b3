"""A name of a module that means something else for a while."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, ModuleType
from typing import Any

__all__ = ["assigned_name", "shown_name"]

_ABSENT = object()


def _always(frame: FrameType) -> bool:
    return True


@contextmanager
def assigned_name(module: ModuleType, name: str, replacement: Any) -> Iterator[None]:
    """Let ``module.name`` be `replacement` for the block, for everybody.

    What the module had is put back, also where that is nothing yet: some names are made when first
    asked for.
    """
    original = vars(module).get(name, _ABSENT)
    setattr(module, name, replacement)
    try:
        yield
    finally:
        if original is _ABSENT:
            delattr(module, name)
        else:
            setattr(module, name, original)


@contextmanager
def shown_name(
    module: ModuleType, name: str, replacement: Any, applies: Callable[[FrameType], bool] = _always
) -> Iterator[None]:
    """Let ``module.name``, and so ``from module import name``, mean `replacement` for the block.

    The module's own code goes on seeing what it has. An assignment by anybody else (``mock.patch``,
    say) wins, until what was there before is put back.

    Parameters
    ----------
    module : module
    name : str
    replacement : object
    applies : callable
        Whether code that asks for the name, of which it gets the frame, is to get the replacement.
    """
    before = module.__class__
    body = {"__module__": before.__module__, "__reduce__": _reduce_module}
    body[name] = _ShownName(name, getattr(module, name), replacement, applies)
    module.__class__ = type(before.__name__, (before,), body)
    try:
        yield
    finally:
        module.__class__ = before


def _reduce_module(module: ModuleType) -> tuple[Any, ...]:
    # Picklers know how a module travels by its very class.
    return importlib.import_module, (module.__name__,)


class _ShownName:
    """The attribute of a module's class that comes before the module's own."""

    def __init__(
        self, name: str, original: Any, replacement: Any, applies: Callable[[FrameType], bool]
    ) -> None:
        self._name = name
        self._original = original
        self._replacement = replacement
        self._applies = applies

    def __get__(self, module: ModuleType | None, owner: type | None = None) -> Any:
        if module is None:
            return self
        own = vars(module).get(self._name, self._original)
        replaced = own is self._original and self._applies(sys._getframe(1))
        return self._replacement if replaced else own

    def __set__(self, module: ModuleType, value: Any) -> None:
        vars(module)[self._name] = self._original if value is self._replacement else value

    def __delete__(self, module: ModuleType) -> None:
        vars(module).pop(self._name, None)
