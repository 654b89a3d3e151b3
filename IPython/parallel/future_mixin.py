"""ipyparallel's AsyncResult as the future of PEP 3148 it nearly is: what the patch puts on it.

An AsyncResult of ``apply_async`` and its like is sent when it is made, so it is running from the beginning, and
cannot be cancelled for certain.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import BrokenExecutor, Future
from contextlib import suppress
from typing import Any

from ipyparallel import AsyncHubResult, AsyncMapResult, AsyncResult
from ipyparallel.client.map import Map
from ipyparallel.error import KernelError

from .dispatch import callbacks, task_states
from .engine_room import EngineRoom, room_of


def cancel(self: AsyncResult) -> bool:
    """Cancel the call, if that is certain, and say whether it is: True only if it will never run anywhere.

    What waits in the client's buffer is cancelled: calls that ``submit`` and ``map`` gave to one engine, until they
    leave.

    A result whose messages were sent when it was made (``apply_async``, views of several engines, views with flags) may
    have begun, and only its engines could say, which would take a message to each and back: False, unless `cancelled`.
    ``abort()`` asks them to leave out what has not begun; that ends with `ipyparallel.error.TaskAborted`.

    Any thread; never blocks. Source: PEP 3148.
    """
    return bool(self.cancelled())


def leave_out(results: Sequence[AsyncResult]) -> None:
    """Ask the engines to leave out what they have not begun of a view's results, which fail with `TaskAborted` then.

    Any thread; never blocks.
    """
    msg_ids = [child.msg_id for result in results for child in result._children if not child.done()]
    with suppress(KernelError, BrokenExecutor, OSError):  # no engines, no controller, a closed client
        if msg_ids:
            results[0]._client.abort(msg_ids, block=False)


def running(self: AsyncResult) -> bool:
    """Whether the call is under way: sent, and not done. Any thread. Source: PEP 3148."""
    return Future.running(self)


def done(self: AsyncResult) -> bool:
    """Whether the call is over: finished, failed or cancelled. Any thread. Source: PEP 3148."""
    return Future.done(self)


def exception(self: AsyncResult, timeout: float | None = None) -> BaseException | None:
    """The error of the call, waiting for it; None if there was none.

    Parameters
    ----------
    timeout : float, optional
        Seconds to wait; no limit by default.

    Raises
    ------
    TimeoutError
        If the time is up first.
    concurrent.futures.CancelledError
        If the call was cancelled.

    Notes
    -----
    Any thread but the one that receives messages. Source: PEP 3148.
    """
    return Future.exception(self, timeout)


def add_done_callback(self: AsyncResult, fn: Callable[[AsyncResult], object]) -> None:
    callbacks.CallbackQueue.add_done_callback(self, fn)


add_done_callback.__doc__ = callbacks.CallbackQueue.add_done_callback.__doc__


def invoke_callbacks(self: AsyncResult) -> None:
    """The result is here: run ipyparallel's own callbacks, which only note it, and hand over the user's."""
    callbacks.CallbackQueue._invoke_callbacks(self)


def run_callbacks(self: AsyncResult) -> None:
    """Run the users' callbacks. On the callbacks' thread."""
    callbacks.CallbackQueue._run_callbacks(self)


def await_(self: AsyncResult) -> Generator[Any, None, Any]:
    """Wait for the result in a coroutine, in asyncio's running loop, of any thread.

    Source: asyncio's futures. Cancelling the task that awaits cancels the call, if it has not left.

    .. versionadded:: 0.1
    """
    return _awaited(self).__await__()


async def _awaited(result: AsyncResult) -> Any:
    value = await asyncio.wrap_future(result)
    if isinstance(result._exception, StopIteration):
        # Before Python 3.12 asyncio passes it on, and to the interpreter that is a value.
        raise RuntimeError(
            "the call raised StopIteration, which cannot be raised into a coroutine"
        ) from result._exception
    return value


def wrap_init_futures(original: Callable[..., None]) -> Callable[..., None]:
    """`AsyncResult._init_futures` that says what is true: the call is sent, it counts as running."""

    def _init_futures(self: AsyncResult) -> None:
        task_states.begin(self)
        original(self)

    return _init_futures


def wrap_resolve_result(original: Callable[..., None]) -> Callable[..., None]:
    """`AsyncResult._resolve_result` that tells an exception that is a call's value from one that is its error."""

    def _resolve_result(self: AsyncResult, f: Future[Any] | None = None) -> None:
        if f is None or self.done():
            original(self, f)
            return
        try:
            _resolve(self, f)
        except BaseException as error:  # values whose type cannot be asked for, say: nobody shall wait for ever
            self._success = False
            self.set_exception(error)

    def _resolve(self: AsyncResult, f: Future[Any]) -> None:
        failed_here = [child.result() for child in self._children if _failed_here(child)] or _unreadable_parts(self)
        if failed_here and not self._return_exceptions:
            self._raw_results, self._success = f.result(), False
            self.set_exception(failed_here[0])
        elif self._single_result and is_value(self._children[0]):
            self._raw_results, self._success = f.result(), True
            self.set_result(self._reconstruct_result(self._raw_results))
        else:
            original(self, f)

    return _resolve_result


