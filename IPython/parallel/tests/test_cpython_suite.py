"""CPython's own tests of concurrent.futures, bound to views and to the pool that stands in for the process pool.

They are imported from the running Python, so its later releases bring their new tests along. What has no counterpart
on a cluster is left out for a reason that `cpython_binding` gives; where the reason is only in how a test looks at a
pool, this file asks the same of a view in its own words.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import concurrent.futures
import gc
import logging
import multiprocessing
import pickle
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, Any
from unittest import TestCase

import pytest
from ipyparallel import AsyncResult
from ipyparallel.client.client import Metadata
from ipyparallel.client.futures import MessageFuture

from IPython.parallel.dispatch import callbacks
from IPython.parallel.dispatch.lines import Task
from IPython.parallel.engine_room import room_of
from IPython.parallel.executor_mixin import configure_pool
from IPython.parallel.pools.backing import Backing
from IPython.parallel.pools.stdlib_pools import standing_in
from IPython.parallel.running.local_cluster import LocalCluster
from IPython.parallel.task_result import TaskResult
from IPython.parallel.tests import leaks
from IPython.parallel.tests.contracts import calls
from IPython.parallel.tests.contracts.harness import PATIENCE, Gate, Trace
from IPython.parallel.tests.cpython_binding import BoundToView, part, util

if TYPE_CHECKING:
    from ipyparallel import Client

as_completed_tests, deadlock_tests = part("test_as_completed"), part("test_deadlock")
future_tests = part("test_future")
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
        for pid in own_cluster.engine_pids:
            own_cluster._tell_guard(pid)
        client.wait_for_engines(ENGINES, interactive=False, timeout=PATIENCE)
    return client


@pytest.fixture(autouse=True)
def _no_thread_outlives_its_test(healthy_client: Client) -> Iterator[None]:
    """As for all tests, but the threads that wait for the end of a new engine's process are no test's."""
    before = threading.enumerate()
    yield
    assert leaks.threads_left(before) == []


# What makes CPython's scripts, and ours, use the cluster of the tests.
VIEW_HEAD = """
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

POOL_HEAD = """
import ipyparallel
from IPython.parallel.pools.backing import Backing
from IPython.parallel.pools.stdlib_pools import standing_in
client = ipyparallel.Client({connection_file!r})
standing = standing_in(Backing(client, on_output=lambda stream, text: print(text, end="")))
standing.__enter__()
"""


OF_A_PROCESS_POOL = dict.fromkeys(
    ["test_force_shutdown_workers_dead_workers", "test_force_shutdown_workers_not_started_yet"],
    "ends a pool's processes: an executor need not have such methods, and a view has not (Standing has)",
)


class Balanced(BoundToView):
    """A LoadBalancedView."""

    reasons = OF_A_PROCESS_POOL
    head = VIEW_HEAD

    def open_view(self, max_workers: int, **pool: Any) -> Executor:
        view = self.client.load_balanced_view()
        configure_pool(view, max_workers=max_workers, **pool)
        return view


class Direct(BoundToView):
    """A DirectView of one engine. What a pool takes as arguments, it has none of: it is that engine."""

    reasons = {
        **OF_A_PROCESS_POOL,
        "test_max_workers_negative": "a view of one engine has one worker",
        "test_interpreter_shutdown": "looks for what a call printed: it stays with the result (test_interpreter_exit)",
        "test_hang_gh83386": "looks for what a call printed: it stays with the result (test_interpreter_exit)",
    }
    head = VIEW_HEAD

    def open_view(self, max_workers: int, **pool: Any) -> Executor:
        return self.client[self.client.ids[0]]


class Standing(BoundToView):
    """The pool that stands in for ProcessPoolExecutor, as for a program that has started the engines."""

    head = POOL_HEAD

    @property
    def executor_type(self) -> Callable[..., Executor]:
        with standing_in(Backing(self.client, engines_are_ours=True)):
            return concurrent.futures.ProcessPoolExecutor

    def get_context(self) -> Any:
        """The start method of a program that says none; engines are running already."""
        return multiprocessing.get_context()


# -- calls


class TestBalancedCalls(process_pool_tests.ProcessPoolExecutorTest, Balanced, TestCase): ...


class TestDirectCalls(process_pool_tests.ProcessPoolExecutorTest, Direct, TestCase): ...


class TestStandingCalls(process_pool_tests.ProcessPoolExecutorTest, Standing, TestCase): ...


class TestBalancedWait(wait_tests.WaitTests, Balanced, TestCase): ...


class TestDirectWait(wait_tests.WaitTests, Direct, TestCase): ...


class TestBalancedAsCompleted(as_completed_tests.AsCompletedTests, Balanced, TestCase): ...


class TestDirectAsCompleted(as_completed_tests.AsCompletedTests, Direct, TestCase): ...


class TestBalancedInitializer(init_tests.InitializerMixin, Balanced, TestCase): ...


