"""Run groups of calls on an engine: each call gets exactly one outcome, whatever it does.

Travels to the engine by value: standard library and cloudpickle only; the rest is the engine's own.

A group runs on the engine's main thread, call after call. One other thread, the watchdog, sleeps beside it: when a
group overruns its time, the watchdog reports what is finished and gives back what has not begun, and the engine
enters a new *epoch*. Groups that were sent in an older epoch are given back whole when they are reached. The
client, told the new epoch, may therefore count on it that whatever it had queued behind the slow group never ran
and never will: it can go to an idle engine at once. Taking a call from the group is one `deque.popleft`, which
is atomic: main thread and watchdog can both do it, and no call is run and given back.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # not among the typed modules
import asyncio
import builtins
import contextlib
import contextvars
import itertools
import logging
import math
import os
import pickle
import signal
import socket
import sys
import threading
import time
import traceback
import types
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from typing import Any

from . import (
    forked_children,
    journal,
    kept_reports,
    module_state,
    namespaces,
    process_state,
    remote_errors,
    shell_door,
    shipping,
    worker_identity,
)
from .call_output import Output, receive_descriptors

# Functions kept here; the client resends one that is no longer there.
FUNCTIONS_KEPT = 512
# Results up to this many bytes travel inside the report, larger ones in frames of their own.
INLINE = shipping.INLINE

# `signal.signal` makes enumerations of what it is given and gives back, at a price beyond that of a small call.
_set_handler = _signal.signal

_NO_KEYWORDS: dict[str, Any] = {}

# Frames of ours are no part of a call's traceback.
_OWN_FRAMES = "<" + __name__.rpartition(".")[0]

# PLAIN: the outcome is the value itself, of a type that needs no pickling of its own.
OK, PLAIN, ERROR, MISSING = "ok", "plain", "error", "missing"


class RunningGroup:
    """The calls of one message while they run.

    Parameters
    ----------
    header : dict
        What the client sent; the client's `transport.header_of` has the layout.
    frames : list of buffers
        The payloads too large for the header.
    """

    def __init__(self, header: dict[str, Any], frames: list[Any]) -> None:
        self.header = header
        self.frames = frames
        self.waiting = deque(header["calls"])
        self.outcomes: list[tuple[Any, ...]] = []
        self.returned: list[int] = []
        self.large: list[bytes] = []

    def placed(self, data: bytes | list[bytes]) -> bytes | range:
        """What stands for a pickle in an outcome: itself, or the numbers of its frames."""
        if type(data) is bytes and len(data) <= INLINE:
            return data
        first = len(self.large) + 1
        self.large += data if isinstance(data, list) else [data]
        return range(first, len(self.large) + 1)

    def give_back(self) -> None:
        """Take from the group what has not begun. Any thread."""
        with contextlib.suppress(IndexError):
            while True:
                self.returned.append(self.waiting.popleft()[0])

    def report(self, epoch: int, last: int) -> list[bytes]:
        outcomes, returned = list(self.outcomes), list(self.returned)
        head = {"epoch": epoch, "last": last, "outcomes": outcomes, "returned": returned}
        return [pickle.dumps(head, pickle.HIGHEST_PROTOCOL), *self.large]


class _Watchdog(threading.Thread):
    """Sleeps beside the running group, and lets it overrun when its time is up.

    Waking a thread costs more than a small call: it is woken for a group only if it sleeps without a limit. Otherwise
    it wakes by itself when the time of an earlier group would have been up, and looks what runs now.
    """

    def __init__(self, overrun: Callable[[RunningGroup], None]) -> None:
        super().__init__(name="IPython.parallel watchdog", daemon=True)
        self._overrun = overrun
        self._changed = threading.Condition()
        self._group: RunningGroup | None = None
        self._deadline = 0.0
        self._wakes = math.inf  # when it looks again by itself

    @contextlib.contextmanager
    def watching(self, group: RunningGroup, seconds: float) -> Iterator[None]:
        with self._changed:
            self._group, self._deadline = group, time.monotonic() + seconds
            if self._wakes > self._deadline:
                self._changed.notify()
        try:
            yield
        finally:
            # Taking the lock waits for an overrun that has begun, so that the final report comes after it.
            with self._changed:
                self._group = None

    def run(self) -> None:
        with self._changed:
            while True:
                left = self._deadline - time.monotonic()
                if left > 0:
                    self._sleep(left)
                elif self._group is None:
                    self._sleep(None)
                else:
                    group, self._group = self._group, None
                    self._overrun(group)

    def _sleep(self, seconds: float | None) -> None:
        self._wakes = math.inf if seconds is None else time.monotonic() + seconds
        self._changed.wait(seconds)


class Runner:
    """What an engine keeps between groups.

    Parameters
    ----------
    engine : dict
        ``engine_id``, ``engine_uuid``, ``host``: who this is, for errors.
    publish : callable
        Sends a report while its group still runs; called on the watchdog's thread.
    user_ns, hidden : dict
        The engine user's namespace, and the names in it that IPython itself keeps there.
    output : Output
    """

    def __init__(
        self,
        engine: dict[str, Any],
        publish: Callable[[list[bytes]], None],
        user_ns: dict[str, Any],
        hidden: dict[str, Any],
        output: Output,
    ) -> None:
        self._engine = engine
        self._publish = publish
        self._user_ns = user_ns
        self._hidden = hidden
        self.output = output
        self._functions: OrderedDict[tuple[str, bytes | None], Any] = OrderedDict()
        self._set_up: dict[str, dict[str, Any] | None] = {}
        self._epochs: dict[str, int] = {}
        # Of pools whose workers end after some calls: how many there were, and the functions as they came.
        self._lived: dict[str, int] = {}
        self._arrived: dict[tuple[str, bytes | None], bytes] = {}
        self._in_call = False
        self._numbers: dict[str, int] = {}  # of the last group of each client
        self._other_pythons: dict[str, tuple[int, int]] = {}  # of clients that run another version than this engine
        self._watchdog: _Watchdog | None = None
        self._mapped: tuple[bytes, Any] | None = None
        self._journal: journal.Journal | None = None
        self._kept = kept_reports.KeptReports()
        # One for all groups: what an initializer sets of context variables, and decimal's context, later calls see.
        self._context = contextvars.copy_context()

    def introduce(self, client: str, python: tuple[int, int]) -> journal.Address | None:
        """Meet a client; where it finds what was begun, should this engine die. On the engine's main thread."""
        if python != sys.version_info[:2]:
            self._other_pythons[client] = python
        with contextlib.suppress(OSError):  # a full disk, say: then all that was sent here counts as begun
            self._journal = self._journal or journal.Journal()
            return self._journal.address(client)
        return None

    def run_group(self, frames: list[Any]) -> list[bytes]:
        """Run the calls in `frames`; the report, as frames. On the engine's main thread."""
        header = pickle.loads(frames[0])
        client, number = header["client"], header["number"]
        if "asked" in header:
            return self._say_again(client, number, header["asked"])
        self._kept.begin(client, number, header["awaited"])
        return self._kept.keep(client, number, self._run_group(header, frames))

    def _say_again(self, client: str, number: int, serials: list[int]) -> list[bytes]:
        """The report on a group, once more; a group that never came is given back, and will not be run any more."""
        report = self._kept.find(client, number)
        if report is not None:
            return report
        last = self._numbers[client] = max(number, self._numbers.get(client, 0))
        head = {"epoch": self._epochs.setdefault(client, 0), "last": last, "outcomes": [], "returned": serials}
        return [pickle.dumps(head, pickle.HIGHEST_PROTOCOL)]

    def _run_group(self, header: dict[str, Any], frames: list[Any]) -> list[bytes]:
        group = RunningGroup(header, frames)
        client = header["client"]
        # By a group of another thread of the client's, or by the question what has become of it.
        overtaken = header["number"] <= self._numbers.get(client, 0)
        if header["epoch"] < self._epochs.setdefault(client, 0) or overtaken:
            group.give_back()
            return group.report(self._epochs[client], self._numbers.get(client, 0))
        self._numbers[client] = header["number"]
        with self._watch(group, header["seconds"]), self.output.capture(), outside_event_loop(), self._interruptible():
            self._context.run(self._run, group)
        return group.report(self._epochs[client], header["number"])

    @contextlib.contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Let Ctrl-C raise in the call that runs, and nowhere else: between two calls it would lose the others."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = _set_handler(signal.SIGINT, self.interrupt)
        try:
            yield
        finally:
            _set_handler(signal.SIGINT, before)

    def interrupt(self, signum: int, frame: Any) -> None:
        """The handler of SIGINT while calls run."""
        if self._in_call:
            self._in_call = False
            raise KeyboardInterrupt

    def _watch(self, group: RunningGroup, seconds: float) -> contextlib.AbstractContextManager[None]:
        # A fork in a call leaves no thread in the child; the child has no group to watch either.
        if self._watchdog is None:
            self._watchdog = _Watchdog(self._overrun)
            self._watchdog.start()
        return self._watchdog.watching(group, seconds)

    def _overrun(self, group: RunningGroup) -> None:
        self._epochs[group.header["client"]] += 1
        group.give_back()
        try:
            self._publish(group.report(self._epochs[group.header["client"]], group.header["number"]))
        except Exception:
            # The final report says the same again; this one was only to be early.
            traceback.print_exc(file=sys.__stderr__)

    def _run(self, group: RunningGroup) -> None:
        self._enter(group.header["space"])
        self._load_functions(group.header["space"], group.header["functions"])
        slot = self._journal.slot(group.header["client"]) if self._journal is not None else None
        number = group.header["number"]
        begins = True
        for index in itertools.count():
            try:
                call = group.waiting.popleft()
            except IndexError:
                return
            if slot is not None and not slot.begin(number, index):
                group.waiting.appendleft(call)
                group.give_back()  # this engine was given up for dead, and the calls run elsewhere
                return
            if begins:
                broken = self._set_up_once(group.header["setup"])
            group.outcomes.append(self._run_call(group, broken, *call))
            begins = group.header["lifetime"] is not None and self._renew(group.header)

    def _renew(self, header: dict[str, Any]) -> bool:
        """Begin anew for a pool whose workers end after some calls, if that is due; the functions are made anew too."""
        space, setup = header["space"], header["setup"]
        self._arrived.update({(space, key): data for key, data, _ in header["functions"]})
        self._lived[space] = self._lived.get(space, 0) + 1
        if self._lived[space] < header["lifetime"]:
            return False
        del self._lived[space]
        namespaces.forget(space)
        for key in [key for key in self._functions if key[0] == space]:
            if isinstance(self._functions[key], _Unloaded):
                continue
            del self._functions[key]
            if key in self._arrived:  # else the client is asked for it
                self._functions[key] = _Unloaded(self._arrived[key])
        if setup is not None:
            self._set_up.pop(setup[0], None)
        return True

    def _enter(self, space: str) -> None:
        namespaces.enter(space)
        namespaces.overlay_all(dict(namespaces.user_names(self._user_ns, self._hidden)))

    def _load_functions(self, space: str, functions: list[tuple[bytes, bytes, bool]]) -> None:
        for key, data, fresh in functions:
            self._functions.setdefault((space, key), _Fresh(data) if fresh else _Unloaded(data))
            self._functions.move_to_end((space, key))
        while len(self._functions) > FUNCTIONS_KEPT:
            self._functions.popitem(last=False)

    def _set_up_once(self, setup: tuple[str, bytes] | None) -> dict[str, Any] | None:
        """Run a pool's initializer before its first call here; the packed error for all its calls if that fails."""
        if setup is None:
            return None
        token, payload = setup
        if token not in self._set_up:
            function = None
            try:
                function, args = pickle.loads(payload)
                function(*args)
                self._set_up[token] = None
            except BaseException as error:
                _log_failure(error)
                self._set_up[token] = self._pack(error, getattr(function, "__name__", "initializer"))
        return self._set_up[token]

    def _run_call(
        self,
        group: RunningGroup,
        broken: dict[str, Any] | None,
        serial: int,
        key: bytes | None,
        payload: Any,
        name: str,
    ) -> tuple[Any, ...]:
        """Run one call; its outcome: serial, status, payload, started, completed, output."""
        started = time.time()
        data: Any
        try:
            if broken is not None:
                status, data = ERROR, pickle.dumps(dict(broken, setup=True))
            elif key is not None and (group.header["space"], key) not in self._functions:
                status, data = MISSING, b""
            else:
                self._in_call = True
                value = self._call(group, key, payload)
                self._in_call = False
                status, data = (PLAIN, value) if shipping.is_plain(value) else (OK, shipping.dump_frames(value))
        except BaseException as error:
            self._in_call = False
            status, data = ERROR, pickle.dumps(self._pack(error, name))
        if status is not PLAIN:
            data = group.placed(data)
        return serial, status, data, started, max(started, time.time()), self.output.take()

    def _call(self, group: RunningGroup, key: bytes | None, payload: Any) -> Any:
        """The value of a call; its payload is its plain arguments, a pickle, or the numbers of a pickle's frames."""
        try:
            if type(payload) is tuple:
                function, args, kwargs = self._function((group.header["space"], key)), payload, _NO_KEYWORDS
            else:
                data = [group.frames[number] for number in payload] if type(payload) is range else payload
                if key is None:
                    function, args, kwargs = shipping.loads(data)
                else:
                    args, kwargs = shipping.loads(data)
                    function = self._function((group.header["space"], key))
        except Exception as error:
            self._tell_versions(error, group.header["client"])
            raise
        return function(*args, **kwargs)

    def _tell_versions(self, error: Exception, client: str) -> None:
        """Note on an error in reading a call that its caller runs another Python, if so: that is why, most likely."""
        python = self._other_pythons.get(client)
        if python is None or str(error) == shipping.refusal(python):
            return
        error.add_note(
            "the caller runs Python {}.{} and this engine {}.{}, and what one pickles the other may be unable to read: "
            "use the same version at the client and on the engines".format(*python, *sys.version_info[:2])
        )

    def _function(self, key: tuple[str, bytes | None]) -> Any:
        function = self._functions[key]
        if type(function) is _Unloaded:
            function = self._functions[key] = pickle.loads(function.data)
        self._functions.move_to_end(key)
        return pickle.loads(function.data) if type(function) is _Fresh else function

    def become_worker(
        self,
        space: str,
        state: dict[str, Any],
        modules: dict[str, module_state.State],
        encodings: Any,
        caller: worker_identity.Caller,
    ) -> None:
        """Take over the state of the caller's process and modules, for a pool. On the engine's main thread."""
        self._enter(space)
        self.output.reconfigure(encodings)
        worker_identity.become_worker(caller, self._engine["engine_id"] + 1)
        with self.output.capture(), outside_event_loop():
            self._context.run(process_state.apply_all, state)
            self._context.run(module_state.apply, modules)
            self.output.take()  # what imports print, a forked worker would not

    def run_one(self, name: str, space: str, payload: bytes) -> _Packed:
        """Run a call that has a message of its own. On the engine's main thread; its output goes the stock way."""
        self._enter(space)

        def call() -> _Packed:
            function, args, kwargs = pickle.loads(payload)
            return _Packed(shipping.dumps(function(*args, **kwargs)))

        packed: _Packed = self._carrying_errors(name, call)
        return packed

    def run_mapped(self, name: str, space: str, payload: bytes, args: bytes) -> Any:
        """Run one call of a chunk. Its error is a result: raised, it would lose the others'."""
        self._enter(space)

        def call() -> Any:
            if self._mapped is None or self._mapped[0] != payload:
                self._mapped = payload, pickle.loads(payload)
            value = self._mapped[1](*pickle.loads(args))
            # Arrays go as they are: ipyparallel sends their data without a copy.
            as_it_is = type(value) in shipping.PLAIN or type(value).__module__ == "numpy"
            return value if as_it_is else _Packed(shipping.dumps(value))

        succeeded, result = self._attempt(name, call)
        return result if succeeded else MapError(result[1])

    def run_stock(self, name: str, space: str, function: tuple[Any, Any], args: Any, kwargs: Any) -> Any:
        """Run a function as ipyparallel's own ``apply`` does: its globals are the user's namespace.

        A function that needs names which only its caller has gets those with it instead; so does an object with the
        caller's code inside.
        """

        def call() -> Any:
            from ipyparallel.serialize import deserialize_object

            buffers, with_callers_names = function
            if buffers is None:
                self._enter(space)
                return _Packed(shipping.dumps(pickle.loads(with_callers_names)(*args, **kwargs)))
            loaded, _ = deserialize_object(buffers, self._user_ns)
            if with_callers_names is not None and self._lacks_names(loaded):
                self._enter(space)
                loaded = pickle.loads(with_callers_names)
            return loaded(*args, **kwargs)

        return self._carrying_errors(name, call)

    def _lacks_names(self, function: Any) -> bool:
        if getattr(function, "__globals__", None) is not self._user_ns:
            return False
        names = shipping.global_names(function.__code__)
        return any(name not in self._user_ns and not hasattr(builtins, name) for name in names)

    def resolve(self, name: str) -> Any:
        """What an `ipyparallel.Reference` of that name refers to here."""
        return eval(name, self._user_ns)

    def _carrying_errors(self, name: str, call: Callable[[], Any]) -> Any:
        """The value of `call()`; an error leaves in a form that the kernel reports and the client finds again."""
        succeeded, result = self._attempt(name, call)
        if succeeded:
            return result
        # Raised here, where no exception is being handled: IPython looks at the context, and shows groups its own way.
        raise remote_failure(*result)

    def _attempt(self, name: str, call: Callable[[], Any]) -> tuple[bool, Any]:
        """(True, value) or (False, (error, packed error)) of `call()`."""
        with outside_event_loop():
            try:
                return True, call()
            except BaseException as error:
                return False, (error, self._pack(error, name))

    def _pack(self, error: BaseException, call: str) -> dict[str, Any]:
        packed = remote_errors.pack_exception(error, shipping.dumps, own_frames=_OWN_FRAMES)
        return {"error": packed, "engine": dict(self._engine, method="apply", call=call)}


