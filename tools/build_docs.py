#!/usr/bin/env python
"""Build the documentation into docs/build, every warning being an error.

    python tools/build_docs.py [--output DIRECTORY] [--builder html]

Needs IPython.parallel installed in the running interpreter, with its extra ``docs``.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent / "docs"


def main(arguments: list[str]) -> int:
    """Run sphinx-build and return its exit status."""
    parser = argparse.ArgumentParser(prog="build_docs", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", type=Path, default=DOCS / "build", help="default: docs/build")
    parser.add_argument("--builder", default="html", help="of Sphinx, such as html, linkcheck, man (default: html)")
    options = parser.parse_args(arguments)
    target = options.output / options.builder
    # -E: pages drawn from the code's tables must be drawn anew although their own text has not changed.
    sphinx = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-E", "-q", "-b", options.builder]
    status = subprocess.call([*sphinx, str(DOCS / "source"), str(target)])
    print(f"documentation: {'failed' if status else target}")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