class TestStandingInitializer(init_tests.InitializerMixin, Standing, TestCase): ...


class TestBalancedFailingInitializer(init_tests.FailingInitializerMixin, Balanced, TestCase): ...


class TestStandingFailingInitializer(init_tests.FailingInitializerMixin, Standing, TestCase): ...


# -- crashes


class Crashes(deadlock_tests.ExecutorDeadlockTest):
    """CPython's tests of what may block a pool for ever."""

    TIMEOUT = PATIENCE
    # What breaks a process pool for good, because its worker cannot read the call or its parent the result, is here
    # the error of one call.
    own_error = {
        "test_exit_at_task_unpickle": SystemExit,
        "test_error_at_task_unpickle": pickle.UnpicklingError,
        "test_exit_during_result_unpickle_in_result_handler": SystemExit,
        "test_error_during_result_unpickle_in_result_handler": pickle.UnpicklingError,
    }

    def _check_error(self, error: type[BaseException], *call: Any, **options: Any) -> None:
        super()._check_error(self.own_error.get(self._testMethodName, error), *call, **options)

    # Its name up to Python 3.13.
    def _check_crash(self, error: type[BaseException], *call: Any, **options: Any) -> None:
        super()._check_crash(self.own_error.get(self._testMethodName, error), *call, **options)

    def _fail_on_deadlock(self, executor: Executor) -> None:
        self.fail(f"no result after {self.TIMEOUT} seconds of {executor}")


class TestBalancedCrashes(Crashes, Balanced, TestCase): ...


class TestDirectCrashes(Crashes, Direct, TestCase): ...


class TestStandingCrashes(Crashes, Standing, TestCase): ...


# -- shutdown and exit

