"""Calls of views whose ``after`` or ``follow`` names a buffered call, on either way to submit them."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ipyparallel import LoadBalancedView
from ipyparallel.client.remotefunction import getname
from ipyparallel.client.view import View

from .dependencies import buffered_dependencies
from .engine_room import room_of
from .task_result import TaskResult
from .view_state import state_of


def submit_held(
    view: View, function: Callable[..., Any], args: Any, kwargs: Any, after: Any = None, follow: Any = None
) -> TaskResult | None:
    """Submit a call that depends on a buffered one; None if it does not.

    Parameters
    ----------
    after, follow
        As in ipyparallel; by default the view's flags.
    """
    if not isinstance(view, LoadBalancedView):
        return None
    after = view.after if after is None else after
    follow = view.follow if follow is None else follow
    until = buffered_dependencies(view, after, follow)
    if until is None:
        return None
    result = room_of(view.client).submit_held(
        view, function, args, kwargs, name=getname(function), label=view.label, until=until
    )
    state_of(view).note([result])
    return result


def wrap_balanced_apply(original: Callable[..., Any]) -> Callable[..., Any]:
    """`LoadBalancedView._really_apply` that holds back calls whose dependencies the scheduler cannot know."""

    def _really_apply(self: LoadBalancedView, f: Any, args: Any = None, kwargs: Any = None, **flags: Any) -> Any:
        held = None
        if callable(f):
            held = submit_held(self, f, args or (), kwargs or {}, flags.get("after"), flags.get("follow"))
        if held is None:
            return original(self, f, args, kwargs, **flags)
        block = self.block if flags.get("block") is None else flags["block"]
        return held.get() if block else held

    return _really_apply
