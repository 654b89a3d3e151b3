"""Compare executors with the same code: the standard library's pools, ipyparallel without and with us, and others.

python tools/benchmarks [--only submit,map] [--against pool,stock] [--quick] [--rounds N] [--json FILE] [--plot FILE]
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import environment
from bar_plot import draw
from contestants import BASELINE, CONTESTANTS, MANY, OURS, STEPS
from figures import Results
from measures import MEASURES, SPREAD
from rounds import run_measures, say
from scaling import run_many, run_scaling
from script import run_script
from startup import run_startup
from text_table import table

BY_DEFAULT = [*MEASURES, "startup", "script", "scaling"]
NAMES = [*BY_DEFAULT, MANY]
INSTALLED = [name for name, contestant in CONTESTANTS.items() if contestant.is_installed and name != MANY]


def main(arguments: list[str]) -> int:
    """Run the benchmarks, print the table, write the files."""
    options = parse(arguments)
    contestants = [name for name in INSTALLED if name in (OURS, BASELINE, *options.against)]
    if options.steps:
        contestants = [OURS, *STEPS]
    described = environment.describe(contestants, options.workers, options.rounds)
    results = Results(OURS if options.steps else BASELINE)
    try:
        run(results, options, contestants)
    except KeyboardInterrupt:
        say("interrupted: what there is so far")
    described[0] += f" before, {environment.load()} after"
    print(table(results, described), end="")
    if options.json:
        document = {"environment": described, "rounds": results.rounds}
        options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    if options.plot:
        options.plot.write_text(draw(results, described), encoding="utf-8")
    return 0


def run(results: Results, options: argparse.Namespace, contestants: list[str]) -> None:
    names = [name for name in options.only if name in MEASURES]
    if names:
        run_measures(results, names, contestants, options.workers, options.rounds, sizes(options))
    if "startup" in options.only:
        say("start of the command line")
        run_startup(results, options.rounds, options.workers)
    if "script" in options.only:
        say("a script on the command line")
        run_script(results, options.rounds, options.workers, quick=options.quick)
    if "scaling" in options.only:
        compared = [name for name in contestants if name in (OURS, BASELINE)]
        counts = [1, 2] if options.quick else [1, 2, 4, 8]
        run_scaling(results, compared, counts, min(options.rounds, 2), SPREAD.quick if options.quick else SPREAD.size)
    if MANY in options.only:
        run_many(results, options.engines, {"count": options.calls, "seconds": 0.001})


def sizes(options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """How much is done in each measure."""
    found = {name: dict(measure.quick if options.quick else measure.size) for name, measure in MEASURES.items()}
    if options.memory_calls:
        found["memory"]["count"] = options.memory_calls
    return found


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python tools/benchmarks", description=(__doc__ or "").partition("\n")[0],
        epilog="Ratios are to the standard library's process pool in the same round. Interrupt it at any time for what "
        "there is so far.",
    )
    parser.add_argument(
        "--only", type=_choice(NAMES), metavar="NAMES", help=f"of {', '.join(NAMES)}; by default all but the last"
    )
    parser.add_argument(
        "--against", type=_choice(CONTESTANTS), default=INSTALLED, metavar="NAMES",
        help=f"of {', '.join(name for name in CONTESTANTS if name != MANY)}; by default all that are installed",
    )
    parser.add_argument("--quick", action="store_true", help="a first look: few calls, one round")
    parser.add_argument("--rounds", type=_positive, help="default 5")
    parser.add_argument("--workers", type=_positive, default=2, help="engines or processes each has (default 2)")
    parser.add_argument("--memory-calls", type=_positive, metavar="N", help="calls for `memory` (default 200,000)")
    parser.add_argument("--engines", type=_positive, default=64, metavar="N", help="for `many` (default 64)")
    parser.add_argument("--calls", type=_positive, default=100_000, metavar="N", help="for `many` (default 100,000)")
    parser.add_argument(
        "--steps",
        action="store_true",
        help="instead: ours against ours without one design step each (submit, latency, long, payload)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures of all rounds")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="write a drawing, as SVG")
    options = parser.parse_args(arguments)
    options.only = options.only or (["submit", "latency", "long", "payload"] if options.steps else BY_DEFAULT)
    options.rounds = options.rounds or (1 if options.quick else 5)
    return options


def _choice(allowed: Any) -> Any:
    """Parses names with commas between them."""

    def chosen(text: str) -> list[str]:
        names = [name.strip() for name in text.split(",") if name.strip()]
        unknown = [name for name in names if name not in allowed]
        if unknown or not names:
            raise argparse.ArgumentTypeError(f"give names of {', '.join(allowed)}, not {', '.join(unknown) or 'none'}")
        return names

    return chosen


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"give a number from 1 on, not {text}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
