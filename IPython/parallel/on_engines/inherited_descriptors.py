"""File descriptors of another process of this machine, for what only children of that process would inherit.

Travels to the engine by value: standard library only.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import os
from typing import NamedTuple


class SentDescriptor(NamedTuple):
    """A file descriptor that was pickled; where it arrives it can be taken, also several times.

    Parameters
    ----------
    pid : int
        The process that has it.
    number : int
        Its number there. A pipe or a file; a socket cannot be had this way.
    mode : int
        ``os.O_RDONLY``, ``os.O_WRONLY`` or ``os.O_RDWR``.
    """

    pid: int
    number: int
    mode: int

    def detach(self) -> int:
        """A descriptor of this process, for the same pipe or file; `multiprocessing` calls this."""
        return os.open(f"/proc/{self.pid}/fd/{self.number}", self.mode | os.O_CLOEXEC)
