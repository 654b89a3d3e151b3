"""The command line: programs run as under plain python, and nothing stays behind."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import termios
import time
import zipapp
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from IPython.parallel.tests.source_tree import find_source_tree

SCRIPTS = Path(__file__).parent / "scripts"
OURS = [sys.executable, "-m", "IPython.parallel"]
CLOSING_LINE = re.compile(
    r"IPython\.parallel: [\d,]+ calls?, [\d,]+ failed; "
    r"\d+\.\d\d s wall time, \d+\.\d\d s engine time, speed-up \d+\.\d\d on \d+ engines?"
)

# Seconds within which a process that was told to end has to be gone.
PROMPT = 10.0


def python(*arguments: str, via: tuple[str, ...] = (), cwd: Path = SCRIPTS, **options: object) -> tuple[str, int, str]:
    """(standard output, exit status, standard error) of a program; `via` are our options, plain python without."""
    return run([*(OURS if via else OURS[:1]), *via, *arguments], cwd=cwd, **options)


def run(command: list[str], cwd: Path = SCRIPTS, **options: object) -> tuple[str, int, str]:
    """(standard output, exit status, standard error) of a command; bytes that are no text as escapes."""
    options = {"timeout": 45, **options}
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, errors="backslashreplace", **options)  # type: ignore
    return done.stdout, done.returncode, done.stderr


@pytest.fixture
def shared(connection_file: Path) -> tuple[str, ...]:
    """Options to run on the cluster that all tests share, without the closing line."""
    return ("--quiet", "--connection-file", str(connection_file))


@pytest.fixture
def private_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory that local clusters of this test put theirs in; at the end neither that nor a process is left."""
    directory = tmp_path / "tmp"
    directory.mkdir()
    monkeypatch.setenv("TMPDIR", str(directory))
    yield directory
    deadline = time.monotonic() + PROMPT
    while (left := processes_of(directory) or list(directory.iterdir())) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not left


def processes_of(directory: Path) -> list[psutil.Process]:
    """Controllers and engines, and whatever they started, of clusters below this directory."""
    return [process for process in psutil.process_iter() if str(directory) in profile_of(process)]


def profile_of(process: psutil.Process) -> str:
    try:
        return process.environ().get("IPP_PROFILE_DIR", "")
    except psutil.Error:
        return ""


# -- the same as plain python


@pytest.mark.parametrize(
    "arguments",
    [
        ["initializer.py", "3"],
        ["completion.py"],
        ["values.py"],
        ["with_helper.py"],
        ["printing.py"],
        ["at_exit.py"],
        ["shape.py"],
        ["streams.py"],
        ["tasks_per_child.py"],
        ["worker_globals.py"],
        ["surroundings.py", "-n", "--quiet", "an argument"],
        ["-m", "app", "-m", "x"],
        ["-m", "surroundings"],
        ["-mapp"],
        ["app/../values.py"],
        ["-c", "    print('indented')"],
        ["-c", "import sys; print(sys.argv, sys.path[0], sorted(vars())); sys.exit(4)", "-c", "x"],
    ],
    ids=" ".join,
)
def test_output_and_status_are_those_of_plain_python(arguments: list[str], shared: tuple[str, ...]) -> None:
    expected = python(*arguments, input="some input")
    assert python(*arguments, via=shared, input="some input")[:2] == expected[:2]


def test_source_from_standard_input(shared: tuple[str, ...]) -> None:
    source = (SCRIPTS / "surroundings.py").read_text()
    expected = python("-", "an argument", input=source)
    assert expected[1] == 0
    assert python("-", "an argument", via=shared, input=source) == expected


