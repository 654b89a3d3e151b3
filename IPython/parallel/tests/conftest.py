"""Fixtures of all tests: one cluster of two engines, gates and traces, checks for what a test leaves behind."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

# Before anything imports them: their assert statements are to explain themselves too.
pytest.register_assert_rewrite("IPython.parallel.tests.contracts")

from IPython.parallel.tests import leaks  # noqa: E402
from IPython.parallel.tests.contracts.harness import Gate, Trace  # noqa: E402

if TYPE_CHECKING:
    from ipyparallel import Client

    from IPython.parallel.running.local_cluster import LocalCluster

ENGINES = 2
# Seconds for one test where the configuration says nothing: `pytest --pyargs` does not read our pyproject.toml.
DEFAULT_TIMEOUT = 60.0
HERE = Path(__file__).parent

# What is tried is the same in each run, and a machine that stalls makes none fail: tools/fuzz.py looks for what is new.
hypothesis.settings.register_profile(
    "steady", deadline=None, derandomize=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("steady")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give each test of ours a timeout, with a dump of all stacks, if nothing else does."""
    if not config.pluginmanager.hasplugin("timeout"):
        raise pytest.UsageError("these tests need pytest-timeout: install the package with its extra [test]")
    if config._env_timeout:
        return
    for item in items:
        if item.path.is_relative_to(HERE) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(DEFAULT_TIMEOUT, method="signal"))


@pytest.fixture(scope="session", autouse=True)
def _nothing_outlives_the_session() -> Iterator[None]:
    children, connections = leaks.children(), leaks.connections()
    yield
    assert leaks.children_left(children) == []
    assert leaks.connections_left(connections) == 0


@pytest.fixture(autouse=True)
def _no_thread_outlives_its_test() -> Iterator[None]:
    before = threading.enumerate()
    yield
    assert leaks.threads_left(before) == []


@pytest.fixture(scope="session")
def cluster(_nothing_outlives_the_session: None) -> LocalCluster:
    """The cluster that all tests share; it runs from the first test on that asks for `client`."""
    from IPython.parallel.running.local_cluster import LocalCluster

    return LocalCluster(ENGINES)


@pytest.fixture(scope="session")
def client(cluster: LocalCluster) -> Iterator[Client]:
    """A client of a real cluster with two engines: leave its engines alive and clean."""
    with cluster as connected:
        yield connected


@pytest.fixture(scope="session")
def connection_file(cluster: LocalCluster, client: Client) -> Path:
    """With this file, another process connects to the shared cluster."""
    return cluster.connection_file


@pytest.fixture
def profile(cluster: LocalCluster, client: Client, tmp_path: Path) -> dict[str, str]:
    """An environment in which the default profile is that of the tests' cluster, which `client` has started."""
    security = tmp_path / "ipython" / "profile_default" / "security"
    security.mkdir(parents=True)
    shutil.copy(cluster.connection_file, security / "ipcontroller-client.json")
    return os.environ | {"IPYTHONDIR": str(tmp_path / "ipython")}


@pytest.fixture
def new_gate() -> Iterator[Callable[[], Gate]]:
    """Makes gates, and opens them all at the end so that no call stays behind one."""
    gates: list[Gate] = []

    def make() -> Gate:
        gates.append(Gate())
        return gates[-1]

    yield make
    for gate in gates:
        gate.open()


@pytest.fixture
def gate(new_gate: Callable[[], Gate]) -> Gate:
    return new_gate()


@pytest.fixture
def tracer(tmp_path: Path) -> Trace:
    return Trace(tmp_path / "trace")
