"""What stands behind a pool that runs its calls on a cluster, and the view it gets of it."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import wait as wait_for
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..engine_room import room_of
from ..executor_mixin import configure_pool
from ..view_state import state_of

if TYPE_CHECKING:
    from ipyparallel import Client, LoadBalancedView

__all__ = ["Backing", "abandon_running", "interrupt_until_over", "open_view"]

# Seconds to wait for calls before they are interrupted, and again, and before they are left alone.
# An engine that is interrupted as a short call begins or ends may lose its message: those have the
# time to end by themselves.
INTERRUPT_PATIENCE = (0.3, 0.5, 1.0)


# Seconds from one Ctrl-C's interrupt to the next, each twice the one before up to the longest: a
# call that tidies up is to have the time for it.
INTERRUPT_AGAIN, LONGEST_AGAIN = 0.5, 8.0


def _ignore_space(space: str) -> None:
    pass


def _not_interrupted() -> bool:
    return False


@dataclass(frozen=True)
class Backing:
    """What stands behind the pools.

    Attributes
    ----------
    client : ipyparallel.Client
        Connected to the cluster that does the work.
    on_output : callable, optional
        ``on_output(stream, text)`` gets what calls print, on a background thread; `stream` is
        "stdout" or "stderr".
    on_submit : callable, optional
        ``on_submit(number)`` hears of calls right after their submission, on the submitting thread.
    on_over : callable, optional
        ``on_over(futures)`` hears of calls that have ended, however they did, on the callbacks' thread.
    before_pool : callable
        Called when a pool gets its view, with the name of its namespaces, before any work leaves:
        engines are then brought to what workers forked at this moment would see.
    interrupt : callable
        Raises KeyboardInterrupt in the calls that are running on the cluster, and returns True; or
        does nothing, where others use the engines too, and returns False.
    engines_are_ours : bool
        Whether the engines were started for this program: those that die are not replaced while a
        pool is open.
    fixed_globals : bool
        Whether pools keep the program's globals as they are when they first need them.
    """

    client: Client
    on_output: Callable[[str, str], None] | None = None
    on_submit: Callable[[int], None] | None = None
    on_over: Callable[[Sequence[Any]], None] | None = None
    before_pool: Callable[[str], None] = _ignore_space
    interrupt: Callable[[], bool] = _not_interrupted
    engines_are_ours: bool = False
    fixed_globals: bool = False


def open_view(
    backing: Backing,
    max_workers: int | None,
    initializer: Callable[..., object] | None,
    initargs: tuple[Any, ...],
    lifetime: int | None = None,
    processes: bool = True,
) -> LoadBalancedView:
    """A view for one pool: engines see what workers started now would see.

    Raises
    ------
    Exception
        Whatever pickling `initializer` and `initargs` raises.
    """
    view = backing.client.load_balanced_view()
    try:
        space = configure_pool(
            view,
            max_workers=max_workers,
            initializer=initializer,
            initargs=initargs,
            lifetime=lifetime,
            fixed_globals=backing.fixed_globals and processes,
            on_output=backing.on_output,
            on_submit=backing.on_submit,
            on_over=backing.on_over,
            fails_without_engines=backing.engines_are_ours,
        )
    except Exception as error:
        error.add_note(
            "An initializer and its arguments travel to the engines. Locks and queues that only children can "
            "inherit don't, unless `python -m IPython.parallel` starts the engines; those of a "
            "multiprocessing.Manager do."
        )
        raise
    backing.before_pool(space)
    return view


def abandon_running(
    backing: Backing, views: Collection[LoadBalancedView], error: Callable[[], Exception]
) -> None:
    """End what `views`, which are shut down, have running: its calls fail with what `error` makes.

    They are interrupted where the engines are this program's own and run nothing of other views,
    and may go on elsewhere. Takes a few seconds at most. Any thread, that of callbacks included.
    """
    _interrupt(backing, views, error)
    dispatcher = room_of(backing.client).dispatcher
    for view in views:
        dispatcher.abandon(state_of(view).balanced, error)


def interrupt_until_over(backing: Backing, view: LoadBalancedView) -> bool:
    """Interrupt the calls of `view`, which is shut down, until they are over.

    A call that has left but not begun when its engine is interrupted does not hear of it: so once is
    not enough.

    Returns
    -------
    bool
        False, at once, where interrupting is not for this program to do.
    """
    pause = INTERRUPT_AGAIN
    while backing.interrupt():
        calls = _calls_with(backing.client, view.outstanding)
        if not wait_for(calls, pause).not_done:
            return True
        pause = min(2 * pause, LONGEST_AGAIN)
    return False


def _interrupt(
    backing: Backing, views: Collection[LoadBalancedView], error: Callable[[], Exception]
) -> None:
    client = backing.client
    for patience in INTERRUPT_PATIENCE:
        outstanding = {msg_id for view in views for msg_id in tuple(view.outstanding)}
        mine = _calls_with(client, outstanding)
        others = _calls_with(client, client.outstanding - outstanding)
        if not mine or others or not backing.engines_are_ours:
            return
        for call in mine:
            call._ended_by = error
        if not wait_for(mine, patience).not_done or not backing.interrupt():
            return
    wait_for(mine, INTERRUPT_PATIENCE[-1])


def _calls_with(client: Client, msg_ids: Iterable[str]) -> list[Any]:
    """The calls with these ids; others are those of the messages that they travel in."""
    result_of = room_of(client).result_of
    return [call for call in map(result_of, tuple(msg_ids)) if call is not None]