class _Unloaded:
    """A function that arrived and was not needed yet: an error in loading it belongs to the call that uses it."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


class _Fresh(_Unloaded):
    """A function that is made anew for each call."""

    __slots__ = ()


@contextlib.contextmanager
def outside_event_loop() -> Iterator[None]:
    """Let calls run an event loop of their own: the engine's main thread is inside the kernel's."""
    loop = asyncio._get_running_loop()
    if loop is None:
        yield
        return
    swap = getattr(asyncio.tasks, "_swap_current_task", None)
    task = swap(loop, None) if swap is not None else None
    asyncio._set_running_loop(None)
    try:
        yield
    finally:
        asyncio._set_running_loop(loop)
        if swap is not None:
            swap(loop, task)


def _log_failure(error: BaseException) -> None:
    """Tell of an initializer's error as a worker of the standard library does: by default, on stderr."""
    trace = error.__traceback__.tb_next if error.__traceback__ is not None else None
    logger = logging.getLogger("concurrent.futures")
    logger.critical("Exception in initializer:", exc_info=(type(error), error, trace))


def remote_failure(error: BaseException, packed: dict[str, Any]) -> Exception:
    """An exception the kernel can report as if it were `error`, with `packed` in its last traceback line.

    The kernel sends an error as a name, a text and traceback lines, and nothing else; the client takes the packed
    exception out of the lines again (`carried_errors`).
    """
    first = packed["error"]["exceptions"][0]
    text = first["message"]
    lines = [*first.get("traceback", text).splitlines(), FAILURE_MARK + pickle.dumps(packed).hex()]

    def render(self: Exception) -> list[str]:
        return lines

    members = {"_render_traceback_": render, "__str__": lambda self: text, "__module__": type(error).__module__}
    failure: Exception = type(type(error).__name__, (Exception,), members)(text)
    return failure


