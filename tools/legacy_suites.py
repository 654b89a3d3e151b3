#!/usr/bin/env python
"""Run the parallel test-suites of IPython's own releases against this package, and print a table.

    python tools/legacy_suites.py [--releases 1.2.1,3.2.3] [--sources DIRECTORY] [-k EXPRESSION] [-v]

The source distributions come from the package index, through pip, into a temporary directory (or
`--sources`, which is kept and used again). Their tests were written for Python 2 and 3.3, nose, and an
IPython that still held the kernel and the configuration; `REWRITES` and `SURROUNDINGS` give them back
what they miss, and leave the tests themselves alone.

Needs IPython.parallel installed in the running interpreter, and its extra ``upstream``. Exit status: 0
when everything passes but what `EXPECTED` lists, 1 when something else fails, 2 when no test could be
run.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import argparse
import fnmatch
import importlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from types import ModuleType

import isolated_runs
from isolated_runs import Outcomes, counted, print_list

RELEASES = ("1.0.0", "1.2.1", "2.4.1", "3.2.3")
PACKAGE = "legacy_parallel_tests"
# Several tests are races, or allow 0.1 s for a call: what fails on a busy machine may pass alone.
MORE_ATTEMPTS = 2
# This very file is loaded into the pytest processes as a plugin; this variable speaks to it there.
PLAIN_VARIABLE = "LEGACY_SUITES_PLAIN"

# Made in each source file, before it is imported. Only imports, and what Python 3 cannot read.
REWRITES: tuple[tuple[str, str], ...] = (
    # The suite gets a name of its own: IPython.parallel.tests are ours.
    (r"\bIPython\.parallel\.tests\b", PACKAGE),
    # What left IPython.
    (r"\bIPython\.config\b", "traitlets.config"),
    (r"\bIPython\.core\.display import display, HTML\b", "IPython.display import display, HTML"),
    (r"\bIPython\.external\.decorator\b", "decorator"),
    (r"\bIPython\.kernel\.zmq\.datapub\b", "ipyparallel.datapub"),
    (r"\bIPython\.kernel\.zmq\.session\b", "jupyter_client.session"),
    (r"\bfrom IPython\.testing import decorators\b", "import old_decorators"),
    (r"\bIPython\.testing\.ipunittest\b", "old_decorators"),
    (r"\bIPython\.utils\.path import get_ipython_dir\b", "IPython.paths import get_ipython_dir"),
    (r"\bIPython\.utils\.pickleutil\b", "ipyparallel.serialize"),
    (r"\bIPython\.utils\.py3compat\b", "old_py3compat"),
    (r"\bnumpy\.testing\.utils\b", "numpy.testing"),
    # The bytes of a code object that crashed interpreters up to 3.5. Now they cannot even be made into
    # one.
    (r"co = types\.CodeType\(\*args\)\n    exec\(co\)", "import os\n    os.kill(os.getpid(), 9)"),
    # ipyparallel itself hands None to Client.wait, in whose place this helper is put.
    (r"\bif timeout < 0:", "if timeout is None or timeout < 0:"),
    # For the suite's own controller and engines, which take longer to start on a busy machine.
    (r"\btime\.time\(\)\s*-\s*tic > 15:", "time.time() - tic > 60:"),
    # Removed from Python 3.9.
    (r"\bbase64\.encodestring\b", "base64.encodebytes"),
    # Removed from pandas 0.20.
    (r"\bpandas\.TimeSeries\b", "pandas.Series"),
)
# In 1.x: what 2to3 did when it was installed for Python 3.
IN_RELEASE_1: tuple[tuple[str, str], ...] = (
    (r"(?m)^(\s*)print (?!\()(.+)$", r"\1print(\2)"),
    (r"(?m)^from clienttest import", "from .clienttest import"),
    (r"\bfrom StringIO import", "from io import"),
    (r"\b(\w+)\.iteritems\(\)", r"\1.items()"),
    (r"(?<![\w.])(?<!in )(map|range|zip|filter)\(", r"list_\1("),
    (r"\b(unicode|basestring)\b(?=[,()])", "str"),
    (r"@pmod\.require\('urllib'\)", "@pmod.require('urllib.parse')"),
    (r"\burllib\.urlencode\b", "urllib.parse.urlencode"),
    # Since 2.0 it captures more than what is printed.
    (r"\bcapture_output\(\)", "capture_output(display=False)"),
    (r"(?m)\A((?:.*\n)*?)(?=import |from (?!__future__))", r"\1from old_python2 import *\n"),
)

# Modules the suites import and that are no more.
SURROUNDINGS: dict[str, str] = {
    "nose/__init__.py": (
        "from unittest import SkipTest\n"
        "def iptest_stdstreams_fileno():\n    return -3  # subprocess.DEVNULL\n"
    ),
    "nose/tools.py": "from unittest import TestCase\nassert_in = TestCase().assertIn\n",
    "nose/plugins/__init__.py": "",
    "nose/plugins/attrib.py": "def attr(*names):\n    return lambda test: test\n",
    "old_decorators.py": (
        "from unittest import TestCase as ParametricTestCase\n"
        "from IPython.testing.decorators import *\n"
        "from IPython.testing.decorators import skipif_not_matplotlib\n"
        "def known_failure_py3(test):\n    return test\n"
    ),
    "old_python2.py": (
        "def list_map(*args): return list(map(*args))\n"
        "def list_range(*args): return list(range(*args))\n"
        "def list_zip(*args): return list(zip(*args))\n"
        "def list_filter(*args): return list(filter(*args))\n"
    ),
    "old_py3compat.py": (
        "unicode_type = str\nstring_types = (str,)\ndef iteritems(d):\n    return iter(d.items())\n"
    ),
}

# What does not pass, by pattern of tests: the releases (beginnings of version numbers), and why.
_ALL = ("",)
_AWARE = "time stamps are aware of their time zone; compare with datetime.now(timezone.utc)"
_CACHES = (
    "a client forgets a call once its result is complete, whatever `owner` says; keep the AsyncResult"
)
_EARLY = "get() no longer waits for output: call wait_for_output() before reading or showing it"
_LAUNCHERS = (
    "launchers hand on profile and cluster id in the environment (IPP_PROFILE_DIR, IPP_CLUSTER_ID)"
)
_ENGINE = "the engine of a call may be known before the call is over; ask ready() whether it is"
EXPECTED: dict[str, tuple[tuple[str, ...], str]] = {
    "test_asyncresult.py::*::test_getattr": (_ALL, _ENGINE),
    "test_asyncresult.py::*::test_getitem": (_ALL, _ENGINE),
    "test_asyncresult.py::*::test_single_result": (_ALL, _ENGINE),
    "test_asyncresult.py::*::test_non_owner": (_ALL, _CACHES),
    "test_asyncresult.py::*::test_owner_pop": (_ALL, _CACHES),
    "test_client.py::*::test_get_*result": (("1.", "2."), _CACHES),
    "test_client.py::*::test_hub_history": (_ALL, _AWARE),
    "test_client.py::*::test_purge_*local_results*": (_ALL, _CACHES),
    "test_client.py::*::test_spin_thread": (
        ("1.",),
        "a call is to be back within 0.1 s; no spin_thread() makes a busy machine do that",
    ),
    "test_client.py::*::test_stop_spin_thread": (
        _ALL,
        "the client always receives; there is no thread to stop",
    ),
    "test_db.py::*::test_get_history": (_ALL, _AWARE),
    "test_db.py::*::test_update_record": (_ALL, _AWARE),
    "test_launcher.py::*::test_cluster_id_arg": (_ALL, _LAUNCHERS),
    "test_launcher.py::*::test_profile_dir_arg": (_ALL, _LAUNCHERS),
    "test_launcher.py::TestMPIControllerLauncher::test_args": (
        _ALL,
        "the launcher knows its arguments when it starts",
    ),
    "test_view.py::*::test_apply_displaypub": (_ALL, _EARLY),
    "test_view.py::*::test_execute_reply_rich": (
        _ALL,
        "IPython's images are base64 without a newline at the end",
    ),
    "test_view.py::*::test_compositeerror_truncate": (_ALL, _CACHES),
    "test_view.py::*::test_data_pub*": (_ALL, _EARLY),
}

INI = "[pytest]\nfilterwarnings =\n    ignore::DeprecationWarning\n"


# -- in the pytest process ----------------------------------------------------------------------------


def pytest_sessionstart() -> None:
    """Patch before the suite imports anything; have a shell, as under IPython's own test runner."""
    package = importlib.import_module("IPython.parallel")
    if PLAIN_VARIABLE in os.environ:
        package.uninstall()
    shell = importlib.import_module("IPython.testing.globalipapp").start_ipython()
    # Until IPython 8 a line magic was run like this.
    type(shell).magic = lambda self, line: self.run_line_magic(*f"{line.lstrip('%')} ".split(" ", 1))


