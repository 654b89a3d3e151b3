"""The end of the interpreter: work that was submitted is done first, as with the standard library's pools."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import os
import threading
import weakref

from . import callbacks
from .dispatcher import Dispatcher

_dispatchers: weakref.WeakSet[Dispatcher] = weakref.WeakSet()
_exiting = threading.Event()


def finish_before_exit(dispatcher: Dispatcher) -> None:
    """Let the interpreter's exit wait for what `dispatcher` still has to do; one made during it takes no work."""
    _dispatchers.add(dispatcher)
    if _exiting.is_set():
        dispatcher.finish()


def _finish_all() -> None:
    _exiting.set()
    for dispatcher in list(_dispatchers):
        dispatcher.finish()
    callbacks.drain()


def _in_forked_child() -> None:
    """The threads that would do the work are the parent's, as is the work."""
    for dispatcher in list(_dispatchers):
        dispatcher.leave_to_parent()
    _dispatchers.clear()
    callbacks.leave_to_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_forked_child)

# Where the standard library's pools wait, too: after the main thread is done, while other threads still run.
threading._register_atexit(_finish_all)  # type: ignore[attr-defined]