FAILURE_MARK = "\x00IPython.parallel:"

_runner: Runner | None = None


def runner() -> Runner:
    """The runner of the engine this process is."""
    global _runner
    if _runner is None:
        _runner = _engine_runner()
    return _runner


def open_door(client: str, python: tuple[int, int]) -> journal.Address | None:
    """Called with the bundle, before a client's first group: from now on groups come the short way (`shell_door`)."""
    return runner().introduce(client, python)


def revoke(address: journal.Address, group: int) -> journal.Begun | None:
    """Read for a client what another engine of this host had begun (`journal.revoke`)."""
    return journal.revoke(address, group)


def take_streams(path: str, patience: float) -> None:
    """Let calls write to the standard output and error of the process that gives them away at `path`."""
    runner().output.lend(receive_descriptors(path, patience))


def take_state(
    space: str,
    state: dict[str, Any],
    modules: dict[str, module_state.State],
    encodings: Any,
    caller: worker_identity.Caller,
) -> None:
    """Be as a worker of the caller's pool would be, were it forked now. On the engine's main thread."""
    runner().become_worker(space, state, modules, encodings, caller)


def _engine_runner() -> Runner:
    from IPython.display import display

    from IPython import get_ipython

    shell = get_ipython()
    kernel = shell.kernel
    engine = {"engine_id": kernel.engine_id, "engine_uuid": kernel.ident, "host": socket.gethostname()}

    door: shell_door.Door

    namespaces.fall_back_on({"get_ipython": get_ipython, "display": display})
    _let_pickle_find_callers_names(sys.modules["__main__"])
    made = Runner(
        engine, lambda frames: door.publish(frames), shell.user_ns, shell.user_ns_hidden, Output(shell.display_pub)
    )
    door = shell_door.open_door(kernel, made.run_group)
    forked_children.let_go(made.interrupt, made.output.leave_to_parent)
    return made


