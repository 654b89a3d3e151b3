"""A map's result as an iterator: PEP 3148's, and as ipyparallel's users know it, one that can be read again."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any


class MapIteration:
    """Mixin of results of ``map``, which are their own iterators.

    A loop that is left is gone on with by the next one, as with the standard library's. One that has read all
    in one go is not: the next begins anew, as ipyparallel has it. One thread at a time.
    """

    _iterator: Iterator[Any] | None = None
    _at_end = False
    _in_one_go = False

    def _iterate(self) -> Iterator[Any]:
        raise NotImplementedError

    def __iter__(self) -> Iterator[Any]:
        if self._iterator is None or (self._at_end and self._in_one_go):
            self._iterator, self._at_end, self._in_one_go = self._iterate(), False, True
        else:
            self._in_one_go = False
        return self

    def __next__(self) -> Any:
        if self._iterator is None:
            self._iterator = self._iterate()
        try:
            return next(self._iterator)
        except BaseException:
            self._at_end = True
            raise


def left(deadline: float | None) -> float | None:
    """Seconds until `deadline` (of `time.monotonic`), not below 0; None for none."""
    return None if deadline is None else max(0.0, deadline - time.monotonic())