def pytest_pycollect_makemodule(module_path: Path, parent: object) -> None:
    """Let pytest call what nose called around a module."""
    module = importlib.import_module(f"{PACKAGE}.{module_path.stem}")
    _rename_hooks(module)


def _rename_hooks(module: ModuleType) -> None:
    for old, new in (("setup", "setup_module"), ("teardown", "teardown_module")):
        if hasattr(module, old) and not hasattr(module, new):
            setattr(module, new, getattr(module, old))


def pytest_collection_finish(session) -> None:  # type: ignore[no-untyped-def]
    """Start the suite's own cluster, as nose did for the package."""
    import ipyparallel.error

    suite = importlib.import_module(PACKAGE)
    raised = ipyparallel.error.RemoteError
    if session.items:
        suite.setup()
    # To see tracebacks, 3.x put a subclass in the place of what everybody raises and catches.
    ipyparallel.error.RemoteError = raised


def pytest_sessionfinish() -> None:
    """Stop the suite's cluster."""
    importlib.import_module(PACKAGE).teardown()


# -- in the process that runs the suites --------------------------------------------------------------


def main(arguments: list[str]) -> int:
    """Run the suites, report on stdout, and return the exit status."""
    options = parse(arguments)
    results: dict[str, Outcomes] = {}
    with directory_of_sources(options.sources) as sources:
        for release in options.releases.split(","):
            tests = fetch(release, sources)
            results[release] = run_release(release, tests, options)
    return print_table(results)


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="legacy_suites", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument(
        "--releases", default=",".join(RELEASES), help="comma-separated (default: %(default)s)"
    )
    parser.add_argument("--sources", type=Path, help="directory the source distributions are kept in")
    parser.add_argument(
        "--test-timeout", type=float, default=60, help="seconds a test may take (default: 60)"
    )
    parser.add_argument(
        "--suite-timeout", type=float, default=900, help="seconds a suite may take (default: 900)"
    )
    parser.add_argument(
        "--plain", action="store_true", help="take the patch off: what plain ipyparallel does"
    )
    parser.add_argument("-k", default="", help="handed to pytest: run only these tests")
    parser.add_argument("-v", "--verbose", action="store_true", help="show what pytest prints")
    return parser.parse_args(arguments)


