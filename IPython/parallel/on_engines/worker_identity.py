"""Who an engine is for `multiprocessing`: a worker of the caller's process, with a name and a number.

Travels to the engine by value: standard library only.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import contextlib
import multiprocessing
import os
from multiprocessing import process, resource_tracker
from typing import Any, NamedTuple

# One end stays open for as long as the engine lives: where a process cannot be watched, it counts as alive.
_never: tuple[int, int] | None = None
# The caller's resource tracker, once it has one.
_of_callers: int | None = None


class Caller(NamedTuple):
    """The process whose worker an engine is to be.

    Parameters
    ----------
    name : str
    pid : int
    authkey : bytes
        Lets its workers talk to each other and to a ``multiprocessing.Manager`` of it.
    worker : str
        What its workers are called, without their number.
    tracker : SentDescriptor or None
        What its resource tracker reads from, if it has one: its workers report there, too.
    """

    name: str
    pid: int
    authkey: bytes
    worker: str
    tracker: Any = None


def this_caller(tracker: Any = None) -> Caller:
    """This process."""
    me = process.current_process()
    # Not by get_context(), after which the program could no longer choose.
    default: Any = multiprocessing.context._default_context
    context = default._actual_context or default._default_context
    return Caller(me.name, os.getpid(), bytes(me.authkey), context.Process.__name__, tracker)


def become_worker(caller: Caller, number: int) -> None:
    """Let ``multiprocessing`` see this process as worker `number`, from 1, of a caller on the same machine."""
    me: Any = process.current_process()
    me.authkey = caller.authkey
    me._identity = (number,)
    me._name = f"{caller.worker}-{number}"
    me._parent_pid = caller.pid
    if caller.tracker is not None and _of_callers is None:
        _report_to(caller.tracker)
    known = process.parent_process()
    if known is None or known.pid != caller.pid:
        parent = process._ParentProcess(caller.name, caller.pid, _sentinel(caller.pid))  # type: ignore[attr-defined]
        process._parent_process = parent  # type: ignore[attr-defined]


def _report_to(tracker: Any) -> None:
    """Report shared memory to the caller's tracker: one of our own would remove, at our end, what others still use."""
    global _of_callers
    ours: Any = resource_tracker._resource_tracker
    if ours._fd is None:
        ours._fd = _of_callers = tracker.detach()


def _sentinel(pid: int) -> int:
    """A file descriptor that is ready to be read when the process has ended."""
    global _never
    with contextlib.suppress(AttributeError, OSError):  # not on this system, or not in this container
        return os.pidfd_open(pid)
    _never = _never or os.pipe()
    return _never[0]
