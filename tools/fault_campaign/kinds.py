"""The faults: each is made to a contestant while it works, and gives what was observed."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import psutil
import workloads
from contestants import PATIENCE, Contestant, Loky, StandardPool, Stock, Views
from rounds import HUNG, Round

from IPython.parallel.tests import faults

POOLS = (StandardPool, Loky)
CLUSTERS = (Views, Stock)
ALL = (Views, Stock, StandardPool, Loky)
# Seconds within which the end of a controller is noticed.
NOTICED = 12.0


class Kind(NamedTuple):
    """A fault at a moment, and to whom it can be made; of two kinds, the heavier is chosen more often.

    The cause is what errors have to speak of, a key of `Contestant.errors`; empty where nothing may fail.
    """

    fault: str
    moment: str
    cause: str
    make: Callable[[Round], None]
    of: tuple[type[Contestant], ...] = ALL
    weight: int = 4


# -- workers


def _begin(round: Round, moment: str) -> None:
    function, count = {
        "idle": (workloads.small, 0),
        "one call": (workloads.slow, 1),
        "mid-group": (workloads.small, 400),
        "slow calls": (workloads.slow, 40),
        "sending results": (workloads.large, 6),
    }[moment]
    round.submit(function, count)
    time.sleep(round.contestant.chance.uniform(0, 0.03) if count else 0)


def signalled(moment: str, number: int) -> Callable[[Round], None]:
    def make(round: Round) -> None:
        _begin(round, moment)
        pid = round.contestant.victim(list(round.futures.values()))
        round.strike()
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        round.submit(workloads.small, 20)
        if number == signal.SIGSTOP:
            round.contestant.let_go_on(pid)
        round.wait()

    return make


def deadly(moment: str, way: str) -> Callable[[Round], None]:
    """A call among others that takes its worker along."""

    def make(round: Round) -> None:
        call = workloads.die_sending if moment == "sending results" else workloads.die
        around = {"one call": 0, "mid-group": 150, "sending results": 20}[moment]
        round.submit(workloads.small, around)
        round.submit(call, 1, way)
        round.submit(workloads.small, around)
        round.strike()
        round.wait()

    return make


def kill_all(round: Round) -> None:
    """All workers at once, in the middle of the work. Where others are started, they take what had not begun."""
    round.submit(workloads.slow, 40)
    pids = round.contestant.all_workers()
    time.sleep(round.contestant.chance.uniform(0, 0.1))
    round.strike()
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    _wait_until_gone(pids)
    round.submit(workloads.small, 20)
    round.contestant.replace_workers(len(pids))
    round.wait()


def _wait_until_gone(pids: list[int]) -> None:
    """Until each is at least a zombie, whoever is its parent."""
    for pid in pids:
        with suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
            psutil.Process(pid).wait(PATIENCE)


def unpicklable(what: str) -> Callable[[Round], None]:
    """An argument or a result among others that no pickle takes: it fails alone."""

    def make(round: Round) -> None:
        round.submit(workloads.small, 100)
        if what == "argument":
            round.submit(workloads.take, 1, threading.Lock())
        else:
            round.submit(workloads.give_lock)
        round.submit(workloads.small, 100)
        round.strike()
        round.wait()

    return make


def too_large(round: Round) -> None:
    round.submit(workloads.slow, 4)
    round.submit(workloads.too_large)
    round.submit(workloads.slow, 4)
    round.strike()
    round.wait()
    if isinstance(round.contestant, Views):
        with suppress(Exception):
            round.contestant.lift_limits()


# -- controllers


def controllers(which: str, number: int) -> Callable[[Round], None]:
    """A signal to the controller with all its schedulers, or to one of these."""

    def make(round: Round) -> None:
        contestant = round.contestant
        assert isinstance(contestant, Views)
        if number == signal.SIGKILL:  # calls that are not over when it is noticed
            round.submit(workloads.slow, contestant.workers, NOTICED)
        round.submit(workloads.slow, 60)
        time.sleep(contestant.chance.uniform(0, 0.3))
        processes = [process for process in contestant.controllers if process.is_running()]
        if which != "all":
            processes = [contestant.chance.choice(processes)]
        round.strike()
        faults.send(processes, number)
        if number == signal.SIGSTOP:
            time.sleep(contestant.chance.choice((1.0, 12.0)))
            faults.send(processes, signal.SIGCONT)
        round.wait()

    return make


# -- connections


def _ports(file: Path) -> list[int]:
    values = json.loads(file.read_text(encoding="utf-8")).values()
    numbers = [port for value in values for port in (value if isinstance(value, list) else [value])]
    return [port for port in numbers if type(port) is int]


def _connections_can_be_reset() -> bool:
    tried = subprocess.run(["ss", "-K", "dst", "127.0.0.1", "dport", "=", "9"], capture_output=True)
    return tried.returncode == 0 and os.geteuid() == 0


def reset_connections(of: str) -> Callable[[Round], None]:
    """All connections to the controller are reset: of the engines, of clients, or of both."""

    def make(round: Round) -> None:
        contestant = round.contestant
        assert isinstance(contestant, Views)
        client = contestant.cluster.connection_file
        files = [client, client.with_name(client.name.replace("-client", "-engine"))]
        chosen = {"clients": files[:1], "engines": files[1:], "all": files}[of]
        ports = sorted({port for file in chosen for port in _ports(file)})
        round.submit(workloads.small, 2000)
        round.submit(workloads.large, 8)
        time.sleep(contestant.chance.uniform(0, 0.3))
        round.strike()
        where = " or ".join(f"dport = {port}" for port in ports)
        subprocess.run(["ss", "-K", "dst", "127.0.0.1", f"( {where} )"], capture_output=True, timeout=PATIENCE)
        round.wait()

    return make


# -- the client's side


@contextmanager
def _interrupted_soon() -> Iterator[None]:
    """Ctrl-C comes within the block, to the main thread; the block ends with it."""
    pressed = threading.Event()

    def press() -> None:
        time.sleep(0.1)
        pressed.set()
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    finger = threading.Thread(target=press)
    with suppress(KeyboardInterrupt):
        finger.start()
        yield
        pressed.wait()
        time.sleep(PATIENCE)
    finger.join()


def ctrl_c_in(what: str) -> Callable[[Round], None]:
    def make(round: Round) -> None:
        round.submit(workloads.slow, 40)
        round.strike()
        with _interrupted_soon():
            if what == "result":
                for future in round.futures.values():
                    future.result()
            elif what == "map":
                list(round.contestant.map(workloads.slow, [round.path] * 40, map(str, range(1000, 1040))))
            else:
                round.contestant.shutdown()
        round.wait()
        _wait_for_trace(round, 40)

    return make


def _wait_for_trace(round: Round, lines: int) -> None:
    """Calls whose futures nobody has may still run: what they leave must not be taken for less."""
    deadline = time.monotonic() + HUNG
    while len(Path(round.path).read_text().split()) < lines and time.monotonic() < deadline:
        time.sleep(0.05)


def close_client(round: Round) -> None:
    round.submit(workloads.slow, 60)
    round.strike()
    round.contestant.close()
    round.wait()


def delete_view(round: Round) -> None:
    contestant = round.contestant
    assert isinstance(contestant, Views)
    contestant.executor = contestant.client.load_balanced_view()
    if isinstance(contestant, Stock):
        contestant.executor = contestant.executor.executor
    round.submit(workloads.small, 400)
    round.strike()
    contestant.executor = None
    gc.collect()
    contestant._use(contestant.client)
    round.wait()


_PROGRAMS = {
    "exits": "[executor.submit(workloads.small, path, str(n)) for n in range(500)]",
    "forks": """
