"""ipyparallel's Client, with calls that have no message of their own: what the patch puts on it."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

from collections.abc import Callable, Iterable
from types import GeneratorType
from typing import Any

from ipyparallel import AsyncHubResult, AsyncResult, Client

from .engine_room import existing_room
from .task_result import TaskResult


def wrap_asyncresult_from_jobs(original: Callable[..., Any]) -> Callable[..., Any]:
    """`Client._asyncresult_from_jobs` that knows grouped calls by their ids."""

    def _asyncresult_from_jobs(self: Client, jobs: Any = None, owner: bool = False) -> AsyncResult:
        if isinstance(jobs, (tuple, set, GeneratorType)):
            jobs = list(jobs)
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
        """Wait for `jobs`, by default all that are outstanding; see `ipyparallel.Client.wait`."""
        if isinstance(jobs, AsyncHubResult):
            jobs = [jobs]
        if isinstance(jobs, Iterable) and not isinstance(jobs, (str, AsyncResult)):
            jobs = [part for job in jobs for part in (job._children if isinstance(job, AsyncHubResult) else (job,))]
        return original(self, jobs, timeout)

    return wait


def wrap_abort(original: Callable[..., Any]) -> Callable[..., Any]:
    """`Client.abort` that cancels grouped calls and sends for the others."""

    def abort(self: Client, jobs: Any = None, targets: Any = None, block: bool | None = None) -> Any:
        """Abort jobs that have not started; see `ipyparallel.Client.abort`. Grouped calls are cancelled here."""
        room = existing_room(self)
        if room is None:
            return original(self, jobs, targets, block)
        if jobs is None:
            jobs = list(self.outstanding)
        elif isinstance(jobs, (str, AsyncResult)):
            jobs = [jobs]
        found = room.with_results(jobs)
        for job in found:
            if isinstance(job, TaskResult):
                job.cancel()
        others = [job for job in found if not isinstance(job, TaskResult)]
        return original(self, others, targets, block) if others or not found else None

    return abort


def wrap_close(original: Callable[..., None]) -> Callable[..., None]:
    """`Client.close` that leaves nobody waiting."""

    def close(self: Client, linger: int | None = None) -> None:
        """Close the connection; see `ipyparallel.Client.close`. What is outstanding fails with `ClusterGone`."""
        room = existing_room(self)
        if room is not None:
            room.close()
        original(self, linger)

    return close
