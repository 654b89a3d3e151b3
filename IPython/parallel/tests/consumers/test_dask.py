"""dask: graphs computed by a view as the scheduler, or as the pool of one of dask's own."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

from typing import Any

import pytest
from ipyparallel import LoadBalancedView

from IPython.parallel.tests.consumers import needed
from IPython.parallel.tests.contracts import calls

dask = needed("dask")


def total_of(count: int) -> Any:
    """A graph of that many calls, summed."""
    offset = 10
    return dask.delayed(sum)([dask.delayed(lambda n: n + offset)(n) for n in range(count)])


def test_compute(executor: Any) -> None:
    assert dask.compute(total_of(5), total_of(3), scheduler=executor) == (60, 33)


def test_the_calls_run_on_engines(view: LoadBalancedView) -> None:
    import os

    pids = dask.compute(*(dask.delayed(os.getpid, pure=False)() for _ in range(4)), scheduler=view)
    assert set(pids) <= set(view.client[:].apply_sync(os.getpid))


def test_configured_scheduler(executor: Any) -> None:
    with dask.config.set(scheduler=executor):
        assert total_of(5).compute() == 60


@pytest.mark.parametrize("scheduler", ["threads", "processes"])
def test_pool_of_dasks_own_schedulers(executor: Any, scheduler: str) -> None:
    assert total_of(5).compute(scheduler=scheduler, pool=executor) == 60


def test_errors_keep_their_type(executor: Any) -> None:
    failing = dask.delayed(calls.raise_error)(calls.CustomError("broken", 3))
    with pytest.raises(calls.CustomError) as caught:
        failing.compute(scheduler=executor)
    assert caught.value.code == 3


def test_bag(executor: Any) -> None:
    bag = needed("dask.bag")
    assert bag.range(10, npartitions=4).map(lambda n: n * n).sum().compute(scheduler=executor) == 285


def test_array(executor: Any) -> None:
    needed("numpy")
    array = needed("dask.array")
    ones = array.ones((20, 20), chunks=(5, 5)).map_blocks(lambda block: block + 1)
    assert ones.sum().compute(scheduler=executor) == 800
