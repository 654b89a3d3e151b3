"""The examples of the documentation: each runs, prints what it says, and is shown."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

from IPython.parallel.tests.source_tree import DISTRIBUTION, find_source_tree

HERE = Path(__file__).parent
# Those that want a class, not a view: the command line has it.
PROGRAMS = ("mpi4py_style", "process_map", "virtualizarr")
# What has tests has an example, and one more has a second.
NAMES = sorted({file.stem.removeprefix("test_") for file in HERE.glob("test_*.py")} - {"examples"} | {"process_map"})

# Some of these packages take seconds to import, at the client and on each engine.
pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def examples() -> Path:
    return find_source_tree() / "docs" / "examples" / "consumers"


@pytest.mark.parametrize("name", NAMES)
def test_example_prints_what_it_says(
    name: str, examples: Path, run_example: Callable[..., str], on_the_cluster: tuple[str, ...]
) -> None:
    code = (examples / f"with_{name}.py").read_text(encoding="utf-8")
    if missing := missing_modules(code):
        pytest.skip(f"needs {', '.join(missing)}: pip install '.[test-consumers]'")
    printed = run_example(f"with_{name}.py", *(on_the_cluster if name in PROGRAMS else ())).splitlines()
    expected = re.findall(r"^\s*print\(.*\)  # (.*)$", code, re.MULTILINE)
    assert expected
    assert [line for line in printed if line in expected] == expected


def missing_modules(code: str) -> list[str]:
    """The packages that a program imports and that are not installed."""
    return sorted(name for name in imported(code) if importlib.util.find_spec(name) is None)


def imported(code: str) -> set[str]:
    modules = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            modules.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            modules.add(str(node.module))
    return {module.partition(".")[0] for module in modules}


def test_every_example_is_shown(examples: Path) -> None:
    page = (examples.parents[1] / "source" / "consumers.rst").read_text(encoding="utf-8")
    shown = re.findall(r"^\.\. literalinclude:: \.\./examples/consumers/with_(\w+)\.py$", page, re.MULTILINE)
    assert sorted(shown) == NAMES == sorted(file.stem.removeprefix("with_") for file in examples.glob("*.py"))


# Of modules with another name than their distribution, which is not asked where it is not installed.
DISTRIBUTIONS = {"graphql": "graphql-core", "nautilus": "nautilus-sampler", "sklearn": "scikit-learn"}


def test_what_is_needed_is_in_the_extra() -> None:
    lines = metadata.requires(DISTRIBUTION) or []
    declared = {normalized(re.split(r"[^\w.-]", line, maxsplit=1)[0]) for line in lines}
    modules = {name for file in HERE.glob("test_*.py") for name in needed_modules(file)}
    assert {"dask", "tornado"} <= modules
    by_module = metadata.packages_distributions()
    owners = {name: by_module.get(name, [DISTRIBUTIONS.get(name, name)]) for name in modules}
    undeclared = [name for name in modules if declared.isdisjoint(map(normalized, owners[name]))]
    # It comes with ipyparallel.
    assert set(undeclared) <= {"tornado"}


def needed_modules(file: Path) -> list[str]:
    """The top-level modules that a file says it needs."""
    return re.findall(r"""\bneeded\("(\w+)""", file.read_text(encoding="utf-8"))


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
