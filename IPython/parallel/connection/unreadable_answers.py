"""An answer that cannot be read is the error of its call, and harms nothing else.

ipyparallel unpickles the results of its own messages on the thread that receives them. What is raised there was logged,
and the call's future waited for ever; an exit ended the thread, and with it the client.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import logging
import pickle
import weakref
from collections.abc import Callable
from concurrent.futures import InvalidStateError
from contextlib import suppress
from typing import Any

import cloudpickle
from ipyparallel import Client

from ..on_engines.remote_errors import pack_exception
from ..rebuilt_errors import rebuild_exception

_logger = logging.getLogger(__name__)


def fail_calls_with_unreadable_answers(client: Client) -> None:
    """Stand before the client's handlers of answers."""
    for kind in ("apply_reply", "execute_reply"):
        client._queue_handlers[kind] = _contained(weakref.ref(client), client._queue_handlers[kind])


def _contained(client_ref: weakref.ref[Client], handler: Callable[[Any], Any]) -> Callable[[Any], None]:
    def handle(message: dict[str, Any]) -> None:
        """On the client's receiving thread."""
        try:
            handler(message)
        except BaseException as error:  # unpickling may raise anything
            client = client_ref()
            if client is None or not _fail(client, message, error):
                _logger.exception("an answer could not be handled")

    return handle


def _fail(client: Client, message: dict[str, Any], error: BaseException) -> bool:
    """Let `error` be that of the call; False if nobody waits for it."""
    whole = client._should_use_metadata_msg_id(message)
    msg_id = message["metadata"]["original_msg_id"] if whole else message["parent_header"]["msg_id"]
    future = client._futures.get(msg_id)
    if future is None:
        return False
    failure = client.results[msg_id] = _as_from_engine(error, client.metadata[msg_id])
    with suppress(InvalidStateError):
        future.set_result(failure)  # a message's future carries an error as its result
        return True
    return False


def _as_from_engine(error: BaseException, metadata: dict[str, Any]) -> BaseException:
    """A RemoteError of the type of `error`: results sort errors from values by that."""
    with suppress(Exception):
        error.add_note("while unpickling the result, here at the client")
    engine = {"engine_id": metadata["engine_id"], "engine_uuid": metadata["engine_uuid"], "method": "apply"}
    return rebuild_exception(pack_exception(error, cloudpickle.dumps), pickle.loads, engine)
