"""What the calls of the campaign do. Standard library only: they also travel by value."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

LARGE = 8 << 20


def trace(path: str, label: str) -> str:
    """Leave a line in a file: the proof that, and how often, a call ran."""
    with open(path, "a", encoding="utf-8") as file:
        file.write(f"{label}\n")
    return label


def small(path: str, label: str) -> str:
    return trace(path, label)


def slow(path: str, label: str, seconds: float = 0.05) -> str:
    trace(path, label)
    time.sleep(seconds)
    return label


def take(path: str, label: str, argument: Any) -> str:
    return trace(path, label)


def give_lock(path: str, label: str) -> Any:
    """A result that cannot be pickled."""
    trace(path, label)
    return threading.Lock()


def large(path: str, label: str) -> bytes:
    trace(path, label)
    return content(label)


def content(label: str) -> bytes:
    """What only that call gives, all over."""
    return label.encode().rjust(16) * (LARGE // 16)


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _leave() -> None:
    os._exit(3)


def _crash() -> None:
    ctypes.string_at(0)


DEATHS: dict[str, Callable[[], None]] = {"SIGKILL": _kill, "os._exit": _leave, "segfault": _crash}


def die(path: str, label: str, way: str) -> None:
    trace(path, label)
    DEATHS[way]()


class _DiesAtPickle:
    def __init__(self, way: str) -> None:
        self._way = way

    def __reduce__(self) -> Any:
        DEATHS[self._way]()
        return str, ()


def die_sending(path: str, label: str, way: str) -> _DiesAtPickle:
    """Take the worker along when it is about to send the result."""
    trace(path, label)
    return _DiesAtPickle(way)


def too_large(path: str, label: str) -> str | bytearray:
    """A result that there is no memory to pickle, which takes twice its size."""
    import resource

    trace(path, label)
    if sys.platform.startswith("linux"):
        own = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (own + (400 << 20), resource.RLIM_INFINITY))
        return "é" * (150 << 20)
    return bytearray(1 << 42)


def lift_limits() -> None:
    """Let this worker have memory again."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
