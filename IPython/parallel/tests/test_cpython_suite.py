"""CPython's own tests of concurrent.futures, bound to a LoadBalancedView and to a DirectView of one engine.

They are imported from the running Python, so its later releases bring their new tests along. What has no counterpart
on a cluster is left out for a reason that `cpython_binding` gives; where the reason is only in how a test looks at a
pool, this file asks the same of a view in its own words.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import os
import pickle
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import TestCase

import pytest
from ipyparallel import AsyncResult
from ipyparallel.client.futures import MessageFuture

from IPython.parallel import callbacks
from IPython.parallel.engine_room import room_of
from IPython.parallel.executor_mixin import configure_pool
from IPython.parallel.local_cluster import LocalCluster
from IPython.parallel.task_result import TaskResult
from IPython.parallel.tests.contracts import calls
from IPython.parallel.tests.contracts.harness import PATIENCE, Gate, Trace
from IPython.parallel.tests.cpython_binding import BoundToView, part, util

if TYPE_CHECKING:
    from ipyparallel import Client

as_completed_tests, deadlock_tests, future_tests = part("test_as_completed"), part("test_deadlock"), part("test_future")
init_tests, process_pool_tests = part("test_init"), part("test_process_pool")
shutdown_tests, wait_tests = part("test_shutdown"), part("test_wait")

ENGINES = 2


@pytest.fixture(scope="module")
def own_cluster() -> Iterator[LocalCluster]:
    """A cluster of this module's own: its tests kill engines."""
    cluster = LocalCluster(ENGINES)
    with cluster as client:
        # Threads that live as long as the client start with the first call and the first callback.
        client.load_balanced_view().submit(int).add_done_callback(id)
        yield cluster


@pytest.fixture
def healthy_client(own_cluster: LocalCluster) -> Client:
    """The client of the module's cluster; engines that died in the test before are replaced."""
    client = own_cluster._client
    missing = ENGINES - len(client.ids)
    if missing:
        client.cluster.start_engines_sync(n=missing)
        client.wait_for_engines(ENGINES, interactive=False, timeout=PATIENCE)
    return client


class Balanced(BoundToView):
    """A LoadBalancedView."""

    def open_view(self, max_workers: int, **pool: Any) -> Executor:
        view = self.client.load_balanced_view()
        configure_pool(view, max_workers=max_workers, **pool)
        return view


class Direct(BoundToView):
    """A DirectView of one engine. What a pool takes as arguments, it has none of: it is that engine."""

    reasons = {
        "test_max_workers_negative": "a view of one engine has one worker",
        "test_interpreter_shutdown": "looks for what a call printed: that stays with the result (see TestExitDirect)",
        "test_hang_gh83386": "looks for what a call printed: that stays with the result (see TestExitDirect)",
    }

    def open_view(self, max_workers: int, **pool: Any) -> Executor:
        return self.client[self.client.ids[0]]


# -- calls


class TestBalancedCalls(process_pool_tests.ProcessPoolExecutorTest, Balanced, TestCase): ...


class TestDirectCalls(process_pool_tests.ProcessPoolExecutorTest, Direct, TestCase): ...


class TestBalancedWait(wait_tests.WaitTests, Balanced, TestCase): ...


class TestDirectWait(wait_tests.WaitTests, Direct, TestCase): ...


class TestBalancedAsCompleted(as_completed_tests.AsCompletedTests, Balanced, TestCase): ...


class TestDirectAsCompleted(as_completed_tests.AsCompletedTests, Direct, TestCase): ...


class TestBalancedInitializer(init_tests.InitializerMixin, Balanced, TestCase): ...


class TestBalancedFailingInitializer(init_tests.FailingInitializerMixin, Balanced, TestCase): ...


# -- crashes


class Crashes(deadlock_tests.ExecutorDeadlockTest):
    """CPython's tests of what may block a pool for ever."""

    TIMEOUT = PATIENCE

    def _fail_on_deadlock(self, executor: Executor) -> None:
        self.fail(f"no result after {self.TIMEOUT} seconds of {executor}")


class TestBalancedCrashes(Crashes, Balanced, TestCase): ...


class TestDirectCrashes(Crashes, Direct, TestCase): ...


# -- shutdown and exit

SCRIPT_HEAD = """
import concurrent.futures, sys
import ipyparallel, IPython.parallel
from IPython.parallel.executor_mixin import configure_pool
def View(max_workers):
    client = ipyparallel.Client({connection_file!r})
    if {direct}:
        return client[client.ids[0]]
    view = client.load_balanced_view()
    configure_pool(view, max_workers=max_workers, on_output=lambda stream, text: getattr(sys, stream).write(text))
    return view
concurrent.futures.View = View
"""


class Shutdown(shutdown_tests.ProcessPoolShutdownTest):
    """CPython's tests of shutdown. Scripts of theirs find `View` in concurrent.futures."""

    @pytest.fixture(autouse=True)
    def _give_view_to_scripts(self, own_cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
        head = SCRIPT_HEAD.format(connection_file=str(own_cluster.connection_file), direct=isinstance(self, Direct))
        run = shutdown_tests.assert_python_ok
        monkeypatch.setattr(shutdown_tests, "assert_python_ok", lambda option, script: run(option, head + script))


class TestBalancedShutdown(Shutdown, Balanced, TestCase): ...


class TestDirectShutdown(Shutdown, Direct, TestCase): ...
