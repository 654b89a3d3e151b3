"""The one door to ipyparallel's client: send a group, hear its reports, know which engines there are.

Groups go to the engine of our choice over the client's direct (mux) queue, as ordinary apply messages: the
controller, the Hub's records and the engine's kernel see nothing new. The final report is the message's result;
an early one (`engine_runner`) comes as published data.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import pickle
import sys
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import six
from ipyparallel import Client, serialize
from ipyparallel.error import RemoteError
from ipyparallel.serialize import canning

from .dispatcher import EngineLeft, Group, Lost, Outcome, Report
from .engine_bundle import EngineFunction
from .errors import EngineDied

# Payloads up to this many bytes travel inside the header, larger ones in a frame of their own, uncopied.
INLINE = 64 * 1024


class Transport:
    """The way from one client to its engines, as `dispatcher.Transport` describes it.

    Parameters
    ----------
    client : ipyparallel.Client
        Is referred to weakly: what is under way must not keep a dropped client open.
    """

    def __init__(self, client: Client) -> None:
        self._client = weakref.ref(client)
        # ipyparallel completes its table of types at first use, which two threads must not do at the same time.
        canning.can(None)
        self._removing = threading.Lock()
        # Engines that have the code and the caller's import path; an engine that has not answered yet may lack both.
        self._told: dict[str, tuple[str, ...]] = {}
        self.engine_ids: dict[str, int] = {}

    def engines(self) -> Sequence[str]:
        client = self._client()
        return [] if client is None else list(client._engines.values())

    def watch(self, changed: Callable[[], None]) -> None:
        client = self._open_client()
        client._registration_callbacks.append(lambda event: changed())

    def send(self, group: Group, report: Callable[[Report | Lost], None]) -> None:
        client = self._open_client()
        engine_id = client._engines.get(group.engine)
        if engine_id is None:
            raise EngineLeft(group.engine)
        self.engine_ids[group.engine] = engine_id
        path = tuple(sys.path)
        message = client.send_apply_request(
            client._mux_stream,
            run_group(bundled=self._told.get(group.engine) != path),
            frames_of(group),
            metadata={"label": group.calls[0].label},
            ident=six.ensure_binary(group.engine),
            message_future_hook=lambda future: future.iopub_callbacks.append(_hear_early(report)),
        )

        def hear(future: Any) -> None:
            news = self._final(group, future.result())
            if isinstance(news, Report):
                self._told[group.engine] = path
            report(news)

        self._leave_out_of_history(client, message.msg_id)
        message.add_done_callback(hear)
        if group.engine not in client._engines.values():
            # It left just now, and the client may not have known of this message when it told the others' end.
            report(Lost(lambda call: self.died(group.engine, call)))

    def died(self, engine: str | None, call: str) -> Exception:
        return EngineDied(self.engine_ids.get(engine or "", "?"), call)

    def _final(self, group: Group, result: Any) -> Report | Lost:
        """What the reply to a group's message says. On the client's receiving thread."""
        if isinstance(result, RemoteError) and result.ename == "EngineError":
            return Lost(lambda call: self.died(group.engine, call))
        if isinstance(result, BaseException):
            return Lost(lambda call: result)
        try:
            return read_report(result, final=True)
        except Exception as error:  # somebody else's answer; `error` ends with this block
            unreadable = error
            return Lost(lambda call: unreadable)

    def _leave_out_of_history(self, client: Client, msg_id: str) -> None:
        """The history is of calls, which are in it by their own ids (`engine_room`); groups are our own affair."""
        history = client.history
        with self._removing:  # others only append: below the end, nothing moves
            for index in range(len(history) - 1, -1, -1):
                if history[index] == msg_id:
                    del history[index]
                    return

    def _open_client(self) -> Client:
        client = self._client()
        if client is None or client._closed:
            raise RuntimeError("the client is closed; make a new Client")
        return client


def run_group(*, bundled: bool) -> serialize.PrePickled:
    """The engine's `run_group` as ipyparallel's serialization takes it: pickled by us, not taken apart by it."""
    prepickled: serialize.PrePickled = serialize.PrePickled.__new__(serialize.PrePickled)
    prepickled.buffers = [pickle.dumps(EngineFunction("run_group", bundled=bundled))]
    return prepickled


def frames_of(group: Group) -> list[Any]:
    """A group as the engine gets it: a header and the payloads too large for it."""
    frames: list[Any] = []
    calls = []
    for task in group.calls:
        payload: Any = task.payload
        if len(payload) > INLINE:
            frames.append(memoryview(payload))
            payload = len(frames)
        key = task.function.key if task.function is not None else None
        calls.append((task.serial, key, payload, task.name))
    return [pickle.dumps(header_of(group, calls), pickle.HIGHEST_PROTOCOL), *frames]


def header_of(group: Group, calls: list[tuple[Any, ...]]) -> dict[str, Any]:
    """What `engine_runner.Runner.run_group` reads: builtin types only.

    A call is (serial, key of its function or None, payload or the number of its frame, name).
    """
    return {
        "client": group.client,
        "epoch": group.epoch,
        "seconds": group.seconds,
        "space": group.line.space,
        "setup": group.line.setup,
        "functions": [(function.key, function.data) for function in group.functions],
        "calls": calls,
    }


def read_report(frames: Sequence[Any], *, final: bool) -> Report:
    """A report as the dispatcher takes it."""
    head = pickle.loads(frames[0])
    outcomes = [Outcome._make(fields) for fields in head["outcomes"]]
    outcomes = [o._replace(data=frames[o.data]) if isinstance(o.data, int) else o for o in outcomes]
    return Report(head["epoch"], outcomes, head["returned"], final)


def _hear_early(report: Callable[[Report | Lost], None]) -> Callable[[dict[str, Any]], None]:
    """Listens to what is published while a group runs. On the client's receiving thread."""

    def hear(message: dict[str, Any]) -> None:
        if message["header"]["msg_type"] == "data_message":
            data, _ = serialize.deserialize_object(message["buffers"])
            report(read_report(data["report"], final=False))

    return hear

