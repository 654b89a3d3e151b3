#!/usr/bin/env python
"""Run the tests of the installed package, away from the user's own profiles and clusters.

    python tools/run_tests.py [--only test_futures,test_errors | --consumers] [-- PYTEST-ARGUMENTS]

Needs IPython.parallel installed in the running interpreter, editable or not, with its extra ``test``, or
``test-consumers`` for ``--consumers``. Exit status: that of pytest.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main(arguments: list[str]) -> int:
    """Run pytest and return its exit status."""
    parser = argparse.ArgumentParser(prog="run_tests", description=(__doc__ or "").partition("\n")[0])
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--only", default="", help="comma-separated modules of tests (default: all)")
    which.add_argument("--consumers", action="store_true", help="those with libraries that take executors")
    parser.add_argument("pytest_arguments", nargs="*", help="handed to pytest (after --)")
    options = parser.parse_args(arguments)
    only = ["consumers"] if options.consumers else filter(None, options.only.split(","))
    tests = [f"IPython.parallel.tests.{name}" for name in only] or ["IPython.parallel"]
    with tempfile.TemporaryDirectory(prefix="run-tests-", ignore_cleanup_errors=True) as scratch:
        command = [sys.executable, "-m", "pytest", "--pyargs", *tests, "-p", "no:cacheprovider"]
        return subprocess.call([*command, *options.pytest_arguments], cwd=ROOT, env=environment(Path(scratch)))


def environment(scratch: Path) -> dict[str, str]:
    """No profile but those that tests make; tests of what is built find this tree, and so are not skipped."""
    return os.environ | {"IPYTHONDIR": str(scratch / "ipython"), "IPYTHON_PARALLEL_SOURCE": str(ROOT)}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
