"""The results of buffered calls by their ids, as long as somebody has them."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

from ipyparallel import AsyncResult

from .dispatch.steady_locks import SteadyLock

# How many ids may be of results that are gone, before they are looked for.
_SLACK = 4096


class KnownResults:
    """Like a `weakref.WeakValueDictionary`, but adding and losing a result costs next to nothing. Any thread."""

    def __init__(self) -> None:
        self._refs: dict[str, weakref.ref[AsyncResult]] = {}
        self._adding = SteadyLock()
        self._limit = _SLACK

    def add(self, results: Iterable[Any]) -> None:
        added = [(result._msg_id, weakref.ref(result)) for result in results]
        with self._adding:
            self._refs.update(added)
            if len(self._refs) > self._limit:
                self._refs = {msg_id: ref for msg_id, ref in self._refs.items() if ref() is not None}
                self._limit = 2 * len(self._refs) + _SLACK

    def get(self, msg_id: Any, default: Any = None) -> Any:
        ref = self._refs.get(msg_id)
        result = None if ref is None else ref()
        return default if result is None else result
