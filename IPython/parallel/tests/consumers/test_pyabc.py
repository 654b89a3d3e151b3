"""pyABC: its sampler for executors."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from IPython.parallel.tests.consumers import needed

pyabc = needed("pyabc")


@pytest.mark.filterwarnings("ignore")
def test_sampler(executor: Any, tmp_path: Path) -> None:
    offset = 0.1

    def model(parameter: Any) -> dict[str, float]:
        return {"data": parameter["mean"] + offset * random.random()}

    sampler = pyabc.sampler.ConcurrentFutureSampler(executor, client_max_jobs=4)
    prior = pyabc.Distribution(mean=pyabc.RV("uniform", 0, 4))
    inference = pyabc.ABCSMC(model, prior, lambda x, y: abs(x["data"] - y["data"]), population_size=10, sampler=sampler)
    inference.new(f"sqlite:///{tmp_path / 'history.db'}", {"data": 2.0})
    history = inference.run(max_nr_populations=2)
    populations = history.get_all_populations()
    assert history.n_populations == 2
    assert list(populations[populations.t >= 0].particles) == [10, 10]