class Shutdown(shutdown_tests.ProcessPoolShutdownTest):
    """CPython's tests of shutdown. Scripts of theirs find the executor by its name in concurrent.futures."""

    @pytest.fixture(autouse=True)
    def _give_executor_to_scripts(self, own_cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
        head = self.head.format(connection_file=str(own_cluster.connection_file), direct=isinstance(self, Direct))
        run = shutdown_tests.assert_python_ok
        monkeypatch.setattr(shutdown_tests, "assert_python_ok", lambda option, script: run(option, head + script))


class TestBalancedShutdown(Shutdown, Balanced, TestCase): ...


class TestDirectShutdown(Shutdown, Direct, TestCase): ...


class TestStandingShutdown(Shutdown, Standing, TestCase): ...


# -- futures


def _settled_callbacks(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method of a future that returns only when its callbacks have run: CPython's tests look at once."""

    def settle(self: Future[Any], *args: Any) -> Any:
        returned = method(self, *args)
        assert callbacks.drain(PATIENCE)
        return returned

    return settle


class _TaskResult(TaskResult):
    """The future of a call in the buffer, with the name CPython's tests expect in messages."""

    __repr__ = Future.__repr__
    set_result = _settled_callbacks(TaskResult.set_result)
    set_exception = _settled_callbacks(TaskResult.set_exception)
    cancel = _settled_callbacks(TaskResult.cancel)


class _MessageResult(AsyncResult):
    """The future of a message that was sent when it was made."""

    __repr__ = Future.__repr__
    set_result = _settled_callbacks(AsyncResult.set_result)
    set_exception = _settled_callbacks(AsyncResult.set_exception)


class FutureOfACall(BoundToView):
    """For CPython's tests of Future: its futures, and those that its modules make up, are of our kind."""

    setUp, tearDown = TestCase.setUp, TestCase.tearDown

    def new_future(self) -> Future[Any]:
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def _log_to_stderr(self) -> Iterator[None]:
        """What is logged goes where it went without pytest, which has a handler of its own."""
        logger = logging.getLogger("concurrent.futures")
        logger.addHandler(logging.lastResort)
        yield
        logger.removeHandler(logging.lastResort)

    @pytest.fixture(autouse=True)
    def _take_the_place_of_future(self, monkeypatch: pytest.MonkeyPatch) -> None:
        made_up = {name: future for name, future in vars(future_tests).items() if isinstance(future, Future)}
        for module in {util, future_tests}:
            monkeypatch.setattr(module, "Future", self.new_future)
        for name, future in made_up.items():
            ours = util.create_future(future._state, future._exception, future._result)
            monkeypatch.setattr(future_tests, name, ours)


class TestTaskResult(FutureOfACall, future_tests.FutureTests):
    reasons = {
        "test_repr": "is about the name of the class",
        "test_multiple_set_result": "is about the name of the class",
        "test_multiple_set_exception": "is about the name of the class",
        "test_cancel": "wants CANCELLED as a state that lasts; here waiters are notified at once",
    }

    def new_future(self) -> Future[Any]:
        result = _TaskResult(room_of(self.client), "call")
        result._task = Task(result, None, b"", "call")  # a call that waits
        return result


class TestMessageResult(FutureOfACall, future_tests.FutureTests):
    reasons = {
        **TestTaskResult.reasons,
        "test_done_callback_with_cancel": "cancels what has been sent",
        "test_done_callback_already_cancelled": "cancels what has been sent",
        "test_result_with_cancel": "cancels what has been sent",
    }

    def new_future(self) -> Future[Any]:
        message = MessageFuture("id")
        message.output = Future()
        message.output.metadata = Metadata()
        return _MessageResult(self.client, message, fname="call")


# -- what CPython's tests ask by looking into a pool, in our words


class PoolContract:
    """The counterparts of tests that are left out for how they look, not for what they look for."""

    def test_results_of_a_lazy_map_are_not_kept(self) -> None:
        """For test_free_reference."""
        for point in self.open_view(2).map(calls.Point, range(10), range(10), buffersize=3):
            dropped = threading.Event()
            weakref.finalize(point, dropped.set)
            del point
            assert dropped.wait(PATIENCE)

    def test_shutdown_without_waiting(self) -> None:
        """For test_shutdown_no_wait."""
        view = self.open_view(2)
        results = view.map(abs, range(-5, 5))
        view.shutdown(wait=False)
        assert list(results) == [5, 4, 3, 2, 1, 0, 1, 2, 3, 4]

    def test_dropped_view(self) -> None:
        """For test_del_shutdown."""
        view = self.open_view(2)
        results, dropped = view.map(abs, range(-5, 5)), weakref.ref(view)
        del view
        assert list(results) == [5, 4, 3, 2, 1, 0, 1, 2, 3, 4]
        del results
        gc.collect()
        assert dropped() is None

    def test_leaving_the_block(self) -> None:
        """For test_context_manager_shutdown."""
        with self.open_view(2) as view:
            results = view.map(abs, range(-5, 5))
        assert list(results) == [5, 4, 3, 2, 1, 0, 1, 2, 3, 4]

    def test_shutdown_after_a_call_that_does_not_pickle(self) -> None:
        """For test_shutdown_deadlock_pickle."""
        with self.open_view(2) as view:
            call = view.submit(id, deadlock_tests.ErrorAtPickle())
            view.shutdown(wait=False)
            with pytest.raises(pickle.PicklingError):
                call.result(PATIENCE)

    def test_all_of_many_calls_come_in(self) -> None:
        """For test_saturation, and for the race of test_pending_calls_race."""
        view, gate = self.open_view(2), Gate()
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        try:
            results = {view.submit(calls.pass_gate, gate.address) for _ in range(100)}
            gate.open()
            assert wait(results, timeout=PATIENCE) == (results, set())
        finally:
            sys.setswitchinterval(interval)

    def test_interpreter_exit(self, own_cluster: LocalCluster, tracer: Trace) -> None:
        """For test_interpreter_shutdown and test_hang_gh83386, without looking at what is printed."""
        script = self.head.format(
            connection_file=str(own_cluster.connection_file), direct=isinstance(self, Direct)
        ) + EXIT_WITH_WORK.format(path=tracer.path)
        finished = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=PATIENCE, text=True)
        assert (finished.returncode, finished.stdout, finished.stderr) == (0, "", "")
        assert sorted(tracer.lines()) == ["left open", "one", "two"]


EXIT_WITH_WORK = """
import time
from IPython.parallel.tests.contracts.calls import trace
def trace_late(label):
    time.sleep(0.2)
    trace({path!r}, label)
first, second = View(1), View(1)
first.submit(trace_late, "one")
first.submit(trace_late, "two")
first.shutdown(wait=False)
second.submit(time.sleep, 0.5)
second.submit(trace_late, "left open")
"""


class TestBalancedPool(PoolContract, Balanced):
    def test_killed_engine(self) -> None:
        """For test_killed_child: the call it had fails; unlike a process pool, the view goes on."""
        view = self.open_view(2)
        with pytest.raises(BrokenProcessPool):
            view.submit(signal.raise_signal, signal.SIGKILL).result(PATIENCE)
        assert view.submit(pow, 2, 8).result(PATIENCE) == 256

    def test_failing_initializer(self) -> None:
        """For FailingInitializerMixin: calls fail with what the initializer raised, one by one."""
        view = self.open_view(2, initializer=init_tests.init_fail)
        for _ in range(3):
            with pytest.raises(BrokenExecutor, match="error in initializer"):
                view.submit(init_tests.get_init_status).result(PATIENCE)


class TestDirectPool(PoolContract, Direct):
    def test_killed_engine(self) -> None:
        """For test_killed_child: that engine was all there is to this view."""
        view = self.open_view(1)
        for _ in range(2):
            with pytest.raises(BrokenProcessPool):
                view.submit(signal.raise_signal, signal.SIGKILL).result(PATIENCE)
