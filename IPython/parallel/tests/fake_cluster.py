"""A cluster in this process, for tests that script it: real groups and real runners, no network, steps as told.

An engine is *stepped* by its test (`FakeEngine.step`, or `Message.run` and `Message.deliver` in whatever order the
test wants), or runs by itself on a thread once it is started. Engines share this process, and so one copy of the
travelling modules; only one that runs alone can be given this process's standard streams (`output`).
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import contextlib
import itertools
import os
import pickle
import queue
import struct
import subprocess
import sys
import threading
import types
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import wait
from functools import partial
from typing import Any

import zmq
from ipyparallel import LoadBalancedView, serialize
from ipyparallel.client.futures import MessageFuture
from ipyparallel.error import RemoteError
from ipyparallel.util import ReverseDict
from jupyter_client.session import Session
from traitlets import Any as AnyTrait

from IPython.parallel import engine_bundle
from IPython.parallel.call_pickling import pickle_call
from IPython.parallel.connection import transport
from IPython.parallel.connection.connection_watch import ConnectionWatch
from IPython.parallel.connection.group_channel import GroupChannel
from IPython.parallel.connection.mux_connection import MuxConnection
from IPython.parallel.connection.transport import frames_of, question_about, read_report
from IPython.parallel.dispatch.carrier import EngineLeft
from IPython.parallel.dispatch.groups import Engine, Group
from IPython.parallel.dispatch.lines import Line, Task
from IPython.parallel.dispatch.wire import PLAIN, Lost, Report, Unknown
from IPython.parallel.engine_bundle import PYTHON
from IPython.parallel.engine_room import existing_room
from IPython.parallel.errors import EngineDied
from IPython.parallel.tests.contracts.harness import PATIENCE

# ipyparallel imports what it needs for this at the first use, and threads must not do that at the same time.
serialize.serialize_object({})

_bundle = engine_bundle.load()
envelope, revoke = _bundle.envelope, _bundle.journal.revoke

_numbers = itertools.count()
_here = threading.local()


def new_line(**options: Any) -> Line:
    """A line of the one client there is."""
    return Line("client", **options)


# -- what calls can do on a fake engine


def note(label: Any) -> Any:
    """Leave `label` in the engine's list of what ran."""
    _here.engine.ran.append(label)
    return label


def note_and_overrun(label: Any) -> Any:
    """Return only after the group has overrun its time and given back what had not begun."""
    note(label)
    assert _here.engine.overran.wait(PATIENCE), "the watchdog did not come"
    return label


def note_and_wait(label: Any, event: _Event) -> Any:
    """Return when the test sets the event."""
    note(label)
    event.set_arrived()
    assert event.wait(), "nobody let this call go on"
    return label


def die(label: Any) -> None:
    """End the engine in the middle of this call: `Message.run` raises `Killed`, and there is no report."""
    _here.engine.runner.output = _OfTheDead()


class Killed(BaseException):
    """An engine ended in the middle of a call."""


class _OfTheDead:
    """Where the runner looks when a call has returned."""

    def take(self) -> None:
        raise Killed


class _Event:
    """An event that can be an argument of a call: it pickles as itself, within this process."""

    _all: dict[int, _Event] = {}

    def __init__(self) -> None:
        self._number = next(_numbers)
        self._arrived, self._go_on = threading.Event(), threading.Event()
        self._all[self._number] = self

    def __reduce__(self) -> tuple[Any, ...]:
        return _find_event, (self._number,)

    def set_arrived(self) -> None:
        self._arrived.set()

    def wait(self) -> bool:
        return self._go_on.wait(PATIENCE)

    def wait_for_arrival(self) -> None:
        assert self._arrived.wait(PATIENCE), "no call came to the event"

    def set(self) -> None:
        self._go_on.set()


def _find_event(number: int) -> _Event:
    return _Event._all[number]


Event = _Event


# -- engines


class SilentOutput:
    """Stands for `call_output.Output`: engines that run at the same time cannot each have ``sys.stdout``."""

    def capture(self, worker: str | None = None) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def take(self) -> None:
        return None