def _unreadable_parts(result: AsyncResult) -> list[Any]:
    """What could not be unpickled of the parts that came as one answer; an error of a call comes instead of all."""
    if not (result._single_result and result._metadata[0].get("is_coalescing")):
        return []
    parts = result._children[0].result()
    return [part for part in parts if isinstance(part, KernelError)] if isinstance(parts, list) else []


def is_value(child: Any) -> bool:
    """Whether the result of a message is its value: what an engine or the client reports is a KernelError."""
    known = getattr(child, "is_value", None)  # by a grouped call
    return not isinstance(child.result(), KernelError) if known is None else known


def _failed_here(child: Any) -> bool:
    """Whether a call failed on this side of the network, which stock knows no way to tell."""
    return getattr(child, "is_value", True) is False and not isinstance(child.result(), KernelError)


def join(cls: type[AsyncResult], *async_results: AsyncResult) -> AsyncResult:
    """One result for several, the inverse of ``split``: its value is the list of theirs.

    Joined by ``AsyncMapResult.join``, results of maps are one map's, and their lists one list.

    Parameters
    ----------
    *async_results : AsyncResult

    Raises
    ------
    ValueError
        Without any result.

    Notes
    -----
    Any thread. Source: ipyparallel, where results of load-balanced views and of maps cannot be joined.
    """
    if not async_results:
        raise ValueError("Must specify at least one AsyncResult to join")
    first = async_results[0]
    if len(async_results) == 1:
        return first
    children = [child for result in async_results for child in result._children]
    common: dict[str, Any] = {"fname": first._fname, "return_exceptions": first._return_exceptions}
    if issubclass(cls, AsyncMapResult):
        return AsyncMapResult(first._client, children, Map(), **common)
    targets = [target for result in async_results for target in _targets_of(result)]
    return AsyncResult(first._client, children, targets=targets, owner=False, **common)


def _targets_of(result: AsyncResult) -> Iterable[Any]:
    return result._targets if result._targets is not None else [None] * len(result._children)


def hub_init_futures(self: AsyncHubResult) -> None:
    """Let the result be made of its calls' futures, as others are: the client's own, or such as ask the Hub."""
    room = room_of(self._client)
    self._children = [_call_of(room, msg_id) for msg_id in self.msg_ids]
    self._metadata = [child.output.metadata for child in self._children]
    AsyncResult._init_futures(self)


def _call_of(room: EngineRoom, msg_id: str) -> Any:
    known = room.result_of(msg_id)
    if known is not None:
        return known._children[0]
    return room.client._futures.get(msg_id) or room.hub.future_for(msg_id)


def hub_add_done_callback(self: AsyncHubResult, fn: Callable[[AsyncResult], object]) -> None:
    """Call ``fn(self)`` when the call is over, whether or not anybody keeps this result.

    Parameters
    ----------
    fn : callable
        Gets this result as its only argument.

    Notes
    -----
    Any thread; otherwise as any `AsyncResult`'s. Source: PEP 3148.
    """
    add_done_callback(self, fn)
    if getattr(fn, "__self__", None) is not self:  # its own bookkeeping needs nobody to keep it
        room_of(self._client).hub.keep(self.msg_ids)


def hub_ready(self: AsyncHubResult) -> bool:
    """Whether the call is over; asks the Hub, and so takes the time of a request if it is not known to be.

    Any thread. Source: ipyparallel.
    """
    if not self._ready:
        room_of(self._client).hub.ask()
    return bool(self._ready)


def wrap_hub_getitem(original: Callable[..., Any]) -> Callable[..., Any]:
    """`AsyncHubResult[...]` that asks the Hub before it tells what is known of a call, and for nothing else."""

    def __getitem__(self: AsyncHubResult, key: Any) -> Any:
        """A result by its position, or metadata by its name.

        Parameters
        ----------
        key : int, slice or str

        Notes
        -----
        Any thread. Source: ipyparallel.
        """
        if isinstance(key, str) and any(key in metadata for metadata in self._metadata):
            hub_ready(self)
        return original(self, key)

    return __getitem__


def hub_progress(self: AsyncHubResult) -> int:
    """How many of the calls are over; asks the Hub. Any thread.

    Source: ipyparallel.
    """
    hub_ready(self)
    return sum(child.done() for child in self._children)