@pytest.mark.parametrize(
    "script",
    [
        "forked_pools.py",
        "forking.py",
        "inherited.py",
        "lost_workers.py",
        "module_changes.py",
        "past_the_streams.py",
        "replaced_streams.py",
        "worker_state.py",
    ],
)
def test_our_own_engines_are_as_workers_would_be(
    script: str, private_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTEST_CURRENT_TEST")  # with it, engines have other streams than users' have
    expected = python(script)
    assert expected[1] == 0
    assert python(script, via=("--quiet", "-n", "2")) == expected


def test_streams_are_shared_also_where_temporary_files_have_long_names(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    place = private_tmp / ("long" * 25)
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    expected = python("past_the_streams.py")
    assert expected[1] == 0
    assert python("past_the_streams.py", via=("--quiet", "-n", "1")) == expected
    place.rmdir()


def test_the_program_may_choose_a_place_for_temporary_files(private_tmp: Path, tmp_path: Path) -> None:
    code = (
        "import os, tempfile\n"
        "from concurrent.futures import ProcessPoolExecutor\n"
        f"os.environ['TMPDIR'] = {str(tmp_path)!r}\n"
        "with ProcessPoolExecutor(1) as pool:\n"
        "    print(pool.submit(tempfile.gettempdir).result() == tempfile.gettempdir() == os.environ['TMPDIR'])\n"
    )
    assert python("-c", code, via=("--quiet", "-n", "1")) == ("True\n", 0, "")


def test_engines_have_the_options_of_the_interpreter(private_tmp: Path) -> None:
    options = ("-O", "-B", "-X", "dev", "-W", "error::UserWarning")
    expected = python(*options, "flags.py")
    assert "raised: once for all" in expected[0]
    assert run([sys.executable, *options, *OURS[1:], "--quiet", "-n", "1", "flags.py"]) == expected


def test_an_uncaught_error_is_shown_with_the_programs_lines_and_none_of_ours(shared: tuple[str, ...]) -> None:
    _, status, err = python("uncaught.py")
    _, our_status, our_err = python("uncaught.py", via=shared)
    assert our_status == status == 1
    assert lines_of_program(our_err) == lines_of_program(err) != []
    assert our_err.splitlines()[-1] == err.splitlines()[-1]
    package = str(Path(__file__).parents[1])
    assert [line for line in our_err.splitlines() if package in line and str(SCRIPTS) not in line] == []


def lines_of_program(traceback: str) -> list[str]:
    """What a traceback shows of a program's files: where, and the text of the line."""
    lines = traceback.splitlines()
    following = zip(lines, lines[1:], strict=False)
    return [text for line, after in following if str(SCRIPTS) in line for text in (line, after)]


def test_errors_of_calls_keep_type_text_and_arguments(shared: tuple[str, ...]) -> None:
    out, status, err = python("errors.py")
    our_out, our_status, our_err = python("errors.py", via=shared)
    assert (our_out, our_status) == (out, status)
    assert our_err.splitlines()[-1] == err.splitlines()[-1]


@pytest.mark.parametrize(
    "way",
    [
        "falls_off",
        "exit_none",
        "exit_number",
        "exit_large",
        "exit_text",
        "exit_at_exit",
        "os_exit",
        "uncaught",
        "chained",
        "group",
        "interrupt",
        "syntax",
        "hooked",
        "in_thread",
        "forked",
    ],
)
@pytest.mark.parametrize("how", [["ending.py"], ["-m", "ending"]], ids=["script", "module"])
def test_a_program_ends_as_under_plain_python(how: list[str], way: str, shared: tuple[str, ...]) -> None:
    out, status, err = python(*how, way, via=shared)
    assert (out, status, _without_fork_warning(err)) == python(*how, way)


def _without_fork_warning(err: str) -> str:
    """From Python 3.12 on, a process with threads is warned when it forks, and ours has some."""
    return re.sub(r".*DeprecationWarning: This process \(pid=\d+\) is multi-threaded.*\n.*\n", "", err)


def test_warnings_are_shown_as_under_plain_python(shared: tuple[str, ...]) -> None:
    assert python("surroundings.py", via=shared, input="")[2] == python("surroundings.py", input="")[2] != ""


def test_source_with_an_encoding_and_a_syntax_error(shared: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "latin.py").write_bytes("# -*- coding: latin-1 -*-\nprint(ascii('äé'))\n".encode("latin-1"))
    (tmp_path / "wrong.py").write_text("print(1\nx = = 2\n")
    (tmp_path / "future.py").write_text("def f(x: no_such_name): pass\n")
    for name in ("latin.py", "wrong.py", "future.py"):
        assert python(name, cwd=tmp_path, via=shared) == python(name, cwd=tmp_path)


def test_directories_and_archives(shared: tuple[str, ...], tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.mkdir()
    (program / "beside.py").write_text("def f(x):\n    return x + 1\n")
    (program / "__main__.py").write_text(
        "import sys\nfrom beside import f\nprint(f(1), sys.argv, sys.path[0], __file__, __package__, __spec__.name)\n"
    )
    zipapp.create_archive(program, tmp_path / "program.pyz")
    for name in ("program", "program.pyz"):
        assert python(name, "x", cwd=tmp_path, via=shared) == python(name, "x", cwd=tmp_path)


@pytest.mark.timeout(240)
def test_the_census_is_the_same(shared: tuple[str, ...], tmp_path: Path) -> None:
    census = find_source_tree() / "docs" / "examples" / "census.py"
    out, status, _ = python(str(census), timeout=100)
    assert "files could not be parsed" in out
    assert python(str(census), via=shared, timeout=100)[:2] == (out, status)


# -- a local cluster


def test_a_local_cluster_serves_the_script_and_is_gone_afterwards(private_tmp: Path) -> None:
    out, status, err = python("values.py", via=("-n", "2"))
    assert (out, status) == python("values.py")[:2]
    assert CLOSING_LINE.fullmatch(err.strip()), err
    assert err.startswith("IPython.parallel: 10 calls, 0 failed; ") and err.endswith(" on 2 engines\n")


def test_engines_see_the_directory_environment_and_arguments_of_the_script(private_tmp: Path, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(
        "import os, sys\n"
        "from concurrent.futures import ProcessPoolExecutor\n"
        "def f():\n"
        "    found = [os.environ.get(name) for name in ('SET_BY_SCRIPT', 'GIVEN')]\n"
        "    return os.getcwd(), *found, 'PATH' in os.environ, sys.argv\n"
        "if __name__ == '__main__':\n"
        "    os.chdir('/')\n"
        "    os.environ['SET_BY_SCRIPT'] = 'yes'\n"
        "    del os.environ['PATH']\n"
        "    with ProcessPoolExecutor(1) as pool:\n"
        "        print(pool.submit(f).result())\n"
    )
    environment = {**os.environ, "GIVEN": "too"}
    expected = python("script.py", "x", cwd=tmp_path, env=environment)
    assert python("script.py", "x", cwd=tmp_path, env=environment, via=("-n", "1", "--quiet")) == expected


def test_the_closing_line_counts_calls_and_failures(connection_file: Path) -> None:
    _, _, err = python("errors.py", via=("--connection-file", str(connection_file)))
    assert CLOSING_LINE.search(err.splitlines()[-1])
    assert "11 calls, 11 failed" in err.splitlines()[-1]


# -- ending before its time

WAITING = """
import sys, time
from concurrent.futures import ProcessPoolExecutor

def f(marker):
    open(marker, "w").close()
    time.sleep(300)

def with_block():
    with ProcessPoolExecutor(2) as pool:
        for future in [pool.submit(f, sys.argv[2]) for i in range(10)]:
            future.result()

def finally_block():
    pool = ProcessPoolExecutor(2)
    try:
        pool.submit(f, sys.argv[2]).result()
    finally:
        pool.shutdown()

def no_block():
    pool = ProcessPoolExecutor(2)
    print(list(pool.map(f, [sys.argv[2]] * 5)))

if __name__ == "__main__":
    globals()[sys.argv[1]]()
"""


@contextmanager
def waiting(directory: Path, how: str, *via: str) -> Iterator[subprocess.Popen[str]]:
    """A program of that kind, in a process group of its own, one of whose calls is running."""
    script, marker = directory.parent / "waiting.py", directory.parent / "marker"
    script.write_text(WAITING)
    command = [*OURS, *(via or ("-n", "2")), str(script), how, str(marker)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as program:
        try:
            deadline = time.monotonic() + 30
            while not marker.exists():
                assert time.monotonic() < deadline and program.poll() is None
                time.sleep(0.02)
            yield program
        finally:
            program.kill()


@pytest.mark.parametrize("how", ["with_block", "finally_block", "no_block"])
@pytest.mark.parametrize("to", [os.kill, os.killpg], ids=["process", "group"])
def test_ctrl_c_ends_the_program_at_once(how: str, to: object, private_tmp: Path) -> None:
    with waiting(private_tmp, how) as program:
        to(program.pid, signal.SIGINT)  # type: ignore[operator]
        _, err = program.communicate(timeout=PROMPT)
    assert program.returncode == -signal.SIGINT
    assert CLOSING_LINE.fullmatch(err.splitlines()[-1])
    assert err.splitlines()[-2] == "KeyboardInterrupt"


CALL_ON_ITS_WAY = """
import time
from concurrent.futures import ProcessPoolExecutor

if __name__ == "__main__":
    with ProcessPoolExecutor() as pool:
        pool.submit(time.sleep, 600)
        raise KeyboardInterrupt
"""


def test_ctrl_c_reaches_a_call_that_has_left_but_not_begun(private_tmp: Path) -> None:
    _, status, err = python("-c", CALL_ON_ITS_WAY, via=("--quiet", "-n", "1"))
    assert status == -signal.SIGINT
    assert err.splitlines()[-1] == "KeyboardInterrupt"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_process_survives_a_program_that_was_killed(number: int, private_tmp: Path) -> None:
    with waiting(private_tmp, "with_block") as program:
        program.send_signal(number)
        program.communicate(timeout=PROMPT)
    assert program.returncode == -number


def test_a_program_that_leaves_without_a_word_takes_its_cluster_along(private_tmp: Path) -> None:
    assert python("ending.py", "os_exit", via=("-n", "1"))[1] == 9


def test_ctrl_c_leaves_an_existing_cluster_alone(private_tmp: Path) -> None:
    # A cluster of its own: the call that nobody waits for any more goes on there.
    from IPython.parallel.running.local_cluster import LocalCluster

    with LocalCluster(1) as other:
        file = str(Path(other.cluster.profile_dir) / "security" / "ipcontroller-local-client.json")
        with waiting(private_tmp, "with_block", "--connection-file", file) as program:
            program.send_signal(signal.SIGINT)
            program.communicate(timeout=PROMPT)
        assert program.returncode == -signal.SIGINT
        assert len(other.ids) == 1


# -- what cannot be


def refused(*arguments: str, **options: object) -> str:
    """The message with which this command line is refused."""
    out, status, err = python(*arguments[1:], via=arguments[:1], **options)  # type: ignore[arg-type]
    assert (out, status, err.count("\n")) == ("", 2, 1), err
    prefix = "python -m IPython.parallel: error: "
    assert err.startswith(prefix)
    return err.removeprefix(prefix).strip()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no_such.py"], r"can't open file '.*no_such\.py': \[Errno 2\] No such file or directory"),
        (["-m", "no_such_module.below"], "No module named no_such_module"),
        (["--frobnicate", "values.py"], "unrecognized arguments: --frobnicate"),
        (["--quiet"], "a script, -m module or -c code is needed"),
        (["-c"], "argument expected for the -c option"),
        (["-n", "two", "values.py"], "argument -n: invalid int value: 'two'"),
        (["-n", "0", "values.py"], "-n needs at least one engine, not 0"),
        (["-n", "2", "--profile", "x", "values.py"], "-n is for a local cluster: .*"),
        (["--profile", "no_such", "values.py"], "there is no profile 'no_such' in .*"),
        (["--cluster-id", "no_such", "values.py"], "(there is no profile|no cluster runs in profile) 'default'.*"),
        (["--connection-file", "no_such", "values.py"], "cannot read connection file no_such: No such file.*"),
        (["--connection-file", "app", "values.py"], "cannot read connection file app: Is a directory"),
        (["--connection-file", "values.py", "values.py"], "values.py is not a connection file: .*"),
        (["--connection-file", "x", "--profile", "y", "values.py"], "--connection-file says it all.*"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_refused_in_one_line(arguments: list[str], message: str) -> None:
    assert re.fullmatch(message, refused(*arguments))


@pytest.mark.parametrize("content", ["[]", "{}", '{"key": "x"}', "\xff"])
def test_a_file_that_connects_to_nothing_is_refused(content: str, tmp_path: Path) -> None:
    file = tmp_path / "client.json"
    file.write_bytes(content.encode("latin-1"))
    assert "connection file" in refused("--connection-file", str(file), "values.py")


def test_a_cluster_that_does_not_answer_is_refused_soon(connection_file: Path, tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        info = json.loads(connection_file.read_text()) | {"registration": listener.getsockname()[1]}
        file = tmp_path / "silent.json"
        file.write_text(json.dumps(info))
        message = refused("--timeout=0.5", "--connection-file", str(file), "values.py")
    assert message == (
        f"no answer within 0.5 s from the cluster of {file}: it has ended, or has another key"
    )


# -- on a terminal


def test_the_progress_bar_leaves_the_programs_output_whole(connection_file: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import time\n"
        "from concurrent.futures import ProcessPoolExecutor\n"
        "def f(x):\n"
        "    time.sleep(0.2)\n"
        "if __name__ == '__main__':\n"
        "    with ProcessPoolExecutor(1) as pool:\n"
        "        for i, _ in enumerate(pool.map(f, range(4))):\n"
        "            print('got', end=' ')\n"
        "            time.sleep(0.3)\n"
        "            print(i)\n"
    )
    shown = on_terminal([*OURS, "--connection-file", str(connection_file), str(script)])
    assert re.search(r"[1-4]/4 \[", shown)
    lines = [as_seen(line) for line in shown.replace("\r\n", "\n").split("\n")]
    assert lines[:4] == [f"got {i}" for i in range(4)]
    assert CLOSING_LINE.fullmatch(lines[-2])
    assert len(lines) == 4 + 1 + 1


def test_a_terminal_that_does_not_know_its_size_has_a_bar(connection_file: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import time\n"
        "from concurrent.futures import ProcessPoolExecutor\n"
        "if __name__ == '__main__':\n"
        "    with ProcessPoolExecutor(1) as pool:\n"
        "        list(pool.map(time.sleep, [0.3] * 4))\n"
    )
    shown = on_terminal([*OURS, "--connection-file", str(connection_file), str(script)], size=(0, 0))
    assert re.search(r"[1-4]/4 \[", shown)


def on_terminal(command: list[str], size: tuple[int, int] = (24, 100)) -> str:
    """Everything a command writes to the terminal it runs on."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, size)
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs) as program:
        os.close(theirs)
        parts = []
        # Reading fails when nobody has the other end open any more.
        try:
            while part := os.read(ours, 4096):
                parts.append(part)
        except OSError:
            pass
        finally:
            os.close(ours)
    assert program.returncode == 0
    return b"".join(parts).decode()


def as_seen(line: str) -> str:
    """What is left on the screen of a line with carriage returns in it."""
    seen = ""
    for part in line.split("\r"):
        seen = part + seen[len(part) :]
    return seen.rstrip()
