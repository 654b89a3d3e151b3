"""The one door to ipyparallel's client: send a group, hear its reports, know which engines there are.

Groups go to the engine of our choice. The first one waits until the engine has the code (`engine_bundle`), which is
sent as an ordinary apply message; from then on groups take a short way through client (`group_channel`) and kernel
(`shell_door`). To the controller and the Hub they are apply messages as any others.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import pickle
import sys
import weakref
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import accumulate, chain, pairwise, repeat, starmap
from typing import Any, NamedTuple

import six
from ipyparallel import Client, serialize
from ipyparallel.error import RemoteError
from ipyparallel.serialize import canning

from ..dispatch.carrier import EngineLeft
from ..dispatch.groups import Group
from ..dispatch.steady_locks import LastingLock
from ..dispatch.wire import PLAIN, HadBegun, Lost, Outcome, Report, Unknown
from ..engine_bundle import PYTHON, EngineFunction, load
from ..errors import ClusterGone, EngineDied
from . import remote_journals, stock_messages
from .group_channel import GroupChannel
from .roll_call import RollCall

_revoke = load().journal.revoke
lent_memory = load().lent_memory
_removing = LastingLock()
_Hear = Callable[["Report | Lost"], None]


class _Letter(NamedTuple):
    """A group as it is sent, and who wants to know what became of it."""

    client: str
    engine: str
    in_order: bool  # with what the user sends to that very engine
    label: str | None
    frames: list[Any]
    report: _Hear


class _Preparing:
    """An engine that is being sent the code; groups for it wait here."""

    def __init__(self, path: tuple[str, ...]) -> None:
        self.path = path
        self.waiting: list[_Letter] = []
        self.messages: list[Any] = []  # that brought it, or were to
        self.ready = False


class Transport:
    """The way from one client to its engines, as `carrier.Carrier` describes it.

    Parameters
    ----------
    client : ipyparallel.Client
        Is referred to weakly: what is under way must not keep a dropped client open.
    """

    def __init__(self, client: Client) -> None:
        self._client = weakref.ref(client)
        # ipyparallel completes its table of types at first use, which two threads must not do at the same time.
        canning.can(None)
        self._lock = LastingLock()
        self._prepared: dict[str, _Preparing] = {}
        self._journals: dict[str, Any] = {}  # their addresses, of all engines that have the code
        self._probe = lent_memory.lend()  # for engines to try whether they can read what this client lends
        self._borrowers: set[str] = set()  # those that can
        self._lenders: set[str] = set()  # those that lend what this client can read
        self._given_up: set[str] = set()
        self._channel = GroupChannel(client)
        self._roll_call = RollCall(client)
        self.engine_ids: dict[str, int] = {}

    def engines(self) -> Sequence[str]:
        client = self._client()
        return [] if client is None else list(client._engines.values())

    def look_for_engines(self) -> None:
        self._roll_call.hold()

    def watch(self, changed: Callable[[], None], doubt: Callable[[bool], None]) -> None:
        client = self._open_client()
        client._registration_callbacks.append(lambda event: changed())

        def in_doubt(certain: bool) -> None:
            if certain:
                self._roll_call.hold()
            doubt(certain)

        self._channel.doubt = in_doubt

    def send(self, group: Group, report: _Hear) -> None:
        client = self._open_client()
        engine_id = client._engines.get(group.engine)
        if engine_id is None:
            raise EngineLeft(group.engine)
        self.engine_ids[group.engine] = engine_id
        frames = frames_of(group, lambda large: self._lend(group, large), borrows=group.engine in self._lenders)
        hear = report if group.keeps is None else _until_over(group, report)
        letter = _Letter(group.client, group.engine, group.line.only is not None, group.label, frames, hear)
        if self._is_ready(client, letter):
            self._send(letter)

    def _lend(self, group: Group, payloads: list[list[bytes]]) -> Any:
        """Memory where the group's engine can read these; None if they are to go with the message."""
        if group.engine not in self._borrowers or sum(map(len, chain(*payloads))) < lent_memory.LEAST:
            return None
        group.keeps = lent_memory.lend(*payloads)
        return group.keeps

    def _is_ready(self, client: Client, letter: _Letter) -> bool:
        """Whether the letter's engine has the code; if not, the letter goes when it has."""
        path = tuple(sys.path)
        with self._lock:
            preparing = self._prepared.get(letter.engine)
            if preparing is not None and preparing.path == path and preparing.ready:
                return True
            told = preparing is not None and preparing.path == path
            if preparing is None or not told:
                preparing = self._prepared[letter.engine] = _Preparing(path)
            preparing.waiting.append(letter)
        if not told:
            try:
                self._prepare(client, letter.engine, letter.client, preparing)
            except Exception as error:  # the controller is gone, say; when it is back, the next group shall try
                for other in self._unprepare(letter.engine, preparing):
                    if other is not letter:
                        other.report(_unsent(error))
                raise
        return False

    def _prepare(self, client: Client, engine: str, name: str, preparing: _Preparing) -> None:
        """Send the code, and the caller's import path."""
        probe = self._probe
        address = None if probe is None else tuple(probe.address)
        message = call_on_engine(client, engine, "open_door", name, PYTHON, address)
        preparing.messages.append(message)
        message.add_done_callback(lambda message: self._hear_prepared(engine, preparing, message))

    def _hear_prepared(self, engine: str, preparing: _Preparing, message: Any) -> None:
        """On the client's receiving thread."""
        self._forget_earlier(engine, preparing, message)
        answer = message.result()
        if isinstance(answer, BaseException):
            for letter in self._unprepare(engine, preparing):
                letter.report(_unsent(answer))
            return
        with self._lock:
            if engine in self._given_up:
                return  # what waited runs elsewhere
            preparing.ready = True
            waiting, preparing.waiting = preparing.waiting, []
            self._journals[engine], can_borrow, its_probe = answer
            if can_borrow:
                self._borrowers.add(engine)
            if lent_memory.can_borrow(its_probe, lent_memory.Taken):
                self._lenders.add(engine)
        for letter in waiting:
            try:
                self._send(letter)
            except Exception as error:  # the client was closed meanwhile
                letter.report(_refused(error))

    def _forget_earlier(self, engine: str, preparing: _Preparing, answered: Any) -> None:
        """What was sent before and has no answer will have none: an engine answers in order."""
        client = self._client()
        for message in list(preparing.messages):
            if message is answered:
                return
            if client is not None and not message.done():
                stock_messages.forget(client, message.msg_id)

    def _unprepare(self, engine: str, preparing: _Preparing) -> list[_Letter]:
        """The engine does not have the code: the letters that waited for that."""
        with self._lock:
            if self._prepared.get(engine) is preparing:
                del self._prepared[engine]
            waiting, preparing.waiting = preparing.waiting, []
        return waiting

    def _send(self, letter: _Letter) -> None:
        self._channel.send(letter.engine, letter.frames, letter.label, _reader(letter.report), in_order=letter.in_order)

    def ask(self, group: Group, report: _Hear) -> None:
        with self._lock:
            if group.engine in self._given_up:
                return
            # There is none if Ctrl-C came as the group was sent.
            preparing = self._prepared.setdefault(group.engine, _Preparing(tuple(sys.path)))
        client = self._client()
        if client is None or client._closed:
            return  # which tells everybody
        self._roll_call.hold()  # one that left without our hearing of it would not answer
        report = _until_over(group, report)
        with suppress(RuntimeError, ClusterGone):  # the client was closed meanwhile, say, which tells everybody
            if preparing.ready:
                # The way the group went: the question must not come before it.
                in_order = group.line.only is not None
                self._channel.send(group.engine, question_about(group), None, _reader(report), in_order=in_order)
            else:
                self._prepare(client, group.engine, group.client, preparing)

    def give_up(self, engine: str, number: int, later: Callable[[HadBegun | None], None]) -> HadBegun | Unknown:
        with self._lock:
            self._given_up.add(engine)
            self._borrowers.discard(engine)
            self._lenders.discard(engine)
            self._prepared.pop(engine, None)
            was_ready, journal = engine in self._journals, self._journals.get(engine)
        self._channel.forget(engine)
        if not was_ready:
            return HadBegun(0, 0)  # nothing ever left for it
        if journal is None:
            return Unknown.FOR_EVER
        return _revoke(journal, number) or self._give_up_from_afar(engine, journal, number, later)

    def _give_up_from_afar(
        self, engine: str, journal: Any, number: int, later: Callable[[HadBegun | None], None]
    ) -> Unknown:
        """The journal is on another host: let the engines there read it."""
        client = self._client()
        with self._lock:
            there = self._engines_on(journal.host)
        if client is None or client._closed or not there:
            return Unknown.FOR_EVER
        remote_journals.ask(
            client._io_loop, there, lambda other: call_on_engine(client, other, "revoke", journal, number), later
        )
        return Unknown.NOT_YET

    def _engines_on(self, host: Any) -> list[str]:
        """The engines on a host whose journals are there, and that are not gone. With the lock held."""
        beside = [other for other, its in self._journals.items() if its is not None and its.host == host]
        return [other for other in beside if other not in self._given_up]

    def close(self) -> None:
        """Send no more. Any thread."""
        self._probe = None  # by which engines see that nobody will take what they have lent
        self._channel.close()

    def died(self, engine: str | None, call: str) -> Exception:
        return EngineDied(self.engine_ids.get(engine or "", "?"), call)

    def _open_client(self) -> Client:
        client = self._client()
        if client is None or client._closed:
            raise RuntimeError("the client is closed; make a new Client")
        return client


