"""A short way through the engine's kernel, for groups of calls.

Travels to the engine by value: standard library only; the kernel is the engine's own.

Around each message on its shell channel ipykernel publishes two status messages, flushes streams, writes log lines
and goes through several tasks of its event loop: about three milliseconds, whatever the message is. A group needs
none of that. The door stands before the kernel's own handler: it takes the groups, as the kernel would take them
(only if signed, in their turn, an abort heeded), and hands on everything else unread.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from . import envelope

_OURS = {envelope.MARK: True, "dependencies_met": True}
# What nearly all reports say beside their buffers.
_OK = {"status": "ok"}


def open_door(kernel: Any, run_group: Callable[[list[Any]], list[bytes]]) -> Door:
    """Put a door before the kernel's handler of shell messages.

    Parameters
    ----------
    kernel : ipyparallel.engine.kernel.IPythonParallelKernel
    run_group : callable
        Takes and gives frames; runs on the kernel's main thread.

    Raises
    ------
    RuntimeError
        For a kernel that is not built as expected.
    """
    handler = kernel.shell_stream._recv_callback
    turns = _Turns(kernel, handler) if hasattr(kernel, "_main_asyncio_lock") else _Queue(kernel, handler)
    door = Door(kernel, turns, run_group)
    kernel.shell_stream.on_recv(door, copy=False)
    return door


class _Turns:
    """The order of messages in ipykernel 7: each is a task that waits for the kernel's lock."""

    def __init__(self, kernel: Any, handler: Callable[[Any], Awaitable[Any]]) -> None:
        self._kernel = kernel
        self._handler = handler
        self._ahead = 0  # messages that arrived and are not handled yet

    def kernels_own(self, frames: list[Any]) -> Awaitable[None] | None:
        handling = self._handler(frames)
        return None if handling is None else self._in_turn(handling)  # None: the door of another version took it

    def take(self, handle: Callable[[], None]) -> Awaitable[None] | None:
        """Handle a group at once if nothing is ahead of it, else in its turn."""
        if self._ahead:
            return self._in_turn(self._when_free(handle))
        handle()
        return None

    def _in_turn(self, handling: Awaitable[Any]) -> Awaitable[None]:
        self._ahead += 1  # now, not when the event loop comes to it: the next message may be here before

        async def handled() -> None:
            try:
                await handling
            finally:
                self._ahead -= 1

        return handled()

    async def _when_free(self, handle: Callable[[], None]) -> None:
        # As many tasks deep as the kernel's own handler, so that messages ask for the lock in the order they came in.
        await asyncio.create_task(self._locked(handle))

    async def _locked(self, handle: Callable[[], None]) -> None:
        async with self._kernel._main_asyncio_lock:
            handle()


class _Queue:
    """The order of messages in ipykernel 6: the kernel's queue, from which a task of its own takes them."""

    def __init__(self, kernel: Any, handler: Callable[[Any], None]) -> None:
        if not hasattr(kernel, "schedule_dispatch"):
            raise RuntimeError("this engine's ipykernel is one that IPython.parallel does not know: use 6.9 to 7.x")
        self._kernel = kernel
        self.kernels_own = handler

    def take(self, handle: Callable[[], None]) -> None:
        async def handled() -> None:
            handle()

        self._kernel.schedule_dispatch(handled)


class Door:
    """Takes the messages of the shell channel. On the kernel's main thread, in its event loop.

    Parameters
    ----------
    kernel : ipyparallel.engine.kernel.IPythonParallelKernel
    turns : _Turns or _Queue
    run_group : callable
    """

    def __init__(self, kernel: Any, turns: Any, run_group: Callable[[list[Any]], list[bytes]]) -> None:
        self._kernel = kernel
        self._turns = turns
        self._run_group = run_group
        # What calls set there stays, as in a worker's main thread.
        self._context = contextvars.copy_context()
        self._parent = b"{}"
        self._report_to: dict[bytes, list[bytes]] = {}
        self._ok = kernel.session.pack(_OK)

    def __call__(self, frames: list[Any]) -> Any:
        idents, parts = envelope.split(frames)
        if not envelope.is_ours(parts):
            return self._turns.kernels_own(frames)
        return self._turns.take(lambda: self._context.run(self._handle, idents, parts))

    def _handle(self, idents: list[bytes], parts: Sequence[Any]) -> None:
        kernel = self._kernel
        try:
            group = envelope.unseal(kernel.session, parts)
            header = kernel.session.unpack(group.header)
            idents = self._answer_to(idents, group.metadata)
        except Exception:
            kernel.log.error("refused a group of calls", exc_info=True)
            return
        # Whatever is published during the calls belongs to this message.
        kernel.set_parent(idents, {"header": header, "parent_header": {}, "metadata": {}, "content": {}})
        self._parent = group.header
        if header["msg_id"] in kernel.aborted:
            kernel.aborted.discard(header["msg_id"])
            self._answer(idents, group, {"status": "aborted"}, envelope.now(), [])
            return
        started = envelope.now()
        content, buffers = self._run(group.buffers)
        self._answer(idents, group, content, started, buffers)

    def _answer_to(self, idents: list[bytes], metadata: bytes) -> list[bytes]:
        """The way to the socket that is to get the report: the sender's, if the group does not say."""
        if metadata not in self._report_to:
            self._report_to.clear()  # nearly all groups of a client say the same, byte for byte
            to = self._kernel.session.unpack(metadata).get(envelope.REPORT_TO)
            self._report_to[metadata] = idents[-1:] if to is None else [to.encode()]
        return [*idents[:-1], *self._report_to[metadata]]

    def _run(self, frames: list[Any]) -> tuple[dict[str, Any], list[bytes]]:
        """The reply's content and buffers."""
        try:
            return _OK, self._run_group(frames)
        except BaseException as error:  # of ours: what calls raise is their outcome
            return {"status": "error", "ename": type(error).__name__, "evalue": str(error), "traceback": []}, []

    def _answer(
        self, idents: list[bytes], group: envelope.Envelope, content: dict[str, Any], started: str, buffers: list[bytes]
    ) -> None:
        metadata = dict(_OURS, engine=self._kernel.ident, started=started, status=content["status"])
        frames = self._sealed("apply_reply", metadata, content, group.header)
        # Past the stream's queue, which waits for the event loop: this thread is the socket's own.
        stream = self._kernel.shell_stream
        stream.socket.send_multipart([*idents, *frames, *buffers], copy=_is_small(buffers))
        # Sending may take the news of a message that has arrived, which the socket tells only once.
        stream._update_handler(stream._state)

    def publish(self, buffers: list[bytes]) -> None:
        """Send a report while its group still runs. Any thread."""
        frames = self._sealed("ipython_parallel_report", dict(_OURS, engine=self._kernel.ident), {}, self._parent)
        self._kernel.iopub_socket.send_multipart([self._kernel._topic("report"), *frames, *buffers])

    def _sealed(self, kind: str, metadata: dict[str, Any], content: dict[str, Any], parent: bytes) -> list[bytes]:
        session = self._kernel.session
        header = session.pack(envelope.make_header(session, kind))
        said = self._ok if content is _OK else session.pack(content)
        return envelope.seal(session, header, parent, session.pack(metadata), said)


def _is_small(buffers: list[bytes]) -> bool:
    """Whether copying costs less than keeping the sender's memory until it is sent."""
    return all(len(buffer) < 65536 for buffer in buffers)
