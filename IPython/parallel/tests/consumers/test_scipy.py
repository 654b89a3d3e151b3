"""scipy: `map` of a view as ``workers``."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import math
from typing import Any

import pytest

from IPython.parallel.tests.consumers import needed
from IPython.parallel.tests.contracts import calls

integrate = needed("scipy.integrate")
optimize = needed("scipy.optimize")


def test_differential_evolution_as_without_workers(executor: Any) -> None:
    centre = 0.5

    def distance(x: Any) -> float:
        return float(((x - centre) ** 2).sum())

    options: dict[str, Any] = {"bounds": [(-2, 2)] * 2, "updating": "deferred", "maxiter": 5, "rng": 1}
    found = optimize.differential_evolution(distance, workers=executor.map, **options)
    assert found.x == pytest.approx(optimize.differential_evolution(distance, **options).x)


def test_brute(executor: Any) -> None:
    found = optimize.brute(lambda x: (x[0] - 1) ** 2, ((0, 2),), Ns=5, finish=None, workers=executor.map)
    assert found == 1


def test_quad_vec(executor: Any) -> None:
    area, _ = integrate.quad_vec(lambda x: math.sin(x), 0, math.pi, workers=executor.map)
    assert area == pytest.approx(2)


def test_gradient_of_minimize(executor: Any) -> None:
    found = optimize.minimize(
        lambda x: float(((x - 1) ** 2).sum()), [0.0, 0.0], method="L-BFGS-B", options={"workers": executor.map}
    )
    assert found.x == pytest.approx([1, 1], abs=1e-4)


def test_errors_keep_their_type(executor: Any) -> None:
    def fail(x: Any) -> float:
        raise calls.CustomError("broken", 3)

    with pytest.raises(calls.CustomError):
        optimize.brute(fail, ((0, 2),), Ns=5, finish=None, workers=executor.map)
