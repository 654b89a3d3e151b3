"""Ctrl-C, exits, forks, threads and bad input at the client: never a hang, a traceback or something left behind."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import gc
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait as futures_wait
from pathlib import Path

import ipyparallel
import psutil
import pytest

from IPython.parallel.errors import ClusterGone
from IPython.parallel.running.local_cluster import LocalCluster
from IPython.parallel.tests.contracts import calls
from IPython.parallel.tests.contracts.harness import PATIENCE, Gate, Trace

# -- Ctrl-C


def wait_in_result(view: ipyparallel.LoadBalancedView, gate: Gate) -> None:
    view.submit(calls.pass_gate, gate.address).result()


def wait_in_map(view: ipyparallel.LoadBalancedView, gate: Gate) -> None:
    for _ in view.map(calls.pass_gate, [gate.address]):
        pass


def wait_in_lazy_map(view: ipyparallel.LoadBalancedView, gate: Gate) -> None:
    for _ in view.map(calls.pass_gate, [gate.address], buffersize=1):
        pass


def wait_in_shutdown(view: ipyparallel.LoadBalancedView, gate: Gate) -> None:
    view.submit(calls.pass_gate, gate.address)
    view.shutdown(wait=True)


@pytest.mark.parametrize("waits", [wait_in_result, wait_in_map, wait_in_lazy_map, wait_in_shutdown])
def test_ctrl_c_ends_the_wait_and_nothing_else(
    waits: Callable[[ipyparallel.LoadBalancedView, Gate], None], client: ipyparallel.Client, gate: Gate
) -> None:
    view = client.load_balanced_view()

    def press() -> None:
        gate.wait_for_arrivals(1)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    presses = threading.Thread(target=press)
    presses.start()
    with pytest.raises(KeyboardInterrupt):
        waits(view, gate)
    presses.join()
    gate.open()
    assert client.load_balanced_view().submit(calls.add, 1, 2).result(PATIENCE) == 3
    assert client.wait(timeout=PATIENCE)


# -- the end of the interpreter


PROGRAM = """
import os, signal, sys, threading, time
from ipyparallel import Client
import IPython.parallel
from IPython.parallel.tests.contracts.calls import trace
from IPython.parallel.tests.faults import kill_myself

client = Client(sys.argv[1])
view = client.load_balanced_view()
path = sys.argv[2]
"""


def run(program: str, connection_file: Path, tracer: Trace) -> str:
    """What a program prints that ends well, and without a word on standard error."""
    command = [sys.executable, "-c", PROGRAM + program, str(connection_file), tracer.path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=40)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_thousands_outstanding_at_exit_are_done(
    client: ipyparallel.Client, connection_file: Path, tracer: Trace
) -> None:
    run("for n in range(3000): view.submit(trace, path, n)", connection_file, tracer)
    assert Counter(tracer.lines()) == {str(n): 1 for n in range(3000)}


@pytest.mark.parametrize("view", ["client[:]", "client.broadcast_view()", "flagged"])
def test_calls_with_a_message_of_their_own_are_done(
    view: str, client: ipyparallel.Client, connection_file: Path, tracer: Trace
) -> None:
    run(f"flagged = view; view.track = True; {view}.submit(trace, path, 'last')", connection_file, tracer)
    assert tracer.lines() == ["last"] * (1 if view == "flagged" else len(client))


def test_their_callbacks_and_maps_are_done(client: ipyparallel.Client, connection_file: Path, tracer: Trace) -> None:
    program = """
def call_back(future):
    time.sleep(0.5)
    print(future.result(), flush=True)
client[:].map(trace, [path] * 10, range(10), block=False)
client[:].submit(trace, path, "last").add_done_callback(call_back)
"""
    assert run(program, connection_file, tracer) == f"{['last'] * len(client)}\n"
    assert Counter(tracer.lines()) == {"last": len(client)} | {str(n): 1 for n in range(10)}


@pytest.fixture
def broken(tmp_path: Path) -> Iterator[LocalCluster]:
    cluster = LocalCluster(1)
    cluster.start()
    yield cluster
    cluster.stop(grace=0)


def test_an_exit_without_engines_does_not_wait(broken: LocalCluster, tracer: Trace) -> None:
    program = """
print(type(view.submit(kill_myself).exception()).__name__)
late = [view.submit(trace, path, n) for n in range(1000)]
"""
    assert run(program, broken.connection_file, tracer) == "EngineDied\n"
    assert tracer.lines() == []


def test_an_exit_without_engines_does_not_wait_for_the_scheduler(broken: LocalCluster, tracer: Trace) -> None:
    program = """
view.track = True
dying, waiting = view.submit(kill_myself), view.submit(trace, path, "waits")
print(type(dying.exception()).__name__, waiting.done())
"""
    assert run(program, broken.connection_file, tracer) == "RemoteError False\n"
    assert tracer.lines() == []


def test_an_exit_without_a_controller_does_not_wait(broken: LocalCluster, tracer: Trace) -> None:
    program = """
