"""``%load_ext IPython.parallel``: a cluster by a line magic, a cell on an engine by a cell magic."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
# IPython's own decorators have no types.
# mypy: disallow-untyped-calls=False, disallow-untyped-decorators=False
from __future__ import annotations

import argparse
import atexit
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import (
    Magics,
    cell_magic,
    line_magic,
    magics_class,
    no_var_expand,
)
from IPython.core.magic_arguments import argument, magic_arguments, parse_argstring

from ..running.cluster_choice import (
    ChosenCluster,
    ClusterUnavailable,
    connect,
    connection_file_of,
    start_local,
)
from .cell_function import function_of_cell

__all__ = ["ClusterMagics", "load_ipython_extension", "unload_ipython_extension"]

OPTIONS_OF = {
    "start": {"n": "-n"},
    "attach": {
        "profile": "--profile",
        "cluster_id": "--cluster-id",
        "connection_file": "--connection-file",
    },
}
NO_CLUSTER = (
    "no cluster yet: start one with `%cluster start`, or attach to a running one with `%cluster attach`"
)


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Register ``%cluster`` and ``%%submit``; what ``%load_ext IPython.parallel`` calls."""
    shell.register_magics(ClusterMagics(shell))


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Stop the cluster that ``%cluster start`` started, and take the magics away."""
    magics = shell.magics_manager.registry.pop(ClusterMagics.__name__, None)
    if magics is not None:
        magics.close()
        for kind, names in ClusterMagics.magics.items():
            for name in names:
                shell.magics_manager.magics[kind].pop(name, None)


@magics_class
class ClusterMagics(Magics):
    """One cluster for this session, its client as `rc` and a load-balanced view of it as `view`.

    Parameters
    ----------
    shell : InteractiveShell
    """

    shell: InteractiveShell  # there always is one

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell=shell)
        self._cluster: ChosenCluster | None = None
        self._given: dict[str, Any] = {}
        atexit.register(self.close)

    @magic_arguments()
    @argument("action", nargs="?", default="status", choices=["start", "attach", "status", "stop"])
    @argument("-n", type=int, help="start: number of engines; by default one for each core")
    @argument("--profile", help="attach: the profile the cluster was started with")
    @argument("--cluster-id", help="attach: the cluster's id, if it has one")
    @argument("--connection-file", type=Path, help="attach: ipcontroller-client.json of the cluster")
    @argument("--timeout", type=float, default=30.0, help="attach: seconds the cluster has to answer")
    @line_magic
    def cluster(self, line: str) -> None:
        """Start a cluster on this machine or attach to a running one; say how it is; stop or leave it.

        ``start`` and ``attach`` put the client into the namespace as `rc` and a load-balanced view as
        `view`. A cluster that was started here ends with ``stop`` and with the session; one that was
        attached to goes on.
        """
        options = parse_argstring(self.cluster, line)
        _check_belongs(options)
        actions = {
            "start": self._start,
            "attach": self._attach,
            "status": self._status,
            "stop": self._stop,
        }
        actions[options.action](options)

    @no_var_expand
    @cell_magic
    def submit(self, line: str, cell: str) -> Future[Any] | None:
        """Run the cell on an engine of `view`, and give its future at once.

        ``%%submit`` alone returns the future; ``%%submit name`` puts it into the namespace under that
        name. The value is that of the cell's last expression. The cell sees the names of this namespace
        as they are now, and, first, those that were pushed to the engine; what it assigns is its own.
        """
        name = line.strip()
        if name and not name.isidentifier():
            raise UsageError(f"%%submit takes the name of a variable for the future, not {name!r}")
        if self._cluster is None:
            raise UsageError(NO_CLUSTER)
        future: Future[Any] = self._given["view"].submit(function_of_cell(self.shell, cell))
        if not name:
            return future
        self.shell.push({name: future})
        return None

    def close(self) -> None:
        """Stop the cluster if it was started here, else leave it."""
        atexit.unregister(self.close)
        self._leave()

    def _start(self, options: argparse.Namespace) -> None:
        self._use(lambda: start_local(options.n))

    def _attach(self, options: argparse.Namespace) -> None:
        self._use(lambda: connect(_file_of(options), options.timeout))

    def _use(self, choose: Callable[[], ChosenCluster]) -> None:
        if self._cluster is not None:
            raise UsageError("there is a cluster already: `%cluster stop` first")
        try:
            self._cluster = choose()
        except (ClusterUnavailable, ValueError) as error:
            raise UsageError(str(error)) from None
        client = self._cluster.client
        self._given = {"rc": client, "view": client.load_balanced_view()}
        self.shell.push(self._given)
        print(f"{self._described()}: `view` submits to them, `rc` is their client")

    def _status(self, options: argparse.Namespace) -> None:
        if self._cluster is None:
            print(NO_CLUSTER)
            return
        outstanding = len(self._given["view"].outstanding)
        print(f"{self._described()}; {_counted(outstanding, 'call')} of `view` outstanding")

    def _stop(self, options: argparse.Namespace) -> None:
        if self._cluster is None:
            raise UsageError(NO_CLUSTER)
        said = "stopped" if self._cluster.is_ours else "left; its engines go on"
        self._leave()
        print(f"the cluster is {said}")

    def _leave(self) -> None:
        if self._cluster is not None:
            cluster, self._cluster = self._cluster, None
            self.shell.drop_by_id(self._given)
            self._given = {}
            cluster.close()

    def _described(self) -> str:
        assert self._cluster is not None
        origin = "started here" if self._cluster.is_ours else "attached"
        return f"{_counted(len(self._cluster.client.ids), 'engine')}, {origin}"


def _file_of(options: argparse.Namespace) -> Path:
    return options.connection_file or connection_file_of(options.profile, options.cluster_id)


def _check_belongs(options: argparse.Namespace) -> None:
    """Refuse an option that another action would take, rather than drop it."""
    for action, names in OPTIONS_OF.items():
        for name, option in names.items():
            if action != options.action and getattr(options, name) is not None:
                raise UsageError(f"{option} is for `%cluster {action}`")


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
