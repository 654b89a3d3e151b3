"""What a program prints last."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import subprocess


def last_line(command: list[str]) -> str:
    """The last line of what a program prints, which must succeed."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=True)
    return done.stdout.strip().splitlines()[-1]
