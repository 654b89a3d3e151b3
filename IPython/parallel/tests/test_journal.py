"""What a dead engine had begun can be read, and what it had not begun is never begun after that."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from IPython.parallel import engine_bundle
from IPython.parallel.on_engines import journal as journal_module
from IPython.parallel.tests.contracts.harness import PATIENCE

journal = engine_bundle.load().journal
ALL = 2**39  # no group has a higher number

# An engine, as far as its journal goes: takes an expression a line, and answers with what it is.
_WRITER = """
import importlib.util, os, sys
spec = importlib.util.spec_from_file_location("journal", {path!r})
journal = importlib.util.module_from_spec(spec)
sys.modules["journal"] = journal
spec.loader.exec_module(journal)
made = journal.Journal()

def begin(client, group, call):
    return made.slot(client).begin(group, call)

def run(client):
    "Begin calls until told not to; the last that was begun, and what was refused."
    slot, last = made.slot(client), None
    sys.stdout.write("running\\n")
    sys.stdout.flush()
    group = 0
    while True:
        group += 1
        for call in range(100):
            if not slot.begin(group, call):
                return last, (group, call)
            last = group, call

def fork():
    "What is left of the file when a forked child has ended in an orderly way."
    child = os.fork()
    if child == 0:
        sys.exit()
    os.waitpid(child, 0)
    return os.path.exists(made._path)

for line in sys.stdin:
    sys.stdout.write(repr(eval(line)) + "\\n")
    sys.stdout.flush()
