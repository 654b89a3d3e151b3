"""Calls that another client sent: one thread asks the Hub what became of them, as long as somebody holds a result.

The Hub tells nobody that a call is over; it has to be asked. So that an AsyncHubResult is a future like any other,
with callbacks, waiters and all, one thread per client asks for all of them at once: which are over, in one request
however many there are, and then for the results of those. It begins with the first such result and ends when none is
left, or the client closes. Each call is a `MessageFuture`, as those of the client's own messages are, and the
AsyncHubResult is made of these; only this thread settles them.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Any

from ipyparallel import Client
from ipyparallel.client.futures import MessageFuture

from ..dispatch.steady_locks import LastingLock, SteadyCondition
from ..errors import ClusterGone

_logger = logging.getLogger(__name__)

# Seconds between two requests: a twentieth of the time waited so far, so that nobody learns of a result much later than
# it took, within these bounds. More often would load the Hub, which all clients share; less often is felt by people.
SHORTEST, LONGEST, SHARE = 0.05, 1.0, 0.05
# The Hub hears of a call a moment after it was sent: for so many seconds "no such message" may change.
GRACE = 2.0
# After so many seconds without an answer it is asked again, and then ever later: the answer may be large.
PATIENCE = 10.0
# Results fetched with one request. They are held in memory together with their buffers.
AT_ONCE = 64


class _Stopped(Exception):
    """There will be no answer any more."""


class HubWatch:
    """Asks the Hub about calls for one client.

    Parameters
    ----------
    client : ipyparallel.Client
        Is referred to weakly.

    Notes
    -----
    All methods may be called from any thread but the one that receives messages; only `ask` blocks.
    """

    def __init__(self, client: Client) -> None:
        self._client = weakref.ref(client)
        self._changed = SteadyCondition(LastingLock())
        self._futures: weakref.WeakValueDictionary[str, MessageFuture] = weakref.WeakValueDictionary()
        self._kept: dict[str, MessageFuture] = {}
        self._unknown_since: dict[str, float] = {}
        self._thread: threading.Thread | None = None
        self._broken: Callable[[], Exception] | None = None
        self._wanted = self._begun = self._ended = 0  # numbers of rounds
        self._fresh = 0.0  # when somebody last wanted to know

    def __repr__(self) -> str:
        return f"<HubWatch: {len(self._futures)} calls, {self._ended} rounds>"

    def future_for(self, msg_id: str) -> MessageFuture:
        """The call of that id, as the client's own messages are kept; watched until it is over or forgotten."""
        with self._changed:
            future = self._futures.get(msg_id)
            if future is None:
                future = _unsettled(msg_id, self._client())
                if self._broken is None:
                    self._futures[msg_id] = future
                    self._want()
                else:
                    _fail(future, self._broken())
        return future

    def keep(self, msg_ids: Sequence[str]) -> None:
        """Watch these calls to their end, though nobody should hold their results any more: callbacks wait for it."""
        with self._changed:
            self._keep(msg_ids)

    def _keep(self, msg_ids: Sequence[str]) -> None:
        for msg_id in msg_ids:
            future = self._futures.get(msg_id)
            if future is not None:
                self._kept[msg_id] = future

    def ask(self) -> None:
        """Return when the Hub has been asked once more about all calls."""
        with self._changed:
            if not self._futures or self._broken is not None:
                return
            wanted = self._want()
            self._changed.wait_for(lambda: self._ended >= wanted or self._thread is None)

    def break_off(self, error: Callable[[], Exception]) -> None:
        """The client is closed, or the Hub gone: all calls fail, and those asked for later, too."""
        with self._changed:
            self._broken = error
            futures = list(self._futures.values())
            self._futures.clear()
            self._kept.clear()
            self._changed.notify_all()
        for future in futures:
            _fail(future, error())

    def resume(self) -> None:
        """The Hub is back."""
        self._broken = None

    # -- the thread

    def _want(self) -> int:
        """Have another round as soon as can be; its number. With the lock held."""
        self._wanted = self._begun + 1
        self._fresh = time.monotonic()
        self._changed.notify_all()
        if self._thread is None:
            # A daemon: nobody's exit waits for what another client has sent.
            self._thread = threading.Thread(target=self._run, name="IPython.parallel Hub watch", daemon=True)
            self._thread.start()
        return self._wanted

    def _run(self) -> None:
        failing = False
        while msg_ids := self._next():
            try:
                self._round(msg_ids)
                failing = False
            except _Stopped:
                pass
            except Exception:
                if not failing:
                    _logger.exception("asking the Hub failed; it will be asked again")
                failing = True
            with self._changed:
                self._ended = self._begun
                self._changed.notify_all()

    def _next(self) -> list[str]:
        """The calls to ask about, when it is time; none when this thread is to end."""
        with self._changed:
            pause = min(LONGEST, max(SHORTEST, SHARE * (time.monotonic() - self._fresh)))
            self._changed.wait_for(lambda: self._wanted > self._begun or self._broken is not None, pause)
            msg_ids = sorted(self._futures.keys())
            if not msg_ids:
                self._thread = None
                self._changed.notify_all()
            self._begun += 1
            return msg_ids

    def _round(self, msg_ids: list[str]) -> None:
        client = self._client()
        if client is None:
            self.break_off(lambda: ClusterGone("its client is no more"))
            return
        over = self._over(client, msg_ids)
        for start in range(0, len(over), AT_ONCE):
            self._fetch(client, over[start : start + AT_ONCE])

    def _over(self, client: Client, msg_ids: list[str]) -> list[str]:
        """Which calls are over, and which the Hub does not know."""
        content = self._request(client, {"msg_ids": msg_ids, "status_only": True})["content"]
        if content["status"] == "ok":
            return list(content["completed"])
        if len(msg_ids) == 1:
            return msg_ids  # its records may know more than its memory
        # One that is not known spoils the answer for all.
        middle = len(msg_ids) // 2
        return self._over(client, msg_ids[:middle]) + self._over(client, msg_ids[middle:])

    def _fetch(self, client: Client, msg_ids: list[str]) -> None:
        """Get the results of calls, and settle them."""
        metadata = {msg_id: future.output.metadata for msg_id, future in list(self._futures.items())}
        asking = _Asking(client, self._request, {msg_id: metadata.get(msg_id, {}) for msg_id in msg_ids})
        error: BaseException | None = None
        try:
            Client.result_status(asking, msg_ids, status_only=False)
        except _Stopped:
            raise
        except BaseException as problem:  # also a result that is an error, which is among the results then
            error = problem
        missing = [msg_id for msg_id in msg_ids if msg_id not in asking.results]
        for msg_id, result in asking.results.items():
            client.results[msg_id] = result
            self._settle(msg_id, result)
        if error is None or not missing:
            return
        if len(msg_ids) > 1:
            for msg_id in missing:
                self._fetch(client, [msg_id])
        else:
            self._unknown(msg_ids[0], error)

    def _unknown(self, msg_id: str, error: BaseException) -> None:
        """The Hub has no such call, or nobody can read its record: at last that is the result."""
        since = self._unknown_since.setdefault(msg_id, time.monotonic())
        if time.monotonic() - since >= GRACE:
            error.add_note(
                f"while asking the Hub for {msg_id}; calls that travel in groups are known to the client alone "
                "that submitted them"
            )
            self._settle(msg_id, error, _fail)

    def _settle(self, msg_id: str, result: Any, how: Any = None) -> None:
        with self._changed:
            future = self._futures.pop(msg_id, None)
            self._kept.pop(msg_id, None)
            self._unknown_since.pop(msg_id, None)
        if future is not None:
            (how or _settle)(future, result)

    def _request(self, client: Client, content: dict[str, Any]) -> Any:
        """The Hub's answer. Like the client's own `_send_recv`, but over when the client closes or the Hub is lost.

        Request or answer may be lost with a connection that is mended at once: then it is asked again.
        """
        answers: list[Future[Any]] = []
        while self._broken is None:
            answers.append(client._send(client._query_stream, "result_request", content=content))
            answers[-1].add_done_callback(lambda _: self._notify())
            with self._changed:
                self._changed.wait_for(lambda: _first(answers) or self._broken is not None, len(answers) * PATIENCE)
            if (answer := _first(answers)) is not None:
                return answer.result()
        raise _Stopped

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()


