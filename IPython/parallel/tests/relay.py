"""A network in a thread: connections to this machine's ports go through it; it delays, stalls, cuts, resets them.

What TCP makes of packets that are lost is a stream that stands still for a while, or a connection that ends; so this is
what there is to do to a stream, and it needs no rights and no kernel module.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections.abc import Callable, Iterable
from typing import Any

_HOST = "127.0.0.1"
_PATIENCE = 20.0


class Relay:
    """Leads to `ports`; `ports` of the relay itself are those to connect to. All methods from the test's thread."""

    def __init__(self, ports: Iterable[int]) -> None:
        self.ports: dict[int, int] = {}
        self._delay = (0.0, 0.0)
        self._breaks_next = False
        self._refuses = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="relay")
        self._thread.start()
        self._run(self._listen(sorted(set(ports))))

    def delay(self, least: float, most: float) -> None:
        """Let each piece that comes through wait so many seconds, at random between the two."""
        self._delay = least, most

    def stall(self) -> None:
        """Let nothing through, and end nothing."""
        self._call(self._flows.clear)

    def flow(self) -> None:
        """Let all through that was held up."""
        self._call(self._flows.set)

    def reset(self) -> None:
        """End all connections at once; what is on its way is lost. New ones can be made."""
        self._call(self._reset)

    def cut(self) -> None:
        """End all connections, and let no new ones be made."""
        self._refuses = True
        self.reset()

    def mend(self) -> None:
        """Be a good network again."""
        self._refuses = self._breaks_next = False
        self._delay = (0.0, 0.0)
        self.flow()

    def break_next(self) -> None:
        """Let half of the next piece through, and then end all connections."""
        self._breaks_next = True

    def close(self) -> None:
        self._call(self._end)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_PATIENCE)
        self._loop.close()

    # -- on the relay's thread

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_PATIENCE)

    def _call(self, act: Callable[[], None]) -> None:
        async def call() -> None:
            act()

        self._run(call())

    async def _listen(self, ports: list[int]) -> None:
        self._flows = asyncio.Event()
        self._flows.set()
        self._servers = []
        for port in ports:
            server = await asyncio.start_server(self._through_to(port), _HOST, 0)
            self._servers.append(server)
            self.ports[port] = server.sockets[0].getsockname()[1]

    def _through_to(self, port: int) -> Any:
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if self._refuses:
                writer.transport.abort()
                return
            with contextlib.suppress(OSError):
                there, to_there = await asyncio.open_connection(_HOST, port)
                self._writers |= {writer, to_there}
                for source, target in ((reader, to_there), (there, writer)):
                    task = asyncio.ensure_future(self._pump(source, target, {writer, to_there}))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)

        return connected

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, both: set[Any]) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(1 << 16):
                await self._flows.wait()
                await asyncio.sleep(random.uniform(*self._delay))
                if self._breaks_next:
                    self._breaks_next = False
                    target.write(data[: len(data) // 2])
                    await target.drain()
                    self._reset()
                    return
                target.write(data)
                await target.drain()
        for writer in both & self._writers:
            writer.close()
        self._writers -= both

    def _reset(self) -> None:
        for writer in self._writers:
            with contextlib.suppress(OSError):
                # Closing with this is a reset, not a polite end.
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        self._writers.clear()

    def _end(self) -> None:
        for server in self._servers:
            server.close()
        self._reset()
        for task in self._tasks:
            task.cancel()