import os
futures = [executor.submit(workloads.small, path, str(n)) for n in range(500)]
if os.fork() == 0:
    os._exit(0)
for future in futures:
    future.result()
os.wait()
""",
}
_EXECUTORS = {
    Views: "import IPython.parallel, ipyparallel; executor = ipyparallel.Client(where).load_balanced_view()",
    Stock: "import ipyparallel; executor = ipyparallel.Client(where).load_balanced_view().executor",
    StandardPool: "from concurrent.futures import ProcessPoolExecutor; executor = ProcessPoolExecutor(2)",
    Loky: "import loky; executor = loky.ProcessPoolExecutor(2)",
}


def program(what: str) -> Callable[[Round], None]:
    """An interpreter of its own that exits, or forks, with 500 calls outstanding: they are done all the same."""

    def make(round: Round) -> None:
        contestant = round.contestant
        where = str(contestant.cluster.connection_file) if isinstance(contestant, Views) else ""
        lines = [
            f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import workloads",
            "def main():",
            f"    where, path = {where!r}, {round.path!r}",
            f"    {_EXECUTORS[type(contestant)]}",
            *("    " + line for line in _PROGRAMS[what].strip().splitlines()),
            "main()",
        ]
        round.strike()
        round.observation.outstanding = 500
        begun = time.monotonic()
        # Python 3.12 and later warn of a fork of any process with threads.
        command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", "\n".join(lines)]
        with psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            try:
                _, said = process.communicate(timeout=HUNG)
                if process.returncode or said:
                    round.complain(f"status {process.returncode}: {said.decode(errors='replace')}")
            except subprocess.TimeoutExpired:
                round.observation.hung += 1
                for each in [*process.children(recursive=True), process]:
                    each.kill()
        round.observation.longest_wait = time.monotonic() - begun
        ran = Counter(Path(round.path).read_text().split())
        round.observation.lost += 500 - len(ran)

    return make


def kinds() -> list[Kind]:
    """All that can be made here."""
    made = [
        Kind(name, moment, "worker", signalled(moment, number), weight=3)
        for name, number in (("worker gets SIGKILL", signal.SIGKILL), ("worker gets SIGSTOP", signal.SIGSTOP))
        for moment in ("idle", "one call", "mid-group", "slow calls", "sending results")
    ]
    made += [
        Kind(f"worker: {way}", moment, "worker", deadly(moment, way), weight=3)
        for way in ("os._exit", "segfault")
        for moment in ("one call", "mid-group", "sending results")
    ]
    made += [
        Kind("all workers get SIGKILL", "slow calls", "worker", kill_all),
        Kind("result too large", "one call", "memory", too_large),
        *(Kind(f"{what} not picklable", "mid-group", "pickling", unpicklable(what)) for what in ("argument", "result")),
        Kind("controller gets SIGKILL", "slow calls", "controller", controllers("all", signal.SIGKILL), CLUSTERS),
        Kind("controller gets SIGSTOP", "slow calls", "controller", controllers("all", signal.SIGSTOP), CLUSTERS),
        Kind("controller, a part: SIGKILL", "slow calls", "controller", controllers("one", signal.SIGKILL), CLUSTERS),
        *(Kind(f"Ctrl-C in {what}", "slow calls", "", ctrl_c_in(what)) for what in ("result", "map", "shutdown")),
        Kind("client closed", "slow calls", "closed", close_client),
        Kind("view deleted", "mid-group", "", delete_view, CLUSTERS),
        Kind("interpreter exits", "mid-group", "", program("exits"), weight=2),
        Kind("interpreter forks", "mid-group", "", program("forks"), weight=2),
    ]
    if _connections_can_be_reset():
        made += [
            Kind(f"connections reset, {of}", "mid-group", "", reset_connections(of), CLUSTERS)
            for of in ("clients", "engines", "all")
        ]
    return made
