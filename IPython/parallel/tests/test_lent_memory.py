"""Large arguments go to engines of this host past the controller, and nothing of them stays behind."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import hashlib
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from ipyparallel import Client

from IPython.parallel.connection import transport as transport_module
from IPython.parallel.engine_bundle import load
from IPython.parallel.engine_room import room_of
from IPython.parallel.errors import ClusterGone, EngineDied
from IPython.parallel.tests.contracts import calls
from IPython.parallel.tests.contracts.harness import PATIENCE, Gate
from IPython.parallel.tests.test_cost import wait_until
from IPython.parallel.tests.test_faults import Own
from IPython.parallel.tests.test_faults import start as start

lent_memory = load().lent_memory
pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="memory without a name is Linux's")

LARGE = 1 << 20


def lent_now() -> list[int]:
    """The sizes of what this process has lent and not let go of, but for the probes that clients keep."""
    sizes = []
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # that of the listing itself
            if "memfd:IPython.parallel" in os.readlink(entry):
                sizes.append(entry.stat().st_size)
    return [size for size in sizes if size > lent_memory._COOKIE_BYTES]


@pytest.fixture
def sent(client: Client, monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The sizes of the frames of all groups."""
    view = client.load_balanced_view()
    assert list(view.map(calls.identity, range(100))) == list(range(100))  # all engines have met the client
    sizes: list[list[int]] = []
    channel = room_of(client)._transport._channel
    send = channel.send

    def noted(engine: str, frames: list[Any], *args: Any, **kwargs: Any) -> None:
        sizes.append([len(frame) for frame in frames])
        send(engine, frames, *args, **kwargs)

    monkeypatch.setattr(channel, "send", noted)
    return sizes


def digest(*parts: Any) -> list[str]:
    return [hashlib.sha256(part).hexdigest() for part in parts]


