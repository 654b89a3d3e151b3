"""The run: all contestants take turns, round after round, so that a noisy moment is noisy for all."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from contestants import CONTESTANTS
from figures import Results
from measures import MEASURES, Measure
from peers import Peer, PeerFailed


def say(text: str) -> None:
    """What the benchmark is at, on stderr: the table goes to stdout."""
    print(text, file=sys.stderr, flush=True)


def run_measures(
    results: Results, names: Sequence[str], contestants: Sequence[str], workers: int, rounds: int, sizes: dict[str, Any]
) -> None:
    """Run measures of executors, for all contestants that can be started."""
    with ExitStack() as stack:
        peers = started(stack, contestants, workers)
        for name in names:
            measure = MEASURES[name]
            title = measure.title.format(**sizes[name])
            results.begin(name, title, measure.unit, measure.more_is_better, measure.has_ratios)
            say(results.titles[name])
            _run_measure(results, name, measure, peers, rounds, sizes[name])


def started(stack: ExitStack, contestants: Sequence[str], workers: int) -> dict[str, Peer]:
    """The contestants' processes; who cannot start is left out, and named."""
    peers = {}
    for name in contestants:
        try:
            peers[name] = stack.enter_context(Peer(name, workers))
        except PeerFailed as error:
            say(f"left out: {error}")
    return peers


def _run_measure(
    results: Results, name: str, measure: Measure, peers: dict[str, Peer], rounds: int, size: dict[str, Any]
) -> None:
    for turn in range(min(rounds, measure.most_rounds)):
        order = list(peers)
        # Not always the same one after the same other one.
        for contestant in order if turn % 2 == 0 else reversed(order):
            if name in CONTESTANTS[contestant].skips:
                continue
            try:
                results.add(name, contestant, peers[contestant].ask(name, size))
            except PeerFailed as error:
                say(f"left out from here on: {error}")
                peers.pop(contestant).end()
