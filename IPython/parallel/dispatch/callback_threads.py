"""The threads that done-callbacks run on: one at a time, and a successor where one is held up.

Callbacks run one after the other on one thread, as with the standard library's process pool. A callback that waits for
something that only a callback behind it does would keep it waiting for ever; so the thread of one that has run for long
while others wait is relieved: a successor goes on with the others, and the relieved one ends with its callback. There
are as many threads as there are callbacks that are held up, and one.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from .steady_locks import SteadyLock

# Where the standard library logs a callback that raises.
_logger = logging.getLogger("concurrent.futures")

# Seconds after which a callback is held up, if others wait. Shorter, and those that are merely slow (that write a file,
# draw a figure) would find others running beside them, which their authors had no reason to expect; longer, and those
# who wait for each other wait longer. Where n are held up already the n-th part is enough: thousands that wait for the
# last of them take seconds, not hours.
PATIENCE = 0.5

Job = Callable[[], None]


class _Worker(threading.Thread):
    """Runs jobs until it is relieved."""

    def __init__(self, threads: CallbackThreads) -> None:
        # A daemon: what a callback waits for may never come, and must not keep the interpreter from ending.
        super().__init__(name="IPython.parallel callbacks", daemon=True)
        self._threads = threads
        self.taken = 0  # jobs so far
        self.is_busy = False

    def run(self) -> None:
        threads = self._threads
        while True:
            job = threads.jobs.get()
            self.taken += 1
            self.is_busy = True
            if not threads.watching.is_set():
                threads.watching.set()
            try:
                job()
            except BaseException:  # a job logs its callbacks' errors; this would be an error of ours
                _logger.exception("running callbacks failed")
            del job
            if not threads.goes_on(self):
                return


class CallbackThreads:
    """The threads, and the jobs that wait for them.

    Parameters
    ----------
    pause : callable, optional
        Waits for so many seconds. Tests pass one of their own, to say when the time is up.

    Notes
    -----
    Any thread may call; only `drain` blocks.
    """

    def __init__(self, pause: Callable[[float], object] = time.sleep) -> None:
        self._pause = pause
        self.jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self.watching = threading.Event()
        self._lock = SteadyLock()  # decides between the end of a job and its thread's being relieved
        self._worker: _Worker | None = None
        self._relieved: set[_Worker] = set()

    def post(self, job: Job) -> None:
        """Run `job` after those posted before, unless these are held up."""
        self.jobs.put(job)
        try:
            self.be_ready()
        except RuntimeError:  # there can be no thread: better on this one than never
            self._run_here()

    def be_ready(self) -> None:
        """Have a thread: an interpreter that exits can start none any more, as of Python 3.12."""
        if self._worker is None or not self._worker.is_alive():
            self._start()

    def _run_here(self) -> None:
        with suppress(queue.Empty):
            while True:
                self.jobs.get_nowait()()

    def drain(self, timeout: float | None = None) -> bool:
        """Wait until what has been posted so far has run; False if `timeout` seconds were not enough."""
        if self._worker is None or runs_here():
            return True
        deadline = None if timeout is None else time.monotonic() + timeout
        begun = threading.Event()
        self.post(begun.set)
        if not begun.wait(timeout):
            return False
        with self._lock:
            held_up = list(self._relieved)
        for worker in held_up:
            worker.join(None if deadline is None else max(0.0, deadline - time.monotonic()))
        return not any(worker.is_alive() for worker in held_up)

    def goes_on(self, worker: _Worker) -> bool:
        """Whether a worker whose job is over takes another; else it has a successor. On its thread."""
        with self._lock:
            worker.is_busy = False
            if worker is self._worker:
                return True
            self._relieved.discard(worker)
            return False

    def _start(self) -> None:
        with self._lock:
            if self._worker is None:
                threading.Thread(target=self._watch, name="IPython.parallel callbacks watch", daemon=True).start()
            if self._worker is None or not self._worker.is_alive():
                self._replace_worker()

    def _replace_worker(self) -> None:
        before, self._worker = self._worker, _Worker(self)
        try:
            self._worker.start()
        except RuntimeError:
            self._worker = before
            raise

    # -- the watch, asleep while nothing runs

    def _watch(self) -> None:
        while self.watching.wait():
            worker = self._worker
            assert worker is not None
            taken = worker.taken
            self._pause(PATIENCE if self.jobs.empty() else PATIENCE / (1 + len(self._relieved)))
            with self._lock:
                if not worker.is_busy:
                    self._rest(worker)
                elif worker is self._worker and worker.taken == taken and not self.jobs.empty():
                    self._relieve(worker)

    def _rest(self, worker: _Worker) -> None:
        self.watching.clear()
        if worker.is_busy:  # it may have found this set before, and now counts on being watched
            self.watching.set()

    def _relieve(self, worker: _Worker) -> None:
        with suppress(RuntimeError):  # no more threads: the next time, perhaps
            self._replace_worker()
            self._relieved.add(worker)


def runs_here() -> bool:
    """Whether this thread is one that callbacks run on."""
    return isinstance(threading.current_thread(), _Worker)
