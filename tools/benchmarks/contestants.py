"""Who is compared: how each executor is started and ended, in a process of its own.

Each is used as it is after a first look at its documentation: no chunk sizes, no tuning.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any, NamedTuple

import steps

OURS, BASELINE = "ours", "pool"
MANY = "many"  # takes no part in the comparison: engines without cores of their own


class Contestant(NamedTuple):
    """An executor to compare.

    Parameters
    ----------
    what : str
        In words, for the legend.
    start : callable
        ``start(workers)`` is a context manager that gives the executor.
    needs : str
        The module without which it cannot run.
    share : float
        Which part of the calls it gets where rates are measured: slow ones would take all day.
    skips : frozenset of str
        Measures that say nothing about it.
    """

    what: str
    start: Callable[[int], contextlib.AbstractContextManager[Any]]
    needs: str = ""
    share: float = 1.0
    skips: frozenset[str] = frozenset()

    @property
    def is_installed(self) -> bool:
        return not self.needs or importlib.util.find_spec(self.needs) is not None


@contextlib.contextmanager
def start_ours(workers: int) -> Iterator[Any]:
    from IPython.parallel.running.local_cluster import LocalCluster

    with LocalCluster(workers) as client:
        yield client.load_balanced_view()


@contextlib.contextmanager
def start_direct(workers: int) -> Iterator[Any]:
    from IPython.parallel.running.local_cluster import LocalCluster

    with LocalCluster(1) as client:
        yield client[client.ids[0]]


@contextlib.contextmanager
def start_many(workers: int) -> Iterator[Any]:
    import many_engines

    with many_engines.start_many(workers) as view:
        yield view


@contextlib.contextmanager
def start_stock(workers: int) -> Iterator[Executor]:
    import ipyparallel

    with ipyparallel.Cluster(n=workers, log_level=40) as client:
        client.wait_for_engines(workers, timeout=60, interactive=False)
        yield client.load_balanced_view().executor


@contextlib.contextmanager
def start_loky(workers: int) -> Iterator[Executor]:
    import loky

    with loky.ProcessPoolExecutor(workers) as executor:
        yield executor


@contextlib.contextmanager
def start_mpi4py(workers: int) -> Iterator[Executor]:
    from mpi4py.futures import MPIPoolExecutor

    with MPIPoolExecutor(workers) as executor:
        yield executor


@contextlib.contextmanager
def start_dask(workers: int) -> Iterator[Executor]:
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        yield client.get_executor(pure=False)


class RayExecutor(Executor):
    """Ray's remote functions by the names of an executor."""

    def __init__(self, ray: Any) -> None:
        self._run = ray.remote(lambda function, *args: function(*args))

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = self._run.remote(fn, *args).future()
        return future


@contextlib.contextmanager
def start_ray(workers: int) -> Iterator[Executor]:
    import ray

    ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False, logging_level="error")
    try:
        yield RayExecutor(ray)
    finally:
        ray.shutdown()


# Comparing one worker with several says nothing about these.
_ONE_WORKER = frozenset({"growth", "memory", "backlog", "mixed", "long", "scaling"})

CONTESTANTS = {
    OURS: Contestant("a LoadBalancedView of IPython.parallel", start_ours),
    "direct": Contestant("a DirectView of one engine", start_direct, skips=_ONE_WORKER),
    BASELINE: Contestant("concurrent.futures.ProcessPoolExecutor", ProcessPoolExecutor),
    # Threads of one process hand over large objects without touching them.
    "threads": Contestant("concurrent.futures.ThreadPoolExecutor", ThreadPoolExecutor, skips=frozenset({"payload"})),
    "stock": Contestant("ipyparallel's view.executor, not patched", start_stock, "ipyparallel", 0.05),
    "loky": Contestant("loky.ProcessPoolExecutor", start_loky, "loky"),
    "mpi4py": Contestant("mpi4py.futures.MPIPoolExecutor", start_mpi4py, "mpi4py"),
    "dask": Contestant("distributed.Client.get_executor()", start_dask, "distributed", 0.05),
    MANY: Contestant("a LoadBalancedView of forked engines", start_many),
    "ray": Contestant("remote functions of Ray", start_ray, "ray", 0.1),
}

# Ours without one design step each, compared with ours as it is: `--steps`.
STEPS = {
    "single": Contestant("each call a message", steps.without(steps.one_call_a_message), share=0.1),
    "depth 1": Contestant("one group in flight to an engine, not two", steps.without(steps.one_group_in_flight)),
    "pickles": Contestant("each call's arguments pickled by themselves", steps.without(steps.pickle_for_each_call)),
    "function": Contestant("the function sent with each call", steps.without(steps.function_in_each_call), share=0.1),
    "eager": Contestant("each result's stock parts made at once", steps.without(steps.stock_parts_at_once)),
    "size 512": Contestant("groups as large as may be", steps.without(steps.large_groups_always)),
    "keep": Contestant("engines give nothing back", steps.without(steps.nothing_given_back)),
    "loop": Contestant("reports received in an event loop", steps.without(steps.reports_in_an_event_loop)),
    "lent": Contestant(
        "large arguments and results by way of the controller", steps.without(steps.large_ones_through_the_controller)
    ),
    "apply": Contestant("view.apply_async: the long way through client and kernel", steps.start_long_way, share=0.05),
}
EVERYBODY = CONTESTANTS | STEPS
