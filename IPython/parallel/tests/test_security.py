"""Who gets in and who does not: keys, encryption, files, addresses."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import contextlib
import json
import logging
import os
import pickle
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import ipyparallel
import psutil
import pytest
import zmq

from IPython.parallel.engine_room import room_of
from IPython.parallel.errors import ClusterGone
from IPython.parallel.running.cluster_choice import ClusterUnavailable, connect
from IPython.parallel.running.local_cluster import LOOPBACK, LocalCluster
from IPython.parallel.tests import faults
from IPython.parallel.tests.contracts import calls
from IPython.parallel.tests.contracts.harness import PATIENCE, Gate, Trace

# -- files and addresses


def test_what_a_local_cluster_writes_is_its_users_alone(cluster: LocalCluster, client: ipyparallel.Client) -> None:
    files = [path for path in cluster.connection_file.parent.iterdir() if path.is_file()]
    assert {path.name for path in files} >= {"ipcontroller-local-client.json", "ipcontroller-local-engine.json"}
    keys = [path for path in files if json.loads(path.read_text()).get("key")]
    assert {stat.S_IMODE(path.stat().st_mode) for path in keys} == {0o600}
    assert stat.S_IMODE(cluster.connection_file.parent.parent.stat().st_mode) == 0o700
    journals = list(cluster.connection_file.parent.parent.glob("ipython-parallel-engine-*"))
    assert {stat.S_IMODE(path.stat().st_mode) for path in journals} <= {0o600}


def test_a_local_cluster_listens_on_this_machine_only(client: ipyparallel.Client) -> None:
    client.load_balanced_view().submit(calls.add, 1, 2).result(PATIENCE)
    processes = [process for process in faults.below_here() if "ipyparallel" in faults.command(process)]
    listening = [
        connection.laddr.ip
        for process in processes
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert listening and set(listening) == {LOOPBACK}


LOOK_AROUND = """
import json, os, stat
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

def of_those_left(look, things):
    import psutil
    for thing in things:
        try:
            yield thing, look(thing)
        except (psutil.Error, OSError):  # another user's, or gone meanwhile
            pass

def look():
    import psutil
    top = Path(psutil.Process().environ()["IPYTHONDIR"])  # what it was started with; now it has the script's
    files = [top, *top.rglob("*")]
    modes = {str(path): stat.S_IMODE(mode.st_mode) for path, mode in of_those_left(Path.lstat, files)}
    environments = of_those_left(psutil.Process.environ, psutil.process_iter())
    family = [process for process, variables in environments if variables.get("IPYTHONDIR") == str(top)]
    sockets = [c for _, some in of_those_left(lambda p: p.net_connections("inet"), family) for c in some]
    listening = {c.laddr.ip for c in sockets if c.status == psutil.CONN_LISTEN}
    key = json.loads((top / "security" / "ipcontroller-local-client.json").read_text())["key"].encode()
    knowing = [str(path) for path, content in of_those_left(Path.read_bytes, files) if key in content]
    return {"top": str(top), "modes": modes, "listening": sorted(listening), "knowing": knowing}

if __name__ == "__main__":
    with ProcessPoolExecutor(1) as pool:
        print(json.dumps(pool.submit(look).result()))
"""


def test_the_command_lines_cluster_is_its_users_alone_and_leaves_nothing(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(LOOK_AROUND)
    command = [sys.executable, "-m", "IPython.parallel", "-n", "1", "--quiet", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, umask=0)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    modes, top = found["modes"], found["top"]
    assert modes[top] == 0o700 and found["listening"] == [LOOPBACK]
    journals = [path for path in modes if "ipython-parallel-engine-" in path]
    assert len(found["knowing"]) == 2 and len(journals) == 1
    assert {modes[path] for path in (*found["knowing"], *journals)} == {0o600}
    assert not Path(top).exists()


# -- keys


def test_a_client_with_another_key_gets_nothing_and_is_told_so(connection_file: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.json"
    wrong.write_text(json.dumps(json.loads(connection_file.read_text()) | {"key": "0" * 64}))
    with pytest.raises(ClusterUnavailable, match="another key"):
        connect(wrong, timeout=1.0)


class Loaded:
    """Says so in a file when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return calls.trace, (self.path, "unpickled")


