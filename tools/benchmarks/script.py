"""An unmodified program of small calls: on the command line against plain Python."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import json
import sys

from contestants import BASELINE, OURS
from figures import Results
from printed import last_line

CALLS, QUICK = 20_000, 2_000
PROGRAM = """
import json, sys, time
from concurrent.futures import ProcessPoolExecutor
def successor(number):
    return number + 1
if __name__ == "__main__":
    count, workers = int(sys.argv[1]), int(sys.argv[2])
    with ProcessPoolExecutor(workers) as pool:
        list(pool.map(successor, range(1000)))
        begun = time.perf_counter()
        [future.result() for future in [pool.submit(successor, number) for number in range(count)]]
        submitted = time.perf_counter()
        list(pool.map(successor, range(count)))
        mapped = time.perf_counter()
    print(json.dumps({"submit + result": count / (submitted - begun), "map": count / (mapped - submitted)}))
"""


def run_script(results: Results, rounds: int, workers: int, *, quick: bool) -> None:
    """Calls a second of a program of a process pool, run by us and by plain Python."""
    calls = QUICK if quick else CALLS
    results.begin("script", f"a script of {calls:,} tiny calls, on the command line", "calls/s", True)
    ours = [sys.executable, "-m", "IPython.parallel", "--quiet", "-n", str(workers)]
    for _ in range(rounds):
        for name, command in ((OURS, ours), (BASELINE, [sys.executable])):
            printed = last_line([*command, "-c", PROGRAM, str(calls), str(workers)])
            results.add("script", name, json.loads(printed))
