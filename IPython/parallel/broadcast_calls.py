"""Calls of a BroadcastView: one message, one answer from each engine, each under an id of its own.

ipyparallel notes the message's own id as outstanding, and nothing ever answers to that: ``client.wait()`` and
``view.wait()`` would wait for it for ever. What is noted here are the ids that are answered.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ipyparallel import AsyncResult, BroadcastView, Client


def wrap_make_async_result(original: Callable[..., AsyncResult]) -> Callable[..., AsyncResult]:
    """`BroadcastView._make_async_result` that forgets an id that nothing answers to."""

    def _make_async_result(self: BroadcastView, message_future: Any, *args: Any, **kwargs: Any) -> AsyncResult:
        result = original(self, message_future, *args, **kwargs)
        if message_future.msg_id not in result.msg_ids:
            _replace(self.client, message_future.msg_id, result.msg_ids)
        return result

    return _make_async_result


def _replace(client: Client, msg_id: str, answered: Sequence[str]) -> None:
    client.outstanding.discard(msg_id)
    client._futures.pop(msg_id, None)
    client._output_futures.pop(msg_id, None)
    client.metadata.pop(msg_id, None)
    for waiting in client._outstanding_dict.values():
        waiting.discard(msg_id)
    history = client.history
    for index in range(len(history) - 1, -1, -1):  # other threads only append
        if history[index] == msg_id:
            history[index : index + 1] = answered
            return
