"""The same work for more and more workers; and for many engines on few cores."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from contestants import CONTESTANTS, MANY, OURS
from figures import Results
from measures import SPREAD
from peers import PeerFailed
from rounds import say, started


def run_scaling(results: Results, contestants: Sequence[str], counts: Sequence[int], rounds: int, size: Any) -> None:
    """Short naps on 1, 2, 4, ... workers."""
    results.begin("scaling", SPREAD.title.format(**size), "", None)
    taking_part = [name for name in contestants if "scaling" not in CONTESTANTS[name].skips]
    for workers in counts:
        say(f"scaling: {workers} workers")
        with ExitStack() as stack:
            peers = started(stack, taking_part, workers)
            for _ in range(rounds):
                for name, peer in peers.items():
                    figures = peer.ask("scaling", size)
                    results.add("scaling", name, _labelled(figures, workers))


def run_many(results: Results, engines: int, size: Any) -> None:
    """Short naps on more engines than there are cores for."""
    results.begin("many", f"{engines} engines on this machine: " + SPREAD.title.format(**size), "", None)
    say(results.titles["many"])
    with ExitStack() as stack:
        for peer in started(stack, [MANY], engines).values():
            try:
                results.add("many", OURS, peer.ask("scaling", size))
            except PeerFailed as error:
                say(str(error))


def _labelled(figures: dict[str, float], workers: int) -> dict[str, float]:
    return {f"{workers} workers: {name}": value for name, value in figures.items()}
