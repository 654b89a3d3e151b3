"""What results of IPython.parallel allowed in its first versions, and ipyparallel's do no more."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ipyparallel import AsyncMapResult, AsyncResult


def wrap_getitem(original: Callable[..., Any]) -> Callable[..., Any]:
    """`AsyncResult.__getitem__` that gives what succeeded, also where another engine's part failed."""

    def __getitem__(self: AsyncResult, key: Any) -> Any:
        """Parts of the result, by index or slice, or metadata, by name. Raises what these parts raised."""
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
