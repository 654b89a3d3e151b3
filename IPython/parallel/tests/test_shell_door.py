"""The short way into an engine: order is kept, strangers stay out, Ctrl-C still works."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import asyncio
import json
import logging
import os
import queue
import shutil
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ipykernel
import ipyparallel
import pytest
import zmq
import zmq.asyncio
from jupyter_client.session import Session
from tornado.ioloop import IOLoop
from zmq.eventloop.zmqstream import ZMQStream

import IPython.parallel
from IPython.parallel import engine_bundle
from IPython.parallel.tests.contracts import calls
from IPython.parallel.tests.contracts.harness import PATIENCE, Gate

door_module = engine_bundle.load().shell_door
envelope = engine_bundle.load().envelope
KEY = b"the key of this cluster"


# -- a kernel of this process: real streams, and messages in order as both generations of ipykernel do it


class Kernel:
    """What both have, as far as the door uses it."""

    ident = "an engine"

    def __init__(self, stream: ZMQStream) -> None:
        self.session = Session(key=KEY)
        self.shell_stream = stream
        self.aborted: set[str] = set()
        self.log = logging.getLogger("a kernel")
        self.ran: list[Any] = []
        self.parents: list[Any] = []
        self.published: list[list[bytes]] = []
        self.iopub_socket = SimpleNamespace(send_multipart=self.published.append)
        self.waits: dict[str, asyncio.Event] = {}

    def set_parent(self, idents: Any, parent: Any) -> None:
        self.parents.append(parent)

    def _topic(self, topic: str) -> bytes:
        return f"engine.{topic}".encode()

    async def dispatch_shell(self, frames: list[Any]) -> None:
        _, parts = self.session.feed_identities(frames, copy=False)
        message = self.session.deserialize(parts, copy=False)
        name = message["content"]["name"]
        if name in self.waits:  # as a cell does that awaits something
            await self.waits[name].wait()
        self.ran.append(name)


class Kernel7(Kernel):
    """As ipykernel 7: each message is a task that waits for a lock."""

    def __init__(self, stream: ZMQStream) -> None:
        super().__init__(stream)
        self._main_asyncio_lock = asyncio.Lock()
        stream.on_recv(self._in_context, copy=False)

    async def _in_context(self, frames: list[Any]) -> None:
        await asyncio.create_task(self._shell_main(frames))

    async def _shell_main(self, frames: list[Any]) -> None:
        async with self._main_asyncio_lock:
            await self.dispatch_shell(frames)


class Kernel6(Kernel):
    """As ipykernel 6: messages go through a queue."""

    def __init__(self, stream: ZMQStream) -> None:
        super().__init__(stream)
        self._messages: asyncio.Queue[Callable[[], Awaitable[None]]] = asyncio.Queue()
        self._serving = asyncio.ensure_future(self._serve())
        stream.on_recv(
            lambda frames: self.schedule_dispatch(self.dispatch_shell, frames), copy=False
        )

    def schedule_dispatch(self, dispatch: Callable[..., Awaitable[None]], *args: Any) -> None:
        self._messages.put_nowait(lambda: dispatch(*args))

    async def _serve(self) -> None:
        while True:
            await (await self._messages.get())()


class Bench:
    """A kernel with a door, and its client."""

    def __init__(
        self, kind: type[Kernel], client: zmq.Socket[bytes], server: zmq.Socket[bytes]
    ) -> None:
        self.socket = client
        self.kernel = kind(ZMQStream(server, io_loop=IOLoop.current()))
        self.session = Session(key=KEY)
        self.run_group: Callable[[list[Any]], list[bytes]] = self._note
        self.door = door_module.open_door(self.kernel, lambda frames: self.run_group(frames))

    def _note(self, frames: list[Any]) -> list[bytes]:
        self.kernel.ran.append(bytes(frames[0]).decode())
        return [b"report of", bytes(frames[0])]

    def stock(self, name: str) -> None:
        self.session.send(self.socket, "execute_request", {"name": name})

    def group(self, name: str, session: Session | None = None) -> list[bytes]:
        session = session or self.session
        header = session.pack(envelope.make_header(session, "apply_request"))
        frames = envelope.seal(session, header, b"{}", session.pack({envelope.MARK: True}), b"{}")
        self.socket.send_multipart([*frames, name.encode()])
        return frames

    async def replies(self, count: int) -> list[Any]:
        return [await asyncio.wait_for(self._reply(), PATIENCE) for _ in range(count)]

    async def _reply(self) -> Any:
        frames = await zmq.asyncio.Socket.from_socket(self.socket).recv_multipart()
        _, rest = self.session.feed_identities(frames)
        return self.session.deserialize(rest)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Let the kernel's loop turn: nothing tells from outside."""
        async with asyncio.timeout(PATIENCE):
            while not condition():
                await asyncio.sleep(0)