held = view.submit(time.sleep, 60), client[:].apply_async(time.sleep, 60), view.submit(trace, path, "late")
os.kill(%d, signal.SIGKILL)
"""
    controller = broken._cluster.controller.pid
    assert run(program % controller, broken.connection_file, tracer) == ""
    assert tracer.lines() == []


def test_a_cluster_whose_controller_died_leaves_no_process(broken: LocalCluster) -> None:
    controller = psutil.Process(broken._cluster.controller.pid)
    family = [controller, *controller.children(recursive=True)]
    controller.kill()
    broken.stop()
    assert psutil.wait_procs(family, timeout=PATIENCE)[1] == []


def test_a_forked_child_is_refused_and_ends_cleanly(
    client: ipyparallel.Client, connection_file: Path, tracer: Trace
) -> None:
    program = """
import warnings
# Python 3.12 and later say of any process with threads that a fork of it may come to nothing.
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
print(view.submit(trace, path, "before").result(), flush=True)  # or the child would print it again
child = os.fork()
if child == 0:
    try:
        view.submit(trace, path, "child")
    except RuntimeError as error:
        sys.exit(7 if "parent process" in str(error) else 8)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(view.submit(trace, path, "after").result())
"""
    assert run(program, connection_file, tracer) == "before\n7\nafter\n"
    assert tracer.lines() == ["before", "after"]


@pytest.mark.parametrize("view", ["view", "client[:]"])
def test_a_forked_child_that_leaves_a_block_waits_for_nothing_of_its_parents(
    view: str, client: ipyparallel.Client, connection_file: Path, gate: Gate
) -> None:
    program = f"""
import warnings
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
from IPython.parallel.tests.contracts.calls import pass_gate
with {view} as executor:
    held = executor.submit(pass_gate, {gate.address!r}, 1)
    child = os.fork()
    if child == 0:
        sys.exit(7)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    print(executor.submit(pass_gate, {gate.address!r}, 2) is held)
"""
    opens = threading.Thread(target=lambda: (gate.wait_for_arrivals(1), gate.open()))
    opens.start()
    command = [sys.executable, "-c", PROGRAM + program, str(connection_file), "no trace"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    opens.join()
    assert (done.stdout, done.stderr, done.returncode) == ("7\nFalse\n", "", 0)


FORKED = """
import os, threading, warnings
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
from IPython.parallel.dispatch.steady_locks import LastingLock
lock, held, over = LastingLock(), threading.Event(), threading.Event()
def hold():
    with lock:
        held.set()
        over.wait()
holder = threading.Thread(target=hold)
holder.start()
held.wait()
child = os.fork()
if child == 0:
    os._exit(lock.acquire(timeout=5))
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), lock.acquire(blocking=False))
over.set()
"""


def test_a_lock_that_a_client_has_is_free_in_a_forked_child() -> None:
    done = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True, timeout=PATIENCE)
    assert (done.stdout, done.stderr) == ("1 False\n", "")


# -- views, clients, threads, generators


def test_work_of_a_view_that_is_no_more_goes_on(client: ipyparallel.Client, tracer: Trace) -> None:
    view = client.load_balanced_view()
    futures = [view.submit(calls.trace, tracer.path, n) for n in range(200)]
    del view
    gc.collect()
    assert [future.result(PATIENCE) for future in futures] == list(range(200))
    assert Counter(tracer.lines()) == {str(n): 1 for n in range(200)}


def test_a_closed_client_fails_results_of_every_kind(
    client: ipyparallel.Client, connection_file: Path, gate: Gate
) -> None:
    other = ipyparallel.Client(str(connection_file))
    view, direct = other.load_balanced_view(), other[:]
    results = [direct.apply_async(calls.pass_gate, gate.address), direct.map_async(calls.identity, range(4))]
    gate.wait_for_arrivals(2)
    results += [view.apply_async(calls.add, 1, 2), view.map(calls.identity, range(50)), view.submit(calls.add, 1, 2)]
    with view.temp_flags(timeout=600):
        results.append(view.apply_async(calls.add, 1, 2))
    other.close()
    assert not futures_wait(results, PATIENCE).not_done
    assert {type(result.exception(0)) for result in results} == {ClusterGone}
    gate.open()


def test_many_threads_at_once(client: ipyparallel.Client, tracer: Trace) -> None:
    view = client.load_balanced_view()
    together = threading.Barrier(32)

    def work(thread: int) -> list[object]:
        together.wait(PATIENCE)
        mapped = view.map(calls.identity, range(20))
        futures = [view.submit(calls.trace, tracer.path, f"{thread}-{n}") for n in range(20)]
        assert list(mapped) == list(range(20))
        return [future.result(PATIENCE) for future in futures]

    with ThreadPoolExecutor(32) as threads:
        found = list(threads.map(work, range(32)))
    assert found == [[f"{thread}-{n}" for n in range(20)] for thread in range(32)]
    assert Counter(tracer.lines()) == Counter(label for labels in found for label in labels)


@pytest.mark.parametrize("options", [{}, {"chunksize": 7}, {"buffersize": 10}], ids=str)
def test_input_that_raises_midway(options: dict[str, int], client: ipyparallel.Client) -> None:
    view = client.load_balanced_view()

    def numbers() -> Iterator[int]:
        yield from range(600)
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        list(view.map(calls.identity, numbers(), **options))
    assert view.wait(timeout=PATIENCE) is not False
    assert view.submit(calls.add, 1, 2).result(PATIENCE) == 3
    view.shutdown(wait=True)
