"""The cluster behind a pool made in code: the one that is named, or a local one that all share."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import atexit
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..dispatch.steady_locks import LastingLock
from ..running.cluster_choice import ChosenCluster, connect, connection_file_of, start_local
from ..running.engine_mirror import EngineMirror
from .backing import Backing

if TYPE_CHECKING:
    from ipyparallel import Client

__all__ = ["named_backing", "shared_local"]

# Seconds a named cluster has to answer.
CONNECT_TIMEOUT = 5.0


@dataclass(frozen=True)
class _Kept:
    """A cluster that later pools of this process use, too."""

    owner: int  # a forked child has inherited the entry, not the connection
    stamp: bytes
    cluster: ChosenCluster
    backing: Backing

    def serves(self, stamp: bytes) -> bool:
        return self.owner == os.getpid() and self.stamp == stamp and bool(self.cluster.client.ids)

    def close(self) -> None:
        if self.owner == os.getpid():
            self.cluster.close()


_kept: dict[Path | None, _Kept] = {}
_lock = LastingLock()


def named_backing(client: Client | None, profile: str | None) -> Backing | None:
    """What stands behind a pool for which a cluster was named; None if none was.

    Parameters
    ----------
    client : ipyparallel.Client, optional
    profile : str, optional
        The IPython profile whose cluster is running.

    Raises
    ------
    ValueError
        Both are given.
    ClusterUnavailable
        The profile has no cluster that answers.
    """
    if client is not None and profile is not None:
        raise ValueError("client says which cluster it is: give no profile with it")
    if client is not None:
        return Backing(client, on_output=_print)
    return None if profile is None else _cluster_of(profile)


def shared_local() -> Backing:
    """What stands behind the pools that name no cluster: one local cluster of one engine for each
    usable core.

    It is started when first asked for, and again when none of its engines is left; it ends with the
    interpreter.

    Raises
    ------
    ClusterUnavailable
        It did not come up.
    """
    with _lock:
        return _find(None, b"") or _keep(None, b"", start_local(None))


def _cluster_of(profile: str) -> Backing:
    file = connection_file_of(profile, None)
    with _lock:
        # A controller that was started anew has written another file.
        stamp = file.read_bytes()
        return _find(file, stamp) or _keep(file, stamp, connect(file, CONNECT_TIMEOUT))


def _find(key: Path | None, stamp: bytes) -> Backing | None:
    kept = _kept.get(key)
    return kept.backing if kept is not None and kept.serves(stamp) else None


def _keep(key: Path | None, stamp: bytes, cluster: ChosenCluster) -> Backing:
    if key in _kept:
        _kept[key].close()
    kept = _kept[key] = _Kept(os.getpid(), stamp, cluster, _backing_of(cluster))
    # Threads are over then, and with them whatever waits for calls.
    atexit.register(kept.close)
    return kept.backing


def _backing_of(cluster: ChosenCluster) -> Backing:
    if not cluster.is_ours:
        return Backing(cluster.client, on_output=_print)
    mirror = EngineMirror(cluster)
    return Backing(
        cluster.client,
        on_output=_print,
        before_pool=mirror.update,
        interrupt=cluster.interrupt,
        engines_are_ours=True,
    )


def _print(stream: str, text: str) -> None:
    """Show what a call printed where this program's own output goes."""
    target = getattr(sys, stream)
    # Nobody may be reading any more, or the program has closed or replaced the stream.
    with suppress(OSError, ValueError, AttributeError):
        target.write(text)
        target.flush()
