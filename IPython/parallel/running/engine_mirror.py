"""Bring engines to what workers forked from this process would be: its state, its streams, its children."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any

from .. import call_pickling, engine_bundle, inheritance
from ..connection.transport import call_on_engine
from .cluster_choice import ChosenCluster
from .local_cluster import ClusterStartError
from .program_code import program_modules
from .shared_streams import share_streams

# Seconds to wait for engines to take it over.
PATIENCE = 5.0

_module_state = engine_bundle.load().module_state
_process_state = engine_bundle.load().process_state
_worker_identity = engine_bundle.load().worker_identity


class EngineMirror:
    """Keeps engines on this machine, started from this process, like this process.

    Parameters
    ----------
    cluster : ChosenCluster
        Of engines that inherited what this process has now.
    modules : bool
        Whether the program's modules are kept alike, too.
    """

    def __init__(self, cluster: ChosenCluster, *, modules: bool = False) -> None:
        self._modules = modules
        self._cluster = cluster
        self._client = cluster.client
        self._sent: tuple[Any, ...] | None = None
        self._have_streams: set[str] = set()

    def update(self, space: str) -> None:
        """Hand on the state of this process for a pool, which is about to make its first call.

        Parameters
        ----------
        space : str
            The pool's: functions that come along with the state have their globals there.
        """
        # A pool has its own workers, whatever became of those of the pools before it.
        with suppress(ClusterStartError):
            self._cluster.replenish()
        engines = list(self._client._engines.values())
        if new := [engine for engine in engines if engine not in self._have_streams]:
            self._have_streams |= share_streams(self._client, new, PATIENCE)
        modules = program_modules() if self._modules else ()
        now = (
            _process_state.read_all(call_pickling.dumps_small),
            _module_state.read(modules, call_pickling.dumps_small),
            _encodings(),
            _worker_identity.this_caller(inheritance.resource_trackers_pipe()),
        )
        if now == self._sent and self._client.outstanding:
            return  # engines in the calls of other pools would take it over after those: it is not worth the wait
        taken = [call_on_engine(self._client, engine, "take_state", space, *now) for engine in engines]
        self._client.wait([message.msg_id for message in taken], PATIENCE)
        self._sent = now


def _encodings() -> list[tuple[str, str]]:
    """Of the streams that calls write to in the end."""
    streams = [stream or sys.__stderr__ for stream in (sys.__stdout__, sys.__stderr__)]
    return [(getattr(stream, "encoding", "utf-8"), getattr(stream, "errors", "strict")) for stream in streams]
