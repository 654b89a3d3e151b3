"""What a reader has to know of the machine: it explains half of every figure."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib import metadata

ALWAYS = ("ipython-parallel-futures", "ipyparallel", "ipykernel", "pyzmq", "numpy")
# Contestants whose distribution has another name.
DISTRIBUTIONS = {"dask": "distributed"}


def describe(contestants: Iterable[str], workers: int, rounds: int) -> list[str]:
    """Lines on machine, versions and run."""
    names = [*ALWAYS, *(DISTRIBUTIONS.get(name, name) for name in contestants)]
    versions = [f"{name} {version}" for name in dict.fromkeys(names) if (version := _version(name))]
    python = f"{platform.python_implementation()} {platform.python_version()}"
    machine = f"{cores()} cores, {platform.system()} {platform.machine()}, {python}"
    return [
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {machine}, load average {load()}",
        ", ".join(versions),
        f"{workers} workers each; medians of up to {rounds} rounds, in which all took turns",
    ]


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def load() -> str:
    return " ".join(f"{value:.1f}" for value in os.getloadavg())


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
