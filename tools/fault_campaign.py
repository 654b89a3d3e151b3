#!/usr/bin/env python
"""Kill, stop and crash engines at random under load, and count what became of the calls.

    python tools/fault_campaign.py --seconds 300 [--engines 6] [--seed 1]

Each round gives a local cluster some work, does something to an engine, waits for all futures, and compares what they
say with the trace that the calls left. The table has a line for each fault and moment; the status is 1 if a call was
lost without an error, hung or ran twice.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from IPython.parallel.connection.transport import call_on_engine
from IPython.parallel.errors import EngineDied
from IPython.parallel.running import local_cluster
from IPython.parallel.tests import faults
from IPython.parallel.tests.contracts import calls

# Seconds after which a future that is not done counts as hung.
HUNG = 40.0
# An engine that does not answer for 15 heartbeats of 0.2 s counts as dead: less than users have, to have more rounds.
MISSES = 15


def small(path: str, label: str) -> str:
    return calls.trace(path, label)


def slow(path: str, label: str) -> str:
    time.sleep(0.05)
    return calls.trace(path, label)


def large(path: str, label: str) -> bytes:
    calls.trace(path, label)
    return b"x" * (8 << 20)


@dataclass
class Line:
    """What was observed of one fault at one moment."""

    faults: int = 0
    outstanding: int = 0
    failed: int = 0
    lost: int = 0
    hung: int = 0
    twice: int = 0
    seconds: list[float] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        return not (self.lost or self.hung or self.twice)

    def row(self) -> tuple[Any, ...]:
        seconds = f"{max(self.seconds):.2f}" if self.seconds else "-"
        return self.faults, self.outstanding, self.failed, self.lost, self.hung, self.twice, seconds


HEADINGS = ("faults", "outstanding", "failed", "lost", "hung", "twice", "longest wait")
MOMENTS: dict[str, tuple[Callable[..., Any] | None, int]] = {
    "idle": (None, 0),
    "one call": (slow, 1),
    "groups": (small, 400),
    "slow calls": (slow, 40),
    "large results": (large, 6),
}
FAULTS = ("SIGKILL", "SIGSTOP", "os._exit", "segfault")


class Campaign:
    """A cluster, and the rounds on it."""

    def __init__(
        self, cluster: local_cluster.LocalCluster, engines: int, chance: random.Random, undo: ExitStack
    ) -> None:
        self.client = cluster.start()
        self.view = self.client.load_balanced_view()
        self._cluster, self._engines, self._chance, self._undo = cluster, engines, chance, undo
        self._directory = Path(undo.enter_context(tempfile.TemporaryDirectory()))
        self._pids: dict[str, int] = {}
        self._rounds = 0
        self.table: dict[tuple[str, str], Line] = {}

    def round(self) -> None:
        fault, moment = self._chance.choice(FAULTS), self._chance.choice(list(MOMENTS))
        line = self.table.setdefault((fault, moment), Line())
        self._rounds += 1
        trace = self._directory / str(self._rounds)
        trace.touch()
        function, count = MOMENTS[moment]
        self._know_engines()
        futures = [self.view.submit(function, str(trace), str(n)) for n in range(count)] if function else []
        time.sleep(self._chance.uniform(0, 0.03) if count else 0)
        uuid = self._victim(futures)
        victim, pid = next(id for id, name in self.client._engines.items() if name == uuid), self._pids[uuid]
        begun = time.monotonic()
        ends: dict[Future[Any], float] = {}
        for future in futures:
            future.add_done_callback(lambda future: ends.setdefault(future, time.monotonic()))
        line.outstanding += sum(not future.done() for future in futures)
        late = self._harm(fault, victim, pid)
        if function and count > 1:
            half = range(count, 3 * count // 2)
            futures += [self.view.submit(function, str(trace), str(n)) for n in half]
        line.hung += len(wait([*futures, *late], HUNG).not_done)
        if fault == "SIGSTOP":
            self._go_on(uuid, pid, victim)
        line.faults += 1
        self._count(line, futures, Counter(trace.read_text().split()), begun, ends)
        line.seconds += [ends.get(future, time.monotonic()) - begun for future in late if future.done()]
        self._replace()

    def _know_engines(self) -> None:
        for engine_id, uuid in list(self.client._engines.items()):
            if uuid not in self._pids:
                self._pids[uuid] = self.client[engine_id].submit(os.getpid).result(HUNG)

    def _victim(self, futures: list[Future[Any]]) -> str:
        """An engine that has some of the calls, if there is one."""
        busy = {future._travel.engine for future in futures if future._travel is not None and not future.done()}
        return self._chance.choice(
            sorted(busy & set(self.client._engines.values())) or list(self.client._engines.values())
        )

    def _harm(self, fault: str, victim: int, pid: int) -> list[Future[Any]]:
        """Do it; the calls that are expected to fail for it."""
        if fault in ("SIGKILL", "SIGSTOP"):
            os.kill(pid, getattr(signal, fault))
            return []
        with suppress(EngineDied):
            return [self.client[victim].submit(faults.DEATHS[fault])]
        return []

    def _go_on(self, uuid: str, pid: int, victim: int) -> None:
        """Wait until the engine counts as dead, let it go on, and let it deal with all that it had been sent."""
        deadline = time.monotonic() + HUNG
        while victim in self.client.ids and time.monotonic() < deadline:
            time.sleep(0.05)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
            with suppress(Exception):
                call_on_engine(self.client, uuid, "open_door", "campaign").result(5.0)
            os.kill(pid, signal.SIGKILL)

    def _count(
        self, line: Line, futures: list[Future[Any]], ran: Counter[str], begun: float, ends: dict[Future[Any], float]
    ) -> None:
        for n, future in enumerate(futures):
            if not future.done():
                continue
            error = future.exception(0)
            if isinstance(error, EngineDied):
                line.failed += 1
                line.seconds.append(ends.get(future, begun) - begun)
            else:
                # What has a result ran, and what failed otherwise was lost in some way of ours.
                if error is not None or ran[str(n)] == 0:
                    line.lost += 1
                    print(f"lost: {future!r} of round {self._rounds}: {error!r}", file=sys.stderr)
            line.twice += ran[str(n)] > 1

    def _replace(self) -> None:
        """Engines for those that are gone, once half of them are."""
        if len(self.client.ids) <= self._engines // 2:
            for _ in range(self._engines - len(self.client.ids)):
                self._undo.enter_context(faults.another_engine(self._cluster.connection_file))
            self.client.wait_for_engines(self._engines, timeout=120, interactive=False)


def show(table: dict[tuple[str, str], Line]) -> None:
    form = "{:<10} {:<14} {:>7} {:>12} {:>7} {:>5} {:>5} {:>6} {:>13}"
    print(form.format("fault", "moment", *HEADINGS))
    for (fault, moment), line in sorted(table.items()):
        print(form.format(fault, moment, *line.row()))
    total = Line()
    for line in table.values():
        for name in ("faults", "outstanding", "failed", "lost", "hung", "twice", "seconds"):
            setattr(total, name, getattr(total, name) + getattr(line, name))
    print(form.format("all", "", *total.row()))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--engines", type=int, default=6)
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args(argv)
    local_cluster.HEARTBEAT_MISSES = MISSES
    cluster = local_cluster.LocalCluster(options.engines)
    with ExitStack() as undo:
        undo.callback(cluster.stop, grace=0)
        campaign = Campaign(cluster, options.engines, random.Random(options.seed), undo)
        deadline = time.monotonic() + options.seconds
        while time.monotonic() < deadline:
            campaign.round()
        show(campaign.table)
        return 0 if all(line.is_good for line in campaign.table.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