def _reader(report: _Hear) -> Callable[[dict[str, Any], Sequence[Any], bool], None]:
    """What the channel calls with the reports on a group."""

    def read(content: dict[str, Any], frames: Sequence[Any], final: bool) -> None:
        news = _news(content, frames, final)
        if news is not None:
            report(news)

    return read


def _refused(error: BaseException) -> Lost:
    return Lost(lambda call: error)


def _unsent(error: BaseException) -> Lost:
    """What becomes of a group whose engine could not be prepared: it goes elsewhere if the engine is gone."""
    gone = isinstance(error, RemoteError) and error.ename == "EngineError"
    return Lost(lambda call: error, sent=not gone)


def _news(content: dict[str, Any], frames: Sequence[Any], final: bool) -> Report | Lost | None:
    """What a report says; None if that is to be learned from what comes later. On a receiving thread."""
    if final and content["status"] != "ok":
        failure = RemoteError(content.get("ename", content["status"]), content.get("evalue", ""), "")
        return Lost(lambda call: failure)
    try:
        return read_report(frames, final=final)
    except Exception as error:
        if isinstance(error, OSError) and lent_memory.is_gone(error):
            return None  # with its engine: of that the Hub will tell
        unreadable = error  # `error` ends with this block
        return Lost(lambda call: unreadable)