class Message:
    """A group on its way to an engine and back.

    Parameters
    ----------
    hear : callable
        ``hear(frames, final)`` takes a report.
    lose : callable
        ``lose(error_name, text)`` takes the news that there will be none.
    """

    def __init__(
        self,
        engine: FakeEngine,
        frames: Sequence[Any],
        hear: Callable[[Any, bool], None],
        lose: Callable[[str, str], None],
    ) -> None:
        self._engine = engine
        self._frames = frames
        self._hear = hear
        self._lose = lose
        self.header: dict[str, Any] = pickle.loads(frames[0])
        self.reports: list[tuple[Any, bool]] = []
        self.over = False

    @property
    def names(self) -> list[str]:
        return [call[3] for call in self.header["calls"]]

    def run(self) -> None:
        """Let the engine run it; the reports wait for `deliver`, the final one last."""
        with self._engine.running(self):
            final = self._engine.runner.run_group(list(self._frames))
        self.reports.append((final, True))

    def deliver(self, *, early: bool = True, final: bool = True, again: bool = False) -> None:
        """Hand over the reports there are, of the wanted kinds; they are forgotten then, unless `again`."""
        wanted = [report for report in self.reports if (final if report[1] else early)]
        for frames, is_final in wanted:
            self.over |= is_final
            self._hear(frames, is_final)
        if not again:
            self.reports = [report for report in self.reports if report not in wanted]

    def drop_reports(self, *, early: bool = False, final: bool = False) -> None:
        self.reports = [report for report in self.reports if not (final if report[1] else early)]

    def lose(self, error: str = "KeyboardInterrupt", text: str = "between two calls") -> None:
        """The engine answers, but could not run it."""
        self.over = True
        self._lose(error, text)


