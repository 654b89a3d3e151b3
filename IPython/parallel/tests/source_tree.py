"""The source tree that the running package comes from, for tests of what is built from it and written beside it."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

DISTRIBUTION = "ipython-parallel-futures"
# Where this is set the tree must be there: a check that has a source tree cannot pass by skipping.
VARIABLE = "IPYTHON_PARALLEL_SOURCE"


def find_source_tree() -> Path:
    """The source tree, named by the environment, or around this file (editable), or around the working directory."""
    if named := os.environ.get(VARIABLE):
        assert _is_source_tree(Path(named)), f"{VARIABLE} is {named}, which is not a source tree of {DISTRIBUTION}"
        return Path(named).resolve()
    here = Path.cwd()
    for candidate in (Path(__file__).parents[3], here, *here.parents):
        if _is_source_tree(candidate):
            return candidate.resolve()
    pytest.skip(f"needs the source tree: run in a clone, or set {VARIABLE}")


def _is_source_tree(directory: Path) -> bool:
    setup = directory / "setup.py"
    return setup.is_file() and f'name="{DISTRIBUTION}"' in setup.read_text(encoding="utf-8")


def load_tool(source: Path, name: str) -> ModuleType:
    """A module of the source tree's `tools`, which find each other as they do when they run as scripts."""
    sys.path.insert(0, str(source / "tools"))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(source / "tools"))
