"""reactivex: observables of futures."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

from typing import Any

import pytest

from IPython.parallel.tests.consumers import needed
from IPython.parallel.tests.contracts import calls

reactivex = needed("reactivex")
operators = needed("reactivex.operators")


def test_from_future(executor: Any) -> None:
    offset = 10
    results = reactivex.from_iterable(range(5)).pipe(
        operators.flat_map(lambda n: reactivex.from_future(executor.submit(lambda: n + offset))),
        operators.to_list(),
    )
    assert sorted(results.run()) == [10, 11, 12, 13, 14]


def test_errors_keep_their_type(executor: Any) -> None:
    failing = reactivex.from_future(executor.submit(calls.raise_error, calls.CustomError("broken", 3)))
    with pytest.raises(calls.CustomError):
        failing.run()
