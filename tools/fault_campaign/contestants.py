"""Whom the faults are made to: views of a local cluster, stock ipyparallel on the same, and pools of processes."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import inspect
import os
import pickle
import random
import signal
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import ipyparallel
import psutil
import workloads
from ipyparallel.error import EngineError, RemoteError

from IPython.parallel import patching
from IPython.parallel.connection.transport import call_on_engine
from IPython.parallel.engine_bundle import PYTHON
from IPython.parallel.errors import ClusterGone, EngineDied
from IPython.parallel.running.local_cluster import LocalCluster
from IPython.parallel.tests import faults

# Seconds for whatever is to happen without a fault.
PATIENCE = 60.0
# Seconds for which a worker of a pool, which knows no heartbeats, stands still.
STANDSTILL = 2.0
# Seconds that a view has to take work again when its controller is back.
BACK = 15.0
UNPICKLABLE = (pickle.PicklingError, TypeError, AttributeError)


class Contestant:
    """An executor, its workers, and how to have it whole again after a fault.

    Parameters
    ----------
    workers : int
    chance : random.Random
    """

    name = ""
    # What a future may fail with, by what broke; any other error is a wrong one.
    errors: dict[str, tuple[type[BaseException], ...]] = {}

    def __init__(self, workers: int, chance: random.Random) -> None:
        self.workers, self.chance = workers, chance
        self.executor: Any = None

    def submit(self, function: Callable[..., Any], *args: Any) -> Future[Any]:
        return self.executor.submit(function, *args)  # type: ignore[no-any-return]

    def map(self, function: Callable[..., Any], *iterables: Any) -> Any:
        return self.executor.map(function, *iterables)

    def shutdown(self) -> None:
        """Shut the executor down, and go on with another one, also if this is interrupted."""
        raise NotImplementedError

    def close(self) -> None:
        """Close what there is, with calls outstanding, and go on with another one."""
        raise NotImplementedError

    def explains(self, error: BaseException, cause: str) -> bool:
        """Whether the error says what broke."""
        return isinstance(error, self.errors.get(cause, ()))

    def start(self) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        raise NotImplementedError

    def renew(self) -> None:
        """Be as after `start`, whatever happened."""
        raise NotImplementedError

    def victim(self, futures: list[Future[Any]]) -> int:
        """The process of a worker, of one that has some of the calls, if that is known."""
        raise NotImplementedError

    def all_workers(self) -> list[int]:
        """The processes of all workers."""
        raise NotImplementedError

    def replace_workers(self, count: int) -> None:
        """Start so many workers for those that are gone, where that is not the executor's business."""

    def let_go_on(self, pid: int) -> None:
        """A worker that was stopped goes on, some time later."""
        raise NotImplementedError

    def lives(self) -> bool:
        """Whether it takes work and does it, if not at once: the news of a worker's end may be on the way."""
        for _ in range(3):
            try:
                error = self.submit(os.getpid).exception(PATIENCE)
            except Exception:
                return False
            if error is None:
                return True
        return False


class _Pool(Contestant):
    """Workers that are children of this process."""

    errors = {
        "worker": (BrokenProcessPool,),
        "memory": (MemoryError, BrokenProcessPool),
        "pickling": UNPICKLABLE,
        "closed": (CancelledError, BrokenProcessPool),
    }

    def start(self) -> None:
        self.executor = self._make()
        self.submit(os.getpid).result(PATIENCE)

    def _make(self) -> Executor:
        raise NotImplementedError

    def stop(self) -> None:
        for process in list((getattr(self.executor, "_processes", None) or {}).values()):
            with suppress(Exception):
                process.kill()
        self.executor.shutdown(wait=False)

    def shutdown(self) -> None:
        try:
            self.executor.shutdown(wait=True)
        finally:
            self.start()

    def close(self) -> None:
        if "cancel_futures" in inspect.signature(self.executor.shutdown).parameters:
            self.executor.shutdown(wait=False, cancel_futures=True)
        else:
            self.executor.shutdown(wait=False, kill_workers=True)
        self.start()

    def renew(self) -> None:
        if not self.lives():
            self.stop()
            self.start()

    def victim(self, futures: list[Future[Any]]) -> int:
        return self.chance.choice(self.all_workers())

    def all_workers(self) -> list[int]:
        return list(self.executor._processes)

    def let_go_on(self, pid: int) -> None:
        time.sleep(STANDSTILL)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


class StandardPool(_Pool):
    name = "ProcessPoolExecutor"

    def _make(self) -> Executor:
        return ProcessPoolExecutor(self.workers)


class Loky(_Pool):
    name = "loky"

    @property
    def errors(self) -> dict[str, tuple[type[BaseException], ...]]:  # type: ignore[override]
        from loky.process_executor import ShutdownExecutorError

        return _Pool.errors | {"closed": (CancelledError, BrokenProcessPool, ShutdownExecutorError)}

    def _make(self) -> Executor:
        """The reusable executor, which is whole again, or another one, whenever it is asked for."""
        import loky

        return loky.get_reusable_executor(self.workers, timeout=None)  # type: ignore[no-any-return]

    def stop(self) -> None:
        self.executor.shutdown(wait=True, kill_workers=True)


