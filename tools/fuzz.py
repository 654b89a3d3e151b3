#!/usr/bin/env python
"""Fuzz the places where bytes from outside are read, led by what code they reach, and print a table.

    python tools/fuzz.py [--seconds N] [NAME ...]

The targets are the properties of ``IPython/parallel/tests/test_fuzz.py``, which the tests try on a few hundred inputs
each: reports, signed messages, an engine's messages, connection files, the command line. Here atheris makes the
inputs, for `--seconds` each (60), from bytes that led to new code before. NAME is part of a test's name.

Needs IPython.parallel installed with its extras ``test`` and ``fuzz``. Exit status: 0 when every property held; 1 when
one did not: the input is in the file that is named, and what happened is above the table.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import types
from pathlib import Path

SEEDS = 32
DONE = re.compile(r"Done (\d+) runs in")
COVERED = re.compile(r"\bcov: (\d+)")


def main() -> int:
    options = parse()
    if options.one:
        fuzz(options.one, options.seconds)
    names = [name for name in targets() if any(part in name for part in options.names or [""])]
    if not names:
        sys.exit(f"no property is called so: {', '.join(options.names)}")
    with tempfile.TemporaryDirectory() as directory:
        outcomes = [run(name, options.seconds, Path(directory)) for name in names]
    print(f"{'property':76}{'inputs':>10}{'branches':>10}")
    for name, (inputs, branches, held) in zip(names, outcomes, strict=True):
        print(f"{name.removeprefix('test_'):76}{inputs:>10,}{branches:>10,}{'' if held else '  BROKEN'}")
    return int(not all(held for *_, held in outcomes))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    return parser.parse_args()


def targets() -> list[str]:
    from IPython.parallel.tests import test_fuzz

    return [name for name, test in vars(test_fuzz).items() if hasattr(test, "hypothesis")]


def run(name: str, seconds: int, directory: Path) -> tuple[int, int, bool]:
    """Fuzz in a process of its own, which libFuzzer ends: how many inputs, how many branches, whether all held."""
    corpus = directory / name
    corpus.mkdir()
    for size in range(SEEDS):
        (corpus / str(size)).write_bytes(bytes(range(size * 8)))
    command = [sys.executable, __file__, "--one", name, "--seconds", str(seconds)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=corpus)
    if done.returncode:
        print(done.stdout)
        for found in corpus.glob("crash-*"):
            print(f"the input: {found.rename(Path.cwd() / found.name)}")
    inputs, branches = DONE.findall(done.stdout), COVERED.findall(done.stdout)
    return int(inputs[-1]) if inputs else 0, int(branches[-1]) if branches else 0, done.returncode == 0


def fuzz(name: str, seconds: int) -> None:
    """Never returns."""
    import atheris

    with atheris.instrument_imports(include=["IPython.parallel"]):
        from IPython.parallel.tests import test_fuzz

    # What travels to engines is loaded from its source, past the import.
    for module in vars(test_fuzz.load()).values():
        for value in list(vars(module).values()) if isinstance(module, types.ModuleType) else ():
            if isinstance(value, types.FunctionType) and value.__module__ == module.__name__:
                atheris.instrument_func(value)
    limits = [f"-max_total_time={seconds}", "-max_len=4096", "-rss_limit_mb=0"]
    atheris.Setup([sys.argv[0], *limits, "."], getattr(test_fuzz, name).hypothesis.fuzz_one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
