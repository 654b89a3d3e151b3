"""nautilus: a view as the pool of a nested sampler."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

from typing import Any

import pytest
from ipyparallel import Client

from IPython.parallel import Pool
from IPython.parallel.tests.consumers import needed
from IPython.parallel.tests.contracts import calls

nautilus = needed("nautilus")

# It brings a bound sampler to the engines, and imports scikit-learn there.
pytestmark = pytest.mark.timeout(120)


def run(log_likelihood: Any, pool: Any) -> int:
    """How often the likelihood was evaluated, from a fixed seed."""
    prior = nautilus.Prior()
    prior.add_parameter("x", (-1, 1))
    prior.add_parameter("y", (-1, 1))
    sampler = nautilus.Sampler(prior, log_likelihood, n_live=50, n_networks=0, pool=pool, seed=1)
    sampler.run(n_eff=50, n_like_max=300)
    assert sampler.log_z < 0
    return int(sampler.n_like)


def test_sampler(executor: Any) -> None:
    width = 2.0
    assert run(lambda at: -(at["x"] ** 2 + at["y"] ** 2) / width, executor) >= 300


def test_pool_of_ours(client: Client) -> None:
    with Pool(client=client) as pool:
        assert run(lambda at: -(at["x"] ** 2), pool) >= 300


def test_errors_keep_their_type(executor: Any) -> None:
    def fail(at: Any) -> float:
        raise calls.CustomError("broken", 3)

    with pytest.raises(calls.CustomError):
        run(fail, executor)
