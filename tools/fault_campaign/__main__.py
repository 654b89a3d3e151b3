"""Break workers, controllers, connections and clients under load, and count what became of the calls.

    python tools/fault_campaign [--faults 100] [--only NAME] [--record FILE] [--show FILE] [--seed N]

Each round gives an executor some work, breaks something, waits for all futures, and compares what they say with the
trace that the calls left. With ``--only`` the others take part, too: "stock ipyparallel", "ProcessPoolExecutor",
"loky". With ``--record`` a campaign can be run in parts; ``--show`` prints the table of all. The status is 1 if a
call of IPython.parallel was lost without an error, failed with a wrong one, hung or ran twice.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from contestants import CONTESTANTS, Contestant, Views
from kinds import Kind, kinds
from rounds import Round
from table import Observation, keep, read, render


def campaign(contestant: Contestant, faults: int, only: str) -> Iterator[Observation]:
    """Make so many faults, one after the other."""
    possible = [kind for kind in kinds() if type(contestant) in kind.of and only in kind.fault]
    contestant.start()
    try:
        with tempfile.TemporaryDirectory() as directory:
            for number in range(faults):
                kind = contestant.chance.choices(possible, [kind.weight for kind in possible])[0]
                yield one(contestant, kind, Path(directory) / str(number))
    finally:
        contestant.stop()


def one(contestant: Contestant, kind: Kind, trace: Path) -> Observation:
    begun = time.monotonic()
    round = Round(contestant, trace, kind.fault, kind.moment, kind.cause)
    kind.make(round)
    observation = round.judge()
    observation.lived_on = contestant.lives()
    contestant.renew()
    print(f"{kind.fault}, {kind.moment}: {time.monotonic() - begun:.1f} s", file=sys.stderr, flush=True)
    return observation


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--only", default=Views.name, choices=list(CONTESTANTS), help="who takes part")
    parser.add_argument("--fault", default="", help="only faults with this in their name")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--record", type=Path, default=None)
    parser.add_argument("--show", type=Path, default=None)
    options = parser.parse_args(argv)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background jobs ignore
    if options.show is not None:
        observations = read(options.show)
    else:
        contestant = CONTESTANTS[options.only](options.workers, random.Random(options.seed))
        observations = []
        for observation in campaign(contestant, options.faults, options.fault):
            observations.append(observation)
            if options.record is not None:
                keep(options.record, observation)
    print(render(observations), end="")
    return 0 if all(seen.is_good for seen in observations if seen.contestant == Views.name) else 1


if __name__ == "__main__":
    sys.exit(main())
