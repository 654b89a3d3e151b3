"""How long it takes to begin: the command line against plain Python, and what the import adds."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import sys
import time

from contestants import BASELINE, OURS
from figures import Results
from printed import last_line

PROGRAM = """
import time
from concurrent.futures import ProcessPoolExecutor
if __name__ == "__main__":
    with ProcessPoolExecutor(2) as pool:
        pool.submit(abs, -1).result()
        print(time.time(), flush=True)
"""
IMPORTING = """
import time, ipyparallel
begun = time.perf_counter()
import IPython.parallel
print(time.perf_counter() - begun)
"""


def run_startup(results: Results, rounds: int, workers: int) -> None:
    """Seconds to the first result of a program of a process pool, run by us and by plain Python."""
    results.begin("startup", "start of the command line, to the first result", "s", False)
    for _ in range(rounds):
        ours = [sys.executable, "-m", "IPython.parallel", "-n", str(workers)]
        added = float(last_line([sys.executable, "-c", IMPORTING]))
        results.add("startup", OURS, {"first result": _first_result(ours), "import adds": added})
        results.add("startup", BASELINE, {"first result": _first_result([sys.executable])})


def _first_result(command: list[str]) -> float:
    begun = time.time()
    return float(last_line([*command, "-c", PROGRAM])) - begun
