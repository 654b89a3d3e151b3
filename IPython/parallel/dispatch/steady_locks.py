"""Locks that Ctrl-C cannot leave locked.

The interpreter looks for signals when a function begins, and when a call of one that is written in C is over. Ctrl-C
must not come between the step that takes a lock and the ``with`` that is to return it, or before that returns it:
whoever needs it next would wait for ever. In the methods of `threading.Condition` it can. From Python 3.14 on it can
also come after the ``__enter__`` of any lock, which is a call as any other there; to look up an attribute is none.

From Python 3.13 on, ``with`` and ``try`` miss what comes where a loop goes back to its beginning by a condition: at the
``if`` that ends the body of a ``for``, at that of a comprehension, at a ``while``. With a lock held, such loops run in
functions of their own (`tests/test_structure.py` looks for others).
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import os
import sys
import threading
import weakref
from operator import attrgetter, methodcaller
from typing import Any

_RLock: Any = type(threading.RLock())


class SteadyLock(_RLock):  # the type has no name of its own
    """A `threading.RLock` for ``with``, on whatever thread."""

    taken = property(methodcaller("acquire"))

    if sys.version_info >= (3, 14):

        def __enter__(self) -> Any:
            return self.taken


class LastingLock(SteadyLock):
    """A `SteadyLock` of a module's, a client's or a view's: free in a forked child, whoever held it at that moment."""

    def __init__(self) -> None:
        _lasting.add(self)


_lasting: weakref.WeakSet[LastingLock] = weakref.WeakSet()


def _in_forked_child() -> None:
    for lock in _lasting:
        lock._at_fork_reinit()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_forked_child)


class SteadyCondition(threading.Condition):
    """A `threading.Condition` for ``with``, on whatever thread.

    Parameters
    ----------
    lock : SteadyLock, optional
    """

    def __init__(self, lock: SteadyLock | None = None) -> None:
        super().__init__(SteadyLock() if lock is None else lock)

    taken = property(attrgetter("_lock.taken"))
    __exit__ = property(attrgetter("_lock.__exit__"))

    if sys.version_info >= (3, 14):

        def __enter__(self) -> Any:
            return self.taken

    else:
        __enter__ = property(attrgetter("_lock.__enter__"))
