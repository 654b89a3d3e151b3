"""What is measured of an executor. The same code for all; runs in the executor's own process.

A measure gives figures by name. Sizes come from `SIZES`, or `QUICK` for a first look.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import gc
import random
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import calls
import psutil

Figures = dict[str, float]
MB = 1_000_000
MS, US = 1e3, 1e6


class Measure(NamedTuple):
    """One thing to know of executors.

    Parameters
    ----------
    title, unit : str
    more_is_better : bool
    run : callable
        ``run(executor, workers, share, **size)``, with the share of calls that slow executors get.
    size, quick : dict
        What `run` is given, and what for a quick look.
    most_rounds : int
        For what takes long: so many are enough.
    has_ratios : bool
        Whether ratios to the pool's figures mean something: not where these are next to nothing.
    is_fresh : bool
        Whether it needs processes that did nothing before: what they freed would hide what is kept.
    """

    title: str
    unit: str
    more_is_better: bool
    run: Callable[..., Figures]
    size: dict[str, Any]
    quick: dict[str, Any]
    most_rounds: int = 99
    has_ratios: bool = True
    is_fresh: bool = False


def submit_rate(executor: Any, workers: int, share: float, count: int) -> Figures:
    count = int(count * share)
    begun = time.perf_counter()
    futures = [executor.submit(calls.same, i) for i in range(count)]
    submitted = time.perf_counter()
    for future in futures:
        future.result()
    ended = time.perf_counter()
    return {"submit + result": count / (ended - begun), "submit alone": count / (submitted - begun)}


def map_rate(executor: Any, workers: int, share: float, count: int) -> Figures:
    count = int(count * share)
    begun = time.perf_counter()
    found = list(executor.map(calls.same, range(count)))
    assert found == list(range(count))
    return {"map": count / (time.perf_counter() - begun)}


def latency(executor: Any, workers: int, share: float, count: int) -> Figures:
    seconds = sorted(_one_call(executor) for _ in range(count))
    return {f"p{percent}": MS * seconds[(count - 1) * percent // 100] for percent in (50, 95, 99)}


def _one_call(executor: Any) -> float:
    begun = time.perf_counter()
    executor.submit(calls.same, 1).result()
    return time.perf_counter() - begun


def growth(executor: Any, workers: int, share: float, few: int, many: int) -> Figures:
    """What a submit costs while few or many calls are outstanding, and all workers are busy."""
    many = max(2 * few, int(many * share))
    with tempfile.TemporaryDirectory() as directory:
        gate = Path(directory, "open")
        futures = [executor.submit(calls.hold_until_there, str(gate)) for _ in range(workers)]
        try:
            at_few = _submit_cost(executor, futures, few)
            at_many = _submit_cost(executor, futures, many)
        finally:
            gate.touch()
        for future in futures:
            future.result()
    return {f"at {few:,}": US * at_few, "at many": US * at_many, "many / few": at_many / at_few}


def _submit_cost(executor: Any, futures: list[Any], outstanding: int) -> float:
    """Seconds of a submit, the median of ten bursts, once so many are outstanding. Futures are kept."""
    while len(futures) < outstanding:
        futures.append(executor.submit(calls.same, 1))
    bursts = []
    for _ in range(10):
        begun = time.perf_counter()
        burst = [executor.submit(calls.same, 1) for _ in range(50)]
        bursts.append((time.perf_counter() - begun) / len(burst))
        futures += burst
    return statistics.median(bursts)


def memory(executor: Any, workers: int, share: float, count: int) -> Figures:
    """Bytes that stay, of the client and of everything below it, for a call that is over and dropped."""
    portion = max(500, int(5000 * share))
    count = max(portion, int(count * share))
    for _ in range(4):  # what is allocated once and for all
        _run_and_drop(executor, portion)
    before = _resident()
    for _ in range(count // portion):
        _run_and_drop(executor, portion)
    after = _resident()
    return {place: (after[place] - before[place]) / count for place in after}


def _run_and_drop(executor: Any, count: int) -> None:
    for future in [executor.submit(calls.same, i) for i in range(count)]:
        future.result()


def _resident() -> Figures:
    gc.collect()
    process = psutil.Process()
    below = 0
    for child in process.children(recursive=True):
        try:
            below += child.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return {"client": process.memory_info().rss, "workers and servers": below}


def backlog(executor: Any, workers: int, share: float, count: int, size: int) -> Figures:
    """Bytes, of the client and of everything below it, for a call that waits while all workers are busy."""
    count = int(count * share)
    with tempfile.TemporaryDirectory() as directory:
        gate = Path(directory, "open")
        futures = [executor.submit(calls.hold_until_there, str(gate)) for _ in range(workers)]
        try:
            futures += [executor.submit(calls.length, random.randbytes(size)) for _ in range(1000)]
            before = _resident()
            futures += [executor.submit(calls.length, random.randbytes(size)) for _ in range(count)]
            after = _resident()
        finally:
            gate.touch()
        for future in futures:
            future.result()
    return {place: (after[place] - before[place]) / count for place in after}


def payload(executor: Any, workers: int, share: float, count: int, size: int) -> Figures:
    """MB per second of large arguments, and of large results."""
    import numpy

    data, array = random.randbytes(size), numpy.arange(size, dtype=numpy.uint8)
    return {
        "bytes arguments": _speed(executor, calls.length, data, count, size),
        "bytes results": _speed(executor, calls.make_bytes, size, count, size),
        "numpy arguments": _speed(executor, calls.length, array, count, size),
        "numpy results": _speed(executor, calls.make_array, size, count, size),
    }


def _speed(executor: Any, function: Callable[[Any], Any], argument: Any, count: int, size: int) -> float:
    begun = time.perf_counter()
    futures = [executor.submit(function, argument) for _ in range(count)]
    while futures:
        futures.pop(0).result()
    return count * size / MB / (time.perf_counter() - begun)


def mixed(executor: Any, workers: int, share: float, count: int) -> Figures:
    """The share of the workers' time that calls of 1 to 250 ms got."""
    chosen = random.Random(1)
    seconds = [chosen.uniform(0.001, 0.25) for _ in range(count)]
    begun = time.perf_counter()
    for future in [executor.submit(calls.nap, each) for each in seconds]:
        future.result()
    return {"efficiency": sum(seconds) / workers / (time.perf_counter() - begun)}


