"""One round: calls that leave a trace, a fault, and the comparison of what the futures say with what ran."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

import workloads
from table import Observation

if TYPE_CHECKING:
    from contestants import Contestant

# Seconds after which a future that is not done counts as hung.
HUNG = 30.0
# What calls give for a label, and no other.
VALUES: dict[Callable[..., Any], Callable[[str], Any]] = {
    workloads.small: str,
    workloads.slow: str,
    workloads.take: str,
    workloads.large: workloads.content,
}


class Round:
    """The calls of one fault.

    Parameters
    ----------
    cause : str
        What breaks, a key of `Contestant.errors`: of what errors have to speak.
    trace : Path
        The file in which calls leave a line each.
    """

    def __init__(self, contestant: Contestant, trace: Path, fault: str, moment: str, cause: str) -> None:
        self.contestant = contestant
        self.cause = cause
        self.path = str(trace)
        trace.touch()
        self.observation = Observation(contestant.name, fault, moment)
        self.futures: dict[str, Future[Any]] = {}
        self._functions: dict[str, Callable[..., Any]] = {}
        self._refused: dict[str, BaseException] = {}
        self._ends: dict[Future[Any], float] = {}
        self._struck: float | None = None
        self._labels = 0

    def submit(self, function: Callable[..., Any], count: int = 1, *args: Any) -> None:
        """Submit so many calls, each with the trace's path, a label and `args`; a submit may raise."""
        for _ in range(count):
            self._labels += 1
            label = str(self._labels)
            self._functions[label] = function
            try:
                future = self.futures[label] = self.contestant.submit(function, self.path, label, *args)
            except Exception as error:
                self._refused[label] = error
                continue
            if self._struck is not None:
                self.observation.outstanding += 1
                self._note_end(future)

    def strike(self) -> None:
        """The fault is made now."""
        self._struck = time.monotonic()
        self.observation.outstanding = self._not_done()
        for future in self.futures.values():
            self._note_end(future)

    def _note_end(self, future: Future[Any]) -> None:
        future.add_done_callback(lambda future: self._ends.setdefault(future, time.monotonic()))

    def wait(self) -> None:
        """Wait for all futures, but not for ever."""
        deadline = time.monotonic() + HUNG
        # Not `concurrent.futures.wait`, which waits for ever for what the standard library's pools and stock cancel.
        while (hung := self._not_done()) and time.monotonic() < deadline:
            time.sleep(0.02)
        self.observation.hung += hung

    def _not_done(self) -> int:
        return sum(not future.done() for future in self.futures.values())

    def judge(self) -> Observation:
        """Compare with the trace. Of what hangs nothing more is known."""
        ran = Counter(Path(self.path).read_text(encoding="utf-8").split())
        for label, future in self.futures.items():
            if future.done():
                self._judge_one(label, future, ran[label])
        for label, error in self._refused.items():
            self._judge_error(label, error, ran[label])
        self.observation.twice += sum(times > 1 for times in ran.values())
        return self.observation

    def _judge_one(self, label: str, future: Future[Any], ran: int) -> None:
        seen = self.observation
        assert self._struck is not None
        # Of those that were done before the fault nobody waited.
        seconds = max(0.0, self._ends.get(future, self._struck) - self._struck)
        seen.longest_wait = max(seen.longest_wait or 0.0, seconds)
        error = _error_of(future)
        if error is None:
            if ran == 0:
                self._lose(label, "a result, but it never ran")
            self._judge_value(label, future)
        else:
            seen.error_after = max(seen.error_after or 0.0, seconds)
            self._judge_error(label, error, ran)

    def _judge_value(self, label: str, future: Future[Any]) -> None:
        value_of = VALUES.get(self._functions[label])
        if value_of is not None and future.result(0) != value_of(label):
            self.observation.wrong += 1
            self._tell("wrong", label, "its result is not its own")

    def _judge_error(self, label: str, error: BaseException, ran: int) -> None:
        if self.contestant.explains(error, self.cause):
            self.observation.failed += 1
            self.observation.unrun += ran == 0
        else:
            self.observation.wrong += 1
            self._tell("wrong", label, repr(error))

    def _lose(self, label: str, why: str) -> None:
        self.observation.lost += 1
        self._tell("lost", label, why)

    def complain(self, why: str) -> None:
        """Count what is wrong with something else than a future."""
        self.observation.wrong += 1
        self._tell("wrong", "-", why)

    def _tell(self, what: str, label: str, why: str) -> None:
        print(f"{what}: {self.observation.fault}, {self.observation.moment}, {label}: {why[:300]}", file=sys.stderr)


def _error_of(future: Future[Any]) -> BaseException | None:
    try:
        return future.exception(0)
    except BaseException as error:  # cancelled; and stock's exception() raises what others return
        return error
