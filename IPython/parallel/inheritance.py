"""Locks, queues and shared memory of `multiprocessing`, for engines of this machine as for children.

A worker that was forked has what its parent had. These objects refuse to be pickled but for a child that is being made:
other processes could do nothing with them. Engines that run beside this process can. Pipes and memory are reached
through ``/proc``, semaphores by the names that they keep while this is in force.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import context, resource_tracker, synchronize
from multiprocessing.reduction import ForkingPickler
from typing import Any

from . import engine_bundle

_SentDescriptor = engine_bundle.load().inherited_descriptors.SentDescriptor

# Whether all engines are on this machine, and this user's.
_is_in_force = False


@contextmanager
def engines_inherit() -> Iterator[None]:
    """Say that, for the block, engines are on this machine, and let them have what children would inherit.

    Does nothing where there is no ``/proc``.
    """
    global _is_in_force
    if not (sys.platform.startswith("linux") and os.path.isdir("/proc/self/fd")):
        yield
        return
    made: Any = synchronize.SemLock
    original = made.__init__

    def with_name(self: Any, *args: Any, ctx: Any) -> None:
        original(self, *args, ctx=_KeepsNames)

    made.__init__ = with_name
    _is_in_force = True
    try:
        yield
    finally:
        _is_in_force = False
        made.__init__ = original


class _KeepsNames:
    """Stands for a context where a semaphore is made: those of contexts that fork have no name for long."""

    @staticmethod
    def get_start_method() -> str:
        return "spawn"


@contextmanager
def heirs() -> Iterator[None]:
    """Let what this thread pickles in the block be pickled as for a child, if engines inherit."""
    before = context.get_spawning_popen()
    if not _is_in_force:
        yield
        return
    context.set_spawning_popen(_Heir)  # type: ignore[arg-type]
    try:
        yield
    finally:
        context.set_spawning_popen(before)


class _Heir:
    """Stands for the child that is being made."""

    @staticmethod
    def duplicate_for_child(number: int) -> Any:
        mode = fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE
        return _SentDescriptor(os.getpid(), number, mode)

    @staticmethod
    def DupFd(descriptor: Any) -> Any:
        return descriptor


def reducer(obj: Any) -> Callable[[Any], Any] | None:
    """How `multiprocessing` pickles an object for a child, while that is going on and if it has a way of its own."""
    child: Any = context.get_spawning_popen()
    if child is not _Heir:
        return None
    return ForkingPickler._extra_reducers.get(type(obj))  # type: ignore[attr-defined, no-any-return]


def resource_trackers_pipe() -> Any:
    """What names of shared memory are reported to, if there is something in this process already; else None."""
    number = resource_tracker._resource_tracker._fd  # type: ignore[attr-defined]
    return _Heir.duplicate_for_child(number) if _is_in_force and number is not None else None
