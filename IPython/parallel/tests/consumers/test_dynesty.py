"""dynesty: a view as the pool of a nested sampler, which finds out its size."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

from typing import Any

import pytest

from IPython.parallel.tests.consumers import needed
from IPython.parallel.tests.contracts import calls

dynesty = needed("dynesty")
numpy = needed("numpy")


def sampler(log_likelihood: Any, pool: Any) -> Any:
    generator = numpy.random.default_rng(1)
    return dynesty.NestedSampler(log_likelihood, lambda u: 4 * u - 2, 2, nlive=20, pool=pool, rstate=generator)


@pytest.mark.filterwarnings("ignore")
def test_nested_sampling(executor: Any) -> None:
    width = 2.0
    nested = sampler(lambda x: -0.5 * float((x**2).sum()) / width, executor)
    assert nested.queue_size == executor.size
    nested.run_nested(maxiter=40, print_progress=False)
    best = nested.results.samples[nested.results.logl.argmax()]
    assert nested.results.logl.max() == -0.5 * float((best**2).sum()) / width


@pytest.mark.filterwarnings("ignore")
def test_errors_keep_their_type(executor: Any) -> None:
    def fail(x: Any) -> float:
        raise calls.CustomError("broken", 3)

    with pytest.raises(calls.CustomError):
        sampler(fail, executor).run_nested(maxiter=40, print_progress=False)
