"""Calls of views whose ``after`` or ``follow`` names a call that the scheduler does not know: held until it is over."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from ipyparallel import LoadBalancedView
from ipyparallel.client.remotefunction import getname
from ipyparallel.client.view import View
from ipyparallel.error import ImpossibleDependency, TaskTimeout

from .dependencies import Condition, condition, depends_on_buffered
from .dispatch.callbacks import AtOnce
from .dispatch.dispatcher import Dispatcher
from .dispatch.lines import Task
from .engine_room import room_of
from .map_result import MapResult
from .task_result import TaskResult
from .view_state import state_of


def submit_held(
    view: View,
    function: Callable[..., Any],
    args: Any,
    kwargs: Any,
    flags: dict[str, Any],
    *,
    retries_lost: bool = False,
) -> TaskResult | None:
    """Submit a call that depends on one that the scheduler does not know; None if it does not.

    Parameters
    ----------
    flags : dict
        As ipyparallel's ``_really_apply`` takes them; where there is none, or None, the view's own counts.
    retries_lost : bool
        Whether ``retries`` are of calls lost with their engine: the scheduler's are also of calls that raised.
    """
    if not isinstance(view, LoadBalancedView):
        return None
    flags = _with_views_own(view, flags)
    retries = retries_lost and flags["retries"]
    if not (retries or depends_on_buffered(view.client, flags["after"], flags["follow"])):
        return None
    return _hold(view, function, args, kwargs, flags)


def map_held(
    view: View,
    function: Callable[..., Any],
    calls: Sequence[tuple[Any, ...]],
    label: str | None,
    result: MapResult,
) -> bool:
    """Submit the calls of a map that depend on what the scheduler does not know, or are to be retried if they are lost.

    False if they are neither.
    """
    if not isinstance(view, LoadBalancedView):
        return False
    flags = _with_views_own(view, {"label": label})
    if not (flags["retries"] or depends_on_buffered(view.client, flags["after"], flags["follow"])):
        return False
    held: list[TaskResult] = []
    try:
        for call in calls:
            held.append(_hold(view, function, call, {}, flags, result))
    except BaseException:  # Ctrl-C, say: nobody will have those
        for each in held:
            each.cancel()
        raise
    result.stand_for(held)
    return True


def _with_views_own(view: LoadBalancedView, flags: dict[str, Any]) -> dict[str, Any]:
    given = {name: value for name, value in flags.items() if value is not None}
    return {name: getattr(view, name) for name in view._flag_names} | given


def _hold(
    view: LoadBalancedView,
    function: Callable[..., Any],
    args: Any,
    kwargs: Any,
    flags: dict[str, Any],
    parent: MapResult | None = None,
) -> TaskResult:
    room, loop, targets = room_of(view.client), view.client._io_loop, flags["targets"]
    allowed = None if targets is None else frozenset(ident.decode() for ident in view.client._build_targets(targets)[0])
    conditions = tuple(condition(room, flags[name]) for name in ("after", "follow"))
    name, label, retries = getname(function), flags["label"], flags["retries"]
    result = room.submit_held(view, function, args, kwargs, name=name, label=label, retries=retries, parent=parent)
    if (task := result._task) is not None:
        try:
            state_of(view).note([result])
            held = HeldCall(room.dispatcher, task, conditions, allowed)
            held.watch()
            if flags["timeout"]:
                loop.add_callback(loop.call_later, flags["timeout"], held.expire)
        except BaseException as error:  # Ctrl-C, say: nobody may hold it, so nobody shall wait for it
            room.dispatcher.refuse(task, error)
            raise
    return result


class HeldCall:
    """A task that waits for what it depends on. Decides on the dispatcher's thread, once.

    Parameters
    ----------
    dispatcher : Dispatcher
        Holds the task.
    task : Task
    conditions : tuple of Condition
        ``after`` and ``follow``.
    allowed : set of str or None
        The engines the task may run on, apart from what it follows.
    """

    def __init__(
        self, dispatcher: Dispatcher, task: Task, conditions: tuple[Condition, ...], allowed: frozenset[str] | None
    ) -> None:
        self._dispatcher = dispatcher
        self._task: Task | None = task
        self._held = task
        self._conditions = conditions
        self._allowed = allowed

    def watch(self) -> None:
        """Hear of the end of all calls it depends on."""
        for each in self._conditions:
            for call in each.calls:
                call.add_done_callback(AtOnce(self._hearer(each)))
        self._dispatcher.soon(self._decide)  # it may depend on none: a map of nothing

    def expire(self) -> None:
        """The time of the view's ``timeout`` flag is up, for calls to begin. Any thread."""
        self._dispatcher.soon(self._give_up)

    def _give_up(self) -> None:
        self._take()  # or it may wait in its line, and leave that when its turn comes
        self._dispatcher.refuse(self._held, TaskTimeout())

    def _hearer(self, condition: Condition) -> Callable[[Future[Any]], None]:
        def hear(call: Future[Any]) -> None:
            self._dispatcher.soon(lambda: self._note(condition, call))

        return hear

    def _note(self, condition: Condition, call: Future[Any]) -> None:
        condition.note(call)
        self._decide()

    def _decide(self) -> None:
        if self._task is None:
            return
        after, follow = self._conditions
        if after.is_impossible or follow.is_impossible:
            self._refuse(ImpossibleDependency())
        elif after.is_met and follow.is_met:
            self._go(follow.engines())

    def _go(self, engines: frozenset[str] | None) -> None:
        if self._allowed is not None:
            engines = frozenset(self._allowed if engines is None else engines & self._allowed)
        if engines is not None and not engines:
            self._refuse(ImpossibleDependency())
        elif (task := self._take()) is not None:
            task.line.use_only(engines)
            self._dispatcher.let_go(task)

    def _refuse(self, error: Exception) -> None:
        if (task := self._take()) is not None:
            self._dispatcher.refuse(task, error)

    def _take(self) -> Task | None:
        task, self._task, self._conditions = self._task, None, ()
        return task


def wrap_balanced_apply(original: Callable[..., Any]) -> Callable[..., Any]:
    """`LoadBalancedView._really_apply` that holds back calls whose dependencies the scheduler cannot know."""

    def _really_apply(self: LoadBalancedView, f: Any, args: Any = None, kwargs: Any = None, **flags: Any) -> Any:
        held = submit_held(self, f, args or (), kwargs or {}, flags) if callable(f) else None
        if held is None:
            return original(self, f, args, kwargs, **flags)
        block = self.block if flags.get("block") is None else flags["block"]
        return held.get() if block else held

    return _really_apply
