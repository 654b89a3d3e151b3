"""What results of IPython.parallel allowed in its first versions, and ipyparallel's do no more."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from ipyparallel import AsyncMapResult, AsyncResult

# Seconds the client's own thread has to hand over a message. Asking waits for that only, not for the network.
HANDED_OVER_WITHIN = 5.0


def wrap_getitem(original: Callable[..., Any]) -> Callable[..., Any]:
    """`AsyncResult.__getitem__` that gives what succeeded, also where another engine's part failed."""

    def __getitem__(self: AsyncResult, key: Any) -> Any:
        """Parts of the result, by index or slice, or metadata, by name.

        Parameters
        ----------
        key : int, slice or str

        Raises
        ------
        Exception
            What these parts raised; a CompositeError of several.

        Notes
        -----
        Any thread. Source: IPython 1.0, where parts that succeeded could be had beside those that failed.
        """
        if isinstance(key, str) or not _failed_in_parts(self):
            return original(self, key)
        parts = self._raw_results[key]
        if isinstance(key, slice):
            return self._collect_exceptions(parts)
        return self._collect_exceptions([parts])[0]

    return __getitem__


def _failed_in_parts(result: AsyncResult) -> bool:
    """Whether it failed, and holds a part for each engine: the parts of a map are chunks of results."""
    if result._single_result or isinstance(result, AsyncMapResult):
        return False
    return result.ready() and not result.successful()


def sent(self: AsyncResult) -> bool:
    """Whether the arguments have left, and may be changed; what has just been submitted is waited for.

    Any thread. A message used to be handed over when ``apply`` returned; now the client's own thread does it, a
    moment later, and ``ar.sent`` would be a matter of luck. Source: IPython 1.0.
    """
    tracker = self._tracker
    return tracker is not None and bool(tracker.done)


def tracker(self: AsyncResult) -> Any:
    """The `zmq.MessageTracker` of the messages, once they are handed over; None if they are not."""
    if threading.current_thread() is not self._client._io_thread:  # it would wait for itself
        self._sent_event.wait(HANDED_OVER_WITHIN)
    return self._tracker_made


def set_tracker(self: AsyncResult, tracker: Any) -> None:
    """Note the tracker; for ipyparallel's own use."""
    self._tracker_made = tracker


def pyout(self: Any) -> Any:
    """What is ``execute_result`` today. Any thread.

    Source: IPython 2.

    .. versionadded:: 0.1
    """
    return self.execute_result