def one_long(executor: Any, workers: int, share: float, count: int, seconds: float) -> Figures:
    """How long after its submission the last of many short calls is over, if a long one came first."""
    for future in [executor.submit(calls.nap, 0.001) for _ in range(200)]:
        future.result()  # what the executor has learnt of these calls must not mislead it
    begun = time.perf_counter()
    long = executor.submit(calls.nap, seconds)
    short = [executor.submit(calls.nap, 0.001) for _ in range(count)]
    for future in short:
        future.result()
    over = time.perf_counter() - begun
    _, _, ended = long.result()
    waited = sum(future.result()[1] >= ended for future in short)
    return {"short calls over after": over, "short calls begun after it": float(waited)}


def spread(executor: Any, workers: int, share: float, count: int, seconds: float) -> Figures:
    """How much of the workers' time is used, how evenly, and what the client needs for it."""
    for future in [executor.submit(calls.nap, seconds) for _ in range(10 * workers)]:
        future.result()
    begun, cpu = time.perf_counter(), time.process_time()
    futures = [executor.submit(calls.nap, seconds) for _ in range(count)]
    done = Counter(future.result()[0] for future in futures)
    wall, cpu = time.perf_counter() - begun, time.process_time() - cpu
    return {
        "calls/s": count / wall,
        "client's cores": cpu / wall,
        "fewest / most per worker": min(done.values()) / max(done.values()) if len(done) == workers else 0.0,
    }


MEASURES = {
    "submit": Measure("{count:,} tiny calls", "calls/s", True, submit_rate, {"count": 20_000}, {"count": 2_000}),
    "map": Measure(
        "map of {count:,} tiny calls, no chunksize", "calls/s", True, map_rate, {"count": 20_000}, {"count": 2_000}
    ),
    "latency": Measure(
        "one call at a time, {count:,} times", "ms", False, latency, {"count": 1_000}, {"count": 200}
    ),
    "growth": Measure(
        "cost of a submit with {few:,} and {many:,} outstanding", "µs", False, growth,
        {"few": 500, "many": 40_000}, {"few": 200, "many": 2_000}, 3,
    ),
    "memory": Measure(
        "memory kept per finished and dropped call, {count:,} calls", "bytes", False, memory,
        {"count": 200_000}, {"count": 20_000}, 1, False, True,
    ),
    "backlog": Measure(
        "memory for each of {count:,} waiting calls with {size:,} bytes", "bytes", False, backlog,
        {"count": 200_000, "size": 1_000}, {"count": 10_000, "size": 1_000}, 1, False, True,
    ),
    "payload": Measure(
        "{count} calls with {size:,} bytes each", "MB/s", True, payload,
        {"count": 20, "size": 8 * MB}, {"count": 4, "size": 8 * MB},
    ),
    "mixed": Measure(
        "{count} calls of 1 to 250 ms", "of the workers' time", True, mixed, {"count": 300}, {"count": 40}, 2
    ),
    "long": Measure(
        "a call of {seconds} s, then {count:,} of 1 ms", "s, calls", False, one_long,
        {"count": 1_000, "seconds": 2}, {"count": 200, "seconds": 1}, 3, False,
    ),
}

# The number of workers is part of the question here: see `scaling`.
SPREAD = Measure(
    "{count:,} calls of {seconds} s",
    "",
    True,
    spread,
    {"count": 4_000, "seconds": 0.002},
    {"count": 400, "seconds": 0.002},
)