def call_on_engine(client: Client, engine: str, function: str, *args: Any) -> Any:
    """Call a function of `entry_points` on an engine that may not have the code yet; the future of its answer.

    The answer of a call that fails is the exception. An ordinary apply message; any thread, never blocks.
    """
    # Taken by ipyparallel's serialization as it is: pickled by us.
    prepickled: serialize.PrePickled = serialize.PrePickled.__new__(serialize.PrePickled)
    prepickled.buffers = [pickle.dumps(EngineFunction(function, bundled=True))]
    message = client.send_apply_request(
        client._mux_stream, prepickled, list(args), metadata={"label": ""}, ident=six.ensure_binary(engine)
    )
    _leave_out_of_history(client, message.msg_id)
    return message


def _leave_out_of_history(client: Client, msg_id: str) -> None:
    """The history is of the user's calls (`engine_room`); what we say to engines is our own affair."""
    with _removing:  # others only append: below the end, nothing moves
        _remove_last(client.history, msg_id)


def _remove_last(history: list[str], msg_id: str) -> None:
    for index in range(len(history) - 1, -1, -1):
        if history[index] == msg_id:
            del history[index]
            return


def _until_over(group: Group, report: _Hear) -> _Hear:
    """Report, and let go of what is kept for a group when it is over."""

    def hear(news: Report | Lost) -> None:
        if isinstance(news, Lost) or news.final:
            group.keeps = None
        report(news)

    return hear


def frames_of(
    group: Group, lend: Callable[[list[list[bytes]]], Any] = lambda payloads: None, *, borrows: bool = False
) -> list[Any]:
    """A group as the engine gets it: a header, and the payloads too large for it, unless they are lent.

    Parameters
    ----------
    group : Group
    lend : callable, optional
        The memory where the engine can read these payloads, each in frames; or None.
    borrows : bool
        Whether this process can read what the engine lends.
    """
    calls: list[tuple[Any, ...]] = []
    large: list[int] = []
    for task in group.calls:
        payload: Any = task.payload
        if type(payload) is list:
            large.append(len(calls))
        key = task.function.key if task.function is not None else None
        calls.append((task.serial, key, payload, task.name))
    address, frames = _place(calls, large, lend) if large else (None, ())
    header = header_of(group, calls, address, borrows=borrows)
    return [pickle.dumps(header, pickle.HIGHEST_PROTOCOL), *frames]