class Views(Contestant):
    """A load-balanced view of a local cluster."""

    name = "IPython.parallel"
    errors = {
        "worker": (EngineDied,),
        "memory": (MemoryError, EngineDied),
        "controller": (ClusterGone,),
        "pickling": UNPICKLABLE,
        "closed": (ClusterGone,),
    }

    def start(self) -> None:
        self._undo = ExitStack()
        self.cluster = LocalCluster(self.workers)
        before = faults.below_here()
        self.client = self.cluster.start()
        self.controllers = faults.controllers(faults.below_here() - before)
        self._undo.callback(self.cluster.stop, grace=0)
        self._pids: dict[str, int] = {}
        self._use(self.client)

    def _use(self, client: Any) -> None:
        self.client = client
        self.executor = client.load_balanced_view()
        self._know_engines()

    def stop(self) -> None:
        self._undo.close()

    def close(self) -> None:
        self.client.close()
        self._use(self._undo.enter_context(ipyparallel.Client(str(self.cluster.connection_file))))

    def shutdown(self) -> None:
        try:
            self.executor.shutdown(wait=True)
        finally:
            self._use(self.client)

    def renew(self) -> None:
        # Work may go on for a while when a part of the controller is gone.
        if not self.lives() or not self._has_controller():
            self.stop()
            self.start()
        if len(self.client.ids) <= self.workers // 2:
            self.replace_workers(self.workers - len(self.client.ids))
        self._know_engines()

    def lives(self) -> bool:
        """As of any; a controller that stood still is to be heard from first."""
        deadline = time.monotonic() + BACK
        while not (lives := super().lives()) and time.monotonic() < deadline and self._has_controller():
            time.sleep(0.1)
        return lives

    def _has_controller(self) -> bool:
        return all(process.is_running() and _runs(process) for process in self.controllers)

    def replace_workers(self, count: int) -> None:
        for _ in range(count):
            self._undo.enter_context(faults.another_engine(self.cluster.connection_file))
        self._wait_for_engines()

    def all_workers(self) -> list[int]:
        return [self._pids[uuid] for uuid in self.client._engines.values() if uuid in self._pids]

    def _wait_for_engines(self) -> None:
        # Not `Client.wait_for_engines`, which gives up when it hears of the end of one that was broken before.
        deadline = time.monotonic() + PATIENCE
        while len(self.client.ids) < self.workers and time.monotonic() < deadline:
            time.sleep(0.05)

    def _know_engines(self) -> None:
        for engine_id, uuid in list(self.client._engines.items()):
            if uuid not in self._pids:
                with suppress(Exception):  # it is dying
                    self._pids[uuid] = self.client[engine_id].apply_async(os.getpid).get(PATIENCE)

    def victim(self, futures: list[Future[Any]]) -> int:
        here = [uuid for uuid in self.client._engines.values() if uuid in self._pids]
        busy = set(here) & self._busy(futures)
        return self._pids[self.chance.choice(sorted(busy) or here)]

    def _busy(self, futures: list[Any]) -> set[str]:
        return {future._travel.engine for future in futures if future._travel is not None and not future.done()}

    def let_go_on(self, pid: int) -> None:
        """Once it counts as dead, let it go on, deal with all that it had been sent, and end."""
        uuid = next(uuid for uuid, known in self._pids.items() if known == pid)
        deadline = time.monotonic() + PATIENCE
        while uuid in self.client._engines.values() and time.monotonic() < deadline:
            time.sleep(0.05)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
            self._hear_from(uuid)
            os.kill(pid, signal.SIGKILL)

    def _hear_from(self, uuid: str) -> None:
        with suppress(Exception):
            call_on_engine(self.client, uuid, "open_door", "campaign", PYTHON).result(5.0)

    def lift_limits(self) -> None:
        self.client[:].apply_async(workloads.lift_limits).get(PATIENCE)


def _runs(process: psutil.Process) -> bool:
    return process.status() != psutil.STATUS_ZOMBIE  # type: ignore[no-any-return]


class Stock(Views):
    """ipyparallel without IPython.parallel: the patch is taken back for the whole process."""

    name = "stock ipyparallel"
    errors = {
        "worker": (EngineError,),
        "memory": (MemoryError, EngineError),
        "pickling": UNPICKLABLE,
        "closed": (CancelledError, OSError),
    }

    def start(self) -> None:
        patching.uninstall()
        os.environ["PYTHONPATH"] = str(Path(__file__).parent)  # functions of modules are found there, or nowhere
        super().start()
        # Not the cluster's own client, whose connections IPython.parallel watches.
        self._use(self._undo.enter_context(ipyparallel.Client(str(self.cluster.connection_file))))

    def _use(self, client: Any) -> None:
        super()._use(client)
        self.executor = self.executor.executor

    def explains(self, error: BaseException, cause: str) -> bool:
        # Its errors know the name of what was raised.
        name = error.ename if isinstance(error, RemoteError) else type(error).__name__
        return super().explains(error, cause) or name in {kind.__name__ for kind in self.errors.get(cause, ())}

    def _busy(self, futures: list[Any]) -> set[str]:
        return set()  # the scheduler knows, not the client

    def _hear_from(self, uuid: str) -> None:
        time.sleep(STANDSTILL)


CONTESTANTS = {kind.name: kind for kind in (Views, Stock, StandardPool, Loky)}
