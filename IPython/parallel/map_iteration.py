"""A map's result as an iterator: ``next()`` works, and ``list()`` gives all, or what is left after ``next()``."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any


class MapIteration:
    """Mixin of results of ``map``: PEP 3148's iterator, and ipyparallel's result that can be iterated again.

    Until ``next()`` is called, each ``iter()`` begins anew, as ipyparallel's users know it. Once it has been
    called, the result is an iterator that goes on where it is, as the standard library's users know it.
    """

    _iterator: Iterator[Any] | None = None

    def _iterate(self) -> Iterator[Any]:
        raise NotImplementedError

    def __iter__(self) -> Iterator[Any]:
        return self._iterate() if self._iterator is None else self._iterator

    def __next__(self) -> Any:
        if self._iterator is None:
            self._iterator = self._iterate()
        return next(self._iterator)


def left(deadline: float | None) -> float | None:
    """Seconds until `deadline` (of `time.monotonic`), not below 0; None for none."""
    return None if deadline is None else max(0.0, deadline - time.monotonic())