@pytest.mark.parametrize("how", ["another key", "no signature", "sent twice"])
def test_a_forged_report_is_refused_and_harms_no_future(
    how: str, client: ipyparallel.Client, gate: Gate, tracer: Trace, caplog: pytest.LogCaptureFixture
) -> None:
    future = client.load_balanced_view().submit(calls.pass_gate, gate.address, 5)
    gate.wait_for_arrivals(1)
    channel = room_of(client)._transport._channel
    *_, header = channel._under_way
    session = client.session
    said = [session.pack(session.msg_header("apply_reply")), header, channel._metadata_with(None), session.pack({})]
    signature = {"another key": b"0" * 64, "no signature": b"", "sent twice": session.sign(said)}[how]
    if how == "sent twice":
        session._add_digest(signature)
    forged = [signature, *said, pickle.dumps({"outcomes": Loaded(tracer.path)})]
    with caplog.at_level(logging.ERROR):
        receive(client, [b"<IDS|MSG>", *forged])
    assert [record.message for record in caplog.records if "refused a report" in record.message] == ["refused a report"]
    gate.open()
    assert future.result(PATIENCE) == 5
    assert tracer.lines() == []


def receive(client: ipyparallel.Client, frames: list[bytes]) -> None:
    """Let the client receive a message on its direct queue, and return when it has dealt with it."""
    dealt: Future[None] = Future()

    def receive_it() -> None:
        try:
            room_of(client)._transport._channel._connection._listener._receive([zmq.Frame(frame) for frame in frames])
            dealt.set_result(None)
        except BaseException as error:
            dealt.set_exception(error)

    client._io_loop.add_callback(receive_it)
    dealt.result(PATIENCE)


# -- encryption


@pytest.fixture
def encrypted(tmp_path: Path) -> Iterator[tuple[ipyparallel.Client, Path, psutil.Popen]]:
    """A client of an encrypted cluster, the cluster's connection file, and its controller."""
    file = tmp_path / "profile" / "security" / "ipcontroller-client.json"
    options = [f"--profile-dir={tmp_path / 'profile'}", "--IPController.enable_curve=True", "--ip=127.0.0.1"]
    command = [sys.executable, "-m", "ipyparallel.controller", *options, "--log-level=50"]
    environment = os.environ | {"IPYTHONDIR": str(tmp_path)}
    with psutil.Popen(command, env=environment, start_new_session=True, stderr=subprocess.DEVNULL) as controller:
        family = [controller]
        try:
            faults.wait_until(lambda: faults.is_written(file))
            with faults.another_engine(file), ipyparallel.Client(str(file)) as client:
                client.wait_for_engines(1, timeout=PATIENCE, interactive=False)
                family += controller.children(recursive=True)
                yield client, file, controller
        finally:
            for process in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()


def test_an_encrypted_cluster_end_to_end(
    encrypted: tuple[ipyparallel.Client, Path, psutil.Popen], gate: Gate
) -> None:
    client, file, controller = encrypted
    info = json.loads(file.read_text())
    assert info["curve_serverkey"] and stat.S_IMODE(file.stat().st_mode) == 0o600
    view = client.load_balanced_view()
    assert view.map_sync(calls.identity, range(200)) == list(range(200))
    assert client[:].apply_sync(calls.add, 1, 2) == [3]
    stranger = {key: value for key, value in info.items() if not key.startswith("curve")} | {"key": ""}
    other = {**info, "curve_serverkey": zmq.curve_keypair()[0].decode()}
    for wrong in (stranger, other):
        with pytest.raises(TimeoutError):
            ipyparallel.Client(wrong, timeout=1)
    assert client.load_balanced_view().submit(calls.add, 1, 2).result(PATIENCE) == 3
    # The probes of the connection are encrypted, too: they notice the end.
    held = view.submit(calls.pass_gate, gate.address)
    gate.wait_for_arrivals(1)
    faults.send([*controller.children(recursive=True), controller], signal.SIGKILL)
    assert isinstance(held.exception(faults.CONTROLLER_LIMIT), ClusterGone)
