"""What a view needs to be an executor: its lines of waiting calls, and its results that have messages of their own."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import weakref
from collections.abc import Iterable
from concurrent.futures import Future
from typing import Any

from ipyparallel import BroadcastView, DirectView, LoadBalancedView
from ipyparallel.client.view import View

from .call_pickling import CLIENT
from .dispatch import callbacks
from .dispatch.lines import Line
from .dispatch.steady_locks import LastingLock
from .errors import EngineDied, ExecutorShutdown

# Flags of a load-balanced view that are about one message, and the scheduler's affair.
_OWN_MESSAGE_FLAGS = ("after", "follow", "targets", "timeout", "track")


class ViewState:
    """The executor's side of one view. Any thread.

    Parameters
    ----------
    balanced : Line, optional
        Where calls wait that may run on any engine.
    """

    def __init__(self, balanced: Line | None = None) -> None:
        self.balanced = balanced or Line(CLIENT)
        self._pinned: dict[str | frozenset[str], Line] = {}
        self._results: weakref.WeakSet[Any] = weakref.WeakSet()
        self._lock = LastingLock()
        # Held while a message of the view's own is sent, from the check on: a shutdown comes before or after it.
        # Nothing that Python does as a lock is taken or given back, where Ctrl-C could come.
        self.sending = LastingLock()
        self._line: Line | None = None  # where calls wait, as long as no flag changes
        self._observing = False
        self.retries = 0  # of calls in that line
        self.closed = False

    def line(self, view: View) -> Line | None:
        """The line in which a call of `view` waits now; None if it is a message of its own.

        Raises
        ------
        EngineDied
            For a view of one engine, if that engine is gone.
        """
        if self._line is not None:
            return self._line
        if isinstance(view, LoadBalancedView):
            return self._balanced_line(view)
        if isinstance(view, DirectView) and not isinstance(view, BroadcastView) and isinstance(view.targets, int):
            return None if view.track else self.pinned(_engine_of(view))
        return None

    def _balanced_line(self, view: LoadBalancedView) -> Line | None:
        if not self._observing:
            # First, so that no change is missed. Asking six traits at every call would cost as much as all else.
            view.observe(self._forget_line, names=[*_OWN_MESSAGE_FLAGS, "retries"])
            self._observing = True
        if any(getattr(view, flag) for flag in _OWN_MESSAGE_FLAGS):
            return None
        self.retries = view.retries
        self._line = self.balanced
        return self._line

    def _forget_line(self, change: Any) -> None:
        self._line = None

    def pinned(self, engines: str | frozenset[str]) -> Line:
        """Where calls wait that must run on one engine, or on one of some."""
        with self._lock:
            line = self._pinned.setdefault(engines, Line(CLIENT, only=engines))
            line.closed = line.closed or self.closed  # it may have been made by a submit that a shutdown overtook
            return line

    def lines(self) -> list[Line]:
        with self._lock:
            return [self.balanced, *self._pinned.values()]

    def check(self) -> None:
        """Raise ExecutorShutdown if the view takes no more work."""
        if self.closed:
            raise ExecutorShutdown()

    def close(self) -> None:
        """Take no more work; what is being sent is under way when this returns."""
        with self.sending, self._lock:
            self.closed = True
            for line in (self.balanced, *self._pinned.values()):
                line.closed = True

    def note(self, results: Iterable[Future[Any]]) -> None:
        """Remember results of messages until they are over: they live as long as that."""
        with self._lock:
            self._results.update(results)

    def under_way(self) -> list[Any]:
        """The results of messages that are not over, or have callbacks that are still to run."""
        with self._lock:
            results = list(self._results)
        return [result for result in results if not callbacks.is_over(result)]


def state_of(view: View) -> ViewState:
    """The view's state, made when first asked for."""
    state: ViewState | None = view.__dict__.get("_executor_state")
    return view.__dict__.setdefault("_executor_state", ViewState()) if state is None else state


def line_for(view: View) -> Line | None:
    """The line in which a call of `view` waits now; see `ViewState.line`."""
    return state_of(view).line(view)


def _engine_of(view: DirectView) -> str:
    try:
        (engine,), _ = view.client._build_targets(view.targets)
    except IndexError:
        raise EngineDied(view.targets) from None
    return str(engine.decode())
