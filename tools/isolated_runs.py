"""Runs of pytest that touch nothing of the user's, have not lost their outcomes when killed, and leave no process.

Loaded into pytest (``-p isolated_runs``) this very file writes the outcomes down.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

# These variables speak to this file in the pytest process.
OUTCOMES_VARIABLE = "ISOLATED_RUN_OUTCOMES"
# Every process of a run inherits this, engines and controllers in sessions of their own too: nothing outlives the run.
RUN_VARIABLE = "ISOLATED_RUN"

Outcomes = dict[str, str]


def pytest_runtest_logreport(report) -> None:  # type: ignore[no-untyped-def]
    """Append the outcome of one phase of one test to a file, so that a run that is killed has not lost the rest."""
    if report.when == "call" or report.outcome != "passed":
        with open(os.environ[OUTCOMES_VARIABLE], "a", encoding="utf-8") as file:
            file.write(json.dumps([report.nodeid, report.outcome]) + "\n")


def run_pytest(
    arguments: Sequence[str],
    directory: Path,
    *,
    limit: float,
    path: Sequence[Path] = (),
    variables: Mapping[str, str] | None = None,
    verbose: bool = False,
) -> Outcomes:
    """Run pytest in a directory, which is its home, too, and return the outcome of each test.

    Parameters
    ----------
    arguments : sequence of str
        Those of pytest.
    directory : Path
    limit : float
        Seconds until the run is stopped; what was over then counts.
    path : sequence of Path
        Where else modules are found.
    variables : mapping, optional
        More of the environment.
    verbose : bool
        Show what pytest prints, and not only when no test ran.
    """
    run = uuid.uuid4().hex
    outcomes = directory / "outcomes"
    outcomes.touch()
    with open(directory / "output", "wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest", "-q", "-p", Path(__file__).stem, "-p", "no:cacheprovider", *arguments],
            cwd=directory,
            env={**_environment(directory, path), **(variables or {}), RUN_VARIABLE: run},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            process.wait(limit)
        except subprocess.TimeoutExpired:
            print(f"{' '.join(arguments)}: took too long and was stopped", file=sys.stderr)
        finally:
            _end_processes(run)
            process.wait()
    found = read_outcomes(outcomes)
    if verbose or not found:
        print((directory / "output").read_text(encoding="utf-8", errors="replace"), file=sys.stderr)
    return found


def _environment(directory: Path, path: Sequence[Path]) -> dict[str, str]:
    """A home of its own, and the tools importable as plugins."""
    places = [*map(str, path), str(Path(__file__).resolve().parent), os.environ.get("PYTHONPATH", "")]
    return os.environ | {
        "HOME": str(directory),
        "IPYTHONDIR": str(directory / "ipython"),
        OUTCOMES_VARIABLE: str(directory / "outcomes"),
        "PYTHONPATH": os.pathsep.join(filter(None, places)),
    }


def _end_processes(run: str) -> None:
    """Kill every process that carries the mark of this run."""
    for process in psutil.process_iter():
        try:
            if process.environ().get(RUN_VARIABLE) == run:
                process.send_signal(signal.SIGKILL)
        except (psutil.Error, OSError):
            continue  # not ours to read, or gone already


def read_outcomes(path: Path) -> Outcomes:
    """Fold the phases of each test into one outcome: what went wrong in any phase stands."""
    outcomes: Outcomes = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        test, outcome = json.loads(line)
        if outcomes.get(test) != "failed":
            outcomes[test] = outcome
    return outcomes


def counted(outcomes: Outcomes) -> str:
    """Counts by outcome, such as ``31 passed, 2 skipped``."""
    values = list(outcomes.values())
    return ", ".join(f"{values.count(name)} {name}" for name in sorted(set(values))) or "no tests"


def print_list(title: str, lines: Sequence[str]) -> None:
    """Print a heading and the lines, or nothing when there are none."""
    if lines:
        print(f"  {title}:")
        print(*(f"    {line}" for line in lines), sep="\n")


def end_cleanly_when_terminated() -> None:
    """Ended from outside, a run still ends what it has started."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