def _first(answers: list[Future[Any]]) -> Future[Any] | None:
    return next((answer for answer in answers if answer.done()), None)


class _Asking:
    """The client as its own `result_status` is to see it: results are kept apart, and no answer may be waited for."""

    def __init__(self, client: Client, request: Callable[[Client, Any], Any], metadata: dict[str, Any]) -> None:
        self._client = client
        self._request = request
        self.metadata = metadata
        self.results: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def _send_recv(self, stream: Any, msg_type: str, content: dict[str, Any]) -> Any:
        return self._request(self._client, content)


def _unsettled(msg_id: str, client: Client | None) -> MessageFuture:
    future = MessageFuture(msg_id, header={"msg_type": "apply_request"})
    future.knows_scheduler = True  # as far as anybody here can tell
    future.output = Future()
    future.output.metadata = {} if client is None else client.metadata[msg_id]
    return future


def _settle(future: MessageFuture, result: Any) -> None:
    """A message's future carries an error as its result; AsyncResult sorts them out."""
    with suppress(InvalidStateError):  # settled by whoever broke off
        future.output.set_result(None)
        future.set_result(result)


def _fail(future: MessageFuture, error: BaseException) -> None:
    """There will be no result; `error` is not one that a call returned."""
    future.is_value = False
    _settle(future, error)
