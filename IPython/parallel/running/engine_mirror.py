"""Bring engines to what workers forked from this process would see: directory, environment, arguments, output."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import os
import sys
from dataclasses import dataclass, replace
from multiprocessing import process
from typing import TYPE_CHECKING

from .shared_streams import share_streams

if TYPE_CHECKING:
    from ipyparallel import Client

# Seconds to wait for engines to take it over. They are idle when a first pool comes up; an engine that is in a long
# call of another pool takes it over after that call.
PATIENCE = 5.0

# Runs as one expression, so that it leaves no name in the engine's namespace.
_TAKE_OVER = (
    "(lambda os, sys, process: ("
    "os.chdir({directory!r}),"
    "os.environ.update({changed!r}),"
    "[os.environ.pop(name, None) for name in {gone!r}],"
    "sys.argv.__setitem__(slice(None), {argv!r}),"
    "setattr(process.current_process(), 'authkey', {authkey!r})"
    "))(__import__('os'), __import__('sys'), __import__('multiprocessing.process').process)"
)


@dataclass(frozen=True)
class _State:
    directory: str
    environ: dict[str, str]
    argv: list[str]
    authkey: bytes  # lets engines talk to a multiprocessing.Manager of this process


def _state() -> _State:
    return _State(os.getcwd(), dict(os.environ), list(sys.argv), bytes(process.current_process().authkey))


class EngineMirror:
    """Keeps engines on this machine, started from this process, like this process.

    Parameters
    ----------
    client : ipyparallel.Client
        Connected to engines that inherited what this process has now.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        # An engine inherits all but the key, which each process makes for itself.
        self._sent = replace(_state(), authkey=b"")
        self._have_streams = False

    def update(self) -> None:
        """Hand on what has changed since the last time; usually little, and usually nothing."""
        if not self._have_streams:
            self._have_streams = True
            share_streams(self._client, PATIENCE)
        now, before = _state(), self._sent
        if now == before:
            return
        code = _TAKE_OVER.format(
            directory=now.directory,
            changed=dict(now.environ.items() - before.environ.items()),
            gone=sorted(before.environ.keys() - now.environ.keys()),
            argv=now.argv,
            authkey=now.authkey,
        )
        self._client.direct_view("all").execute(code, silent=True, block=False).wait(PATIENCE)
        self._sent = now