class TestOnACluster:
    def test_large_arguments_are_no_part_of_messages(self, client: Client, sent: list[list[int]]) -> None:
        arguments = [os.urandom(LARGE + n) for n in range(6)]
        results = [client.load_balanced_view().submit(digest, data, bytearray(data)) for data in arguments]
        assert [result.result(PATIENCE) for result in results] == [digest(data) * 2 for data in arguments]
        assert max(size for sizes in sent for size in sizes) < 10_000
        assert {len(sizes) for sizes in sent} == {1}
        assert wait_until(lambda: lent_now() == [])

    def test_of_several_calls_in_one_message(self, client: Client, sent: list[list[int]]) -> None:
        arguments = [os.urandom(LARGE + n) for n in range(8)]
        mapped = client.load_balanced_view().map(digest, arguments, [b"small"] * 8, chunksize=4)
        assert list(mapped) == [digest(data, b"small") for data in arguments]
        assert [len(sizes) for sizes in sent] == [1, 1]

    def test_an_engine_that_was_asked_twice(self, client: Client, sent: list[list[int]]) -> None:
        """As after Ctrl-C: whichever answer comes last, it has tried what there is."""
        transport, uuids = room_of(client)._transport, list(client._engines.values())
        transport._borrowers.clear()
        for uuid in uuids:
            preparing = transport._prepared[uuid]
            for _ in range(3):
                transport._prepare(client, uuid, room_of(client).dispatcher.name, preparing)
        assert all(message.wait(PATIENCE) for uuid in uuids for message in transport._prepared[uuid].messages)
        assert wait_until(lambda: transport._borrowers == set(uuids))

    def test_arguments_are_taken_as_they_are(self, client: Client, sent: list[list[int]]) -> None:
        data = bytearray(LARGE)
        result = client.load_balanced_view().submit(digest, data)
        data[:] = b"x" * LARGE
        assert result.result(PATIENCE) == digest(bytes(LARGE))

    def test_small_ones_go_with_the_message(self, client: Client, sent: list[list[int]]) -> None:
        data = os.urandom(lent_memory.LEAST // 2)
        assert client.load_balanced_view().submit(digest, data).result(PATIENCE) == digest(data)
        assert max(sent[0]) >= len(data)

    def test_so_do_all_where_there_is_no_memory_for_them(
        self, client: Client, sent: list[list[int]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(lent_memory, "_write", _refuse)
        data = os.urandom(LARGE)
        assert client.load_balanced_view().submit(digest, data).result(PATIENCE) == digest(data)
        assert max(sent[0]) >= LARGE
        assert lent_now() == []

    def test_so_do_all_to_an_engine_that_could_not_read_them(
        self, client: Client, sent: list[list[int]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(room_of(client)._transport, "_borrowers", set())
        data = os.urandom(LARGE)
        assert client.load_balanced_view().submit(digest, data).result(PATIENCE) == digest(data)
        assert max(sent[0]) >= LARGE

    def test_a_call_whose_arguments_are_gone_fails_and_no_other(
        self, client: Client, sent: list[list[int]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        kept = transport_module._lent

        def lose(frames: Any) -> Any:
            lent = kept(frames)
            os.ftruncate(lent._fd, 0)
            return lent

        monkeypatch.setattr(transport_module, "_lent", lose)
        view = client.load_balanced_view()
        with pytest.raises(FileNotFoundError, match="not what the caller lent"):
            view.submit(digest, os.urandom(LARGE)).result(PATIENCE)
        assert view.submit(calls.add, 1, 2).result(PATIENCE) == 3


def _refuse(fd: int, data: memoryview) -> None:
    raise OSError("no memory")


class TestFaults:
    def test_an_engine_that_dies(self, start: Callable[[int], Own], gate: Gate) -> None:
        """What it had begun is lost with it, what it had not runs elsewhere, and nothing stays lent."""
        own = start(2)
        view = own.client.load_balanced_view()
        assert list(view.map(calls.identity, range(100))) == list(range(100))
        doomed = own.pid(0)
        held = own.client[0].submit(calls.pass_gate, gate.address, bytes(LARGE))
        gate.wait_for_arrivals(1)
        waiting = [view.submit(digest, bytes([n]) * LARGE) for n in range(6)]
        os.kill(doomed, signal.SIGKILL)
        assert isinstance(held.exception(PATIENCE), EngineDied)
        assert [result.result(PATIENCE) for result in waiting] == [digest(bytes([n]) * LARGE) for n in range(6)]
        assert wait_until(lambda: lent_now() == [])

    def test_a_client_that_is_closed(self, start: Callable[[int], Own], gate: Gate) -> None:
        own = start(1)
        view = own.client.load_balanced_view()
        assert view.submit(calls.identity, 1).result(PATIENCE) == 1
        held = [view.submit(calls.pass_gate, gate.address, bytes(LARGE)) for _ in range(4)]
        gate.wait_for_arrivals(1)
        own.client.close()
        assert all(isinstance(result.exception(PATIENCE), ClusterGone) for result in held)
        gate.open()
        assert wait_until(lambda: lent_now() == [])


class TestOfOneProcess:
    def test_frames_are_read_from_their_beginnings(self) -> None:
        frames = [pickle.dumps(n) + b"rest" for n in range(3)]
        lent = lent_memory.Lent(frames)
        borrowed = lent_memory.Borrowed(lent.address)
        assert [pickle.load(borrowed.file_at(n)) for n in (2, 0, 1)] == [2, 0, 1]
        borrowed.close()

    def test_another_process_reads_them(self) -> None:
        lent = lent_memory.Lent([b"frame"])
        code = f"import sys; f = open({lent.address.path!r}, 'rb'); f.seek(16); print(f.read())"
        assert subprocess.check_output([sys.executable, "-c", code], text=True) == "b'frame'\n"

    def test_they_are_gone_with_the_object(self) -> None:
        lent = lent_memory.Lent([b"frame"])
        address = lent.address
        assert lent_memory.can_borrow(address)
        del lent
        assert not lent_memory.can_borrow(address)
        assert lent_now() == []

    def test_what_is_read_already_stays(self) -> None:
        lent = lent_memory.Lent([pickle.dumps("kept")])
        borrowed = lent_memory.Borrowed(lent.address)
        del lent
        assert pickle.load(borrowed.file_at(0)) == "kept"
        borrowed.close()

    def test_what_others_have_there_is_refused(self, tmp_path: Path) -> None:
        other = lent_memory.Lent([b"frame"])
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        for path in (other.address.path, str(pipe), str(tmp_path), "/dev/null", "/no/such/file"):
            assert not lent_memory.can_borrow(lent_memory.Address(path, b"another's cookie", (5,)))
        assert not lent_memory.can_borrow(None)

    def test_nothing_stays_open_of_what_could_not_be_lent(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lent_memory, "_write", _refuse)
        with pytest.raises(OSError, match="no memory"):
            lent_memory.Lent([b"frame"])
        assert lent_now() == []

    def test_elsewhere_than_on_linux_it_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delattr(os, "memfd_create")
        with pytest.raises(OSError, match="Linux"):
            lent_memory.Lent([b"frame"])
        assert transport_module._lent([b"frame"]) is None
