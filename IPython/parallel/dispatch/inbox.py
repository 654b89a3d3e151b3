"""How news come to the dispatcher: what others call, and the thread that takes out of the inbox what they put in.

Who calls must not be kept waiting, and what they hold must not keep the dispatcher alive.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import queue
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from .groups import Group
from .lines import Task
from .wire import PLAIN, HadBegun, Lost, Report

# Reports of up to that many calls may be handled on the thread that receives them.
_FEW = 4
# News of no group, and of one whose engine is gone.
ENGINES, DOUBT, LOOK, GONE = "engines", "doubt", "look", "gone"


class _Dispatcher(Protocol):
    """What is asked of the dispatcher. On its own thread, or, if said so, on the receiving one."""

    def is_served_here(self) -> bool: ...
    def hear_safely(self, group: Group | None, news: Any) -> None: ...
    def divide(self, engine: str, groups: list[Group], begun: HadBegun | None) -> None: ...


def putter(inbox: queue.SimpleQueue[Any]) -> Callable[..., None]:
    """What the transport calls when engines come and go: it must neither block nor keep the dispatcher alive."""
    return lambda *mark: inbox.put((None, *mark) if mark else (None, ENGINES))


def leaver_out(inbox: queue.SimpleQueue[Any]) -> Callable[[Task], None]:
    """What the schedule calls with the lock held, when a task that nobody wants came back: it is cancelled later."""
    return lambda task: inbox.put((None, task.future.cancel))


def doubter(inbox: queue.SimpleQueue[Any]) -> Callable[[bool], None]:
    """What the transport calls when reports may be lost: it must neither block nor keep the dispatcher alive."""
    return lambda certain: inbox.put((None, DOUBT if certain else LOOK))


def teller(
    dispatcher_ref: weakref.ref[_Dispatcher], inbox: queue.SimpleQueue[Any], engine: str, groups: list[Group]
) -> Callable[[HadBegun | None], None]:
    """What the transport calls when it knows what an engine had begun: it must not block, or keep anything alive."""

    def divide(begun: HadBegun | None) -> None:
        dispatcher = dispatcher_ref()
        if dispatcher is not None:
            dispatcher.divide(engine, groups, begun)

    return lambda begun: inbox.put((None, lambda: divide(begun)))


def hearer(
    dispatcher_ref: weakref.ref[_Dispatcher], inbox: queue.SimpleQueue[Any], group: Group
) -> Callable[[Report | Lost], None]:
    """What the transport calls with reports of `group`: it must neither block nor keep the dispatcher alive.

    Handing a report to the dispatcher's thread costs more than a small call. What nobody's code is needed for is done
    on the thread that calls, if nothing waits that came before.
    """

    def hear(news: Report | Lost) -> None:
        dispatcher = dispatcher_ref() if inbox.empty() and _is_light(news) else None
        if dispatcher is None:
            inbox.put((group, news))
        else:
            dispatcher.hear_safely(group, news)

    return hear


def _is_light(news: Report | Lost) -> bool:
    """Whether a report is of a few calls whose outcomes are plain values: nothing to unpickle, print or raise."""
    return (
        isinstance(news, Report)
        and len(news.outcomes) <= _FEW
        and not news.returned
        and all(outcome.status == PLAIN and outcome.output is None for outcome in news.outcomes)
    )


def always(error: BaseException) -> Callable[[str], BaseException]:
    return lambda call: error


def serve(inbox: queue.SimpleQueue[Any], dispatcher_ref: weakref.ref[_Dispatcher]) -> None:
    """The dispatcher's thread; it ends with the dispatcher."""
    if (served := dispatcher_ref()) is None or not served.is_served_here():
        return
    del served
    while (item := inbox.get()) is not None:
        dispatcher = dispatcher_ref()
        if dispatcher is None:
            return
        dispatcher.hear_safely(*item)
        del dispatcher, item
    with suppress(queue.Empty):
        while True:
            inbox.get_nowait()  # nobody hears of it any more, and it may hold memory
