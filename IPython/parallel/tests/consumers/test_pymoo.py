"""pymoo: `starmap` of a view evaluates a generation."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

from typing import Any

import pytest

from IPython.parallel.tests.consumers import needed
from IPython.parallel.tests.contracts import calls

problem = needed("pymoo.core.problem")
nsga2 = needed("pymoo.algorithms.moo.nsga2")
optimize = needed("pymoo.optimize")
parallelization = needed("pymoo.parallelization.starmap")


def problem_of(evaluate: Any, **options: Any) -> Any:
    class Two(problem.ElementwiseProblem):
        def __init__(self) -> None:
            super().__init__(n_var=2, n_obj=2, xl=-2.0, xu=2.0, **options)

        def _evaluate(self, x: Any, out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
            out["F"] = evaluate(x)

    return Two()


def front(evaluate: Any, **options: Any) -> Any:
    """What two generations find, from a fixed seed."""
    return optimize.minimize(problem_of(evaluate, **options), nsga2.NSGA2(pop_size=10), ("n_gen", 2), seed=1).F


def on(executor: Any) -> Any:
    return parallelization.StarmapParallelization(executor.starmap)


def test_front_as_without_runner(executor: Any) -> None:
    centre = 1

    def distances(x: Any) -> list[float]:
        return [float((x**2).sum()), float(((x - centre) ** 2).sum())]

    assert (front(distances, elementwise_runner=on(executor)) == front(distances)).all()


def test_errors_keep_their_type(executor: Any) -> None:
    def fail(x: Any) -> list[float]:
        raise calls.CustomError("broken", 3)

    with pytest.raises(calls.CustomError):
        front(fail, elementwise_runner=on(executor))
