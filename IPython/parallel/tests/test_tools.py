"""Each command of `tools/` does its work, here in its cheapest form, and CONTRIBUTING names it."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from zipfile import ZipFile

import psutil
import pytest

from IPython.parallel.tests.source_tree import find_source_tree, load_tool

# Building and checking take seconds each, more on a busy machine.
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def source() -> Path:
    return find_source_tree()


def run_tool(source: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *command], cwd=source, capture_output=True, text=True)


# -- all of them


def test_contributing_names_every_command(source: Path) -> None:
    commands = {path.stem for path in commands_of(source)}
    named = re.findall(r"python tools/(\w+)", (source / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    assert {"lint", "run_tests", "release"} <= commands
    assert set(named) == commands


def commands_of(source: Path) -> list[Path]:
    tools = source / "tools"
    packages = [path.parent for path in tools.glob("*/__main__.py")]
    return [*packages, *(path for path in tools.glob("*.py") if path.read_bytes().startswith(b"#!"))]


def test_every_command_says_what_it_does(source: Path) -> None:
    for path in commands_of(source):
        done = run_tool(source, str(path), "--help")
        assert (done.returncode, done.stdout[:6]) == (0, "usage:"), done.stderr


# -- lint


def test_lint_finds_nothing(source: Path) -> None:
    pytest.importorskip("mypy")
    pytest.importorskip("ruff")
    done = run_tool(source, "tools/lint.py")
    assert done.returncode == 0, done.stdout + done.stderr


# -- tests


def test_tests_are_run_away_from_the_users_profile(source: Path) -> None:
    done = run_tool(source, "tools/run_tests.py", "--only", "test_tools", "--", "-k", "profile_in_the_environment")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_profile_in_the_environment_is_none_of_the_users(request: pytest.FixtureRequest) -> None:
    if not request.config.getoption("keyword") == "profile_in_the_environment":
        pytest.skip("is run by the test before")
    assert Path(os.environ["IPYTHONDIR"]).parent.name.startswith("run-tests-")


# -- the campaign of faults


def test_a_campaign_of_faults_counts_what_became_of_the_calls(source: Path, tmp_path: Path) -> None:
    record = str(tmp_path / "seen.jsonl")
    done = run_tool(source, "tools/fault_campaign", "--faults", "3", "--fault", "os._exit", "--record", record)
    assert done.returncode == 0, done.stdout + done.stderr
    total = done.stdout.splitlines()[-1].split()
    assert total[:2] == ["all", "3"] and total[5:9] == ["0", "0", "0", "0"]  # wrong, lost, hung, twice
    assert int(total[3]) >= 3  # with an error that says so
    assert run_tool(source, "tools/fault_campaign", "--show", record).stdout == done.stdout


# -- release


def test_release_builds_what_it_checks(source: Path, tmp_path: Path) -> None:
    done = run_tool(source, "tools/release.py", "--output", str(tmp_path / "dist"), "--rehearsal")
    assert done.returncode == 0, done.stderr
    sdist, wheel = map(Path, done.stdout.splitlines())
    assert sdist.name.endswith(".tar.gz")
    assert "IPython/parallel/declared.pyi" in ZipFile(wheel).namelist()


def make_wheel(directory: Path, names: Iterable[str]) -> Path:
    path = directory / "made.whl"
    with ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "")
    return path


def make_tree(directory: Path, *names: str) -> Path:
    for name in names:
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).touch()
    return directory


def test_release_finds_what_does_not_belong_into_the_wheel(source: Path, tmp_path: Path) -> None:
    tree = make_tree(tmp_path, "IPython/parallel/__init__.py", "IPython/parallel/py.typed")
    metadata = ("x.dist-info/METADATA", "x.dist-info/entry_points.txt")
    wheel = make_wheel(tmp_path, ["IPython/__init__.py", "IPython/parallel/__init__.py", *metadata])
    problems = list(load_tool(source, "release").wheel_problems(wheel, tree))
    assert problems == [
        "the wheel must not have IPython/__init__.py",
        "the wheel has no IPython/parallel/py.typed",
        "the wheel must install no commands: ipcluster and its kin are ipyparallel's",
    ]


def test_release_waits_for_the_news(source: Path, tmp_path: Path) -> None:
    release = load_tool(source, "release")
    tree = make_tree(tmp_path, "docs/source/whatsnew/pr/some.rst")
    unmerged, no_page = release.news_problems(tree, "1.0")
    assert "some.rst" in unmerged
    assert "no page" in no_page
    (tree / "docs/source/whatsnew/pr/some.rst").unlink()
    make_tree(tmp_path, "docs/source/whatsnew/version-1.0.rst")
    assert list(release.news_problems(tree, "1.0")) == []


def test_release_finds_two_versions(source: Path, tmp_path: Path) -> None:
    tree = make_tree(tmp_path, "setup.py", "IPython/parallel/__init__.py")
    (tree / "setup.py").write_text('setup(\n    version="1.0",\n)\n', encoding="utf-8")
    (tree / "IPython/parallel/__init__.py").write_text('__version__ = "1.1"\n', encoding="utf-8")
    assert list(load_tool(source, "release").version_problems(tree)) == [
        "setup.py has version 1.0, IPython.parallel.__version__ is 1.1"
    ]


# -- news


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
    assert load_tool(source, "merge_news").main(arguments) == 0
    expected = "1.2 (2030-01-02)\n================\n\nFirst\n-----\n\nText a.\n\nSecond\n------\n\nText b.\n"
    assert (news / "version-1.2.rst").read_text(encoding="utf-8") == expected
    assert list((news / "pr").iterdir()) == []


def test_news_are_merged_by_the_command(source: Path, news: Path) -> None:
    done = run_tool(source, "tools/merge_news.py", "1.2", "--news", str(news))
    assert (done.returncode, (news / "version-1.2.rst").exists()) == (0, True)


def test_later_news_is_added_to_the_page(source: Path, news: Path) -> None:
    merge = load_tool(source, "merge_news")
    assert merge.main(["1.2", "--news", str(news)]) == 0
    (news / "pr" / "c.rst").write_text("Third\n=====\n\nText c.\n", encoding="utf-8")
    assert merge.main(["1.2", "--news", str(news)]) == 0
    assert (news / "version-1.2.rst").read_text(encoding="utf-8").endswith("Text b.\n\nThird\n-----\n\nText c.\n")


def test_snippet_without_title_stops_the_merge(source: Path, news: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (news / "pr" / "c.rst").write_text("Only text.\n", encoding="utf-8")
    assert load_tool(source, "merge_news").main(["1.2", "--news", str(news)]) == 1
    assert "c.rst" in capsys.readouterr().err
    assert sorted(path.name for path in news.rglob("*.rst")) == ["a.rst", "b.rst", "c.rst"]


def test_snippets_of_the_tree_can_be_merged(source: Path, tmp_path: Path) -> None:
    news = Path(shutil.copytree(source / "docs" / "source" / "whatsnew", tmp_path / "whatsnew"))
    expected = 0 if list((news / "pr").glob("*.rst")) else 1
    assert load_tool(source, "merge_news").main(["0.0.1", "--news", str(news)]) == expected


def test_comparison_blames_the_patch_only_for_what_passes_without_it(source: Path) -> None:
    without = {"same": "passed", "worse": "passed", "vanished": "passed", "bad anyway": "failed", "better": "failed"}
    with_patch = {"same": "passed", "worse": "failed", "bad anyway": "failed", "better": "passed"}
    assert load_tool(source, "compare_upstream").broken(without, with_patch) == ["worse", "vanished"]


def test_outcome_is_that_of_the_worst_phase_of_a_test(source: Path, tmp_path: Path) -> None:
    outcomes = tmp_path / "outcomes"
    outcomes.write_text('["a", "passed"]\n["a", "failed"]\n["b", "failed"]\n["b", "passed"]\n["c", "skipped"]\n')
    assert load_tool(source, "isolated_runs").read_outcomes(outcomes) == {"a": "failed", "b": "failed", "c": "skipped"}


def test_outcomes_are_kept_and_nothing_outlives_a_run(source: Path, tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import subprocess, sys\n"
        "def test_good():\n"
        "    code = 'import time; time.sleep(600)'\n"
        "    child = subprocess.Popen([sys.executable, '-c', code], start_new_session=True)\n"
        "    open('pid', 'w').write(str(child.pid))\n"
        "def test_bad(): assert 0\n",
        encoding="utf-8",
    )
    outcomes = load_tool(source, "isolated_runs").run_pytest(["test_it.py"], tmp_path, limit=60)
    assert outcomes == {"test_it.py::test_good": "passed", "test_it.py::test_bad": "failed"}
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(int((tmp_path / "pid").read_text())).wait(30)


@pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("pytest_asyncio", "testpath"))), reason="needs the extra `upstream`"
)
def test_comparison_runs_both_halves(source: Path) -> None:
    done = run_tool(source, "tools/compare_upstream.py", "--modules", "remotefunction")
    assert done.returncode == 0, done.stdout + done.stderr
    halves = re.findall(r"^(with\w*) the patch: (\d+) passed", done.stdout, re.MULTILINE)
    assert [half for half, _ in halves] == ["without", "with"]
    assert halves[0][1] == halves[1][1] != "0"