class MapError:
    """Stands among a chunk's results for a call that failed; unpickles as the exception itself."""

    def __init__(self, packed: dict[str, Any]) -> None:
        self._packed = packed

    def __reduce__(self) -> tuple[Any, ...]:
        return rebuild, (self._packed,)


def rebuild(packed: dict[str, Any]) -> Any:
    """The exception that was packed, at the client, which sets `rebuilder`; anywhere else what was packed."""
    return packed if rebuilder is None else rebuilder(packed)


rebuilder: Callable[[dict[str, Any]], BaseException] | None = None


def _let_pickle_find_callers_names(main: Any) -> None:
    """Pickle looks for a class of the caller's in ``__main__``, which here is the engine user's module."""
    kind = type(main)
    if hasattr(kind, "finds_callers_names"):
        return

    class Main(kind):  # type: ignore[misc, valid-type]
        finds_callers_names = True

        def __getattr__(self, name: str) -> Any:
            try:
                return super().__getattr__(name)
            except (AttributeError, KeyError):
                return shipping.arrived(name)

    # IPython's module puts whatever is assigned to it into the user's namespace.
    types.ModuleType.__setattr__(main, "__class__", Main)


class _Packed:
    """A value as the client will unpickle it: pickled by `shipping`, whatever the kernel pickles with."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __reduce__(self) -> tuple[Any, ...]:
        return unpack, (self._data,)


def unpack(data: bytes) -> Any:
    """The value of a call; at the client, where ipyparallel unpickles it on the thread that receives messages.

    An error there would leave the result waiting for ever: it becomes the result, as a remote error does.
    """
    try:
        return pickle.loads(data)
    except BaseException as error:  # an exit would end the thread, and the client with it
        with contextlib.suppress(Exception):
            error.add_note("while unpickling the result, here at the client")
        return rebuild({"error": remote_errors.pack_exception(error, shipping.dumps), "engine": {}})


def resolve(name: str) -> Any:
    """Unpickling a Reference among a call's arguments calls this."""
    return runner().resolve(name)


