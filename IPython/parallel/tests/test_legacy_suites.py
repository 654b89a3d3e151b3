"""The tool that runs the test-suites of IPython's own releases: what it makes of their text and of their outcomes."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from IPython.parallel.tests.source_tree import find_source_tree, load_tool

OLD = """
# Python 2 through and through.
from __future__ import division
import time
from clienttest import wait
from IPython.parallel.tests import add_engines
from IPython.config import Config

def report(d):
    print "items", list(d)
    for key, value in d.iteritems():
        assert isinstance(key, basestring)
    return map(str, range(3))
"""


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    return load_tool(find_source_tree(), "legacy_suites")


def test_old_text_becomes_python_3(tool: ModuleType) -> None:
    text = tool.rewritten(OLD, "1.2.1")
    compile(text, "old", "exec")
    for line in (
        "from old_python2 import *\nimport time",
        "from .clienttest import wait",
        "from legacy_parallel_tests import add_engines",
        "from traitlets.config import Config",
        '    print("items", list(d))',
        "    for key, value in d.items():",
        "isinstance(key, str)",
        "return list_map(str, list_range(3))",
    ):
        assert line in text


def test_later_text_is_left_alone_but_for_imports(tool: ModuleType) -> None:
    text = "from IPython.parallel import Client\nprint(list(map(str, range(3))))\n"
    assert tool.rewritten(text, "3.2.3") == text


def test_suite_is_laid_out_with_what_it_imports(tool: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "ipython-1.2.1").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "ipython-1.2.1" / "test_old.py").write_text(OLD, encoding="utf-8")
    tool.lay_out(tmp_path / "ipython-1.2.1", tmp_path / "run", "1.2.1")
    made = sorted((tmp_path / "run").rglob("*.py"))
    assert {"test_old.py", "attrib.py", "old_python2.py"} <= {path.name for path in made}
    for path in made:
        compile(path.read_text(encoding="utf-8"), str(path), "exec")


def test_what_is_listed_is_no_surprise(tool: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool, "EXPECTED", {"test_a.py::*::test_x*": (("1.", "2."), "gone")})
    outcomes = {
        "test_a.py::A::test_x1": "failed",
        "test_a.py::B::test_x2": "passed",
        "test_b.py::A::test_x1": "failed",
        "test_b.py::A::test_y": "skipped",
    }
    assert tool.surprises("2.4.1", outcomes) == ["test_b.py::A::test_x1"]
    assert tool.surprises("3.2.3", outcomes) == ["test_a.py::A::test_x1", "test_b.py::A::test_x1"]
    assert tool.as_expected("2.4.1", outcomes) == {"test_a.py::*::test_x*": ["test_a.py::A::test_x1"]}


@pytest.mark.parametrize(
    ("outcomes", "status"),
    [
        ({"test_a.py::A::test": "passed"}, 0),
        ({"test_a.py::A::test": "failed"}, 1),
        ({}, 2),
    ],
)
def test_exit_status(
    tool: ModuleType, outcomes: dict[str, str], status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tool.print_table({"3.2.3": outcomes}) == status
    assert capsys.readouterr().out.splitlines()[1].startswith("3.2.3")


def test_every_exception_says_what_to_do(tool: ModuleType) -> None:
    for pattern, (releases, why) in tool.EXPECTED.items():
        assert pattern.startswith("test_")
        assert all(release == "" or tool.RELEASES[0][0] <= release[0] <= "3" for release in releases)
        assert len(why.split()) > 4
