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

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ipyparallel import AsyncResult, Client, Cluster, DirectView, LoadBalancedView

from .patching import install, uninstall

if TYPE_CHECKING:
    from .executor_pools import ProcessPoolExecutor
    from .multiprocessing_pool import Pool
    from .timelines import timeline

# What is loaded when it is first asked for (engines and short programs import this package too): name -> module.
_LAZY = {"Pool": "multiprocessing_pool", "ProcessPoolExecutor": "executor_pools", "timeline": "timelines"}

__all__ = [
    "AsyncResult",
    "Client",
    "Cluster",
    "DirectView",
    "LoadBalancedView",
    "Pool",
    "ProcessPoolExecutor",
    "install",
    "timeline",
    "uninstall",
]
__version__ = "0.1.0"

install()


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(f".{_LAZY[name]}", __name__), name)
    return found