def single_call(name: str, space: str, payload: bytes) -> Callable[[], _Packed]:
    """A call, pickled with its arguments, that has a message of its own."""
    return lambda: runner().run_one(name, space, payload)


def mapped_calls(name: str, space: str, payload: bytes) -> Callable[[bytes], Any]:
    """A function that takes its arguments as a pickled tuple, for a chunk of a map."""
    return lambda args: runner().run_mapped(name, space, payload, args)


def run_chunk(
    function: Callable[..., Any], name: str, chunk: list[Any], unpack: bool
) -> tuple[list[Any], dict[int, MapError]]:
    """Run the calls of a pool's chunk: their values, and the errors by position."""
    values, errors = [], {}
    for index, item in enumerate(chunk):
        try:
            values.append(function(*item) if unpack else function(item))
        except KeyboardInterrupt:  # is meant for the chunk
            raise
        except BaseException as error:
            values.append(None)
            errors[index] = MapError(runner()._pack(error, name))
    return values, errors


def carrying_errors(name: str, space: str, function: tuple[Any, Any]) -> Callable[..., Any]:
    """A function as the kernel's ``apply`` would run it, whose error keeps its type."""
    return lambda *args, **kwargs: runner().run_stock(name, space, function, args, kwargs)


def prepare(directories: list[str], python: tuple[int, int]) -> None:
    """Let the engine import what lies beside the caller's code, where it has those directories.

    Those in which another version of Python keeps its library and packages are none for this one.
    """
    if python != sys.version_info[:2]:
        own = {"python{}.{}".format(*python), "python{}{}.zip".format(*python)}
        directories = [path for path in directories if own.isdisjoint(path.split(os.sep))]
    sys.path.extend(path for path in directories if path not in sys.path and os.path.isdir(path))
