"""What the measured calls do. Imported by workers of every kind, so: standard library only, and nothing at import."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import os
import time
from typing import Any


def same(value: Any) -> Any:
    """The smallest call."""
    return value


def length(data: Any) -> int:
    """Take a large argument."""
    return len(data)


def make_bytes(size: int) -> bytes:
    """Give a large result."""
    return bytes(size)


def make_array(size: int) -> Any:
    """Give a large numpy array, of bytes."""
    import numpy

    return numpy.zeros(size, dtype=numpy.uint8)


def nap(seconds: float) -> tuple[int, float, float]:
    """Use a worker, but no core; who did it, from when to when."""
    begun = time.time()
    time.sleep(seconds)
    return os.getpid(), begun, time.time()


def hold_until_there(path: str) -> None:
    """Keep a worker busy until the file `path` is there, a minute at most."""
    deadline = time.monotonic() + 60
    while not os.path.exists(path) and time.monotonic() < deadline:
        time.sleep(0.005)
