"""The cluster a command line asks for: one of this machine's cores, or one that is running already."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ipyparallel import Client
from IPython.core.profiledir import ProfileDir, ProfileDirError
from IPython.paths import get_ipython_dir

from .local_cluster import ClusterStartError, LocalCluster

__all__ = ["ChosenCluster", "ClusterUnavailable", "connect", "connection_file_of", "start_local"]

# What a client needs to find in a connection file.
CONNECTION_KEYS = frozenset({"key", "interface", "registration", "mux", "task", "iopub", "control", "signature_scheme"})


class ClusterUnavailable(Exception):
    """There is no such cluster, or it does not answer; the message says which and why in one line."""


@dataclass(frozen=True)
class ChosenCluster:
    """A connected client, and what its user may do with the cluster behind it.

    Attributes
    ----------
    client : ipyparallel.Client
    close : callable
        Ends our use of the cluster. Engines we started are stopped, those that were there go on.
    abandon : callable
        The same at once, without waiting for calls that are running.
    interrupt : callable
        Raises KeyboardInterrupt in running calls on engines that are ours alone, and returns True; else returns False.
    is_ours : bool
        Whether the engines were started for this process, with its environment and working directory.
    replenish : callable
        Starts engines in the place of those of ours that have died.
    """

    client: Client
    close: Callable[[], None]
    abandon: Callable[[], None]
    interrupt: Callable[[], bool]
    is_ours: bool
    replenish: Callable[[], None] = lambda: None


def start_local(n: int | None) -> ChosenCluster:
    """Start `n` engines on this machine, one for each usable core by default.

    Raises
    ------
    ClusterUnavailable
        It did not come up.
    """
    cluster = LocalCluster(n)
    try:
        client = cluster.start()
    except (ClusterStartError, OSError) as error:
        raise ClusterUnavailable(f"cannot start a local cluster: {error}") from None
    return ChosenCluster(
        client,
        cluster.stop,
        lambda: cluster.stop(grace=0),
        cluster.interrupt,
        is_ours=True,
        replenish=cluster.replenish,
    )


def connect(connection_file: Path, timeout: float) -> ChosenCluster:
    """Connect to the cluster of this connection file and wait for a first engine.

    Parameters
    ----------
    connection_file : Path
        As a controller writes it for clients.
    timeout : float
        Seconds the cluster has to answer, and again to have an engine.

    Raises
    ------
    ClusterUnavailable
        The file cannot be used, nobody answers, or there is no engine.
    """
    info = _read(connection_file)
    try:
        client = Client(info, timeout=timeout)
    except TimeoutError:
        # A controller does not answer what is signed with another key, which only makes it the likelier reason.
        raise ClusterUnavailable(
            f"no answer within {timeout:g} s from the cluster of {connection_file}: it has ended, or has another key"
        ) from None
    except Exception as error:
        raise ClusterUnavailable(f"cannot connect with {connection_file}: {_one_line(error)}") from None
    try:
        client.wait_for_engines(1, timeout=timeout, interactive=False)
    except TimeoutError:
        client.close()
        raise ClusterUnavailable(f"the cluster of {connection_file} has no engine after {timeout:g} s") from None
    return ChosenCluster(client, client.close, client.close, lambda: False, is_ours=False)


def connection_file_of(profile: str | None, cluster_id: str | None) -> Path:
    """Where the controller of this profile and cluster id leaves the file for its clients.

    Raises
    ------
    ClusterUnavailable
        There is no such profile, or no controller has left a file there.
    """
    security = _security_dir(profile or "default")
    name = f"ipcontroller-{cluster_id}-client.json" if cluster_id else "ipcontroller-client.json"
    if not (security / name).exists():
        raise ClusterUnavailable(f"no cluster runs in profile {profile or 'default'!r}: {security / name} is missing")
    return security / name


def _security_dir(profile: str) -> Path:
    try:
        found = ProfileDir.find_profile_dir_by_name(get_ipython_dir(), profile)  # type: ignore[no-untyped-call]
        return Path(found.security_dir)
    except ProfileDirError:
        raise ClusterUnavailable(f"there is no profile {profile!r} in {get_ipython_dir()}") from None


def _read(connection_file: Path) -> dict[str, Any]:
    try:
        info = json.loads(connection_file.read_text(encoding="utf-8"))
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise ClusterUnavailable(f"cannot read connection file {connection_file}: {reason}") from None
    except ValueError as error:
        raise ClusterUnavailable(f"{connection_file} is not a connection file: {_one_line(error)}") from None
    if not isinstance(info, dict):
        raise ClusterUnavailable(f"{connection_file} is not a connection file: it holds no JSON object")
    if missing := sorted(CONNECTION_KEYS - info.keys()):
        raise ClusterUnavailable(f"{connection_file} is not a client's connection file: it lacks {', '.join(missing)}")
    return info


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]
