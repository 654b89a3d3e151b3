"""Programs written in the way of ``python -m mpi4py.futures program.py``, without MPI."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

from collections.abc import Callable

SCRIPT = """
import os
from concurrent.futures import ProcessPoolExecutor as MPIPoolExecutor, as_completed, wait

WIDTH, HEIGHT = 16, 8
PARENT = os.getpid()


def julia(x, y):
    z, n = complex(x, y), 0
    while abs(z) < 3 and n < 255:
        z, n = z * z + complex(-0.4, 0.6), n + 1
    return n


def line(row):
    return [julia(column / WIDTH - 0.5, row / HEIGHT - 0.5) for column in range(WIDTH)]


def is_worker(_):
    return os.getpid() != PARENT


def fail(n):
    raise ValueError(n)


if __name__ == "__main__":
    with MPIPoolExecutor(max_workers=2) as executor:
        for row in executor.map(line, range(HEIGHT), chunksize=4, timeout=30):
            print(row)
        print(all(executor.map(is_worker, range(4))))
        futures = [executor.submit(pow, 2, n) for n in range(5)]
        print(sorted(future.result() for future in as_completed(futures)), len(wait(futures).done))
        print(repr(executor.submit(fail, 3).exception()).startswith("ValueError"))
"""


def test_runs_as_under_plain_python(run_script: Callable[..., str], on_the_cluster: tuple[str, ...]) -> None:
    printed = run_script(SCRIPT, *on_the_cluster)
    assert printed == run_script(SCRIPT)
    assert printed.splitlines()[-3:] == ["True", "[1, 2, 4, 8, 16] 5", "True"]
