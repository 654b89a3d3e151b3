"""``--report FILE``: a page of what ran, whatever becomes of the program."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import html
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from IPython.parallel.running.report_file import ReportFile, ReportRefused

OURS = [sys.executable, "-m", "IPython.parallel"]

PROGRAM = """
import os, sys
from concurrent.futures import ProcessPoolExecutor

def square(n):
    if n == 13:
        raise ValueError("thirteen")
    return n * n

if __name__ == "__main__":
    os.chdir("/")
    with ProcessPoolExecutor() as pool:
        print(sum(pool.map(square, range(10))))
        print(repr(pool.submit(square, 13).exception()))
    {end}
"""

INTERRUPTED = """
import os, time
from concurrent.futures import ProcessPoolExecutor

def hold():
    with open("begun", "w") as fifo:
        fifo.write("begun")
    time.sleep(300)

if __name__ == "__main__":
    with ProcessPoolExecutor() as pool:
        print(sum(pool.map(abs, range(10))))
        os.mkfifo("begun")
        held = pool.submit(hold)
        print(open("begun").read(), flush=True)
        held.result()
"""


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*OURS, *arguments], cwd=cwd, capture_output=True, text=True, timeout=45)


def shown(page: Path) -> str:
    """What a page says, without its tags."""
    body = page.read_text(encoding="utf-8").partition("<body>")[2].partition("<script>")[0]
    return html.unescape(
        re.sub(r"\s+", " ", re.sub(r"<style>.*?</style>|<[^>]+>", " ", body, flags=re.DOTALL))
    )


@pytest.fixture
def cluster_options(connection_file: Path) -> tuple[str, ...]:
    return "--quiet", "--connection-file", str(connection_file)


@pytest.mark.parametrize(
    ("end", "status"),
    [("pass", 0), ("sys.exit(4)", 4), ("1 / 0", 1)],
    ids=["falls off", "exits", "raises"],
)
def test_report_is_written_however_the_program_ends(
    end: str, status: int, tmp_path: Path, cluster_options: tuple[str, ...]
) -> None:
    (tmp_path / "program.py").write_text(PROGRAM.format(end=end), encoding="utf-8")
    done = run(*cluster_options, "--report", "out.html", "program.py", "an argument", cwd=tmp_path)
    assert done.returncode == status
    assert done.stdout.splitlines()[0] == "285"
    text = shown(tmp_path / "out.html")
    assert "program.py 'an argument'" in text
    assert "11 calls on 2 engines" in text
    assert "ValueError: thirteen" in text


def test_report_is_written_when_the_program_is_interrupted(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(INTERRUPTED, encoding="utf-8")
    command = [*OURS, "-n", "1", "--quiet", "--report", "out.html", "program.py"]
    program = subprocess.Popen(
        command,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert program.stdout is not None
    try:
        assert [program.stdout.readline() for _ in range(2)] == ["45\n", "begun\n"]
        os.killpg(program.pid, signal.SIGINT)
        _, errors = program.communicate(timeout=40)
    finally:
        program.kill()
    assert program.returncode == -signal.SIGINT
    assert errors.splitlines()[-1] == "KeyboardInterrupt"
    assert "11 calls on 1 engine" in shown(tmp_path / "out.html")


@pytest.mark.parametrize("name", ["missing/out.html", "."])
def test_file_that_cannot_be_written_is_a_wrong_command_line(name: str, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("print('ran')", encoding="utf-8")
    done = run("-n", "1", "--report", name, "program.py", cwd=tmp_path)
    assert (done.stdout, done.returncode) == ("", 2)
    assert re.fullmatch(
        r"python -m IPython\.parallel: error: can't write the report to '.+': .+\n", done.stderr
    )


def test_looking_whether_a_file_can_be_written_changes_nothing(tmp_path: Path) -> None:
    there, new = tmp_path / "there.html", tmp_path / "new.html"
    there.write_text("kept", encoding="utf-8")
    for path in (there, new):
        ReportFile(path, "title").check()
    assert (there.read_text(encoding="utf-8"), new.exists()) == ("kept", False)
    with pytest.raises(ReportRefused, match="No such file or directory"):
        ReportFile(tmp_path / "missing" / "out.html", "title").check()


def test_program_that_submits_nothing_has_a_report_too(
    tmp_path: Path, cluster_options: tuple[str, ...]
) -> None:
    done = run(*cluster_options, "--report", "out.html", "-c", "print('hello')", cwd=tmp_path)
    assert (done.stdout, done.returncode) == ("hello\n", 0)
    assert "no calls" in shown(tmp_path / "out.html")


def test_file_that_vanished_meanwhile_is_told_and_changes_no_status(
    tmp_path: Path, cluster_options: tuple[str, ...]
) -> None:
    (tmp_path / "reports").mkdir()
    done = run(
        *cluster_options,
        "--report",
        "reports/out.html",
        "-c",
        "import os; os.rmdir('reports')",
        cwd=tmp_path,
    )
    assert done.returncode == 0
    assert re.fullmatch(
        r"IPython\.parallel: can't write '.+': No such file or directory\n", done.stderr
    )


def test_calls_that_did_not_end_are_told(tmp_path: Path) -> None:
    report = ReportFile(tmp_path / "out.html", "title")
    report.open([0])
    report.submitted(1)
    report.write()
    assert "Calls that had not ended when the program did: 1." in shown(tmp_path / "out.html")
