"""What the documentation says is so: its commands are those that CI runs, its examples run, its names exist."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

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


@pytest.mark.parametrize("page", ["README.rst", "docs/source/quickstart.rst"])
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


# -- tools -------------------------------------------------------------------------------------------------------


def tool(source: Path, name: str) -> ModuleType:
    """A tool of the source tree, loaded as a module."""
    spec = importlib.util.spec_from_file_location(name, source / "tools" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def news(tmp_path: Path) -> Path:
    """A directory of news with two snippets."""
    snippets = tmp_path / "whatsnew" / "pr"
    snippets.mkdir(parents=True)
    (snippets / "b.rst").write_text("Second\n======\n\nText b.\n", encoding="utf-8")
    (snippets / "a.rst").write_text("First\n=====\n\nText a.\n", encoding="utf-8")
    return tmp_path / "whatsnew"


def test_news_snippets_become_the_page_of_the_release(source: Path, news: Path) -> None:
    arguments = ["1.2", "--date", "2030-01-02", "--news", str(news)]
    assert tool(source, "merge_news").main(arguments) == 0
    expected = "1.2 (2030-01-02)\n================\n\nFirst\n-----\n\nText a.\n\nSecond\n------\n\nText b.\n"
    assert (news / "version-1.2.rst").read_text(encoding="utf-8") == expected
    assert list((news / "pr").iterdir()) == []


def test_later_news_is_added_to_the_page(source: Path, news: Path) -> None:
    merge = tool(source, "merge_news")
    assert merge.main(["1.2", "--news", str(news)]) == 0
    (news / "pr" / "c.rst").write_text("Third\n=====\n\nText c.\n", encoding="utf-8")
    assert merge.main(["1.2", "--news", str(news)]) == 0
    assert (news / "version-1.2.rst").read_text(encoding="utf-8").endswith("Text b.\n\nThird\n-----\n\nText c.\n")


def test_snippet_without_title_stops_the_merge(source: Path, news: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (news / "pr" / "c.rst").write_text("Only text.\n", encoding="utf-8")
    assert tool(source, "merge_news").main(["1.2", "--news", str(news)]) == 1
    assert "c.rst" in capsys.readouterr().err
    assert sorted(path.name for path in news.rglob("*.rst")) == ["a.rst", "b.rst", "c.rst"]


def test_snippets_of_the_tree_can_be_merged(source: Path, tmp_path: Path) -> None:
    news = Path(shutil.copytree(source / "docs" / "source" / "whatsnew", tmp_path / "whatsnew"))
    expected = 0 if list((news / "pr").glob("*.rst")) else 1
    assert tool(source, "merge_news").main(["0.0.1", "--news", str(news)]) == expected


def test_comparison_blames_the_patch_only_for_what_passes_without_it(source: Path) -> None:
    without = {"same": "passed", "worse": "passed", "vanished": "passed", "bad anyway": "failed", "better": "failed"}
    with_patch = {"same": "passed", "worse": "failed", "bad anyway": "failed", "better": "passed"}
    assert tool(source, "compare_upstream").broken(without, with_patch) == ["worse", "vanished"]


def test_comparison_takes_the_worst_phase_of_a_test(source: Path, tmp_path: Path) -> None:
    outcomes = tmp_path / "outcomes"
    outcomes.write_text('["a", "passed"]\n["a", "failed"]\n["b", "failed"]\n["b", "passed"]\n["c", "skipped"]\n')
    assert tool(source, "compare_upstream").read_outcomes(outcomes) == {"a": "failed", "b": "failed", "c": "skipped"}