@contextmanager
def directory_of_sources(named: Path | None) -> Iterator[Path]:
    """The directory named on the command line, or one for now."""
    if named is not None:
        named.mkdir(parents=True, exist_ok=True)
        yield named.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="legacy-sources-") as name:
        yield Path(name)


def fetch(release: str, sources: Path) -> Path:
    """The tests of a release, fetched by pip unless they are there.

    pip cannot prepare such old distributions for this Python, and need not: told to keep what it made,
    it leaves the unpacked source behind.
    """
    kept = sources / f"ipython-{release}"
    if not kept.exists():
        with tempfile.TemporaryDirectory(dir=sources) as scratch:
            command = (
                *(
                    "download",
                    "-q",
                    "--no-clean",
                    "--no-deps",
                    "--no-build-isolation",
                    "--no-binary",
                    ":all:",
                ),
            )
            done = subprocess.run(
                [sys.executable, "-m", "pip", *command, f"ipython=={release}"],
                env=os.environ | {"TMPDIR": scratch},
                cwd=scratch,
                capture_output=True,
                text=True,
            )
            found = next(Path(scratch).glob("pip-*/ipython_*/IPython/parallel/tests"), None)
            if found is None:
                sys.exit(f"legacy_suites: pip did not bring ipython {release}\n{done.stderr}")
            shutil.move(found, kept)
    return kept


def run_release(release: str, tests: Path, options: argparse.Namespace) -> Outcomes:
    """Run the suite of one release, and again what fails and is not expected to."""
    outcomes = run_pytest(tests, options, [""])
    print(f"{release}: {counted(outcomes)}", file=sys.stderr, flush=True)
    for _ in range(MORE_ATTEMPTS):
        if again := surprises(release, outcomes):
            second = run_pytest(tests, options, again)
            print(f"{release}: again: {counted(second)}", file=sys.stderr, flush=True)
            outcomes |= {test: second.get(test, "failed") for test in again}
    return outcomes


