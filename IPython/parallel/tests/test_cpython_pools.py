"""CPython's own tests of multiprocessing.Pool, bound to the stand-in on a cluster of this module's own.

They are imported from the running Python, so its later releases bring their new tests along. What has no counterpart on
a cluster is left out, for a reason given here.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from unittest import SkipTest, TestCase

import pytest

from IPython.parallel.pools.backing import Backing
from IPython.parallel.pools.multiprocessing_pool import Pool
from IPython.parallel.pools.stdlib_pools import standing_in
from IPython.parallel.running.local_cluster import LocalCluster

try:
    from test import _test_multiprocessing as suite
except (ImportError, SkipTest) as missing:
    # Distributors split the `test` package off; and it skips itself where there are no semaphores.
    pytest.skip(f"this Python has no tests of multiprocessing: {missing}", allow_module_level=True)

ENGINES = 2

# Why a test has no counterpart.
NOT_APPLICABLE = {
    "test_make_pool": "counts the pool's own processes (PoolEndContract has its errors)",
    "test_traceback": "wants the type itself, with a cause of the standard library's private type: here an error is of "
    "a subclass that is a RemoteError too (test_remote_errors.py has the traceback)",
    "test_unpickleable_result": "returns a lambda, which travels here",
    "test_pool_worker_lifetime": "engines are not replaced after a number of calls",
    "test_pool_worker_lifetime_early_close": "engines are not replaced after a number of calls",
    "test_worker_finalization_via_atexit_handler_of_multiprocessing": "makes a pool of the standard library, in a "
    "program of its own (test_pool_clusters.py has the like)",
}


@pytest.fixture(scope="module", autouse=True)
def _stand_in(_nothing_outlives_the_session: None) -> Iterator[None]:
    """``multiprocessing.Pool`` means engines of our own, which may be interrupted, as under ``python -m``."""
    cluster = LocalCluster(ENGINES)
    with cluster as client:
        # Threads that live as long as the client start with the first call and the first callback.
        client.load_balanced_view().submit(os.getpid).add_done_callback(id)
        backing = Backing(client, interrupt=cluster.interrupt, engines_are_ours=True)
        with standing_in(backing, ["multiprocessing"]):
            yield


class OnCluster:
    """Stands where CPython's suite has ``ProcessesMixin``; a test for which there is a reason is not collected."""

    TYPE = "processes"
    Pool = staticmethod(lambda *args, **kwargs: multiprocessing.Pool(*args, **kwargs))

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for name in NOT_APPLICABLE:
            if hasattr(cls, name):
                setattr(cls, name, None)


class TestPool(OnCluster, suite._TestPool, TestCase): ...


class TestPoolWorkerErrors(OnCluster, suite._TestPoolWorkerErrors, TestCase): ...


class TestPoolWorkerLifetime(OnCluster, suite._TestPoolWorkerLifetime, TestCase): ...


def test_the_pools_are_ours() -> None:
    with multiprocessing.Pool(1) as pool:
        assert isinstance(pool, Pool)


def test_what_is_left_out_is_there() -> None:
    """A reason for a test that no Python has any more helps nobody."""
    classes = suite._TestPool, suite._TestPoolWorkerErrors, suite._TestPoolWorkerLifetime
    missing = [name for name in NOT_APPLICABLE if not any(hasattr(cls, name) for cls in classes)]
    assert missing == []
