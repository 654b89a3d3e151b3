"""A process that a call forks is the caller's, and no engine: its signals and streams are those of a worker's child.

Travels to the engine by value: standard library only.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import Any

# An engine stops its event loop on the one and takes no notice of the other: a child would ignore both, and whoever
# terminates it, as multiprocessing.Pool does with its workers, would wait for ever.
_AT_START: dict[int, Any] = {signal.SIGTERM: signal.SIG_DFL, signal.SIGINT: signal.default_int_handler}


def let_go(of_ours: Callable[..., Any], streams: Callable[[], None]) -> None:
    """Let forks from now on leave the engine behind. On the engine's main thread, outside of calls.

    Parameters
    ----------
    of_ours : callable
        Our own handler of signals, which is in place while calls run; what a call has set itself stays.
    streams : callable
        Called in each child, to give it standard streams.
    """
    of_engine = (of_ours, *(signal.getsignal(number) for number in _AT_START))
    mask = threading.local()

    def before() -> None:
        # A signal that reached the child before it has its own handlers would be lost.
        mask.old = signal.pthread_sigmask(signal.SIG_BLOCK, _AT_START)

    def in_child() -> None:
        for number, handler in _AT_START.items():
            if signal.getsignal(number) in of_engine:
                signal.signal(number, handler)
        streams()
        after()

    def after() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask.old)

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=before, after_in_child=in_child, after_in_parent=after)
