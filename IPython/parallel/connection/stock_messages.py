"""What becomes of ipyparallel's own messages when the controller is gone: their futures fail, as grouped calls do.

Stock waits for ever for an answer that nobody will send: results of ``apply_async``, of views of several engines and of
views with flags, requests to the Hub, aborts. The `connection_watch` knows better, for all of them.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import weakref
from collections.abc import Callable
from concurrent.futures import InvalidStateError
from contextlib import suppress
from typing import Any

from ipyparallel import Client
from ipyparallel.client.futures import MessageFuture

_ANSWERS = ("apply_reply", "execute_reply")


class StockMessages:
    """The messages of one client that ipyparallel's own code sends and waits for.

    Parameters
    ----------
    client : ipyparallel.Client
        Is referred to weakly.
    """

    def __init__(self, client: Client) -> None:
        self._client = weakref.ref(client)
        self._broken: Callable[[], Exception] | None = None

    def check(self) -> None:
        """Raise what is wrong with the cluster, if anything is: a message would never be answered. Any thread."""
        broken = self._broken
        if broken is not None:
            raise broken()

    def note_sent(self, future: Any) -> None:
        """A message was sent: fail it, if it was overtaken by the end and nobody else will. Any thread."""
        broken = self._broken
        if broken is not None and isinstance(future, MessageFuture):
            _fail(future, broken())

    def break_off(self, error: Callable[[], Exception]) -> None:
        """Fail all that is unanswered. On the client's receiving thread, where else answers are taken."""
        client = self._client()
        self._broken = error
        if client is None:
            return
        waiting = [(msg_id, future) for msg_id, future in list(client._futures.items()) if _is_unanswered(future)]
        for msg_id, future in waiting:
            forget(client, msg_id)
            _fail(future, error())

    def resume(self) -> None:
        """The controller is back: what is sent now will be answered."""
        self._broken = None


def _is_unanswered(future: Any) -> bool:
    # Grouped calls stand among the client's messages; they are the dispatcher's affair.
    return isinstance(future, MessageFuture) and not future.done()


def forget(client: Client, msg_id: str) -> None:
    """Wait for no answer to a message of the client's any more; one that comes is dropped. On its receiving thread."""
    given_up: set[str] | None = client.__dict__.get("_given_up_messages")
    if given_up is None:
        given_up = client.__dict__["_given_up_messages"] = set()
        _ignore_answers(client, given_up)
    given_up.add(msg_id)
    client.outstanding.discard(msg_id)
    for of_engine in list(client._outstanding_dict.values()):
        of_engine.discard(msg_id)


def _fail(future: MessageFuture, error: Exception) -> None:
    output = getattr(future, "output", None)
    with suppress(InvalidStateError):
        if output is None:  # a request of the client's own, whose answer is asked for with `result()`
            future.set_exception(error)
            return
        # A call's message carries its error as result; this one says that it is none that the call returned.
        future.is_value = False
        if not output.done():
            output.set_result(None)
        future.set_result(error)


def _ignore_answers(client: Client, given_up: set[str]) -> None:
    """A controller that only stood still passes answers on later; stock prints them, and stumbles over them."""
    for kind in _ANSWERS:
        handler = client._queue_handlers[kind]

        def handle(message: dict[str, Any], handler: Callable[[Any], Any] = handler) -> Any:
            # Of a broadcast, each engine's answer says in its metadata which it is.
            msg_ids = {message["parent_header"].get("msg_id"), message["metadata"].get("original_msg_id")}
            if msg_ids.isdisjoint(given_up):
                return handler(message)
            given_up.difference_update(msg_ids)
            return None

        client._queue_handlers[kind] = handle