@pytest.fixture(params=[Kernel7, Kernel6])
def play(request: pytest.FixtureRequest) -> Callable[[Callable[[Bench], Awaitable[None]]], None]:
    """Runs a test in the loop of a kernel."""

    def run(scene: Callable[[Bench], Awaitable[None]]) -> None:
        async def main() -> None:
            with (
                zmq.Context() as context,
                context.socket(zmq.DEALER) as client,
                context.socket(zmq.DEALER) as server,
            ):
                server.bind("inproc://shell")
                client.connect("inproc://shell")
                bench = Bench(request.param, client, server)
                try:
                    await asyncio.wait_for(scene(bench), 2 * PATIENCE)
                finally:
                    bench.kernel.shell_stream.close()
                    for task in asyncio.all_tasks() - {asyncio.current_task()}:
                        task.cancel()

        asyncio.run(main())

    return run


class TestDoor:
    def test_a_group_is_run_and_answered(self, play: Any) -> None:
        async def scene(b: Bench) -> None:
            sent = b.group("a")
            (reply,) = await b.replies(1)
            assert [bytes(buffer) for buffer in reply["buffers"]] == [b"report of", b"a"]
            assert (reply["msg_type"], reply["content"]) == ("apply_reply", {"status": "ok"})
            assert reply["metadata"] == {
                envelope.MARK: True, "dependencies_met": True, "engine": "an engine", "status": "ok",
                "started": reply["metadata"]["started"],
            }  # fmt: skip
            assert reply["parent_header"]["msg_id"] == json.loads(sent[2])["msg_id"]
            assert b.kernel.parents[0]["header"]["msg_id"] == reply["parent_header"]["msg_id"]

        play(scene)

    def test_stock_messages_and_groups_keep_their_order(self, play: Any) -> None:
        async def scene(b: Bench) -> None:
            names = [
                f"{kind} {n}" for n in range(100) for kind in ("stock", "group", "group", "stock")
            ]
            for name in names:
                (b.stock if name.startswith("stock") else b.group)(name)
            await b.until(lambda: len(b.kernel.ran) == len(names))
            assert b.kernel.ran == names

        play(scene)

    def test_a_group_waits_while_a_cell_awaits_something(self, play: Any) -> None:
        async def scene(b: Bench) -> None:
            b.kernel.waits["cell"] = asyncio.Event()
            b.group("before")
            b.stock("cell")
            for name in ("a", "b"):
                b.group(name)
            b.stock("after")
            await b.until(lambda: b.kernel.ran == ["before"])
            for _ in range(50):
                await asyncio.sleep(0)
            assert b.kernel.ran == ["before"]
            b.kernel.waits["cell"].set()
            await b.until(lambda: len(b.kernel.ran) == 5)
            assert b.kernel.ran == ["before", "cell", "a", "b", "after"]

        play(scene)

    def test_a_group_that_arrives_while_another_is_answered(self, play: Any) -> None:
        """Sending may take the news of the arrival: nothing else will come to wake the stream."""

        async def scene(b: Bench) -> None:
            def run_group(frames: list[Any]) -> list[bytes]:
                number = int(bytes(frames[0]))
                b.kernel.ran.append(number)
                if number < 100:
                    b.group(str(number + 1))
                return []

            b.run_group = run_group
            b.group("0")
            await b.until(lambda: len(b.kernel.ran) == 101)
            assert b.kernel.ran == list(range(101))

        play(scene)

    def test_the_same_behind_a_cell(self, play: Any) -> None:
        async def scene(b: Bench) -> None:
            b.kernel.waits["cell"] = asyncio.Event()

            def run_group(frames: list[Any]) -> list[bytes]:
                b._note(frames)
                if bytes(frames[0]) == b"first":
                    b.group("second")
                return []

            b.run_group = run_group
            b.stock("cell")
            b.group("first")
            asyncio.get_running_loop().call_later(0.01, b.kernel.waits["cell"].set)
            await b.until(lambda: b.kernel.ran == ["cell", "first", "second"])

        play(scene)

    def test_unsigned_foreign_and_replayed_groups_are_refused_and_logged(
        self, play: Any, caplog: Any
    ) -> None:
        async def scene(b: Bench) -> None:
            b.group("foreign", Session(key=b"another key"))
            b.group("unsigned", Session(key=b""))
            again = b.group("once")
            b.socket.send_multipart([*again, b"once"])
            b.group("last")
            replies = await b.replies(2)
            assert b.kernel.ran == ["once", "last"]
            assert [bytes(reply["buffers"][1]) for reply in replies] == [b"once", b"last"]

        play(scene)
        refused = [
            record for record in caplog.records if "refused a group of calls" in record.message
        ]
        assert len(refused) == 3

    def test_an_aborted_group_is_not_run(self, play: Any) -> None:
        async def scene(b: Bench) -> None:
            b.kernel.waits["cell"] = asyncio.Event()
            b.stock("cell")
            sent = b.group("aborted")
            b.group("kept")
            b.kernel.aborted.add(json.loads(sent[2])["msg_id"])
            b.kernel.waits["cell"].set()
            first, second = await b.replies(2)
            assert (first["content"], second["content"]) == (
                {"status": "aborted"},
                {"status": "ok"},
            )
            assert b.kernel.ran == ["cell", "kept"]
            assert b.kernel.aborted == set()

        play(scene)

    @pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, LookupError])
    def test_an_error_of_the_runner_is_the_answer(
        self, play: Any, error: type[BaseException]
    ) -> None:
        async def scene(b: Bench) -> None:
            def fail(frames: list[Any]) -> list[bytes]:
                b.run_group = b._note
                raise error("scripted")

            b.run_group = fail
            b.group("fails")
            b.group("goes on")
            first, second = await b.replies(2)
            assert (first["content"]["status"], first["content"]["ename"]) == (
                "error",
                error.__name__,
            )
            assert second["content"] == {"status": "ok"}

        play(scene)

    def test_early_reports_are_published_with_the_groups_header(self, play: Any) -> None:
        async def scene(b: Bench) -> None:
            def run_group(frames: list[Any]) -> list[bytes]:
                b.door.publish([b"early"])
                return []

            b.run_group = run_group
            sent = b.group("a")
            await b.replies(1)
            (published,) = b.kernel.published
            idents, rest = b.session.feed_identities(published)
            report = b.session.deserialize(rest)
            assert idents == [b"engine.report"]
            assert report["parent_header"]["msg_id"] == json.loads(sent[2])["msg_id"]
            assert [bytes(buffer) for buffer in report["buffers"]] == [b"early"]

        play(scene)

    def test_what_a_group_sets_in_its_context_stays_for_the_next(self, play: Any) -> None:
        from decimal import getcontext

        async def scene(b: Bench) -> None:
            seen: list[int] = []

            def run_group(frames: list[Any]) -> list[bytes]:
                seen.append(getcontext().prec)
                getcontext().prec = 11 + len(seen)
                return []

            b.run_group = run_group
            for name in "abc":
                b.group(name)
            await b.replies(3)
            assert seen[1:] == [12, 13]

        play(scene)

    def test_a_second_version_has_a_door_of_its_own_before_the_first(
        self, play: Any, monkeypatch: Any
    ) -> None:
        """Its groups have another mark; each door hands on what is not its own."""

        async def scene(b: Bench) -> None:
            other = other_version()
            ran: list[str] = []

            def run_group(frames: list[Any]) -> list[bytes]:
                ran.append(bytes(frames[0]).decode())
                return []

            other.shell_door.open_door(b.kernel, run_group)
            for n in range(20):
                b.stock(f"stock {n}")
                b.group(f"one {n}")
                header = b.session.pack(other.envelope.make_header(b.session, "apply_request"))
                metadata = b.session.pack({other.envelope.MARK: True})
                frames = other.envelope.seal(b.session, header, b"{}", metadata, b"{}")
                b.socket.send_multipart([*frames, f"two {n}".encode()])
            await b.until(lambda: len(b.kernel.ran) == 40 and len(ran) == 20)
            assert b.kernel.ran == [f"{kind} {n}" for n in range(20) for kind in ("stock", "one")]
            assert ran == [f"two {n}" for n in range(20)]

        play(scene)

    def test_an_unknown_kernel_is_refused(self) -> None:
        kernel = SimpleNamespace(shell_stream=SimpleNamespace(_recv_callback=print))
        with pytest.raises(RuntimeError, match="ipykernel"):
            door_module.open_door(kernel, lambda frames: [])