def _place(
    calls: list[tuple[Any, ...]], large: list[int], lend: Callable[[list[list[bytes]]], Any]
) -> tuple[tuple[Any, ...] | None, list[bytes]]:
    """Put the payloads of these calls into lent memory or into frames, and into the calls where they are."""
    payloads = [calls[index][2] for index in large]
    lent = lend(payloads)
    frames = list(chain(*payloads)) if lent is None else []
    ends = list(accumulate(map(len, payloads), initial=1))
    places = starmap(range, pairwise(ends)) if lent is None else lent.starts
    for index, place in zip(large, places, strict=True):
        serial, key, _, name = calls[index]
        calls[index] = serial, key, place, name
    return None if lent is None else tuple(lent.address), frames


def header_of(
    group: Group, calls: list[tuple[Any, ...]], lent: tuple[Any, ...] | None, *, borrows: bool = False
) -> dict[str, Any]:
    """What `engine_runner.Runner.run_group` reads: builtin types only.

    A call is (serial, key of its function or None, payload, name); the payload is the arguments, if they are plain
    values, or a pickle, or the numbers of the frames that hold the pickle, or where it begins in lent memory.
    """
    return {
        "client": group.client,
        "epoch": group.epoch,
        "number": group.number,
        "awaited": group.awaited,
        "seconds": group.seconds,
        "space": group.line.space,
        "setup": group.line.setup,
        "lifetime": group.line.lifetime,
        "functions": [(function.key, function.data, function.fresh) for function in group.functions],
        "calls": calls,
        "lent": lent,
        "borrows": borrows,
    }


def question_about(group: Group) -> list[bytes]:
    """What asks an engine to report on a group again."""
    header = {"client": group.client, "number": group.number, "asked": list(group.pending), "calls": ()}
    return [pickle.dumps(header, pickle.HIGHEST_PROTOCOL)]


def read_report(frames: Sequence[Any], *, final: bool) -> Report:
    """A report as the dispatcher takes it."""
    head = pickle.loads(frames[0])
    fields = head["outcomes"]
    _check(head, fields)
    # What `Outcome._make` does, in C: that is called for each of many small calls.
    outcomes = list(map(tuple.__new__, repeat(Outcome), fields))
    if len(frames) > 1:
        outcomes = _with_pickles(outcomes, range, lambda place: [frames[number] for number in place])
    if head["lent"] is not None:
        outcomes = _with_lent(outcomes, lent_memory.Address._make(head["lent"]), final=final)
    return Report(head["epoch"], head["last"], outcomes, head["returned"], final)


def _with_lent(outcomes: list[Outcome], address: Any, *, final: bool) -> list[Outcome]:
    if final:
        return _with_pickles(outcomes, int, lent_memory.Taken(address).at)
    try:
        return _with_pickles(outcomes, int, lent_memory.Borrowed(address).at)
    except OSError:  # the final report says the same, and may have been read before
        return [outcome for outcome in outcomes if outcome.status == PLAIN or type(outcome.data) is not int]


def _with_pickles(outcomes: list[Outcome], kind: type, pickled: Callable[[Any], Any]) -> list[Outcome]:
    """With the pickles themselves, where outcomes say by a place of that kind where they are."""
    return [
        outcome._replace(data=pickled(outcome.data))
        if type(outcome.data) is kind and outcome.status != PLAIN
        else outcome
        for outcome in outcomes
    ]


def _check(head: dict[str, Any], outcomes: Sequence[Sequence[Any]]) -> None:
    """Refuse what is not made as `RunningGroup.report` makes it: past this point everybody relies on that."""
    if not _all_are(int, (head["epoch"], head["last"], *head["returned"])):
        raise ValueError("an engine's report is malformed: its numbers are none")
    if not outcomes:
        return
    serials, statuses, data, started, completed, outputs = zip(*outcomes, strict=True)
    if not _all_are(int, serials):
        raise ValueError("an engine's report is malformed: its numbers are none")
    if not (_all_are(str, statuses) and _all_are(float, started) and _all_are(float, completed)):
        raise ValueError("an engine's report is malformed: an outcome has no status, or no times")
    pickles = [part for status, part in zip(statuses, data, strict=True) if status != PLAIN]
    kinds = {bytes, range} if head["lent"] is None else {bytes, range, int}
    if not kinds.issuperset(map(type, pickles)):
        raise ValueError("an engine's report is malformed: an outcome is no pickle")
    if any(len(output) != len(("stdout", "stderr", "displayed")) for output in outputs if output is not None):
        raise ValueError("an engine's report is malformed: the output of a call has other parts")


def _all_are(kind: type, values: Iterable[Any]) -> bool:
    return {kind}.issuperset(map(type, values))
