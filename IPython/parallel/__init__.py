"""concurrent.futures on an IPython cluster: views are executors, results are futures.

Importing this package patches ipyparallel's own classes (`patching`): every view is a `concurrent.futures.Executor`,
every AsyncResult a `concurrent.futures.Future`, and nothing else changes.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
if __name__ != "IPython.parallel":
    raise ImportError(
        f"IPython.parallel was imported as {__name__!r}; install it (pip install .) and import IPython.parallel"
    )

import importlib
from typing import Any

from ipyparallel import AsyncResult, Client, Cluster, DirectView, LoadBalancedView

from .patching import install, uninstall

__all__ = [
    "AsyncResult",
    "Client",
    "Cluster",
    "DirectView",
    "LoadBalancedView",
    "Pool",
    "ProcessPoolExecutor",
    "install",
    "uninstall",
]
__version__ = "0.1.0"

# Pools with a cluster's engines for workers, loaded when first asked for.
_POOLS = {"Pool": "multiprocessing_pool", "ProcessPoolExecutor": "executor_pools"}


def __getattr__(name: str) -> Any:
    if name not in _POOLS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    pool = globals()[name] = getattr(importlib.import_module(f".{_POOLS[name]}", __name__), name)
    return pool


install()
