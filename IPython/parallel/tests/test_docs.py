"""What the documentation says is so: its commands are those that CI runs, its examples run, its names exist."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any

import pytest

from IPython.parallel.errors import ExecutorShutdown
from IPython.parallel.tests.contracts import calls
from IPython.parallel.tests.contracts.harness import PATIENCE
from IPython.parallel.tests.source_tree import find_source_tree

PYTHON_BLOCK = re.compile(r"^( *)\.\. code-block:: python\n(?:\1   :.*\n)*\n((?:\1   .*\n|\s*\n)+)", re.MULTILINE)


@pytest.fixture(scope="module")
def source() -> Path:
    return find_source_tree()


def examples(page: Path) -> list[str]:
    """The blocks of Python on a page."""
    return [textwrap.dedent(block) for _, block in PYTHON_BLOCK.findall(page.read_text(encoding="utf-8") + "\n")]


def pages(source: Path) -> list[Path]:
    return [source / "README.rst", *sorted((source / "docs" / "source").rglob("*.rst"))]


def run_example(code: str, directory: Path, environment: dict[str, str]) -> str:
    """Run an example as the script it would be, and return what it printed."""
    script = directory / "example.py"
    script.write_text(code, encoding="utf-8")
    command = (sys.executable, str(script))
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr
    return done.stdout


def said_to_print(code: str) -> list[str]:
    """What the comments behind the calls of print say."""
    return re.findall(r"^\s*print\(.*\)\s+# (.*)$", code, re.MULTILINE)


@pytest.mark.parametrize("page", ["README.rst", "docs/source/index.rst", "docs/source/quickstart.rst"])
def test_example_prints_what_it_says(page: str, source: Path, tmp_path: Path, profile: dict[str, str]) -> None:
    (example,) = (code for code in examples(source / page) if "Client()" in code)
    assert said_to_print(example)
    printed = run_example(example, tmp_path, profile).splitlines()
    assert [line for line in said_to_print(example) if line not in printed] == []


def test_examples_are_python(source: Path) -> None:
    blocks = [(page, code) for page in pages(source) for code in examples(page)]
    assert len(blocks) > 10
    for page, code in blocks:
        compile(code, str(page), "exec")


def test_names_imported_in_examples_exist(source: Path) -> None:
    names = {name for page in pages(source) for code in examples(page) for name in own_imports(code)}
    assert ("IPython.parallel", "Client") in names
    assert [name for name in sorted(names) if not hasattr(importlib.import_module(name[0]), name[1])] == []


def own_imports(code: str) -> Iterator[tuple[str, str]]:
    """The pairs of module and name that an example imports from this package."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("IPython.parallel"):
            yield from ((str(node.module), alias.name) for alias in node.names)


def test_the_bound_for_submit_holds(source: Path, client: Any) -> None:
    (example,) = (code for code in examples(source / "docs/source/faults.rst") if "BoundedSemaphore" in code)
    names: dict[str, Any] = {"view": client.load_balanced_view()}
    exec(example, names)
    names["room"] = BoundedSemaphore(20)
    futures = []
    for n in range(300):
        futures.append(names["submit"](calls.identity, n))
        assert sum(not future.done() for future in futures) <= 20
    assert [future.result(PATIENCE) for future in futures] == list(range(300))
    with pytest.raises(ExecutorShutdown):
        names["view"].shutdown()
        names["submit"](calls.identity, 0)
    assert all(names["room"].acquire(timeout=PATIENCE) for _ in range(20))


def test_ci_runs_the_commands_of_the_readme(source: Path) -> None:
    readme = (source / "README.rst").read_text(encoding="utf-8")
    commands = re.findall(r"^    (pip install .* && .*)$", readme, re.MULTILINE)
    assert len(commands) == 2
    listed = subprocess.run(["bash", str(source / ".ci" / "run"), "--list"], capture_output=True, text=True, check=True)
    assert listed.stdout.splitlines() == commands


def test_every_option_of_the_command_line_is_described(source: Path) -> None:
    command = (sys.executable, "-m", "IPython.parallel", "--help")
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    page = (source / "docs" / "source" / "running_scripts.rst").read_text(encoding="utf-8")
    options = set(re.findall(r"^ +(?:-h, )?(--?[a-z-]+)", shown, re.MULTILINE))
    assert {"-n", "--profile"} <= options
    assert options - {"--help"} == set(re.findall(r"``(--?[a-z-]+)(?: [A-Z]+)?``", page))
