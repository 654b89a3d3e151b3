"""ipyparallel's Client, with calls that have no message of their own: what the patch puts on it."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from concurrent.futures import wait as wait_for_all
from types import GeneratorType
from typing import Any

from ipyparallel import AsyncHubResult, AsyncResult, Client

from .buffered_result import BufferedResult
from .engine_room import EngineRoom, existing_room, last_room_of
from .errors import ClusterGone
from .task_result import TaskResult


def wrap_asyncresult_from_jobs(original: Callable[..., Any]) -> Callable[..., Any]:
    """`Client._asyncresult_from_jobs` that knows grouped calls by their ids."""

    def _asyncresult_from_jobs(self: Client, jobs: Any = None, owner: bool = False) -> AsyncResult:
        if isinstance(jobs, (tuple, set, GeneratorType)):
            jobs = list(jobs)
        elif isinstance(jobs, AsyncResult) and not jobs._single_result:
            jobs = [jobs]  # stock takes the first of its calls for all
        room = existing_room(self)
        if room is not None:
            jobs = room.with_results(jobs)
        if isinstance(jobs, TaskResult):
            return jobs
        if isinstance(jobs, list) and len(jobs) > 1 and any(_is_the_hubs(self, job) for job in jobs):
            # Stock forgets those it knows when there is one that it does not.
            return AsyncHubResult(self, self._msg_ids_from_jobs(jobs), owner=owner)
        return original(self, jobs, owner=owner)

    return _asyncresult_from_jobs


def _is_the_hubs(client: Client, job: Any) -> bool:
    """Whether only the Hub can know what became of a call."""
    if isinstance(job, int):
        job = client.history[job]
    return isinstance(job, str) and job not in client._futures and job not in client.results


def wrap_wait(original: Callable[..., bool]) -> Callable[..., bool]:
    """`Client.wait` that waits for other clients' calls too: stock takes what it did not send for done."""

    def wait(self: Client, jobs: Any = None, timeout: float = -1) -> bool:
        """Wait for calls, grouped ones and those of other clients among them.

        Parameters
        ----------
        jobs : AsyncResult, str, int or list, optional
            Results, message ids, or positions in ``history``; by default all that is outstanding.
        timeout : float
            Seconds to wait at most; negative for no limit.

        Returns
        -------
        bool
            Whether all is over.

        Notes
        -----
        Any thread but the one that receives messages. Source: ipyparallel.
        """
        if isinstance(jobs, AsyncHubResult):
            jobs = [jobs]
        if isinstance(jobs, Iterable) and not isinstance(jobs, (str, AsyncResult)):
            jobs = [part for job in jobs for part in (job._children if isinstance(job, AsyncHubResult) else (job,))]
        return original(self, jobs, timeout)

    return wait


def wrap_await_futures(original: Callable[..., bool]) -> Callable[..., bool]:
    """`Client._await_futures` that waits for calls however they end; stock reads all results, and logs the errors."""

    def _await_futures(self: Client, futures: Sequence[Any], timeout: float | None) -> bool:
        if not all(isinstance(future, Future) for future in futures):  # asyncio's, of somebody's own
            return original(self, futures, timeout)
        patience = None if timeout is None or timeout < 0 else timeout
        return not wait_for_all(set(futures), patience).not_done

    return _await_futures


def wrap_abort(original: Callable[..., Any]) -> Callable[..., Any]:
    """`Client.abort` that cancels grouped calls and sends for the others."""

    def abort(self: Client, jobs: Any = None, targets: Any = None, block: bool | None = None) -> Any:
        """Abort calls that have not started.

        Those that have not left the client are cancelled. Of others the engines are asked: they leave out what they
        have not begun, which fails with `ipyparallel.error.TaskAborted`.

        Parameters
        ----------
        jobs : AsyncResult, str, int or list, optional
            Results, message ids, or positions in ``history``; by default all that is outstanding.
        targets : int, list of int or str, optional
            The engines to ask; by default all.
        block : bool, optional
            Whether to wait for their answers; by default the client's flag.

        Raises
        ------
        TypeError
            For anything else in `jobs`.

        Notes
        -----
        Any thread but the one that receives messages. Source: ipyparallel.
        """
        room = existing_room(self)
        if room is None:
            return original(self, jobs, targets, block)
        if jobs is None:
            jobs = list(self.outstanding)
        elif isinstance(jobs, (str, int, AsyncResult)):
            jobs = [jobs]
        others: list[Any] = []
        for job in room.with_results(list(jobs)):
            if isinstance(job, BufferedResult):
                job.cancel()
            else:
                others += _cancel_parts(room, job)
        return original(self, others, targets, block) if others or not jobs else None

    return abort


def _cancel_parts(room: EngineRoom, job: Any) -> list[Any]:
    """Cancel the grouped calls among those a result was joined of; what is left to be sent for."""
    if not isinstance(job, AsyncResult):
        return [job]
    parts = [room.result_of(msg_id, msg_id) for msg_id in job.msg_ids]
    for part in parts:
        if isinstance(part, BufferedResult):
            part.cancel()
    return [part for part in parts if not isinstance(part, BufferedResult)]


def wrap_close(original: Callable[..., None]) -> Callable[..., None]:
    """`Client.close` that leaves nobody waiting."""

    def close(self: Client, linger: int | None = None) -> None:
        """Close the connection. What is outstanding fails with `ClusterGone`.

        Parameters
        ----------
        linger : int, optional
            Milliseconds in which what is on its way may still leave, of zmq's sockets.

        Notes
        -----
        Any thread. Source: ipyparallel, where what is outstanding is never resolved.
        """
        room = last_room_of(self)
        if room is not None:
            room.close()
        original(self, linger)
        if room is not None:  # only now, when nobody receives any more
            room.stock.break_off(lambda: ClusterGone("the client was closed"))

    return close


def wrap_send(original: Callable[..., Any]) -> Callable[..., Any]:
    """`Client._send` that sends nothing to a controller that is gone: nobody would answer."""

    def _send(self: Client, *args: Any, **kwargs: Any) -> Any:
        room = existing_room(self)
        if room is not None and not self._closed:  # of a closed one, stock has an error of its own
            room.stock.check()
        sent = original(self, *args, **kwargs)
        if room is not None:
            room.stock.note_sent(sent)
        return sent

    return _send
