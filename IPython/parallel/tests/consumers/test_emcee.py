"""emcee: a view as the pool of an ensemble sampler."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

from typing import Any

import pytest

from IPython.parallel.tests.consumers import needed
from IPython.parallel.tests.contracts import calls

emcee = needed("emcee")
numpy = needed("numpy")

WALKERS, DIMENSIONS, STEPS = 8, 2, 10


def chain(log_probability: Any, **options: Any) -> Any:
    """The chain that follows from fixed seeds."""
    start = numpy.random.RandomState(1).randn(WALKERS, DIMENSIONS)
    sampler = emcee.EnsembleSampler(WALKERS, DIMENSIONS, log_probability, **options)
    state = emcee.State(start, random_state=numpy.random.RandomState(2).get_state())
    sampler.run_mcmc(state, STEPS)
    return sampler.get_chain()


def test_chain_as_without_pool(executor: Any) -> None:
    width = 2.0

    def log_probability(x: Any) -> float:
        return -0.5 * float((x**2).sum()) / width

    assert (chain(log_probability, pool=executor) == chain(log_probability)).all()


def test_arguments_and_blobs(executor: Any) -> None:
    def log_probability(x: Any, width: float, name: str) -> tuple[float, float]:
        return -0.5 * float((x**2).sum()) / width, len(name)

    start = numpy.random.RandomState(1).randn(WALKERS, DIMENSIONS)
    options = {"args": (2.0,), "kwargs": {"name": "blob"}, "pool": executor}
    sampler = emcee.EnsembleSampler(WALKERS, DIMENSIONS, log_probability, **options)
    sampler.run_mcmc(start, STEPS)
    assert (sampler.get_blobs() == 4).all()


def test_errors_keep_their_type(executor: Any) -> None:
    def fail(x: Any) -> float:
        raise calls.CustomError("broken", 3)

    with pytest.raises(calls.CustomError):
        chain(fail, pool=executor)