def other_version() -> Any:
    """The package that travels, as another version of it would be: under another name."""
    import types
    import zlib

    _, sources, _ = engine_bundle._packed()
    package = types.ModuleType("_ipython_parallel_other")
    for part in zlib.decompress(sources).decode().split("\0"):
        module, source = part.split("\1", 1)
        if module in ("envelope", "shell_door"):
            made = types.ModuleType(f"_ipython_parallel_other.{module}")
            made.__package__ = "_ipython_parallel_other"
            sys.modules[made.__name__] = made
            package.__path__ = []  # type: ignore[attr-defined]
            sys.modules.setdefault("_ipython_parallel_other", package)
            exec(compile(source, made.__name__, "exec"), vars(made))
            setattr(sys.modules["_ipython_parallel_other"], module, made)
    return sys.modules["_ipython_parallel_other"]


# -- on a real engine


def travelling() -> Any:
    """A function that goes to the engine by value, so that it sees the names of the engine's user."""

    def read_seq() -> Any:
        return seq  # type: ignore[name-defined]  # noqa: F821

    return read_seq


read_seq = travelling()


def set_seq(value: Any) -> None:
    from IPython import get_ipython

    get_ipython().user_ns["seq"] = value


ROUNDS = 40


class TestOrderOnAnEngine:
    """A call that is submitted right behind a stock message sees its effect."""

    def test_push(self, client: ipyparallel.Client) -> None:
        """A call that waits at the client may see later ones as well."""
        view = client[0]
        results = []
        for n in range(ROUNDS):
            view.push({"seq": n}, block=False)
            results.append(view.submit(read_seq))
        seen = [result.result(PATIENCE) for result in results]
        assert all(n <= found < ROUNDS for n, found in enumerate(seen))
        assert seen == sorted(seen)

    def test_push_when_idle(self, client: ipyparallel.Client) -> None:
        view = client[0]
        for n in range(ROUNDS):
            view.push({"seq": n}, block=False)
            assert view.submit(read_seq).result(PATIENCE) == n

    def test_execute(self, client: ipyparallel.Client) -> None:
        view = client[0]
        for n in range(ROUNDS):
            view.execute(f"seq = {n}", block=False)
            assert view.submit(read_seq).result(PATIENCE) == n

    def test_apply_async(self, client: ipyparallel.Client) -> None:
        view = client[0]
        for n in range(ROUNDS):
            view.apply_async(set_seq, n)
            assert view.submit(read_seq).result(PATIENCE) == n

    def test_a_stock_message_behind_a_call(self, client: ipyparallel.Client) -> None:
        view = client[0]
        view.submit(set_seq, -1).result(PATIENCE)
        for n in range(ROUNDS):
            call = view.submit(set_seq, n)
            pulled = view.pull("seq", block=False)
            assert pulled.get(PATIENCE) == n
            assert call.result(PATIENCE) is None

    # With 7, such a cell gets no answer on an engine, with or without us.
    @pytest.mark.skipif(
        ipykernel.version_info[0] >= 7, reason="ipykernel 7 runs no awaiting cells on engines"
    )
    def test_a_cell_that_awaits(self, client: ipyparallel.Client) -> None:
        view = client[0]
        for n in range(10):
            cell = view.execute(
                f"import asyncio; await asyncio.sleep(0.01); seq = -{n}", block=False
            )
            behind = [view.submit(read_seq) for _ in range(3)]
            assert [call.result(PATIENCE) for call in behind] == [-n] * 3
            cell.get(PATIENCE)


