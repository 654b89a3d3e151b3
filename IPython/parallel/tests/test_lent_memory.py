"""Large arguments and results go past the controller on one host, and nothing of them stays behind."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import gc
import hashlib
import os
import pickle
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from ipyparallel import Client

from IPython.parallel.connection import transport as transport_module
from IPython.parallel.dispatch import groups
from IPython.parallel.engine_bundle import load
from IPython.parallel.engine_room import room_of
from IPython.parallel.errors import ClusterGone, EngineDied
from IPython.parallel.tests.contracts import calls
from IPython.parallel.tests.contracts.harness import PATIENCE, Gate
from IPython.parallel.tests.test_cost import wait_until
from IPython.parallel.tests.test_faults import Own
from IPython.parallel.tests.test_faults import start as start

lent_memory, lent_results = load().lent_memory, load().lent_results
pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="memory without a name is Linux's")

LARGE = 1 << 20
EMPTY = 2 * lent_memory._COOKIE


def lent_now() -> list[int]:
    """The sizes of what this process has lent and not let go of, but for the probes that clients keep."""
    sizes = []
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # that of the listing itself
            if "memfd:IPython.parallel" in os.readlink(entry):
                sizes.append(entry.stat().st_size)
    return [size for size in sizes if size > EMPTY]


@pytest.fixture
def sent(client: Client, monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The sizes of the frames of all groups."""
    view = client.load_balanced_view()
    assert list(view.map(calls.identity, range(100))) == list(range(100))  # all engines have met the client
    assert wait_until(lambda: not room_of(client).dispatcher._schedule.groups())
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

    def test_of_several_calls_in_one_message(
        self, client: Client, sent: list[list[int]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(groups, "OVERRUN", PATIENCE)
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
        kept = lent_memory.lend

        def lose(*pieces: Any) -> Any:
            lent = kept(*pieces)
            os.ftruncate(lent._fd, 0)
            return lent

        monkeypatch.setattr(transport_module.lent_memory, "lend", lose)
        view = client.load_balanced_view()
        with pytest.raises(OSError, match="is not what was lent"):
            view.submit(digest, os.urandom(LARGE)).result(PATIENCE)
        assert view.submit(calls.add, 1, 2).result(PATIENCE) == 3


def _refuse(fd: int, data: memoryview) -> None:
    raise OSError("no memory")


@pytest.fixture
def heard(client: Client, monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The sizes of the frames of all reports."""
    view = client.load_balanced_view()
    assert list(view.map(calls.identity, range(100))) == list(range(100))  # all engines have met the client
    sizes: list[list[int]] = []
    read = transport_module.read_report

    def noted(frames: Any, *, final: bool) -> Any:
        sizes.append([len(frame) for frame in frames])
        return read(frames, final=final)

    monkeypatch.setattr(transport_module, "read_report", noted)
    return sizes


def make(size: int, seed: int) -> bytes:
    return bytes([seed]) * size


def make_arrays(size: int, seed: int) -> list[Any]:
    import numpy

    return [numpy.full(size, seed, dtype=numpy.uint8), "between", numpy.full(size + 1, seed + 1, dtype=numpy.uint8)]


def lent_by_engine() -> tuple[list[int], int]:
    """On an engine: the sizes of what it has lent and keeps, but for its probe; and how many descriptors are open."""
    return lent_now(), len(os.listdir("/proc/self/fd"))


class Reduced:
    """Pickles with many small parts around a large one, and as its own error if asked to."""

    def __init__(self, size: int, *, fails: bool = False) -> None:
        self.parts = [b"a", b"b" * size, {"c": [b"d" * size, 1]}]
        self.fails = fails

    def __reduce__(self) -> Any:
        if self.fails:
            raise OSError("cannot be pickled")
        return _rebuilt, (self.parts,)


class Unreadable:
    """Large, and cannot be read where it was not made."""

    def __reduce__(self) -> Any:
        return _unreadable, (b"x" * LARGE,)


def _unreadable(data: bytes) -> Any:
    raise ZeroDivisionError


class FortranBuffer:
    def __init__(self, size: int) -> None:
        import numpy

        self.array = numpy.frombuffer(bytes(range(4)) * (size // 4), dtype=numpy.uint8).reshape((4, -1), order="F")

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _as_it_is, (pickle.PickleBuffer(self.array),)


def _as_it_is(value: Any) -> Any:
    return value


def make_fortran_buffer(size: int) -> Any:
    return FortranBuffer(size)


def _rebuilt(parts: Any) -> Any:
    return parts


class TestResults:
    def test_large_ones_are_no_part_of_reports(self, client: Client, heard: list[list[int]]) -> None:
        view = client.load_balanced_view()
        results = [view.submit(make, LARGE + n, n) for n in range(8)]
        assert [result.result(PATIENCE) for result in results] == [make(LARGE + n, n) for n in range(8)]
        assert max(size for sizes in heard for size in sizes) < 10_000
        assert {len(sizes) for sizes in heard} == {1}

    def test_arrays_are_writable_as_a_pool_has_them(self, client: Client, heard: list[list[int]]) -> None:
        view = client.load_balanced_view()
        for n, (first, between, second) in enumerate(view.map(make_arrays, [LARGE] * 6, range(6))):
            assert (first == n).all() and (second == n + 1).all() and between == "between"
            assert first.flags.writeable
            first[:] = 77
        assert {len(sizes) for sizes in heard} == {1}

    def test_of_several_calls_in_one_message(
        self, client: Client, heard: list[list[int]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(groups, "OVERRUN", PATIENCE)
        view = client.load_balanced_view()
        mapped = view.map(lambda n: make(LARGE, n) if n % 2 else n, range(12), chunksize=6)
        assert list(mapped) == [make(LARGE, n) if n % 2 else n for n in range(12)]
        assert [len(sizes) for sizes in heard] == [1, 1]

    def test_whatever_they_are_made_of(self, client: Client, heard: list[list[int]]) -> None:
        view = client.load_balanced_view()
        for size in (10, 70_000, LARGE):
            assert view.submit(Reduced, size).result(PATIENCE) == Reduced(size).parts
        many = view.submit(lambda: [b"x" * 20_000] * 20 + [os.urandom(20_000) for _ in range(20)]).result(PATIENCE)
        assert list(map(len, many)) == [20_000] * 40
        with pytest.raises(OSError, match="cannot be pickled"):
            view.submit(Reduced, LARGE, fails=True).result(PATIENCE)

    def test_engines_use_memory_again_and_keep_little(self, client: Client, heard: list[list[int]]) -> None:
        view = client[0]
        before = client[0].apply_sync(lent_by_engine)
        for n in range(60):
            assert view.submit(make, 8 * LARGE, n).result(PATIENCE) == make(8 * LARGE, n)
        kept, open_files = client[0].apply_sync(lent_by_engine)
        most = lent_memory.MOST_SPARE // (8 * LARGE)
        assert len(kept) <= most + 1
        assert open_files - before[1] <= most + 1

    def test_memory_for_larger_ones_is_given_back(self, client: Client, heard: list[list[int]]) -> None:
        view = client[0]
        size = lent_memory.MOST_SPARE + LARGE
        assert view.submit(len, view.submit(make, size, 1).result(PATIENCE)).result(PATIENCE) == size
        assert wait_until(lambda: sum(client[0].apply_sync(lent_by_engine)[0]) <= lent_memory.MOST_SPARE)

    def test_early_reports_have_them_too(self, client: Client, heard: list[list[int]], gate: Gate) -> None:
        """A group that overruns its time reports what there is, and the same again when it ends."""
        call, address = calls.pass_gate, gate.address
        view = client.load_balanced_view()
        mapped = view.map(lambda n: call(address) if n == 3 else make(LARGE, n), range(6), chunksize=6)
        results = iter(mapped)
        assert [next(results) for _ in range(3)] == [make(LARGE, n) for n in range(3)]
        gate.open()
        next(results)
        assert list(results) == [make(LARGE, n) for n in (4, 5)]
        assert max(size for sizes in heard for size in sizes) < 10_000

    def test_reports_that_come_twice(
        self, client: Client, heard: list[list[int]], new_gate: Callable[[], Gate]
    ) -> None:
        """A call that takes long is asked for, and each question answered with the same report."""
        view = client.load_balanced_view()
        for n in range(5):
            gate = new_gate()
            call, address = calls.pass_gate, gate.address
            slow = client[0].submit(lambda call, address, n: (call(address), make(LARGE, n))[1], call, address, n)
            gate.wait_for_arrivals(1)
            for _ in range(3):
                room_of(client).dispatcher._ask(all_groups=True)
            gate.open()
            others = [view.submit(make, LARGE, 10 + n) for n in range(10)]
            assert [other.result(PATIENCE) for other in others] == [make(LARGE, 10 + n) for n in range(10)]
            assert slow.result(PATIENCE) == make(LARGE, n)

    def test_what_cannot_be_unpickled_is_closed(self, client: Client, heard: list[list[int]]) -> None:
        before = len(os.listdir("/proc/self/fd"))
        results = [client.load_balanced_view().submit(Unreadable) for _ in range(5)]
        for result in results:
            with pytest.raises(ZeroDivisionError):
                result.result(PATIENCE)
        assert wait_until(lambda: len(os.listdir("/proc/self/fd")) <= before)

    def test_buffers_of_any_order(self, client: Client, heard: list[list[int]]) -> None:
        first = client.load_balanced_view().submit(make_fortran_buffer, LARGE).result(PATIENCE)
        assert bytes(first) == bytes(range(4)) * (LARGE // 4)

    @pytest.mark.parametrize("size", [10, 100_000, LARGE])
    def test_buffers_are_the_same_whichever_way_they_go(self, client: Client, size: int) -> None:
        expected = pickle.loads(pickle.dumps(FortranBuffer(size), 5))
        assert client.load_balanced_view().submit(bytes, FortranBuffer(size)).result(PATIENCE) == bytes(expected)

    def test_one_that_is_not_there_though_its_engine_is(
        self, client: Client, heard: list[list[int]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        read = transport_module.read_report

        def in_vain(frames: Any, *, final: bool) -> Any:
            head = pickle.loads(frames[0])
            if head["lent"] is not None:
                frames = [pickle.dumps(dict(head, lent=(head["lent"][0], b"another's cookie")))]
            return read(frames, final=final)

        with monkeypatch.context() as patched:
            patched.setattr(transport_module, "read_report", in_vain)
            with pytest.raises(OSError, match="it is another's"):
                client[0].submit(make, LARGE, 1).result(PATIENCE)
        assert client[0].submit(make, LARGE, 2).result(PATIENCE) == make(LARGE, 2)

    def test_an_early_report_that_cannot_be_read(
        self, client: Client, heard: list[list[int]], gate: Gate, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The final one says the same; what it gives back runs elsewhere at once."""
        call, address, early = calls.pass_gate, gate.address, []

        class InVain(lent_memory.Borrowed):  # type: ignore[misc]
            def __init__(self, address: Any) -> None:
                early.append(address)
                self._fd = -1
                raise OSError("too many open files")

        monkeypatch.setattr(transport_module.lent_memory, "Borrowed", InVain)
        mapped = client.load_balanced_view().map(
            lambda n: (n == 3 and call(address), make(LARGE, n))[1], range(6), chunksize=6
        )
        assert wait_until(lambda: early)
        tasks = mapped._tasks
        assert [tasks[n].result(PATIENCE) for n in (4, 5)] == [make(LARGE, n) for n in (4, 5)]
        assert not any(task.done() for task in tasks[:4])
        gate.open()
        assert list(mapped) == [make(LARGE, n) for n in range(6)]

    def test_they_go_with_the_report_to_who_could_not_read_them(
        self, client: Client, heard: list[list[int]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(room_of(client)._transport, "_lenders", set())
        assert client.load_balanced_view().submit(make, LARGE, 1).result(PATIENCE) == make(LARGE, 1)
        assert max(heard[0]) >= LARGE

    def test_and_where_an_engine_has_no_memory_for_them(self, client: Client, heard: list[list[int]]) -> None:
        view = client[0]
        client[0].apply_sync(limit_files, 100_000)
        try:
            assert view.submit(make, LARGE, 1).result(PATIENCE) == make(LARGE, 1)
            assert max(heard[-1]) >= LARGE
        finally:
            client[0].apply_sync(limit_files, resource.RLIM_INFINITY)
        assert view.submit(make, LARGE, 2).result(PATIENCE) == make(LARGE, 2)
        assert max(heard[-1]) < 10_000


def limit_files(size: int) -> None:
    """On an engine: let no file, and no memory that is written to as one, become larger."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


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


    def test_an_engine_that_dies_before_its_results_are_read(
        self, start: Callable[[int], Own], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """They are lost with it, as a report would be that had not left."""
        own = start(2)
        view = own.client.load_balanced_view()
        assert list(view.map(calls.identity, range(100))) == list(range(100))
        doomed, read = own.pid(0), transport_module.read_report

        def kill_first(frames: Any, *, final: bool) -> Any:
            head = pickle.loads(frames[0])
            if head["lent"] is not None and f"/proc/{doomed}/" in head["lent"][0]:
                os.kill(doomed, signal.SIGKILL)
                assert wait_until(lambda: not os.path.exists(head["lent"][0]))
            return read(frames, final=final)

        monkeypatch.setattr(transport_module, "read_report", kill_first)
        retried = own.client.load_balanced_view(retries=1)
        lost = own.client[0].submit(make, LARGE, 1)
        with pytest.raises(EngineDied, match="while it had make"):
            lost.result(PATIENCE)
        assert view.submit(make, LARGE, 2).result(PATIENCE) == make(LARGE, 2)
        assert retried.submit(make, LARGE, 3).result(PATIENCE) == make(LARGE, 3)

    def test_a_client_that_is_killed(self, start: Callable[[int], Own]) -> None:
        """What it never read is let go of when the next client comes."""
        own = start(1)
        script = [sys.executable, "-c", KILLED, str(own.cluster.connection_file)]
        assert subprocess.run(script, timeout=PATIENCE).returncode == -signal.SIGKILL
        assert wait_until(lambda: own.client[0].apply_sync(lent_by_engine)[0] != [])
        view = own.client.load_balanced_view()
        assert view.submit(calls.identity, 1).result(PATIENCE) == 1
        assert own.client[0].apply_sync(lent_by_engine)[0] == []


KILLED = """
import os, signal, sys
import IPython.parallel.connection.transport as transport
from IPython.parallel import Client
from IPython.parallel.tests.test_lent_memory import LARGE, make
def die(frames, *, final):
    os.kill(os.getpid(), signal.SIGKILL)
view = Client(sys.argv[1]).load_balanced_view()
list(view.map(abs, range(10)))
transport.read_report = die
view.submit(make, LARGE, 1).result(60)
"""


class TestOfOneProcess:
    def test_frames_are_read_from_their_beginnings(self) -> None:
        lent = lent_memory.Lent(*([pickle.dumps(n), b"rest"] for n in range(3)))
        borrowed = lent_memory.Borrowed(lent.address)
        readers = [borrowed.at(lent.starts[n]) for n in (2, 0, 1)]
        assert [pickle.load(reader) for reader in readers] == [2, 0, 1]
        assert [reader.read(4) for reader in readers] == [b"rest"] * 3

    def test_another_process_reads_them(self) -> None:
        lent = lent_memory.Lent([b"frame"])
        code = f"import sys; f = open({lent.address.path!r}, 'rb'); f.seek(32); print(f.read())"
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
        assert pickle.load(borrowed.at(EMPTY)) == "kept"

    def test_what_others_have_there_is_refused(self, tmp_path: Path) -> None:
        other = lent_memory.Lent([b"frame"])
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        read_end, write_end = os.pipe()
        own = f"/proc/{os.getpid()}/fd/{read_end}"
        for path in (other.address.path, own, str(pipe), str(tmp_path), "/dev/null", "/no/such/file"):
            assert not lent_memory.can_borrow(lent_memory.Address(path, b"another's cookie"))
        assert not lent_memory.can_borrow(None)
        os.close(read_end)
        os.close(write_end)

    def test_nothing_stays_open_of_what_could_not_be_lent(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lent_memory, "_write", _refuse)
        with pytest.raises(OSError, match="no memory"):
            lent_memory.Lent([b"frame"])
        assert lent_now() == []

    def test_elsewhere_than_on_linux_it_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delattr(os, "memfd_create")
        with pytest.raises(OSError, match="Linux"):
            lent_memory.Lent([b"frame"])
        assert lent_memory.lend([b"frame"]) is None


class TestTaking:
    """What a borrower says when it has read all for the last time."""

    def test_its_lender_may_use_the_memory_again(self) -> None:
        lent = lent_memory.Lent([b"first"])
        reader = lent_memory.Taken(lent.address).at(lent.starts[0])
        assert reader.read() == b"first"
        assert not lent.is_taken()
        del reader
        assert lent.is_taken()
        lent.renew()
        assert not lent.is_taken()
        start = lent.add([b"second"])
        assert lent_memory.Borrowed(lent.address).at(start).read() == b"second"

    def test_reading_it_early_says_nothing(self) -> None:
        lent = lent_memory.Lent([b"first"])
        lent_memory.Borrowed(lent.address).at(lent.starts[0]).read()
        assert not lent.is_taken()

    def test_much_goes_back_to_the_system(self) -> None:
        lent = lent_memory.Lent([bytes(lent_memory.MOST_SPARE)])
        lent_memory.Taken(lent.address)
        assert lent.is_taken()
        assert os.fstat(lent._fd).st_size == EMPTY

    @pytest.mark.parametrize("size", [LARGE, lent_memory.MOST_SPARE + 1])
    def test_what_is_not_what_was_lent_is_left_as_it_is(self, tmp_path: Path, size: int) -> None:
        with (tmp_path / "precious").open("w+b") as named, tempfile.TemporaryFile() as unnamed:
            for file, cookie in ((named, b"0123456789abcdef"), (unnamed, b"another's cookie")):
                file.write(b"0123456789abcdef".ljust(size, b"x"))
                file.flush()
                with pytest.raises(lent_memory.NotThere, match="it is another's"):
                    lent_memory.Taken(lent_memory.Address(f"/proc/{os.getpid()}/fd/{file.fileno()}", cookie))
                gc.collect()
                file.seek(0)
                assert file.read() == b"0123456789abcdef".ljust(size, b"x")

    def test_who_takes_the_same_again_takes_nothing_that_came_later(self) -> None:
        """As where a report comes twice."""
        lent = lent_memory.Lent([b"first"])
        first, again = lent_memory.Taken(lent.address), lent_memory.Taken(lent.address)
        del first
        assert lent.is_taken()
        lent.renew()
        start = lent.add([bytes(lent_memory.MOST_SPARE)])
        del again
        assert not lent.is_taken()
        assert lent_memory.Borrowed(lent.address).at(start).read() == bytes(lent_memory.MOST_SPARE)

    def test_who_takes_it_late_hides_no_other(self) -> None:
        lent = lent_memory.Lent([b"first"])
        first, late = lent_memory.Taken(lent.address), lent_memory.Taken(lent.address)
        del first
        lent.renew()
        lent_memory.Taken(lent.address)
        del late
        assert lent.is_taken()

    def test_errors_that_are_kept_keep_nothing_open(self) -> None:
        lent = lent_memory.Lent([b"first"])
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(lent_memory.NotThere) as kept:
            lent_memory.Taken(lent.address._replace(cookie=b"another's cookie"))
        assert len(os.listdir("/proc/self/fd")) == before
        assert "another's" in str(kept.value)

    def test_a_forked_child_takes_nothing(self) -> None:
        lent = lent_memory.Lent([b"first"])
        taken = lent_memory.Taken(lent.address)
        if (child := os.fork()) == 0:
            del taken
            os._exit(0)
        os.waitpid(child, 0)
        assert not lent.is_taken()
        del taken
        assert lent.is_taken()

    def test_a_piece_that_had_no_room_leaves_no_trace(self, monkeypatch: pytest.MonkeyPatch) -> None:
        lent = lent_memory.Lent([b"first"])
        before = os.fstat(lent._fd).st_size
        with monkeypatch.context() as patched, pytest.raises(OSError, match="no memory"):
            write = lent_memory._write
            patched.setattr(lent_memory, "_write", lambda fd, data: (write(fd, data[:3]), _refuse(fd, data)))
            lent.add([b"second"])
        assert os.fstat(lent._fd).st_size == before
        start = lent.add([b"third"])
        assert lent_memory.Borrowed(lent.address).at(start).read() == b"third"

    def test_who_has_ended(self) -> None:
        lent = lent_memory.Lent()
        path = lent.address.path
        del lent
        with pytest.raises(lent_memory.NotThere) as not_there:
            lent_memory.Borrowed(lent_memory.Address(path, b""))
        assert not lent_memory.is_gone(not_there.value)  # this process is there
        with subprocess.Popen([sys.executable, "-c", ""]) as another:
            ended = lent_memory.NotThere(f"/proc/{another.pid}/fd/3", "")
            assert wait_until(lambda: lent_memory.is_gone(ended))  # not waited for yet: a zombie
        assert lent_memory.is_gone(ended)
        assert not lent_memory.is_gone(lent_memory.NotThere("/etc/passwd", ""))
        assert not lent_memory.is_gone(OSError("another"))


class TestLender:
    def lend(self, lender: Any, client: str, number: int, size: int = 100) -> Any:
        lent = lender.memory()
        lent.add([bytes(size)])
        lender.lend(client, number, lent)
        return lent

    def test_memory_is_used_again_when_it_was_taken(self) -> None:
        lender = lent_results.Lender()
        first = self.lend(lender, "client", 1)
        lender.take_back("client", [1])  # heard, and being read
        assert self.lend(lender, "client", 2) is not first
        lent_memory.Taken(first.address)
        assert self.lend(lender, "client", 3) is first

    def test_taken_is_enough(self) -> None:
        """Of a client that has its last result nothing more is heard."""
        lender = lent_results.Lender()
        first = self.lend(lender, "one", 1)
        lent_memory.Taken(first.address)
        lender.take_back("another", [])
        assert self.lend(lender, "another", 1) is first

    def test_what_nobody_heard_of_is_kept(self) -> None:
        lender = lent_results.Lender()
        first = self.lend(lender, "client", 1)
        for number in range(2, 5):
            lender.take_back("client", [number - 1] if number > 2 else [])
            assert self.lend(lender, "client", number) is not first
        assert lent_memory.can_borrow(first.address)

    def test_little_is_kept_for_later(self) -> None:
        lender = lent_results.Lender()
        for number in range(10):
            self.lend(lender, "client", number, lent_memory.MOST_SPARE // 3)
        gc.collect()
        assert len(lent_now()) == 10
        lender.take_back("client", range(10))
        gc.collect()
        assert len(lent_now()) == 2

    def test_what_it_was_once_counts(self) -> None:
        """Memory that was used for much, and is used for little, still takes much of the system's."""
        lender = lent_results.Lender()
        for number in range(4):
            self.lend(lender, "client", number, lent_memory.MOST_SPARE // 3)
        lender.take_back("client", range(4))
        gc.collect()
        assert len(lent_now()) == 2
        for address in [lent.address for lent in lender._spare]:
            lent_memory.Taken(address)
        small = [self.lend(lender, "client", number, 10) for number in (10, 11)]
        lender.take_back("client", [10, 11])
        assert [lent.room > lent_memory.MOST_SPARE // 3 for lent in small] == [True, True]
        self.lend(lender, "client", 12, lent_memory.MOST_SPARE // 3 + 100)
        self.lend(lender, "client", 13, lent_memory.MOST_SPARE // 3 + 100)
        del small
        lender.take_back("client", [12, 13])
        gc.collect()
        assert len(lent_now()) == 2

    def test_no_more_than_so_much_is_lent(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lent_results, "MOST_LENT", 1000)
        lender = lent_results.Lender()
        assert lender.may_lend(1000)
        self.lend(lender, "client", 1, 500)
        assert not lender.may_lend(500)
        lender.take_back("client", [1])
        assert lender.may_lend(1000)

    def test_what_was_lent_to_clients_that_are_gone_is_let_go_of(self) -> None:
        """Those whose memory could be borrowed, and cannot any more."""
        lender, probe = lent_results.Lender(), lent_memory.Lent()
        lender.introduce("one", probe.address)
        lender.introduce("without a probe", None)
        lender.introduce("of another host", lent_memory.Address("/proc/999999999/fd/3", b""))
        addresses = [self.lend(lender, who, 1).address for who in ("one", "without a probe", "of another host")]
        lender.introduce("next", None)
        assert [lent_memory.can_borrow(address) for address in addresses] == [True, True, True]
        del probe
        lender.introduce("next but one", None)
        assert [lent_memory.can_borrow(address) for address in addresses] == [False, True, True]

    def test_waiting_at_the_end(self) -> None:
        lender, probe = lent_results.Lender(), lent_memory.Lent()
        lender.introduce("gone", probe.address)
        self.lend(lender, "gone", 1)
        del probe
        taken = lent_memory.Taken(self.lend(lender, "there", 1).address)
        with ThreadPoolExecutor(1) as thread:
            waited = thread.submit(lender.wait, PATIENCE)
            with pytest.raises(TimeoutError):
                waited.result(0.1)
            del taken
            waited.result(PATIENCE)
        self.lend(lender, "there", 2)
        lender.wait(0.01)  # and no longer
