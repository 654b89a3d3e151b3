#!/usr/bin/env python
"""Run ipyparallel's own test-suite without and with the patch, and name the tests that only the patch breaks.

    python tools/compare_upstream.py [--baseline FILE] [--modules view,lbview] [-- PYTEST-ARGUMENTS]

Needs IPython.parallel installed in the running interpreter, and its extra ``upstream``. Exit status: 0 when every
test that passes without the patch passes with it, 1 when one does not, 2 when nothing could be compared.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import argparse
import concurrent.futures
import importlib
import importlib.util
import json
import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import ipyparallel
import isolated_runs
from isolated_runs import Outcomes, counted, print_list

# This very file is loaded into the pytest processes as a plugin; this variable speaks to it there.
PATCHED_VARIABLE = "COMPARE_UPSTREAM_PATCHED"

PACKAGE = Path(ipyparallel.__file__).parent
PLUGIN = Path(__file__).stem
INI = "[pytest]\nasyncio_default_fixture_loop_scope = function\n"
NEEDED = ("pytest", "pytest_asyncio", "pytest_timeout", "testpath")


# -- in the pytest process ---------------------------------------------------------------------------------------


def pytest_sessionstart() -> None:
    """Refuse to run a half that is not what it is called: the comparison would be of nothing with nothing."""
    if PATCHED_VARIABLE in os.environ:
        importlib.import_module("IPython.parallel")
    patched = issubclass(ipyparallel.DirectView, concurrent.futures.Executor)
    if patched != (PATCHED_VARIABLE in os.environ):
        import pytest  # the comparing process does without

        pytest.exit(f"ipyparallel is {'already' if patched else 'not'} patched", returncode=2)


# -- in the comparing process ------------------------------------------------------------------------------------


def main(arguments: list[str]) -> int:
    """Compare, report on stdout, and return the exit status."""
    options = parse(arguments)
    modules = upstream_modules(options.modules)
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing or not modules:
        reason = f"missing {', '.join(missing)}" if missing else f"no such tests in {PACKAGE / 'tests'}"
        print(f"compare_upstream: {reason}", file=sys.stderr)
        return 2
    without = baseline(modules, options)
    if options.baseline_only:
        return print_summary("without the patch", without)
    with_patch = run_suite(modules, options, patched=True)
    if not without or not with_patch:
        return 2
    suspects = broken(without, with_patch)
    confirmed = confirm(suspects, options)
    return print_report(without, with_patch, suspects, confirmed)


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="compare_upstream", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--baseline", type=Path, help="outcomes without the patch: read when there, else written")
    parser.add_argument("--baseline-only", action="store_true", help="run only the half without the patch")
    parser.add_argument("--modules", default="", help="comma-separated, such as view,lbview (default: all)")
    parser.add_argument("--test-timeout", type=float, default=60, help="seconds a test may take (default: 60)")
    parser.add_argument("--module-timeout", type=float, default=900, help="seconds a test module may take")
    parser.add_argument("-v", "--verbose", action="store_true", help="show what pytest prints")
    parser.add_argument("pytest_arguments", nargs="*", help="handed to pytest (after --)")
    return parser.parse_args(arguments)


def upstream_modules(names: str) -> list[Path]:
    """The upstream test modules asked for, all of them when `names` is empty."""
    every = sorted((PACKAGE / "tests").glob("test_*.py"))
    wanted = {f"test_{name}" for name in names.split(",") if name}
    return [path for path in every if not wanted or path.stem in wanted]


def baseline(modules: list[Path], options: argparse.Namespace) -> Outcomes:
    """The outcomes without the patch, from the file named by ``--baseline`` if it exists."""
    if options.baseline and options.baseline.exists():
        return json.loads(options.baseline.read_text(encoding="utf-8"))
    outcomes = run_suite(modules, options, patched=False)
    if options.baseline and outcomes:
        options.baseline.write_text(json.dumps(outcomes, indent=1), encoding="utf-8")
    return outcomes


def run_suite(modules: Iterable[Path], options: argparse.Namespace, *, patched: bool) -> Outcomes:
    """Run each module in a pytest process of its own, so that a hang costs one module and not the run."""
    outcomes: Outcomes = {}
    for module in modules:
        found = run_pytest(str(module), options, patched=patched)
        outcomes |= found
        label = "with" if patched else "without"
        print(f"{label} the patch: {module.stem}: {counted(found)}", file=sys.stderr, flush=True)
    return outcomes


def run_pytest(target: str, options: argparse.Namespace, *, patched: bool) -> Outcomes:
    """Run pytest on `target` away from the user's profile and return the outcome of each test."""
    with tempfile.TemporaryDirectory(prefix="compare-upstream-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        (directory / "pytest.ini").write_text(INI, encoding="utf-8")
        return isolated_runs.run_pytest(
            arguments_of_run(directory, target, options),
            directory,
            limit=options.module_timeout,
            variables={PATCHED_VARIABLE: "1"} if patched else {},
            verbose=options.verbose,
        )


def arguments_of_run(directory: Path, target: str, options: argparse.Namespace) -> list[str]:
    """The command line of one pytest run, deaf to any configuration but its own."""
    return [
        *("-c", str(directory / "pytest.ini"), f"--rootdir={PACKAGE.parent}"),
        *("-p", PLUGIN, "--asyncio-mode=auto"),
        # "signal" ends one test and lets the others run; "thread" would end the process.
        *(f"--timeout={options.test_timeout}", "--timeout-method=signal"),
        *options.pytest_arguments,
        target,
    ]


def broken(without: Outcomes, with_patch: Outcomes) -> list[str]:
    """The tests that pass without the patch and do not with it (one that vanished counts)."""
    passed = (nodeid for nodeid, outcome in without.items() if outcome == "passed")
    return [nodeid for nodeid in passed if with_patch.get(nodeid) != "passed"]


def confirm(suspects: list[str], options: argparse.Namespace) -> list[str]:
    """Run each suspect again alone, both ways: several upstream tests are racy, and a race is not the patch's doing."""
    confirmed = []
    for nodeid in suspects:
        without, with_patch = (
            run_pytest(str(PACKAGE.parent / nodeid), options, patched=patched) for patched in (False, True)
        )
        if broken(without, with_patch):
            confirmed.append(nodeid)
        print(f"again alone: {nodeid}: {counted(without)}, {counted(with_patch)}", file=sys.stderr, flush=True)
    return confirmed


def print_report(without: Outcomes, with_patch: Outcomes, suspects: list[str], confirmed: list[str]) -> int:
    """Print the comparison and return the exit status."""
    print_summary("without the patch", without)
    print_summary("with the patch", with_patch)
    print_list("pass without, fail with the patch, also when run alone", confirmed)
    print_list("failed with the patch once, not when run alone", [name for name in suspects if name not in confirmed])
    return 1 if confirmed else 0


def print_summary(title: str, outcomes: Outcomes) -> int:
    """Print the counts of one half, and its failures; return 2 when no test ran at all."""
    print(f"{title}: {counted(outcomes)}")
    print_list("failed", [nodeid for nodeid, outcome in outcomes.items() if outcome == "failed"])
    return 0 if outcomes else 2


if __name__ == "__main__":
    isolated_runs.end_cleanly_when_terminated()
    sys.exit(main(sys.argv[1:]))
