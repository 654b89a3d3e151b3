"""The contestants' processes, seen from the benchmark: start, ask, end."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from multiprocessing import Pipe
from pathlib import Path
from types import TracebackType
from typing import Any, Self

HERE = Path(__file__).parent
# Seconds without an answer after which a contestant is given up.
PATIENCE = 900.0


class PeerFailed(Exception):
    """A contestant could not be started, or did not answer; the message ends with what it said last."""


class Peer:
    """One executor in a process of its own, so that no two disturb each other, and stock stays unpatched.

    Parameters
    ----------
    name : str
        A key of `contestants.EVERYBODY`.
    workers : int
    """

    def __init__(self, name: str, workers: int) -> None:
        self.name = name
        self._workers = workers
        self._pipe, theirs = Pipe()
        self._said = tempfile.TemporaryFile()
        command = [sys.executable, str(HERE / "peer_process.py"), name, str(workers), str(theirs.fileno())]
        self._process = subprocess.Popen(
            command,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=self._said,
            stderr=self._said,
            env=_environment(),
            start_new_session=True,  # Ctrl-C is for the benchmark, which then lets all end in order
        )
        theirs.close()

    def __enter__(self) -> Self:
        try:
            self._answer(60.0 + 2.0 * self._workers)
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.end()

    def ask(self, measure: str, size: dict[str, Any]) -> dict[str, float]:
        """Let it run a measure, and wait for the figures."""
        self._pipe.send((measure, size))
        figures: dict[str, float] = self._answer(PATIENCE)
        return figures

    def _answer(self, patience: float) -> Any:
        while not self._pipe.poll(0.2):
            patience -= 0.2
            if self._process.poll() is not None or patience < 0:
                raise PeerFailed(f"{self.name}: {self._last_words()}")
        try:
            return self._pipe.recv()
        except EOFError:
            raise PeerFailed(f"{self.name}: {self._last_words()}") from None

    def _last_words(self) -> str:
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it did not answer and said nothing"

    def end(self) -> None:
        """Close the pipe and let it end its executor; what does not end is killed."""
        self._pipe.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._said.close()


def _environment() -> dict[str, str]:
    """Workers of all kinds find the calls by their module's name, and MPI its own programs beside Python."""
    modules = [str(HERE), os.environ.get("PYTHONPATH", "")]
    programs = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, modules)), "PATH": os.pathsep.join(programs)}