"""


class Writer:
    """An engine's journal in a process of its own."""

    def __init__(self, directory: Path) -> None:
        code = _WRITER.format(path=journal_module.__file__)
        environ = {**os.environ, journal.DIRECTORY_VARIABLE: str(directory)}
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environ,
        )

    def ask(self, expression: str) -> Any:
        self.tell(expression)
        return self.hear()

    def tell(self, expression: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{expression}\n")
        self.process.stdin.flush()

    def hear(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the writer ended"
        return line.strip() if line.startswith("running") else eval(line)

    def address(self, client: str) -> Any:
        return journal.Address(*self.ask(f"tuple(made.address({client!r}))"))

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE)

    def end(self) -> None:
        self.process.communicate(timeout=PATIENCE)


@pytest.fixture
def new_writer(tmp_path: Path) -> Iterator[Callable[[], Writer]]:
    made: list[Writer] = []

    def make() -> Writer:
        made.append(Writer(tmp_path))
        return made[-1]

    yield make
    for writer in made:
        writer.process.kill()
        writer.process.communicate(timeout=PATIENCE)


@pytest.fixture
def writer(new_writer: Callable[[], Writer]) -> Writer:
    return new_writer()


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A journal of this process."""
    monkeypatch.setenv(journal.DIRECTORY_VARIABLE, str(tmp_path))
    made = journal.Journal()
    yield made
    made._remove(os.getpid())


class TestBegin:
    def test_nothing_begun(self, own: Any) -> None:
        assert journal.revoke(own.address("a"), 5) == (0, 0)

    @pytest.mark.parametrize(("group", "call"), [(1, 0), (1, 41), (2**39, 0), (7, 2**24 - 2)])
    def test_the_last_call_begun_is_told(self, own: Any, group: int, call: int) -> None:
        address = own.address("a")
        assert own.slot("a").begin(group, call)
        assert journal.revoke(address, ALL + 1) == (group, call + 1)

    def test_revoked_groups_are_not_begun_and_later_ones_are(self, own: Any) -> None:
        address, slot = own.address("a"), own.slot("a")
        assert slot.begin(1, 0)
        journal.revoke(address, 3)
        assert [slot.begin(group, 0) for group in (1, 2, 3, 4)] == [False, False, False, True]

    def test_what_is_revoked_stays_revoked(self, own: Any) -> None:
        address, slot = own.address("a"), own.slot("a")
        journal.revoke(address, 3)
        journal.revoke(address, 2)
        assert not slot.begin(3, 0)
        assert slot.begin(4, 0)

    def test_clients_have_parts_of_their_own(self, own: Any) -> None:
        addresses = {client: own.address(client) for client in "abc"}
        assert own.slot("b").begin(5, 1)
        assert [journal.revoke(addresses[client], 9) for client in "ab"] == [(0, 0), (5, 2)]
        assert not own.slot("a").begin(9, 0)
        assert own.slot("c").begin(9, 0)

    def test_a_client_has_one_address(self, own: Any) -> None:
        assert own.address("a") == own.address("a")

    def test_a_client_that_was_not_told_an_address_has_no_part(self, own: Any) -> None:
        assert own.slot("stranger") is None

    def test_too_many_clients_go_without(self, own: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(journal, "_SLOTS", 2)
        assert [own.address(client) is None for client in "abcd"] == [False, False, True, True]
        assert [own.slot(client) is None for client in "abcd"] == [False, False, True, True]

    def test_the_last_part_is_inside_the_file(self, own: Any) -> None:
        for n in range(journal._SLOTS):
            address = own.address(str(n))
        assert own.slot(str(n)).begin(1, 0)
        assert journal.revoke(address, 1) == (1, 1)
        assert own.address("one more") is None


class TestUnknown:
    """What cannot be known is said to be unknown: all that was sent counts as begun then."""

    def test_on_another_host(self, own: Any) -> None:
        assert journal.revoke(own.address("a")._replace(host="elsewhere"), 1) is None

    def test_the_file_is_gone(self, own: Any) -> None:
        address = own.address("a")
        os.unlink(address.path)
        assert journal.revoke(address, 1) is None

    def test_another_file_is_there_by_now(self, own: Any) -> None:
        slot, address = own.slot("a"), own.address("a")
        assert journal.revoke(address._replace(cookie=bytes(16)), 1) is None
        assert slot is None and own.slot("a").begin(1, 0), "what is another's was written to"

    @pytest.mark.parametrize("size", [0, 100])
    def test_a_file_that_is_too_short(self, own: Any, tmp_path: Path, size: int) -> None:
        (tmp_path / "short").write_bytes(bytes(size))
        assert journal.revoke(own.address("a")._replace(path=str(tmp_path / "short")), 1) is None

    def test_a_file_that_may_not_be_written(self, own: Any, tmp_path: Path) -> None:
        assert journal.revoke(own.address("a")._replace(path=str(tmp_path)), 1) is None


class TestTwoProcesses:
    def test_what_a_killed_engine_had_begun(self, writer: Writer) -> None:
        address = writer.address("a")
        assert writer.ask("begin('a', 3, 7)") is True
        writer.kill()
        assert journal.revoke(address, 4) == (3, 8)

    def test_what_was_begun_when_it_was_killed_is_all_told(self, writer: Writer) -> None:
        address = writer.address("a")
        writer.tell("run('a')")
        assert writer.hear() == "running"
        writer.kill()
        begun = journal.revoke(address, ALL)
        assert begun.group >= 1 or begun == (0, 0)
        assert begun.calls <= 100
        assert journal.revoke(address, ALL) == begun

    def test_what_is_revoked_here_is_not_begun_there(self, writer: Writer) -> None:
        address = writer.address("a")
        assert writer.ask("begin('a', 1, 0)") is True
        assert journal.revoke(address, 2) == (1, 1)
        assert writer.ask("[begin('a', *each) for each in [(1, 1), (2, 0), (3, 0)]]") == [
            False,
            False,
            True,
        ]

    @pytest.mark.parametrize("stopped", [True, False])
    def test_an_engine_that_goes_on_runs_nothing_that_was_not_told(
        self, writer: Writer, stopped: bool
    ) -> None:
        """Stopped anywhere, or running on as it is given up: each call is told as begun, or not run."""
        for n in range(15):
            address = writer.address(f"client {n}")
            writer.tell(f"run('client {n}')")
            assert writer.hear() == "running"
            if stopped:
                os.kill(writer.process.pid, signal.SIGSTOP)
            begun = journal.revoke(address, ALL)
            if stopped:
                os.kill(writer.process.pid, signal.SIGCONT)
            last, refused = writer.hear()
            assert last is None or last <= (begun.group, begun.calls - 1), (
                "ran what may run elsewhere"
            )
            following = (0, 0) if last is None else last
            assert refused > following

    def test_the_file_goes_when_the_engine_ends(self, writer: Writer) -> None:
        address = writer.address("a")
        assert Path(address.path).exists()
        writer.end()
        assert not Path(address.path).exists()

    def test_the_file_stays_when_a_forked_child_ends(self, writer: Writer) -> None:
        address = writer.address("a")
        assert writer.ask("fork()") is True
        writer.ask("begin('a', 1, 0)")
        assert journal.revoke(address, 1) == (1, 1)

    def test_the_file_is_the_users_alone_and_in_the_clusters_directory(
        self, writer: Writer, tmp_path: Path
    ) -> None:
        path = Path(writer.address("a").path)
        assert path.parent == tmp_path
        assert path.stat().st_mode & 0o777 == 0o600

    def test_two_engines_have_two_files(self, new_writer: Callable[[], Writer]) -> None:
        addresses = [new_writer().address("a") for _ in range(2)]
        assert (
            len({address.path for address in addresses})
            == len({address.cookie for address in addresses})
            == 2
        )


def test_a_group_has_as_many_calls_as_the_journal_can_count() -> None:
    from IPython.parallel.dispatch.batch_policy import MOST

    assert MOST < 2**journal._CALLS_BITS
    assert list(itertools.islice(journal.Begun._fields, 2)) == ["group", "calls"]
