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

if TYPE_CHECKING:
    from .declared import AsyncHubResult as AsyncHubResult
    from .declared import AsyncMapResult as AsyncMapResult
    from .declared import AsyncResult, Client, Cluster, DirectView, LoadBalancedView
else:
    from ipyparallel import AsyncResult, Client, Cluster, DirectView, LoadBalancedView

from .legacy import imports as legacy_imports
from .legacy.names import PUBLIC
from .patching import install, uninstall

if TYPE_CHECKING:
    from .notebook.progress import wait_interactive
    from .pools.executor_pools import ProcessPoolExecutor
    from .pools.multiprocessing_pool import Pool
    from .timelines.timeline import timeline

# What is loaded when it is first asked for (engines and short programs import this package too): name -> module.
_LAZY = {
    "Pool": "pools.multiprocessing_pool",
    "ProcessPoolExecutor": "pools.executor_pools",
    "load_ipython_extension": "notebook.magics",
    "timeline": "timelines.timeline",
    "unload_ipython_extension": "notebook.magics",
    "wait_interactive": "notebook.progress",
}

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
    "wait_interactive",
]
__all__ += [name for name in PUBLIC if name not in __all__]
__version__ = "0.1.0"

install()
legacy_imports.install()


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        return legacy_imports.top_level(name)
    found = globals()[name] = getattr(import_module(f".{_LAZY[name]}", __name__), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
