#!/usr/bin/env python
"""Check style and types: ruff over everything, mypy over the package, both as pyproject.toml says.

    python tools/lint.py [--fix]

Needs IPython.parallel installed in the running interpreter, with its extra ``lint``. Exit status: 0 when nothing is
found.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main(arguments: list[str]) -> int:
    """Run both, also when the first finds something."""
    parser = argparse.ArgumentParser(prog="lint", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--fix", action="store_true", help="let ruff mend what it can")
    options = parser.parse_args(arguments)
    ruff = ["ruff", "check", *(["--fix"] if options.fix else []), "."]
    return max([run(*ruff), run("mypy")])


def run(*command: str) -> int:
    """Run a module of this interpreter at the root of the source tree."""
    return subprocess.call([sys.executable, "-m", *command], cwd=ROOT)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
