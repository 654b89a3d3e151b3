"""Fixtures of the consumers' tests: fresh executors of the shared cluster, and the examples of the documentation."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ipyparallel
import pytest

import IPython.parallel  # noqa: F401 (its import is what makes views executors)
from IPython.parallel.tests.source_tree import find_source_tree

EXECUTORS: dict[str, Callable[[ipyparallel.Client], Any]] = {
    "balanced view": lambda client: client.load_balanced_view(),
    "view of one engine": lambda client: client[client.ids[0]],
    "view.executor": lambda client: client.load_balanced_view().executor,
    "client.executor()": lambda client: client.executor(),
}


@pytest.fixture(params=EXECUTORS)
def executor(request: pytest.FixtureRequest, client: ipyparallel.Client) -> Iterator[Any]:
    """Each kind of executor in turn, fresh for each test: some consumers shut theirs down."""
    made = EXECUTORS[request.param](client)
    yield made
    made.shutdown(wait=True, cancel_futures=True)


@pytest.fixture
def view(client: ipyparallel.Client) -> Iterator[ipyparallel.LoadBalancedView]:
    """A load-balanced view of both engines."""
    made = client.load_balanced_view()
    yield made
    made.shutdown(wait=True, cancel_futures=True)


@pytest.fixture
def run_script(tmp_path: Path) -> Callable[..., str]:
    """Runs a program of this text, through the given command line, and returns what it printed."""

    def run(text: str, *options: str) -> str:
        script = tmp_path / "script.py"
        script.write_text(text, encoding="utf-8")
        return run_program(*options, str(script), cwd=tmp_path, environment=os.environ.copy())

    return run


@pytest.fixture
def run_example(profile: dict[str, str], tmp_path: Path) -> Callable[..., str]:
    """Runs an example of the documentation, through the given command line, and returns what it printed."""

    def run(name: str, *options: str) -> str:
        example = find_source_tree() / "docs" / "examples" / "consumers" / name
        return run_program(*options, str(example), cwd=tmp_path, environment=profile)

    return run


def run_program(*arguments: str, cwd: Path, environment: dict[str, str]) -> str:
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def on_the_cluster(connection_file: Path) -> tuple[str, ...]:
    """Options of Python's that run a program on the shared cluster."""
    return ("-m", "IPython.parallel", "--quiet", "--connection-file", str(connection_file))
