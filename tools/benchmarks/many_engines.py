"""More engines than a machine would start: forked from one process that has imported what an engine needs."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FARM = """
import os, signal, sys
import ipykernel.ipkernel, ipykernel.zmqshell, ipyparallel.engine.app, ipyparallel.engine.kernel
connection_file, directory, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
quiet = os.open(os.devnull, os.O_WRONLY)
children = []
def end(*_):
    for child in children:
        os.kill(child, signal.SIGKILL)
    os._exit(0)
signal.signal(signal.SIGTERM, end)
for _ in range(count):
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.setsid()  # as a launcher does: the system shares its cores among sessions
        os.dup2(quiet, 1), os.dup2(quiet, 2)
        options = [f"--file={connection_file}", f"--profile-dir={directory}", "--IPEngine.timeout=120"]
        options += ["--IPEngine.enable_nanny=False"]  # a process more for each engine
        ipyparallel.engine.app.IPEngine.launch_instance(options)
        os._exit(0)
    children.append(child)
for child in children:
    os.waitpid(child, 0)
"""


@contextlib.contextmanager
def start_many(engines: int) -> Iterator[Any]:
    """A load-balanced view of a local cluster of that many engines, of which all but one are forked."""
    from IPython.parallel.running.local_cluster import LocalCluster

    cluster = LocalCluster(1)
    with cluster as client, _farm(cluster.connection_file, engines - 1):
        client.wait_for_engines(engines, timeout=180, interactive=False)
        yield client.load_balanced_view()


@contextlib.contextmanager
def _farm(client_file: Path, engines: int) -> Iterator[None]:
    """Engines for the cluster with this connection file; they are gone after the block."""
    engine_file = client_file.with_name(client_file.name.replace("-client", "-engine"))
    directory = client_file.parent.parent
    command = [sys.executable, "-c", FARM, str(engine_file), str(directory), str(engines)]
    farm = subprocess.Popen(command, env=os.environ | {"IPYTHONDIR": str(directory)}, stdin=subprocess.DEVNULL)
    try:
        yield
    finally:
        farm.terminate()
        farm.wait()
