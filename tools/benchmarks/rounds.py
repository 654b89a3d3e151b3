"""The run: all contestants take turns, round after round, so that a noisy moment is noisy for all."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from contestants import EVERYBODY
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
        peers: dict[str, Peer] = {}
        for name in names:
            measure, size = MEASURES[name], sizes[name]
            results.begin(name, measure.title.format(**size), measure.unit, measure.more_is_better, measure.has_ratios)
            say(results.titles[name])
            if measure.is_fresh:
                _run_fresh(results, name, contestants, workers, size)
            else:
                peers = peers or started(stack, contestants, workers)
                _run_measure(results, name, measure, peers, rounds, size)


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
            if name in EVERYBODY[contestant].skips:
                continue
            if not _ask(results, name, contestant, peers[contestant], size):
                peers.pop(contestant).end()


def _run_fresh(
    results: Results, name: str, contestants: Sequence[str], workers: int, size: dict[str, Any]
) -> None:
    """One round, each contestant in a process of its own that did nothing before."""
    for contestant in contestants:
        if name not in EVERYBODY[contestant].skips:
            with ExitStack() as stack:
                for peer in started(stack, [contestant], workers).values():
                    _ask(results, name, contestant, peer, size)


def _ask(results: Results, name: str, contestant: str, peer: Peer, size: dict[str, Any]) -> bool:
    """Let a contestant run a measure once; whether it could."""
    try:
        results.add(name, contestant, peer.ask(name, size))
    except PeerFailed as error:
        say(f"left out from here on: {error}")
        return False
    return True
