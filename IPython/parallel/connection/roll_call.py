"""Ask the Hub which engines there are, when what it told of them may have been lost.

The Hub publishes once that an engine came or left. Published while the connection was down, it is lost for good: the
client would send to an engine that is no more, and wait for ever.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import time
import weakref
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from ipyparallel import Client

from ..errors import ClusterGone

# Seconds between two requests, at the least: whoever is in doubt asks for each group.
PAUSE = 1.0


class RollCall:
    """Keeps a client's list of engines right.

    Parameters
    ----------
    client : ipyparallel.Client
        Is referred to weakly.
    """

    def __init__(self, client: Client) -> None:
        self._client = weakref.ref(client)
        self._next = 0.0
        # An answer may be older than the news that an engine has left. None ever comes back.
        self._left: set[str] = set()
        client._registration_callbacks.append(self._note)

    def hold(self) -> None:
        """Ask the Hub, if it was not asked just now. Any thread; never blocks."""
        client, now = self._client(), time.monotonic()
        if client is None or now < self._next:
            return
        known = dict(client._engines)
        with suppress(OSError, ClusterGone):  # closed, or out of reach
            answer = client._send(client._query_stream, "connection_request")
            self._next = now + PAUSE
            answer.add_done_callback(lambda answer: self._hear(known, answer))

    # -- on the client's receiving thread

    def _note(self, event: Mapping[str, Any]) -> None:
        if event["event"] == "unregister":
            self._left.add(event["uuid"])

    def _hear(self, known: Mapping[int, str], answer: Any) -> None:
        """Compare the answer with what was `known` when it was asked for: what came since may not be in it."""
        client = self._client()
        if client is None or answer.exception() is not None:
            return
        there = {int(engine_id): uuid for engine_id, uuid in answer.result()["content"]["engines"].items()}
        for engine_id, uuid in known.items():
            if engine_id not in there and engine_id in client._engines:
                client._unregister_engine({"content": {"id": engine_id, "uuid": uuid}})
        for engine_id, uuid in there.items():
            if engine_id not in client._engines and uuid not in self._left:
                client._register_engine({"content": {"id": engine_id, "uuid": uuid}})
