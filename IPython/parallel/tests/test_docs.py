"""What the documentation says is so: its commands are those that CI runs, its names exist, it is complete."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
import textwrap
import zlib
from collections.abc import Iterator
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any

import pytest

import IPython.parallel
from IPython.parallel import errors
from IPython.parallel.errors import ExecutorShutdown
from IPython.parallel.patching import PATCHES, Patch
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


def said_to_print(code: str) -> list[str]:
    """What the comments behind the calls of print say."""
    return re.findall(r"^\s*print\(.*\)\s+# (.*)$", code, re.MULTILINE)


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


@pytest.fixture(scope="module")
def reference(source: Path, tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """What the page of reference describes, by full names, as Sphinx lists them for other projects."""
    pytest.importorskip("sphinx")
    directory = tmp_path_factory.mktemp("reference")
    page = source / "docs" / "source" / "api.rst"
    # Without the other pages, and so without links to them.
    text = re.sub(r":doc:`[^`]*`", "", page.read_text(encoding="utf-8"))
    (directory / "index.rst").write_text(text, encoding="utf-8")
    build = (sys.executable, "-m", "sphinx", "-q", "-c", str(page.parent), str(directory), str(directory / "built"))
    subprocess.run(build, check=True, timeout=100)
    *_, listed = (directory / "built" / "objects.inv").read_bytes().split(b"\n", 4)  # behind four lines of comment
    return set(re.findall(r"^(\S+) py:", zlib.decompress(listed).decode(), re.MULTILINE))


def patched_for_users() -> Iterator[tuple[Patch, Any]]:
    """The patches of names that users write, each with the function that it is."""
    for patch in PATCHES:
        if not patch.name.startswith("_"):
            found = getattr(patch.target, patch.name)
            found = found.fget if isinstance(found, property) else getattr(found, "__func__", found)
            yield patch, inspect.unwrap(found)


@pytest.mark.timeout(120)
def test_reference_is_complete(reference: set[str]) -> None:
    package = IPython.parallel
    own = {name for name in package.__all__ if getattr(package, name).__module__.startswith(package.__name__)}
    assert {"Pool", "timeline"} <= own
    public = {f"{package.__name__}.{name}" for name in own} | {f"{errors.__name__}.{name}" for name in errors.__all__}
    public |= {f"{p.target.__module__}.{p.target.__qualname__}.{p.name}" for p, _ in patched_for_users()}
    assert public - reference == set()


def test_docstrings_of_what_is_patched_say_all() -> None:
    assert [missing for patch, function in patched_for_users() for missing in not_said(patch, function)] == []


def not_said(patch: Patch, function: Any) -> Iterator[str]:
    """What a docstring in the style of this project has, and that of a patched name has not."""
    if function.__module__.startswith("ipyparallel"):
        return
    said = inspect.getdoc(function) or ""
    needed = ["thread", "Source:", *([".. versionadded::"] if patch.kind == "add" else [])]
    parameters = list(inspect.signature(function).parameters.values())[1:]
    needed += ["Parameters\n----------"] * bool(parameters)
    yield from (f"{patch.target.__name__}.{patch.name}: {text}" for text in needed if text not in said)
    for parameter in parameters:
        if not re.search(rf"^(\*?\*?\w+, )*\*?\*?{parameter.name}\b.*$", said, re.MULTILINE):
            yield f"{patch.target.__name__}.{patch.name}: {parameter.name}"


def test_versions_in_the_docs_are_not_of_the_future(source: Path) -> None:
    texts = [*(source / "IPython").rglob("*.py"), *(source / "docs" / "source").rglob("*.rst")]
    noted = re.compile(r"\.\. version(?:added|changed):: *([\d.]+)")
    said = {version for path in texts for version in noted.findall(path.read_text(encoding="utf-8"))}
    assert said
    present = numbers(IPython.parallel.__version__)
    assert [version for version in said if numbers(version) > present] == []


def numbers(version: str) -> tuple[int, ...]:
    """A version as numbers that can be compared."""
    return tuple(int(part) for part in version.split(".") if part.isdigit())
