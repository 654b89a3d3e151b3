"""DEAP: `map` of a view in the toolbox of an evolution."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from ipyparallel import Client

from IPython.parallel.tests.consumers import needed
from IPython.parallel.tests.contracts import calls

algorithms = needed("deap.algorithms")
base = needed("deap.base")
creator = needed("deap.creator")
tools = needed("deap.tools")


@pytest.fixture(autouse=True)
def _kinds() -> Iterator[None]:
    """What DEAP's programs make at their beginning: classes in a module of its own, which engines do not have."""
    creator.create("Best", base.Fitness, weights=(1.0,))
    creator.create("Bits", list, fitness=creator.Best)
    yield
    del creator.Best, creator.Bits


def evolved(evaluate: Any, run: Any) -> list[Any]:
    """The last generation that follows from a fixed seed."""
    toolbox = base.Toolbox()
    toolbox.register("evaluate", evaluate)
    toolbox.register("mate", tools.cxTwoPoint)
    toolbox.register("mutate", tools.mutFlipBit, indpb=0.1)
    toolbox.register("select", tools.selTournament, tournsize=3)
    toolbox.register("map", run)
    random.seed(1)
    population = [creator.Bits(random.choices((0, 1), k=8)) for _ in range(20)]
    algorithms.eaSimple(population, toolbox, cxpb=0.5, mutpb=0.2, ngen=3, verbose=False)
    return population


def test_evolution_as_without_engines(executor: Any) -> None:
    weight = 2

    def evaluate(bits: Any) -> tuple[int]:
        return (weight * sum(bits),)

    assert evolved(evaluate, executor.map) == evolved(evaluate, map)


def test_map_of_all_engines(client: Client) -> None:
    assert evolved(lambda bits: (sum(bits),), client[:].map_sync) == evolved(lambda bits: (sum(bits),), map)


def test_errors_keep_their_type(executor: Any) -> None:
    def fail(bits: Any) -> None:
        raise calls.CustomError("broken", 3)

    with pytest.raises(calls.CustomError):
        evolved(fail, executor.map)
