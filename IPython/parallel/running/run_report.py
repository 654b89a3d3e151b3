"""What a run on a cluster tells its user: a progress bar, what calls print, and the closing line."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager, suppress
from typing import Any, Protocol, TextIO

from tqdm import tqdm

from ..dispatch.steady_locks import LastingLock, SteadyCondition

__all__ = ["Screen", "Tally"]


class Tally:
    """Counts calls and the time engines spent on them, as their futures settle.

    Futures are not kept, so counting millions of them takes no memory. `watch` may be called from any thread.

    Parameters
    ----------
    screen : Screen
        Told of every change.
    """

    def __init__(self, screen: Screen) -> None:
        self.calls = 0
        self.settled = 0
        self.failures = 0
        self.engine_seconds = 0.0
        self._started = time.perf_counter()
        self._screen = screen
        self._changed = SteadyCondition()

    def __repr__(self) -> str:
        return f"<Tally {self.settled} of {self.calls} settled, {self.failures} failed>"

    def submitted(self, number: int) -> None:
        """Count so many new calls, of which some may be over already."""
        with self._changed:
            self.calls += number
        self._screen.progress(self.settled, self.calls)

    def over(self, futures: Sequence[Future[Any]]) -> None:
        """Count these calls' outcomes."""
        outcomes = [_outcome(future) for future in futures]
        with self._changed:
            self.settled += sum(map(calls_in, futures))
            self.failures += sum(failures for failures, _ in outcomes)
            self.engine_seconds += sum(seconds for _, seconds in outcomes)
            if self.settled >= self.calls:
                self._changed.notify_all()
        self._screen.progress(self.settled, self.calls)

    def wait_until_settled(self, timeout: float) -> bool:
        """Wait at most `timeout` seconds until every call has been counted; whether it has."""
        with self._changed:
            return self._changed.wait_for(lambda: self.settled >= self.calls, timeout)

    def closing_line(self, engines: int) -> str:
        """One line for the end of the run. Speed-up is engine time over the wall time of the whole program."""
        wall = time.perf_counter() - self._started
        return (
            f"IPython.parallel: {self.calls:,} {_plural(self.calls, 'call')}, {self.failures:,} failed; "
            f"{wall:.2f} s wall time, {self.engine_seconds:.2f} s engine time, "
            f"speed-up {self.engine_seconds / wall:.2f} on {engines} {_plural(engines, 'engine')}"
        )


class _Timed(Protocol):
    serial_time: float


def calls_in(future: Future[Any]) -> int:
    """How many of the program's calls a future is: one, or a chunk of a ``multiprocessing.Pool``'s."""
    return _chunk_size(future) or 1


def _chunk_size(future: Future[Any]) -> int | None:
    return getattr(future, "chunk_size", None)


def _outcome(future: Future[Any]) -> tuple[int, float]:
    """(how many calls failed, seconds they took on their engine) of a settled future."""
    try:
        failed = future.exception(0) is not None
    except CancelledError:
        return 0, 0.0
    failures = calls_in(future) if failed else _failures_within(future)
    timed: _Timed = future  # type: ignore[assignment]
    try:
        return failures, timed.serial_time
    except Exception:
        # A call that never ran, or whose engine died, has no times.
        return failures, 0.0


def _failures_within(future: Future[Any]) -> int:
    if _chunk_size(future) is None:
        return 0
    _, errors = future.result()
    return len(errors)


def _plural(count: int, noun: str) -> str:
    return noun if count == 1 else noun + "s"


class _Bar(tqdm):
    # tqdm would redraw from a thread of its own, in the middle of a line that the program has begun.
    monitor_interval = 0


class Screen:
    """Shares the terminal between a progress bar and what the program and its calls write.

    There is a bar only where standard error is a terminal, and from the first call on. While there is one, standard
    output and error are wrapped where they are terminals too: the bar goes away for each write and comes back when the
    program is at the start of a line again. All methods may be called from any thread.

    Parameters
    ----------
    bar : bool
        Whether to draw a bar where that is possible.
    """

    def __init__(self, bar: bool) -> None:
        self._wanted = bar and _is_terminal(sys.stderr)
        self._bar: _Bar | None = None
        self._lock = LastingLock()
        self._at_line_start = True
        self._done = 0

    def progress(self, done: int, total: int) -> None:
        """Show that `done` of `total` calls have settled."""
        if not self._wanted:
            return
        try:
            self._update_bar(done, total)
        except (OSError, ValueError):  # the terminal is gone, or the program has closed the stream
            self._wanted = False

    def _update_bar(self, done: int, total: int) -> None:
        with self._lock:
            bar = self._bar or self._show_bar(total)
            bar.total = max(total, bar.total)
            self._done = max(done, self._done)
            if self._at_line_start:
                bar.update(self._done - bar.n)

    def write(self, stream: str, text: str) -> None:
        """Write what a call printed to this process's own "stdout" or "stderr", whatever the program has put there."""
        target = sys.__stdout__ if stream == "stdout" else sys.__stderr__
        # Nobody may be reading any more (`| head`), or the program has closed the stream.
        with suppress(OSError, ValueError):
            if target is not None:
                self.write_to(target, text)

    def write_to(self, target: TextIO, text: str) -> int:
        """Write to a stream, which may be the terminal that the bar is on; flushes it."""
        with self._lock, self._bar_away(target, text):
            written = _write(target, text)
            target.flush()
            return written

    @contextmanager
    def _bar_away(self, target: TextIO, text: str) -> Iterator[None]:
        if self._bar is None or not text or not _is_terminal(target):
            yield
            return
        if self._at_line_start:
            self._bar.clear()
        yield
        self._at_line_start = text.endswith("\n")
        if self._at_line_start:
            self._bar.n = self._done
            self._bar.refresh()

    def _show_bar(self, total: int) -> _Bar:
        bar = self._bar = _Bar(total=total, file=sys.__stderr__, unit="call", leave=False, **_size(sys.__stderr__))
        if _is_terminal(sys.stdout):
            sys.stdout = _Shared(sys.stdout, self)
        sys.stderr = _Shared(sys.stderr, self)
        return bar

    def close(self) -> None:
        """Take the bar away for good."""
        self._wanted = False
        with self._lock:
            if self._bar is not None:
                with suppress(OSError, ValueError):  # the terminal is gone
                    self._bar.close()
                self._bar = None
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if isinstance(stream, _Shared):
                setattr(sys, name, stream.stream)


class _Shared:
    """The program's standard output or error while a bar is on the same terminal."""

    def __init__(self, stream: TextIO, screen: Screen) -> None:
        self.stream = stream
        self._screen = screen

    def write(self, text: str) -> int:
        return self._screen.write_to(self.stream, text)

    def writelines(self, lines: Iterable[str]) -> None:
        self.write("".join(lines))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def _write(target: TextIO, text: str) -> int:
    """Write text; the bytes that a call has written beside text are in it as surrogate escapes."""
    try:
        return target.write(text)
    except UnicodeEncodeError:
        target.flush()
        return target.buffer.write(text.encode(target.encoding, "surrogateescape"))


def _size(terminal: TextIO | None) -> dict[str, Any]:
    """What tells tqdm to follow a terminal's size; of one that does not know its own, what terminals had once.

    tqdm takes no columns for no room, and shows nothing.
    """
    try:
        known = terminal is not None and os.get_terminal_size(terminal.fileno()).columns > 0
    except (OSError, ValueError):
        known = False
    return {"dynamic_ncols": True} if known else {"ncols": 80, "nrows": 24}


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # closed
        return False
