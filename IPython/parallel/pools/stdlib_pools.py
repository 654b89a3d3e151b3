"""The block in which the standard library's pools are views of a cluster.

A script that says ``with ProcessPoolExecutor() as pool`` knows nothing of clusters. Inside
`standing_in` the name means a class of the same shape that uses one (`executor_pools`,
`multiprocessing_pool`).
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import importlib
import os
import weakref
from abc import ABCMeta
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from typing import Any, NamedTuple

from ..running.program_code import is_program
from .backing import Backing
from .executor_pools import ProcessPoolExecutor, ThreadPoolExecutor
from .multiprocessing_pool import Pool
from .replaced_names import assigned_name, shown_name

__all__ = ["DEFAULT_KINDS", "KINDS", "standing_in"]


class Kind(NamedTuple):
    """A pool of the standard library's, and what stands for it.

    Attributes
    ----------
    name : str
        Of the class.
    stand_in : type
        Derived from the class it stands for.
    places : tuple of str
        The modules in which the name is replaced; the last one is where the class is defined.
    replaced : callable
        The block ``replaced(module, name, stand_in)`` in which the name means the stand-in.
    """

    name: str
    stand_in: Any
    places: tuple[str, ...]
    replaced: Callable[..., AbstractContextManager[None]]


KINDS = {
    # Libraries that make processes know that arguments travel.
    "process": Kind(
        "ProcessPoolExecutor",
        ProcessPoolExecutor,
        ("concurrent.futures", "concurrent.futures.process"),
        assigned_name,
    ),
    # Libraries that make threads share more with them: asyncio's default executor, say, has to stay
    # what it is.
    "thread": Kind(
        "ThreadPoolExecutor",
        ThreadPoolExecutor,
        ("concurrent.futures", "concurrent.futures.thread"),
        partial(shown_name, applies=is_program),
    ),
    # multiprocessing.Pool and every context's Pool look the class up here when they are called.
    # ThreadPool, which is defined here too, goes on using the original by that name.
    "multiprocessing": Kind("Pool", Pool, ("multiprocessing.pool",), shown_name),
}
DEFAULT_KINDS = ("process",)
_have_backing: weakref.WeakSet[Any] = weakref.WeakSet()


@contextmanager
def standing_in(backing: Backing, kinds: Iterable[str] = DEFAULT_KINDS) -> Iterator[None]:
    """Let pools of the standard library mean the cluster for the block, then put everything back.

    Pools made in the block go on working after it.

    Parameters
    ----------
    backing : Backing
        The cluster, and who wants to hear of what happens.
    kinds : iterable of str
        Which pools, of `KINDS`.
    """
    with ExitStack() as undo:
        for base in (ProcessPoolExecutor, Pool):
            # Pools that the program takes from this package itself.
            undo.callback(setattr, base, "_default", base._default)
            base._default = backing
        for kind in kinds:
            _replace(KINDS[kind], backing, undo)
        yield


def _replace(kind: Kind, backing: Backing, undo: ExitStack) -> None:
    original = getattr(importlib.import_module(kind.places[-1]), kind.name)
    stand_in = _bound(kind.stand_in, original, backing)
    for place in kind.places:
        module = importlib.import_module(place)
        undo.enter_context(kind.replaced(module, kind.name, stand_in))


def _bound(base: type, original: type, backing: Backing) -> type:
    """The stand-in as a class of its own for this cluster, named like the class it stands for."""

    def subclasshook(cls: type, other: type) -> Any:
        # Whoever has the original, from before the block or a library, and compares with this name.
        return True if cls is stand_in and issubclass(other, original) else NotImplemented

    body = {
        "_default": backing,
        "__module__": original.__module__,
        "__qualname__": original.__qualname__,
        "__doc__": base.__doc__,
        "__subclasshook__": classmethod(subclasshook),
    }
    stand_in = ABCMeta(original.__name__, (base,), body)
    _have_backing.add(stand_in)
    return stand_in


def _in_forked_child() -> None:
    """The cluster is the parent's: pools that are made here start one of their own."""
    for pool in (ProcessPoolExecutor, Pool, *_have_backing):
        pool._default = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_forked_child)
