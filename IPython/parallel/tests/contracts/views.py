"""The kinds of views, by the way that their calls go."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipyparallel

from IPython.parallel.tests.contracts.harness import PATIENCE


def flagged(view: Any) -> Any:
    """A view with a flag that gives each call a message of its own."""
    view.set_flags(timeout=3 * PATIENCE)
    return view


VIEWS: dict[str, Callable[[ipyparallel.Client], Any]] = {
    "balanced": lambda client: client.load_balanced_view(),
    "balanced, with a flag": lambda client: flagged(client.load_balanced_view()),
    "one engine": lambda client: client[client.ids[0]],
    "one engine, in a list": lambda client: client[client.ids[:1]],
    "several engines": lambda client: client[:],
    "broadcast": lambda client: client.broadcast_view(),
}
