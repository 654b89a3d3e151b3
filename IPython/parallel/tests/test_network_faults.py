"""Networks that fail: engines and controller on hosts of their own, each a network namespace made by the test.

Needs Linux, ``ip`` and ``tc`` of iproute2, and the right to make namespaces (CAP_NET_ADMIN and CAP_SYS_ADMIN).
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import concurrent.futures
import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import ipyparallel
import psutil
import pytest

from IPython.parallel.errors import ClusterGone, EngineDied
from IPython.parallel.tests import faults
from IPython.parallel.tests.contracts import calls
from IPython.parallel.tests.contracts.harness import PATIENCE, Trace

# The test's own process stays where it is, at `.1`; the bridge joins all.
CONTROLLER, ENGINES = 2, (3, 4)
NETWORK = "10.213.77"


def run(command: str) -> None:
    subprocess.run(command.split(), check=True, capture_output=True, text=True)


def why_not() -> str | None:
    """What is missing for these tests."""
    if not sys.platform.startswith("linux") or not shutil.which("ip") or not shutil.which("tc"):
        return "needs Linux with ip and tc"
    try:
        run("ip netns add ipp-try")
        run("ip netns delete ipp-try")
    except (OSError, subprocess.CalledProcessError) as error:
        return f"cannot make network namespaces: {getattr(error, 'stderr', error)}"
    return None


class Network:
    """A bridge and hosts on it, each with a link that can be cut and made bad."""

    def __init__(self, undo: ExitStack) -> None:
        self._undo = undo
        self._tag = f"{os.getpid() % 0xFFFF:04x}"
        self._bridge = f"ippb{self._tag}"
        self._made(f"ip link add {self._bridge} type bridge", f"ip link delete {self._bridge}")
        run(f"ip addr add {NETWORK}.1/24 dev {self._bridge}")
        run(f"ip link set {self._bridge} up")

    def _made(self, command: str, opposite: str) -> None:
        run(command)
        self._undo.callback(subprocess.run, opposite.split(), capture_output=True)

    def add_host(self, number: int) -> list[str]:
        """A new host; what to put before a command so that it runs there."""
        name, link = f"ipp{self._tag}-{number}", self.link(number)
        self._made(f"ip netns add {name}", f"ip netns delete {name}")
        self._made(f"ip link add {link} type veth peer name eth0 netns {name}", f"ip link delete {link}")
        run(f"ip link set {link} master {self._bridge} up")
        inside = f"ip netns exec {name} "
        for command in (f"ip addr add {NETWORK}.{number}/24 dev eth0", "ip link set eth0 up", "ip link set lo up"):
            run(inside + command)
        return inside.split()

    def link(self, number: int) -> str:
        return f"ipp{self._tag}v{number}"

    def cut(self, number: int) -> None:
        run(f"ip link set {self.link(number)} down")

    def mend(self, number: int) -> None:
        run(f"ip link set {self.link(number)} up")

    def spoil(self, number: int) -> None:
        """Let packets to a host be late and lost: at random, or else those that find a short queue full."""
        command = f"tc qdisc add dev {self.link(number)} root"
        try:
            run(f"{command} netem delay 50ms loss 5%")
        except subprocess.CalledProcessError:  # this kernel has no netem
            run(f"{command} tbf rate 2mbit burst 3000 limit 4500")

    def lost(self, number: int) -> int:
        """How many packets to a host were lost."""
        said = subprocess.run(["tc", "-s", "qdisc", "show", "dev", self.link(number)], capture_output=True, text=True)
        return sum(map(int, re.findall(r"dropped (\d+)", said.stdout)))


class Hosts:
    """A cluster with its controller and each engine on a host of its own; `client` is here."""

    def __init__(self, directory: Path, undo: ExitStack, misses: int) -> None:
        self.network = Network(undo)
        self._directory, self._undo = directory, undo
        options = [
            f"--ip={NETWORK}.{CONTROLLER}",
            f"--location={NETWORK}.{CONTROLLER}",
            f"--HeartMonitor.max_heartmonitor_misses={misses}",
        ]
        self._start(CONTROLLER, "controller", *options, "--HeartMonitor.period=500")
        file = directory / "security" / "ipcontroller-client.json"
        faults.wait_until(lambda: faults.is_written(file))
        for number in ENGINES:
            self._start(number, "engine")
        self.client = undo.enter_context(ipyparallel.Client(str(file)))
        self.client.wait_for_engines(len(ENGINES), timeout=2 * PATIENCE, interactive=False)

    def _start(self, number: int, program: str, *options: str) -> None:
        command = [*self.network.add_host(number), sys.executable, "-m", f"ipyparallel.{program}", "--log-level=50"]
        environment = os.environ | {"IPYTHONDIR": str(self._directory)}
        process = psutil.Popen(
            [*command, f"--profile-dir={self._directory}", *options],
            env=environment, start_new_session=True, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self._undo.callback(end, process)

    def number_of(self, engine_id: int) -> int:
        """On which host an engine is."""
        address = self.client[engine_id].submit(own_address, f"{NETWORK}.{CONTROLLER}").result(PATIENCE)
        return int(address.rpartition(".")[2])


def own_address(other: str) -> str:
    """The address with which this host would talk to that one."""
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((other, 9))
        return str(probe.getsockname()[0])


def end(process: psutil.Popen) -> None:
    for each in [*process.children(recursive=True), process]:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()
    process.wait()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[int], Hosts]]:
    """Starts the hosts; after so many heartbeats of half a second an engine counts as dead, for good."""
    if reason := why_not():
        pytest.skip(reason)
    with ExitStack() as undo:
        yield lambda misses: Hosts(tmp_path / "profile", undo, misses)


def test_a_link_to_the_controller_that_is_cut_and_mended(start: Callable[[int], Hosts], tracer: Trace) -> None:
    hosts = start(60)
    client = hosts.client
    view = client.load_balanced_view()
    assert view.submit(calls.add, 1, 2).result(PATIENCE) == 3
    hosts.network.cut(CONTROLLER)
    futures = [view.submit(calls.trace, tracer.path, n) for n in range(50)]
    futures.append(client[:].apply_async(calls.add, 1, 2))
    concurrent.futures.wait(futures, faults.CONTROLLER_LIMIT)
    assert {type(future.exception(0)) for future in futures} == {ClusterGone}
    with pytest.raises(ClusterGone):
        view.submit(calls.add, 1, 2)
    hosts.network.mend(CONTROLLER)
    faults.wait_until(lambda: takes_work(view))
    assert view.map_sync(calls.identity, range(200)) == list(range(200))
    assert set(Counter(tracer.lines()).values()) <= {1}


def takes_work(view: ipyparallel.LoadBalancedView) -> bool:
    try:
        return bool(view.submit(calls.add, 1, 2).result(PATIENCE) == 3)
    except ClusterGone:
        return False


def test_a_link_to_an_engine_that_is_cut(start: Callable[[int], Hosts], tracer: Trace) -> None:
    hosts = start(8)
    client = hosts.client
    view = client.load_balanced_view()
    away = client.ids[0]
    number = hosts.number_of(away)
    assert client[:].apply_sync(calls.add, 1, 2) == [3, 3]
    hosts.network.cut(number)
    held = client[away].submit(calls.trace, tracer.path, "held")
    futures = [view.submit(calls.trace, tracer.path, n) for n in range(50)]
    # By heartbeats: eight of half a second here.
    assert isinstance(held.exception(PATIENCE), EngineDied)
    outcomes = [future.exception(PATIENCE) for future in futures]
    # What had gone to that host may have begun, for all anybody here can know: it fails and does not run again.
    assert all(outcome is None or isinstance(outcome, EngineDied) for outcome in outcomes)
    assert view.submit(calls.add, 1, 2).result(PATIENCE) == 3
    hosts.network.mend(number)
    assert view.map_sync(calls.identity, range(200)) == list(range(200))
    assert set(Counter(tracer.lines()).values()) == {1}


def test_a_network_that_loses_and_delays(start: Callable[[int], Hosts], tracer: Trace) -> None:
    hosts = start(60)
    for number in (CONTROLLER, *ENGINES):
        hosts.network.spoil(number)
    view = hosts.client.load_balanced_view()
    mapped = view.map(calls.trace, [tracer.path] * 2000, range(2000))
    assert list(mapped) == list(range(2000))
    assert Counter(tracer.lines()) == {str(n): 1 for n in range(2000)}
    assert sum(hosts.network.lost(number) for number in (CONTROLLER, *ENGINES)) > 0
