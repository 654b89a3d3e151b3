"""Every block of Python in the documentation runs, in the order of its page, and does what the comments in it say."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ipyparallel import Client
from ipyparallel.controller.app import IPController
from tqdm import tqdm
from traitlets.config import Config

from IPython.parallel.tests.contracts import calls
from IPython.parallel.tests.source_tree import find_source_tree
from IPython.parallel.tests.test_docs import examples, pages, said_to_print

# Pages whose blocks go on from each other, and presume what `presumed` has.
FRAGMENTS = ("errors", "executors", "faults", "futures", "migrating", "namespaces", "progress")
# Pages with blocks that are programs: they make their clients or pools by themselves.
PROGRAMS = ("README", "clusters", "index", "namespaces", "pools", "quickstart")
# Pages with configurations of controllers.
CONFIGURATIONS = ("faults", "security")
# What has a test beside those of its subject, in `test_clusters` and `test_timeline`.
ELSEWHERE = {("configuration", "clusters"), ("program", "timeline")}

# What a program asks for that is not here -> what is.
NOT_HERE = {'Cluster(engines="slurm", n=64)': "Cluster(n=2)"}


def kind(name: str, code: str) -> str:
    """What has to be done with a block of a page to run it."""
    if "get_config()" in code:
        return "configuration"
    makes_its_own = any(name in code for name in ("__main__", "Client()", "Cluster(", "Pool("))
    return "program" if makes_its_own and name != "migrating" else "fragment"


def named_pages() -> dict[str, Path]:
    """The pages, by their names within the documentation."""
    source = find_source_tree()
    top = source / "docs" / "source"
    paths = {page: page.relative_to(top if page.is_relative_to(top) else source) for page in pages(source)}
    return {str(path.with_suffix("")): page for page, path in paths.items()}


def blocks(wanted: str, name: str) -> list[str]:
    """The blocks of one kind on a page."""
    return [code for code in examples(named_pages()[name]) if kind(name, code) == wanted]


def test_every_block_is_run() -> None:
    lists = {"fragment": FRAGMENTS, "program": PROGRAMS, "configuration": CONFIGURATIONS}
    found = {(kind(name, code), name) for name, page in named_pages().items() for code in examples(page)}
    assert found == {(each, name) for each, names in lists.items() for name in names} | ELSEWHERE


def presumed(client: Client) -> dict[str, Any]:
    """What the prose around the blocks has the reader imagine."""
    return {
        "__name__": "__main__",  # functions travel as those of a script do
        "client": client,
        "view": client.load_balanced_view(),
        "slow": calls.identity,
        "simulate": calls.identity,
        "store": calls.identity,
        "endless": lambda: iter(range(50)),
        "items": range(50),
        "seeds": range(50),
    }


@pytest.mark.parametrize("page", FRAGMENTS)
def test_fragments_do_what_they_say(
    page: str,
    client: Client,
    profile: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("IPYTHONDIR", profile["IPYTHONDIR"])
    monkeypatch.setattr(tqdm, "monitor_interval", 0)  # a thread that stays
    names = presumed(client)
    try:
        for code in blocks("fragment", page):
            assert list(untrue(code, names)) == []
            printed = capsys.readouterr().out.splitlines()
            assert [line for line in said_to_print(code) if line not in printed] == []
    finally:
        client[:].clear(block=True)
        for made in names.values():
            if type(made) is Client and made is not client:  # isinstance would ask a failed result what it is
                made.close()


def untrue(code: str, names: dict[str, Any]) -> Iterator[str]:
    """Run a block, and tell what is not as a comment behind an expression says: ``len(x)  # 3: the length``."""
    lines = code.splitlines()
    for statement in ast.parse(code).body:
        source = ast.get_source_segment(code, statement) or ""
        if not isinstance(statement, ast.Expr):
            exec(compile(ast.Module([statement], []), "<documentation>", "exec"), names)
            continue
        value = eval(source, names)
        said = literal_in(lines[(statement.end_lineno or 0) - 1][statement.end_col_offset :])
        if said is not None and value != said:
            yield f"{source} is {value!r}, not {said!r}"


def literal_in(comment: str) -> Any:
    """The literal with which a comment begins; None if it begins with prose."""
    text = comment.strip().removeprefix("#").partition(":")[0].strip()
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return None


@pytest.mark.parametrize("page", PROGRAMS)
@pytest.mark.timeout(180)
def test_programs_print_what_they_say(page: str, tmp_path: Path, profile: dict[str, str]) -> None:
    for code in blocks("program", page):
        for asked, here in NOT_HERE.items():
            code = code.replace(asked, here)
        printed = run_program(code, tmp_path, profile)
        said = said_to_print(code)
        assert said or "__main__" in code
        assert [line for line in said if line not in printed.splitlines()] == []
        if "__main__" in code:  # it is for a process pool, and the page says that the cluster makes no difference
            assert printed
            assert run_program(code, tmp_path, profile, "-m", "IPython.parallel", "--profile", "default") == printed


def run_program(code: str, directory: Path, environment: dict[str, str], *options: str) -> str:
    """Run a block as the program that it is, and return what it printed."""
    program = directory / "program.py"
    program.write_text(code, encoding="utf-8")
    done = subprocess.run(
        (sys.executable, *options, str(program)),
        cwd=directory, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=80,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("page", CONFIGURATIONS)
def test_controllers_can_be_configured_so(page: str) -> None:
    known = {cls.__name__: cls for cls in (IPController, *IPController.classes)}
    for code in blocks("configuration", page):
        config = Config()
        exec(compile(code, "ipcontroller_config.py", "exec"), {"get_config": lambda config=config: config})
        assert config
        for section, settings in config.items():
            assert [name for name in settings if name not in known[section].class_traits(config=True)] == []