class FakeEngine:
    """An engine of a fake cluster.

    Attributes
    ----------
    messages : list of Message
        All that arrived, in order.
    ran : list
        What calls left there with `note`.
    """

    def __init__(self, name: str, user_ns: dict[str, Any], output: Any, ran: list[Any]) -> None:
        self.name = name
        self.messages: list[Message] = []
        self.ran = ran
        self.overran = threading.Event()
        who = {"engine_id": name, "engine_uuid": name, "host": "here"}
        self.runner = engine_bundle.load().engine_runner.Runner(who, self._publish, user_ns, {}, output)
        self._stepped = 0
        self._received = threading.Semaphore(0)
        self.doors: list[str] = []
        self._message: Message | None = None
        self._thread: threading.Thread | None = None
        self._arrived: queue.SimpleQueue[Message | None] = queue.SimpleQueue()

    def receive(self, message: Message) -> None:
        self.messages.append(message)
        self._received.release()
        if self._thread is not None:
            self._arrived.put(message)

    def open_door(self, client: str, python: tuple[int, int] = PYTHON, probe: Any = None) -> Any:
        """What an engine answers to a client's first message: where its journal is, and whether it can borrow."""
        self.doors.append(client)
        return self.runner.introduce(client, python), _bundle.lent_memory.can_borrow(probe), None

    def forget_functions(self) -> None:
        """What happens when many others were used meanwhile."""
        self.runner._functions.clear()

    @contextlib.contextmanager
    def running(self, message: Message) -> Iterator[None]:
        self.overran.clear()
        self._message, _here.engine = message, self
        try:
            yield
        finally:
            self._message, _here.engine = None, None

    def _publish(self, frames: list[bytes]) -> None:
        message = self._message
        assert message is not None
        message.reports.append((frames, False))
        if self._thread is not None:
            message.deliver()
        self.overran.set()

    def wait_for_message(self) -> None:
        """Wait until there is one that was not stepped yet."""
        while self._stepped >= len(self.messages):
            assert self._received.acquire(timeout=PATIENCE), "no message came"

    def next(self) -> Message:
        """The first message that was not stepped yet."""
        message = self.messages[self._stepped]
        self._stepped += 1
        return message

    def step(self) -> Message:
        """Run the next message and deliver all it reports."""
        message = self.next()
        message.run()
        message.deliver()
        return message

    def start(self) -> None:
        """Run messages as they come, from now on."""
        self._thread = threading.Thread(target=self._serve, name=f"fake engine {self.name}", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while (message := self._arrived.get()) is not None:
            if not message.over:
                message.run()
                if not message.over:
                    message.deliver()

    def stop(self) -> None:
        """Run no more; forget the messages, which know who waits for their reports."""
        if self._thread is not None:
            self._arrived.put(None)
            self._thread.join(PATIENCE)
        self.messages.clear()


class _Cluster:
    """Engines that come and go."""

    def __init__(self, engines: int = 0, *, started: bool = False, output: Any = None) -> None:
        self._started = started
        self._output = output or SilentOutput()
        self.ran: list[Any] = []
        self.members: dict[str, FakeEngine] = {}
        for _ in range(engines):
            self._new_engine()

    def _new_engine(self) -> FakeEngine:
        name = f"engine-{next(_numbers)}"
        engine = self.members[name] = FakeEngine(name, {}, self._output, self.ran)
        if self._started:
            engine.start()
        return engine

    def _changed(self, event: str, engine: str) -> None:
        """Tell who wants to hear that an engine came or left: "register" or "unregister"."""
        raise NotImplementedError

    def add(self) -> FakeEngine:
        """A new engine joins."""
        engine = self._new_engine()
        self._changed("register", engine.name)
        return engine

    def lose(self, engine: FakeEngine) -> None:
        """An engine dies: whatever is at it is lost."""
        del self.members[engine.name]
        for message in engine.messages:
            message.over = True
        self._changed("unregister", engine.name)

    @property
    def messages(self) -> list[Message]:
        return [message for engine in self.members.values() for message in engine.messages]


class _Mark:
    """News that nobody wants to keep: it is gone when the dispatcher's thread is done with it."""

    def __init__(self, handled: threading.Event) -> None:
        weakref.finalize(self, handled.set)


class FakeTransport(_Cluster):
    """A scripted `carrier.Carrier`.

    Attributes
    ----------
    before_send : callable
        Called with each group, on the thread that sends it, before its engine gets it. May raise, or wait.
    reads_later : list of callable
        With `journals_are_far`, one for each engine that was given up: call it with whether its journal could be read.
    """

    def __init__(self, engines: int = 0, *, started: bool = False, output: Any = None) -> None:
        super().__init__(engines, started=started, output=output)
        self.before_send: Callable[[Group], None] = lambda group: None
        self.has_journals = True
        self.journals_are_far = False
        self.reads_later: list[Callable[[bool], None]] = []
        self._journals: dict[str, Any] = {}
        self._watchers: list[Callable[[], None]] = []
        self.looked_for_engines = 0

    def look_for_engines(self) -> None:
        self.looked_for_engines += 1

    def engines(self) -> list[str]:
        return list(self.members)

    def watch(self, changed: Callable[[], None], doubt: Callable[[bool], None]) -> None:
        self._watchers.append(changed)
        self.doubt = doubt

    def send(self, group: Group, report: Callable[[Report | Lost], None]) -> None:
        self.before_send(group)
        if group.engine not in self.members:
            raise EngineLeft(group.engine)
        engine = self.members[group.engine]
        if group.client not in engine.doors:
            self._journals[engine.name], *_ = engine.open_door(group.client)
        engine.receive(self._message(engine, frames_of(group, borrows=hasattr(os, "memfd_create")), report))

    def ask(self, group: Group, report: Callable[[Report | Lost], None]) -> None:
        engine = self.members[group.engine]
        engine.receive(self._message(engine, question_about(group), report))

    def _message(self, engine: FakeEngine, frames: list[Any], report: Callable[[Report | Lost], None]) -> Message:

        def hear(frames: Any, final: bool) -> None:
            report(read_report(frames, final=final))

        def lose(error: str, text: str) -> None:
            report(Lost(lambda call: RuntimeError(error, text)))

        return Message(engine, frames, hear, lose)

    def give_up(self, engine: str, number: int, later: Callable[[Any], None]) -> Any:
        if not self.has_journals or engine not in self._journals:
            return Unknown.FOR_EVER
        begun = revoke(self._journals[engine], number)
        if self.journals_are_far:
            self.reads_later.append(lambda known: later(begun if known else None))
            return Unknown.NOT_YET
        return begun

    def died(self, engine: str | None, call: str) -> Exception:
        return EngineDied(engine or "?", call)

    def _changed(self, event: str, engine: str) -> None:
        for changed in self._watchers:
            changed()

    def flush(self) -> None:
        """Wait until the dispatcher's thread has handled all that was reported before, and that engines changed."""
        handled = threading.Event()
        for changed in self._watchers:
            changed(_Mark(handled))  # type: ignore[call-arg]
        assert handled.wait(PATIENCE), "the dispatcher's thread does not get there"

    def close(self) -> None:
        for engine in self.members.values():
            engine.stop()


class FakeClient(_Cluster):
    """As much of an `ipyparallel.Client` as the engine room, its transport and its views use."""

    block = False
    _task_scheme = "leastload"
    _mux_socket = _query_socket = None

    def __init__(self, engines: int = 0, *, started: bool = True, output: Any = None) -> None:
        super().__init__(engines, started=started, output=output)
        self._trait_values = vars(self)
        self.results: dict[str, Any] = {}
        self.history: list[str] = []
        self.outstanding: set[str] = set()
        self.before_send: Callable[[FakeEngine], None] = lambda engine: None
        self._closed = False
        self._io_loop = _Loop()
        self.session = Session(key=b"a key")
        self._mux_stream, self._iopub_stream = _Stream(self._route), _Stream()
        self._futures: dict[str, Any] = {}
        self._outstanding_dict: dict[str, set[str]] = {}
        self._registration_callbacks: list[Callable[[Any], None]] = []
        self._queue_handlers: dict[str, Any] = {"apply_reply": None, "execute_reply": None}  # none ever come

    def __len__(self) -> int:
        return len(self.members)

    def __bool__(self) -> bool:
        return True

    @property
    def ids(self) -> list[int]:
        return list(range(len(self.members)))

    @property
    def _engines(self) -> ReverseDict:
        return ReverseDict(enumerate(self.members))

    def send_apply_request(
        self, socket: Any, f: Any, args: Any = None, kwargs: Any = None, metadata: Any = None, ident: Any = None
    ) -> MessageFuture:
        """Only the first message to an engine comes this way: it brings the code."""
        assert b"def load(" in f.buffers[0] and b"open_door" in f.buffers[0]
        future = MessageFuture(f"message-{next(_numbers)}", header={})
        self.history.append(future.msg_id)
        engine = self.members.get(ident.decode())
        if engine is None:
            future.set_result(RemoteError("EngineError", "the engine died", ""))
        else:
            future.set_result(engine.open_door(*args))
        return future

    def _route(self, frames: list[Any]) -> None:
        """What the controller does with a group."""
        ident, _, _, header, *_ = frames
        engine = self.members.get(ident.decode())
        if engine is None:
            return
        self.before_send(engine)
        if engine.name in self.members:
            engine.receive(self._message(engine, header, frames[7:]))

    def _message(self, engine: FakeEngine, header: bytes, frames: list[Any]) -> Message:
        def answer(receive: Callable[[Any], Any], content: dict[str, Any], report: Sequence[bytes]) -> None:
            pack = self.session.pack
            metadata = pack({envelope.MARK: True})
            own = pack(envelope.make_header(self.session, "apply_reply"))
            sealed = envelope.seal(self.session, own, header, metadata, pack(content))
            receive([zmq.Frame(frame) for frame in (*sealed, *report)])

        def hear(report: Any, final: bool) -> None:
            answer(self.mux.receive if final else self._iopub_stream.receive, {"status": "ok"}, report)

        def lose(error: str, text: str) -> None:
            answer(self.mux.receive, {"status": "error", "ename": error, "evalue": text}, [])

        return Message(engine, [bytes(frame) for frame in frames], hear, lose)

    def wait(self, jobs: Sequence[str], timeout: float = PATIENCE) -> bool:
        return not wait([self._futures[job] for job in jobs if job in self._futures], timeout).not_done

    def _changed(self, event: str, engine: str) -> None:
        for callback in self._registration_callbacks:
            callback({"event": event, "uuid": engine})

    def view(self) -> FakeView:
        return FakeView(client=self)

    def close(self) -> None:
        room = existing_room(self)  # type: ignore[arg-type]
        if room is not None:
            room.close()
        self._closed = True
        for engine in self.members.values():
            engine.stop()


class _Stream:
    """As much of a `ZMQStream` as `group_channel` uses."""

    def __init__(self, send: Callable[[list[Any]], None] | None = None) -> None:
        self._recv_callback: Callable[[Any], Any] = lambda frames: None
        self._send = send

    def on_recv(self, callback: Callable[[Any], Any], copy: bool) -> None:
        self._recv_callback = callback

    def send_multipart(self, frames: list[Any], copy: bool) -> None:
        assert self._send is not None
        self._send(frames)

    def flush(self, flag: int) -> None:
        pass

    def closed(self) -> bool:
        return False

    def receive(self, frames: list[Any]) -> None:
        self._recv_callback(frames)


class _Mux:
    """Stands for `mux_connection.MuxConnection`."""

    address = "reports"

    def __init__(self, client: FakeClient, receive: Callable[[Any], None], doubt: Callable[[bool], None]) -> None:
        client.mux = self
        self.doubt = doubt
        self.receive = receive
        self._client = weakref.ref(client)

    def send(self, message: list[Any]) -> None:
        client = self._client()
        assert client is not None
        client._route(message)

    def close(self) -> None:
        pass


def _connect(client: Any, receive: Callable[[Any], None], doubt: Callable[[bool], None]) -> Any:
    return (_Mux if isinstance(client, FakeClient) else MuxConnection)(client, receive, doubt)


# The real transport of a fake client has a fake connection.
transport.GroupChannel = partial(GroupChannel, connect=_connect)  # type: ignore[assignment, misc]


class _Loop:
    """Stands for the loop of the client's receiving thread: what it is to do is done at once."""

    def add_callback(self, callback: Callable[..., None], *args: Any) -> None:
        if not isinstance(getattr(callback, "__self__", None), ConnectionWatch):  # there is no connection
            callback(*args)


class FakeView(LoadBalancedView):
    """A load-balanced view of a fake client."""

    client = AnyTrait()  # ipyparallel's own insists on its Client


# -- an engine in another process

_ENGINE = """
import pickle, struct, sys
if {hide_cloudpickle}:
    sys.modules["cloudpickle"] = None
incoming, outgoing = sys.stdin.buffer, sys.stdout.buffer
sys.stdout = sys.stderr
user_ns, package = {{}}, None
while head := incoming.read(8):
    message = pickle.loads(incoming.read(*struct.unpack("Q", head)))
    if isinstance(message, dict):
        user_ns.update(message)
        continue
    loaded, frames = pickle.loads(message[0]), message[1]
    if package is None:
        package = sys.modules[loaded.__module__.rpartition(".")[0]]
        who = {{"engine_id": 0, "engine_uuid": "process", "host": "here"}}
        output = package.call_output.Output()
        runner = package.engine_runner.Runner(who, lambda report: None, user_ns, {{}}, output)
    answer = pickle.dumps(runner.run_group(frames))
    outgoing.write(struct.pack("Q", len(answer)) + answer)
    outgoing.flush()
"""


class ProcessEngine:
    """The travelling code in an isolated interpreter that has nothing of ours: one call at a time."""

    def __init__(self, *, hide_cloudpickle: bool = False) -> None:
        code = _ENGINE.format(hide_cloudpickle=hide_cloudpickle)
        # Not in this directory: what lies here must not be importable there.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/"
        )
        self._engine = Engine("process")
        self._told = False

    def push(self, **names: Any) -> None:
        """Put builtin values into the engine user's namespace."""
        self._send(names)

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """What ``function(*args, **kwargs)`` returns there; what it raises as `RemoteFailure`."""
        task = Task(types.SimpleNamespace(), *pickle_call(function, args, kwargs), "call")
        task.serial = 0
        group = Group("client", self._engine, new_line(), [task])
        load = pickle.dumps(engine_bundle.EngineFunction("runner", bundled=not self._told))
        self._told = True
        self._send((load, frames_of(group)))
        (outcome,) = read_report(self._receive(), final=True).outcomes
        value = outcome.data if outcome.status == PLAIN else _bundle.shipping.loads(outcome.data)
        if not outcome.succeeded:
            raise RemoteFailure(value["error"]["exceptions"][0]["message"])
        return value

    def _send(self, message: Any) -> None:
        data = pickle.dumps(message)
        assert self._process.stdin is not None
        self._process.stdin.write(struct.pack("Q", len(data)) + data)
        self._process.stdin.flush()

    def _receive(self) -> Any:
        assert self._process.stdout is not None
        head = self._process.stdout.read(8)
        assert head, "the engine's process ended"
        return pickle.loads(self._process.stdout.read(*struct.unpack("Q", head)))

    def close(self) -> None:
        self._process.communicate(timeout=PATIENCE)


class RemoteFailure(Exception):
    """A call on a `ProcessEngine` raised; the text says what."""
