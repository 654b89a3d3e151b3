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

from ipyparallel import AsyncResult, Client, Cluster, DirectView, LoadBalancedView

from .patching import install, uninstall

__all__ = ["AsyncResult", "Client", "Cluster", "DirectView", "LoadBalancedView", "install", "uninstall"]
__version__ = "0.1.0"

install()
