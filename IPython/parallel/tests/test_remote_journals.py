"""An engine dies on another host: what it had begun is read by an engine that is there.

Here the other host is a UTS namespace, which has a name of its own: the engines in it are as far as any other, for all
that client and engines can see. Needs Linux, ``unshare``, and the right to make namespaces (CAP_SYS_ADMIN).
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import concurrent.futures
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import ipyparallel
import pytest

from IPython.parallel.connection import remote_journals
from IPython.parallel.dispatch.wire import HadBegun
from IPython.parallel.errors import EngineDied
from IPython.parallel.running.local_cluster import LocalCluster
from IPython.parallel.tests import faults
from IPython.parallel.tests.contracts.harness import PATIENCE, Trace

FAR = "a-far-host"
ENGINES = 3
_INTO = "import os, socket, sys; socket.sethostname(sys.argv[1]); os.execvp(sys.argv[2], sys.argv[2:])"


def onto(host: str) -> list[str]:
    """What to put before a command so that it runs on that host."""
    return ["unshare", "--uts", sys.executable, "-c", _INTO, host]


@pytest.fixture
def far() -> Iterator[ipyparallel.Client]:
    """A client of a cluster whose engines are all on another host."""
    if not sys.platform.startswith("linux") or not shutil.which("unshare"):
        pytest.skip("needs Linux with unshare")
    if subprocess.run([*onto(FAR), "true"], capture_output=True, check=False).returncode:
        pytest.skip("cannot make namespaces")
    with ExitStack() as undo:
        cluster = LocalCluster(1)
        client = undo.enter_context(cluster)
        for _ in range(ENGINES):
            undo.enter_context(faults.another_engine(cluster.connection_file, *onto(FAR)))
        client.wait_for_engines(1 + ENGINES, timeout=2 * PATIENCE, interactive=False)
        os.kill(cluster.engine_pids[0], signal.SIGKILL)
        faults.wait_until(lambda: len(client.ids) == ENGINES)
        assert set(client[:].apply_sync(socket.gethostname)) == {FAR} != {socket.gethostname()}
        yield client


@pytest.mark.timeout(150)  # five processes start, which takes long on a busy machine
def test_what_an_engine_on_another_host_had_not_begun_goes_elsewhere(far: ipyparallel.Client, tracer: Trace) -> None:
    view = far.load_balanced_view()
    assert list(view.map(abs, range(2000))) == list(range(2000))  # so that calls travel in large groups
    futures = [
        view.submit(faults.trace_and, tracer.path, n, faults.kill_myself if n == 70 else None) for n in range(400)
    ]
    assert not concurrent.futures.wait(futures, PATIENCE).not_done
    failed = {n for n, future in enumerate(futures) if future.exception(0) is not None}
    assert 70 in failed and not failed.intersection(range(71, 400))
    assert all(isinstance(futures[n].exception(0), EngineDied) for n in failed)
    assert Counter(tracer.lines()) == {str(n): 1 for n in range(400)}


class Loop:
    """Does what it is given at once, and what is to be done later when the test says so."""

    def __init__(self) -> None:
        self.later: list[Callable[[], None]] = []

    def add_callback(self, call: Callable[..., Any], *args: Any) -> None:
        call(*args)

    def call_later(self, seconds: float, call: Callable[[], None]) -> None:
        self.later.append(call)


class Asked:
    """Engines that answer when and what the test wants."""

    def __init__(self, *engines: str, gone: bool = False) -> None:
        self.loop, self.told = Loop(), []
        self.answers: dict[str, Callable[[Any], None]] = {}
        self._gone = gone
        remote_journals.ask(self.loop, engines, self._call, self.told.append)

    def _call(self, engine: str) -> Any:
        if self._gone:
            raise ConnectionError("the controller is gone")

        def add_done_callback(heard: Callable[[Any], None]) -> None:
            self.answers[engine] = lambda answer: heard(SimpleNamespace(result=lambda: answer))

        return SimpleNamespace(add_done_callback=add_done_callback)


def test_the_first_that_could_read_it_is_believed() -> None:
    asked = Asked("a", "b", "c")
    asked.answers["a"](None)
    asked.answers["b"]((7, 2))
    asked.answers["c"]((7, 2))
    asked.loop.later[0]()
    assert asked.told == [HadBegun(7, 2)]


def test_nobody_could_read_it() -> None:
    asked = Asked("a", "b")
    asked.answers["a"](None)
    assert asked.told == []
    asked.answers["b"](RuntimeError("no such function"))
    assert asked.told == [None]


def test_nobody_answers_in_time() -> None:
    asked = Asked("a")
    asked.loop.later[0]()
    asked.answers["a"]((7, 2))
    assert asked.told == [None]


def test_nobody_can_be_asked() -> None:
    assert Asked("a", "b", gone=True).told == [None]


def test_not_all_engines_of_a_large_host_are_asked() -> None:
    assert len(Asked(*map(str, range(100))).answers) == remote_journals.MOST_ASKED