def pid() -> int:
    return os.getpid()


class TestInterrupt:
    def test_ctrl_c_raises_in_the_running_call_only(
        self, client: ipyparallel.Client, gate: Gate
    ) -> None:
        view = client[0]
        process = view.submit(pid).result(PATIENCE)
        running = view.submit(calls.pass_gate, gate.address, 1)
        gate.wait_for_arrivals(1)
        behind = [view.submit(abs, -n) for n in range(5)]
        os.kill(process, signal.SIGINT)
        assert isinstance(running.exception(PATIENCE), KeyboardInterrupt)
        assert [call.result(PATIENCE) for call in behind] == list(range(5))
        assert view.submit(pid).result(PATIENCE) == process

    def test_ctrl_c_between_calls_harms_nothing(self, client: ipyparallel.Client) -> None:
        view = client[0]
        process = view.submit(pid).result(PATIENCE)
        for _ in range(5):
            os.kill(process, signal.SIGINT)
            assert view.submit(pid).result(PATIENCE) == process


def send_raw(client: ipyparallel.Client, frames: list[bytes]) -> None:
    """Send as anybody could who can reach the controller's port."""
    sent: queue.SimpleQueue[None] = queue.SimpleQueue()

    def send() -> None:
        client._mux_stream.send_multipart(frames)
        client._mux_stream.flush(zmq.POLLOUT)
        sent.put(None)

    client._io_loop.add_callback(send)
    sent.get(timeout=PATIENCE)


