"""nevergrad: optimizers that ask several points at a time."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

from typing import Any

import pytest

from IPython.parallel.tests.consumers import needed
from IPython.parallel.tests.contracts import calls

nevergrad = needed("nevergrad")


@pytest.mark.filterwarnings("ignore:Ignoring since timer")
@pytest.mark.parametrize("batch_mode", [True, False])
def test_minimize(executor: Any, batch_mode: bool) -> None:
    offset = 0.5
    optimizer = nevergrad.optimizers.OnePlusOne(parametrization=2, budget=40, num_workers=2)
    best = optimizer.minimize(lambda x: float(sum((x - offset) ** 2)), executor=executor, batch_mode=batch_mode)
    assert optimizer.num_tell == 40
    assert best.loss == float(sum((best.value - offset) ** 2))


def test_errors_keep_their_type(executor: Any) -> None:
    def fail(x: Any) -> float:
        raise calls.CustomError("broken", 3)

    optimizer = nevergrad.optimizers.OnePlusOne(parametrization=2, budget=4, num_workers=2)
    with pytest.raises(calls.CustomError):
        optimizer.minimize(fail, executor=executor, batch_mode=False)
