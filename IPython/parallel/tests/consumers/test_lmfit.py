"""lmfit: a view as the pool of its samplers, `map` of a view as the workers of its minimizers."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

from typing import Any

import pytest

from IPython.parallel.tests.consumers import needed
from IPython.parallel.tests.contracts import calls

lmfit = needed("lmfit")
numpy = needed("numpy")
needed("emcee")

X = numpy.linspace(0, 1, 20)
SLOPE = 2.0


def minimizer(residual: Any) -> Any:
    parameters = lmfit.Parameters()
    parameters.add("slope", 1, min=0, max=4)
    parameters["slope"].brute_step = 1
    return lmfit.Minimizer(residual, parameters, fcn_args=(X,))


@pytest.fixture
def residual() -> Any:
    def residual(parameters: Any, x: Any) -> Any:
        return parameters["slope"] * x - SLOPE * x

    return residual


@pytest.mark.filterwarnings("ignore")
def test_emcee(executor: Any, residual: Any) -> None:
    options = {"steps": 10, "nwalkers": 10, "progress": False, "is_weighted": True, "seed": 1}
    found = minimizer(residual).minimize(method="emcee", workers=executor, **options)
    alone = minimizer(residual).minimize(method="emcee", **options)
    assert (found.chain == alone.chain).all()


def test_brute(executor: Any, residual: Any) -> None:
    found = minimizer(residual).minimize(method="brute", workers=executor.map)
    assert found.params["slope"].value == SLOPE


def test_differential_evolution(executor: Any, residual: Any) -> None:
    options = {"workers": executor.map, "updating": "deferred", "seed": 1, "popsize": 3, "tol": 0.1}
    found = minimizer(residual).minimize(method="differential_evolution", **options)
    assert found.params["slope"].value == pytest.approx(SLOPE, abs=0.01)


def test_errors_keep_their_type(executor: Any) -> None:
    def fail(parameters: Any, x: Any) -> Any:
        raise calls.CustomError("broken", 3)

    with pytest.raises(calls.CustomError):
        minimizer(fail).minimize(method="brute", workers=executor.map)
