"""What futures hear when an engine, the controller or the client itself is gone: real processes, really killed."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import concurrent.futures
import os
import signal
from collections.abc import Iterator

import ipyparallel
import psutil
import pytest

from IPython.parallel.errors import ClusterGone, EngineDied
from IPython.parallel.running.local_cluster import LocalCluster
from IPython.parallel.tests import faults
from IPython.parallel.tests.contracts import calls
from IPython.parallel.tests.contracts.harness import PATIENCE, Gate


def controllers() -> set[psutil.Process]:
    """The controllers and schedulers of this process's clusters, found by what they run."""
    descendants = psutil.Process().children(recursive=True)
    return set(faults.controllers(set(descendants)))


@pytest.fixture
def others_controllers() -> set[psutil.Process]:
    """Those of the cluster that all tests share: not to be touched."""
    return controllers()


@pytest.fixture
def own_client(others_controllers: set[psutil.Process]) -> Iterator[ipyparallel.Client]:
    """A cluster to break."""
    with LocalCluster(2) as client:
        yield client


def test_a_dead_engine_fails_its_call_and_no_other(own_client: ipyparallel.Client, gate: Gate) -> None:
    view = own_client.load_balanced_view()
    killer = view.submit(os._exit, 1)
    others = [view.submit(calls.add, n, n) for n in range(50)]
    error = killer.exception(PATIENCE)
    assert isinstance(error, EngineDied)
    assert isinstance(error, ipyparallel.error.EngineError)
    assert "_exit" in str(error)
    outcomes = [other.exception(PATIENCE) for other in others]
    # Calls that had been sent to the dead engine may have begun: they fail too, and never run twice.
    assert all(outcome is None or isinstance(outcome, EngineDied) for outcome in outcomes)
    assert outcomes.count(None) >= len(others) - 8
    assert view.submit(calls.add, 1, 2).result(PATIENCE) == 3


def test_a_view_of_a_dead_engine_says_so(own_client: ipyparallel.Client) -> None:
    view = own_client[own_client.ids[0]]
    first = view.submit(os._exit, 1)
    waiting = [view.submit(calls.add, n, n) for n in range(10)]
    for future in [first, *waiting]:
        assert isinstance(future.exception(PATIENCE), EngineDied)
    with pytest.raises(EngineDied):
        view.submit(calls.add, 1, 2)


def test_a_dead_controller_fails_everything_outstanding(
    own_client: ipyparallel.Client, others_controllers: set[psutil.Process], gate: Gate
) -> None:
    view = own_client.load_balanced_view()
    futures = [view.submit(calls.pass_gate, gate.address, n) for n in range(6)]
    gate.wait_for_arrivals(2)
    found = controllers() - others_controllers
    assert found
    faults.send(list(found), signal.SIGKILL)
    assert concurrent.futures.wait(futures, PATIENCE).not_done == set()
    assert {type(future.exception(0)) for future in futures} == {ClusterGone}
    with pytest.raises(concurrent.futures.BrokenExecutor):
        view.submit(calls.add, 1, 2)
    view.shutdown()
    own_client.close()


def test_closing_the_client_leaves_nobody_waiting(client: ipyparallel.Client, connection_file, gate: Gate) -> None:
    other = ipyparallel.Client(str(connection_file))
    view = other.load_balanced_view()
    futures = [view.submit(calls.pass_gate, gate.address, n) for n in range(6)]
    gate.wait_for_arrivals(2)
    other.close()
    assert concurrent.futures.wait(futures, PATIENCE).not_done == set()
    assert {type(future.exception(0)) for future in futures} == {ClusterGone}
    view.shutdown()
    gate.open()
