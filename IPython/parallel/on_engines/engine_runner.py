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
import contextlib
import contextvars
import itertools
import logging
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

from . import (
    journal,
    kept_reports,
    lent_results,
    module_state,
    namespaces,
    process_state,
    remote_errors,
    shipping,
    worker_identity,
)
from .call_output import Output
from .running_group import RunningGroup, Watchdog

# Functions kept here; the client resends one that is no longer there.
FUNCTIONS_KEPT = 512
# `signal.signal` makes enumerations of what it is given and gives back, at a price beyond that of a small call.
_set_handler = _signal.signal

# Seconds that an engine which ends waits for clients to take results. They do as soon as they have the report.
_PATIENCE_AT_END = 1.0

_NO_KEYWORDS: dict[str, Any] = {}

# Frames of ours are no part of a call's traceback.
_OWN_FRAMES = "<" + __name__.rpartition(".")[0]

# PLAIN: the outcome is the value itself, of a type that needs no pickling of its own.
OK, PLAIN, ERROR, MISSING = "ok", "plain", "error", "missing"


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
        self.user_ns = user_ns
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
        self._watchdog: Watchdog | None = None
        self._journal: journal.Journal | None = None
        self._kept = kept_reports.KeptReports()
        self.lender = lent_results.Lender()
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

    def end(self, owner: int) -> None:
        """This process ends, and with it what it has lent: to be taken at once, or never. Of the engine's own only."""
        if os.getpid() == owner:
            self.lender.wait(_PATIENCE_AT_END)

    def run_group(self, frames: list[Any]) -> list[bytes]:
        """Run the calls in `frames`; the report, as frames. On the engine's main thread."""
        header = pickle.loads(frames[0])
        client, number = header["client"], header["number"]
        if "asked" in header:
            return self._say_again(client, number, header["asked"])
        self.lender.take_back(client, self._kept.begin(client, number, header["awaited"]))
        group = RunningGroup(header, frames, self.lender if header["borrows"] else None)
        report = self._kept.keep(client, number, self._run_group(group))
        if group.lent is not None:
            self.lender.lend(client, number, group.lent)
        return report

    def _say_again(self, client: str, number: int, serials: list[int]) -> list[bytes]:
        """The report on a group, once more; a group that never came is given back, and will not be run any more."""
        report = self._kept.find(client, number)
        if report is not None:
            return report
        last = self._numbers[client] = max(number, self._numbers.get(client, 0))
        epoch = self._epochs.setdefault(client, 0)
        head = {"epoch": epoch, "last": last, "outcomes": [], "returned": serials, "lent": None}
        return [pickle.dumps(head, pickle.HIGHEST_PROTOCOL)]

    def _run_group(self, group: RunningGroup) -> list[bytes]:
        header = group.header
        client = header["client"]
        # By a group of another thread of the client's, or by the question what has become of it.
        overtaken = header["number"] <= self._numbers.get(client, 0)
        if header["epoch"] < self._epochs.setdefault(client, 0) or overtaken:
            group.give_back()
            return group.report(self._epochs[client], self._numbers.get(client, 0))
        self._numbers[client] = header["number"]
        worker = header["setup"] and header["setup"][0]
        output = self.output.capture(worker)
        with self._watch(group, header["seconds"]), output, outside_event_loop(), self._interruptible():
            self._context.run(self._run, group)
        group.close()
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
            self._watchdog = Watchdog(self._overrun)
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
        self.enter(group.header["space"])
        self._load_functions(group.header["space"], group.header["functions"])
        slot = self._journal.slot(group.header["client"]) if self._journal is not None else None
        number, lifetime = group.header["number"], group.header["lifetime"]
        take, note = group.waiting.popleft, group.outcomes.append
        begins = True
        for index in itertools.count():
            try:
                call = take()
            except IndexError:
                return
            if slot is not None and not slot.begin(number, index):
                group.waiting.appendleft(call)
                group.give_back()  # this engine was given up for dead, and the calls run elsewhere
                return
            if begins:
                broken = self._set_up_once(group.header["setup"])
            note(self._run_call(group, broken, *call))
            begins = lifetime is not None and self._renew(group.header)

    def _renew(self, header: dict[str, Any]) -> bool:
        """Begin anew for a pool whose workers end after some calls, if that is due; the functions are made anew too."""
        space, setup = header["space"], header["setup"]
        self._arrived.update({(space, key): data for key, data, _ in header["functions"]})
        self._lived[space] = self._lived.get(space, 0) + 1
        if self._lived[space] < header["lifetime"]:
            return False
        del self._lived[space]
        self.output.renew()
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

    def enter(self, space: str) -> None:
        namespaces.enter(space)
        namespaces.overlay_all(dict(namespaces.user_names(self.user_ns, self._hidden)))

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
                self._set_up[token] = self.pack(error, getattr(function, "__name__", "initializer"))
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
                status, data = ERROR, group.placed(pickle.dumps(dict(broken, setup=True)))
            elif key is not None and (group.header["space"], key) not in self._functions:
                status, data = MISSING, b""
            else:
                self._in_call = True
                value = self._call(group, key, payload)
                self._in_call = False
                status, data = (PLAIN, value) if shipping.is_plain(value) else (OK, group.dump(value))
        except BaseException as error:
            self._in_call = False
            status, data = ERROR, group.placed(pickle.dumps(self.pack(error, name)))
        return serial, status, data, started, max(started, time.time()), self.output.take()

    def _call(self, group: RunningGroup, key: bytes | None, payload: Any) -> Any:
        """The value of a call; its payload is its plain arguments, a pickle, or the numbers of a pickle's frames."""
        try:
            if type(payload) is tuple:
                function, args, kwargs = self._function((group.header["space"], key)), payload, _NO_KEYWORDS
            else:
                data = group.pickled(payload)
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
        self.enter(space)
        self.output.reconfigure(encodings)
        worker_identity.become_worker(caller, self._engine["engine_id"] + 1)
        with self.output.capture(), outside_event_loop():
            self._context.run(process_state.apply_all, state)
            self._context.run(module_state.apply, modules)
            self.output.take()  # what imports print, a forked worker would not

    def pack(self, error: BaseException, call: str) -> dict[str, Any]:
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
    # Early versions of Python 3.12 have no way to take away a task that is not there.
    is_in_task = asyncio.current_task(loop) is not None
    swap = getattr(asyncio.tasks, "_swap_current_task", None) if is_in_task else None
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