def test_an_engine_lives_on_after_forged_groups(client: ipyparallel.Client) -> None:
    view = client[0]
    view.push({"seq": "untouched"}, block=True)
    view.submit(read_seq).result(PATIENCE)
    for session in (Session(key=b"another key"), Session(key=b"")):
        header = session.pack(envelope.make_header(session, "apply_request"))
        metadata = session.pack({envelope.MARK: True})
        sealed = envelope.seal(session, header, session.pack({}), metadata, session.pack({}))
        send_raw(client, [client._engines[0].encode(), *sealed, b"not even a pickle"])
    assert [view.submit(read_seq).result(PATIENCE) for _ in range(3)] == ["untouched"] * 3


_OTHER_CLIENT = """
import sys
import IPython
IPython.__path__.insert(0, sys.argv[1])
import ipyparallel
import IPython.parallel
from IPython.parallel import engine_bundle
with ipyparallel.Client(sys.argv[2]) as client:
    view = client.load_balanced_view()
    print(engine_bundle.name(), flush=True)
    for line in sys.stdin:
        print(sum(view.map(abs, range(-int(line), 0))), flush=True)
"""


def test_two_versions_on_one_engine(
    client: ipyparallel.Client, connection_file: Path, tmp_path: Path
) -> None:
    """A second version opens its door before the first one's, and both work, whoever comes next."""
    here = Path(IPython.parallel.__file__).parent
    shutil.copytree(
        here, tmp_path / "parallel", ignore=shutil.ignore_patterns("tests", "__pycache__")
    )
    with (tmp_path / "parallel" / "on_engines" / "engine_runner.py").open("a") as module:
        module.write("\n# Another version.\n")
    view = client.load_balanced_view()
    assert list(view.map(abs, range(-10, 0))) == list(range(10, 0, -1))
    other = subprocess.Popen(
        [sys.executable, "-c", _OTHER_CLIENT, str(tmp_path), str(connection_file)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert other.stdin is not None and other.stdout is not None
    try:
        assert other.stdout.readline().strip() not in ("", engine_bundle.name())
        for n in range(1, 6):
            other.stdin.write(f"{n}\n")
            other.stdin.flush()
            assert list(view.map(abs, range(-n, 0))) == list(range(n, 0, -1))
            assert int(other.stdout.readline()) == n * (n + 1) // 2
    finally:
        other.communicate(timeout=PATIENCE)