def run_pytest(tests: Path, options: argparse.Namespace, wanted: list[str]) -> Outcomes:
    """Run pytest on tests of a suite, away from the user's profile, and return the outcome of each test."""
    with tempfile.TemporaryDirectory(prefix="legacy-suite-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        lay_out(tests, directory, tests.name.rpartition("-")[2])
        # %px shows output when it is complete, as it did; now it can also be shown as it comes.
        variables = {"IPP_NONINTERACTIVE": "1"} | ({PLAIN_VARIABLE: "1"} if options.plain else {})
        outcomes = isolated_runs.run_pytest(
            arguments_of_run([f"{PACKAGE}/{test}" for test in wanted], options),
            directory,
            limit=options.suite_timeout,
            path=[directory],
            variables=variables,
            verbose=options.verbose,
        )
        return {test.rpartition("/")[2]: outcome for test, outcome in outcomes.items()}


def lay_out(tests: Path, directory: Path, release: str) -> None:
    """Write the suite, rewritten, and its surroundings."""
    (directory / "pytest.ini").write_text(INI, encoding="utf-8")
    for name, text in SURROUNDINGS.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text, encoding="utf-8")
    for path in tests.glob("*.py"):
        (directory / PACKAGE).mkdir(exist_ok=True)
        text = rewritten(path.read_text(encoding="utf-8"), release)
        (directory / PACKAGE / path.name).write_text(text, encoding="utf-8")


def rewritten(text: str, release: str) -> str:
    """The text with `REWRITES` made."""
    for pattern, replacement in REWRITES + (IN_RELEASE_1 if release.startswith("1.") else ()):
        text = re.sub(pattern, replacement, text)
    return text


def arguments_of_run(targets: list[str], options: argparse.Namespace) -> list[str]:
    """The command line of one pytest run, deaf to any configuration but its own."""
    return [
        *("-c", "pytest.ini", "-p", Path(__file__).stem),
        # Asserts of tasks are to be what engines can run; 3.x leaves contexts behind that fill the log.
        *("--assert=plain", "--show-capture=no"),
        # The MongoDB backend's tests skip themselves where there is no server, and cannot be imported without pymongo.
        "--ignore-glob=*/test_mongodb.py",
        # "signal" ends one test and lets the others run; "thread" would end the process.
        *(f"--timeout={options.test_timeout}", "--timeout-method=signal", "-k", options.k, *targets),
    ]


def expected(release: str) -> dict[str, str]:
    """The patterns of the tests that are not to pass in this release, and why."""
    return {
        pattern: why for pattern, (releases, why) in EXPECTED.items() if release.startswith(releases)
    }


def surprises(release: str, outcomes: Outcomes) -> list[str]:
    """The tests that failed without being expected to."""
    failed = [test for test, outcome in outcomes.items() if outcome == "failed"]
    return [
        test for test in failed if not any(fnmatchcase(test, pattern) for pattern in expected(release))
    ]


def as_expected(release: str, outcomes: Outcomes) -> dict[str, list[str]]:
    """The tests that failed as expected, by pattern."""
    failed = [test for test, outcome in outcomes.items() if outcome == "failed"]
    return {pattern: fnmatch.filter(failed, pattern) for pattern in expected(release)}


def print_table(results: dict[str, Outcomes]) -> int:
    """Print what happened, release by release, and return the exit status."""
    status = 0
    print(f"{'IPython':10}{'passed':>8}{'expected':>10}{'failed':>8}{'skipped':>9}")
    for release, outcomes in results.items():
        values = list(outcomes.values())
        failed = surprises(release, outcomes)
        known = values.count("failed") - len(failed)
        print(
            f"{release:10}{values.count('passed'):8}{known:10}{len(failed):8}{values.count('skipped'):9}"
        )
        status = max(status, 2 if not outcomes else 1 if failed else 0)
    for release, outcomes in results.items():
        print_details(release, outcomes)
    return status


def print_details(release: str, outcomes: Outcomes) -> None:
    """Print which tests of a release did not pass."""
    lines = [
        f"{pattern} ({len(tests)}): {expected(release)[pattern]}"
        for pattern, tests in as_expected(release, outcomes).items()
        if tests
    ]
    print_list(f"{release}: failed", surprises(release, outcomes))
    print_list(f"{release}: expected to fail", lines)
    print_list(
        f"{release}: skipped", [test for test, outcome in outcomes.items() if outcome == "skipped"]
    )


if __name__ == "__main__":
    isolated_runs.end_cleanly_when_terminated()
    sys.exit(main(sys.argv[1:]))
