"""What calls print, display and write while they run.

Travels to the engine by value: standard library only; the display publisher is IPython's.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import contextlib
import io
import logging
import os
import socket
import sys
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any

# Of so many pools it is known what their calls have put in the place of the streams; nobody tells when one is closed.
_MOST_REPLACED = 64


def receive_descriptors(path: str, name: str, patience: float) -> list[int]:
    """The two file descriptors that are given away at `path`, a Unix socket, to who says its name.

    Waits up to `patience` seconds.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(patience)
        connection.connect(path)
        connection.sendall(name.encode())
        descriptors = list(socket.recv_fds(connection, 1, 2)[1])
    for descriptor in descriptors:  # only as 1 and 2 are they for programs that calls start
        os.set_inheritable(descriptor, False)
    return descriptors


class _Captured(io.TextIOWrapper):
    """Stands for ``sys.stdout`` or ``sys.stderr`` while calls run; what is written belongs to the call that runs.

    It is what the interpreter's own streams are, down to the bytes, which are kept.
    """

    def __init__(self, name: str, stands_for: Any, encoding: str, errors: str) -> None:
        self._kept = _Kept(name, stands_for)
        # Written through, as nearly all calls write nothing: then there is nothing to flush after each of them.
        super().__init__(self._kept, encoding, errors, newline="\n", write_through=True)
        self.mode = "w"  # type: ignore[misc]

    def take(self) -> str:
        """What was written since the last time; bytes that are no text of its encoding as surrogate escapes."""
        if not self.write_through:  # somebody's choice
            with contextlib.suppress(ValueError):  # whoever detached the bytes writes to them itself
                self.flush()
        data = self._kept.take()
        return data.decode(self.encoding, "surrogateescape") if data else ""

    def is_empty(self) -> bool:
        """Whether nothing was written since the last time, as far as can be told without flushing."""
        return self.write_through and not self._kept.tell()

    def pass_by(self, descriptor: int) -> None:
        """Have this descriptor: who asks for it writes there, and past this stream."""
        self._kept.lent = descriptor

    def close(self) -> None:
        """It stays open for the calls that follow."""
        self.flush()


class _Kept(io.BytesIO):
    """The bytes of a captured stream."""

    def __init__(self, name: str, stands_for: Any) -> None:
        super().__init__()
        self.name = f"<{name}>"
        self.mode = "wb"  # type: ignore[misc]
        self._stands_for = stands_for
        self.lent: int | None = None  # the descriptor where what passes this by is to go

    def fileno(self) -> int:
        return self._stands_for.fileno() if self.lent is None else self.lent

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        """It stays open, as its stream does."""

    def take(self) -> bytes:
        if not self.tell():
            return b""
        data = self.getvalue()
        self.seek(0)
        self.truncate()
        return data


class Output:
    """What the running call prints and displays.

    Parameters
    ----------
    display_publisher : object or None
        IPython's, whose hooks let displayed outputs be kept with the call instead of being sent away.
    """

    def __init__(self, display_publisher: Any = None) -> None:
        self._publisher = display_publisher
        self._displayed: list[dict[str, Any]] = []
        self._lent: tuple[tuple[int, int, int], ...] = ()
        self._streams: tuple[_Captured, _Captured] | None = None
        # What calls of pools have put in their place, by the token of the pool's initializer.
        self._replaced: OrderedDict[str, tuple[Any, Any]] = OrderedDict()

    def lend(self, descriptors: Sequence[int], log: logging.Logger) -> None:
        """Let calls have these for 1 and 2, where what passes ``sys.stdout`` by goes; the engine, and `log`, which is
        its own, keep what they had."""
        kept = {fd: own for fd, _, own in self._lent}
        for _, lent, _ in self._lent:  # before
            os.close(lent)
        self._lent = tuple(
            (fd, lent, kept.get(fd) or os.dup(fd)) for fd, lent in zip((1, 2), descriptors, strict=True)
        )
        for stream, (fd, _, _) in zip(self._captured(), self._lent, strict=True):
            stream.pass_by(fd)
        _redirect(log, {fd: own for fd, _, own in self._lent})

    def reconfigure(self, encodings: Sequence[tuple[str, str]]) -> None:
        """Give standard output and error these encodings and ways with what cannot be encoded."""
        for stream, (encoding, errors) in zip(self._captured(), encodings, strict=True):
            stream.reconfigure(encoding=encoding, errors=errors)

    def _captured(self) -> tuple[_Captured, _Captured]:
        # The same for all calls: a logging handler that one of them makes writes to its stream in the next ones too.
        if self._streams is None:
            self._streams = _standing_for("stdout"), _standing_for("stderr")
        return self._streams

    @contextlib.contextmanager
    def capture(self, worker: str | None = None) -> Iterator[None]:
        """Take over the standard streams for a group. Threads that outlive a call write to the call then running.

        What calls of a pool with an initializer put in their place is for the next ones; `worker` is its token.
        """
        before = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = captured = self._captured()
        if worker is not None:
            sys.stdout, sys.stderr = self._replaced.pop(worker, captured)
        for fd, lent, _ in self._lent:
            os.dup2(lent, fd)
        hooked = hasattr(self._publisher, "register_hook")
        if hooked:
            self._publisher.register_hook(self._keep_display)
        try:
            yield
        finally:
            if hooked:
                self._publisher.unregister_hook(self._keep_display)
            for fd, _, own in self._lent:
                os.dup2(own, fd)
            if worker is not None and (sys.stdout, sys.stderr) != captured:
                self._replaced[worker] = sys.stdout, sys.stderr
            sys.stdout, sys.stderr = before
            while len(self._replaced) > _MOST_REPLACED:
                self._replaced.popitem(last=False)

    def renew(self) -> None:
        """While calls run: what they have put in the place of the streams is gone, as with the worker they ran in."""
        sys.stdout, sys.stderr = self._captured()

    def _keep_display(self, message: dict[str, Any]) -> dict[str, Any] | None:
        if message["header"]["msg_type"] != "display_data":
            return message
        self._displayed.append(message["content"])
        return None

    def take(self) -> tuple[str, str, list[dict[str, Any]]] | None:
        """What was written since the last time, None for nothing, as for most calls."""
        streams = self._streams or self._captured()
        if not self._displayed and streams[0].is_empty() and streams[1].is_empty():
            return None
        out, err = streams[0].take(), streams[1].take()
        if not (out or err or self._displayed):
            return None
        displayed, self._displayed = self._displayed, []
        return out, err, displayed

    def leave_to_parent(self) -> None:
        """In a process that a call has forked: what it prints goes straight out, as nobody takes it from here."""
        for fd, name in ((1, "stdout"), (2, "stderr")):
            stream = getattr(sys, name)
            if isinstance(stream, _Captured):
                setattr(sys, name, open(fd, "w", encoding=stream.encoding, errors=stream.errors, closefd=False))


def _redirect(log: logging.Logger, descriptors: dict[int, int]) -> None:
    """Let what `log` writes to a descriptor go to another."""
    for handler in log.handlers:
        # A handler of a file has a descriptor of its own.
        if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
            with contextlib.suppress(OSError):  # of a stream that has no descriptor
                if (fd := handler.stream.fileno()) in descriptors:
                    handler.setStream(open(descriptors[fd], "w", encoding="utf-8", closefd=False))


def _standing_for(name: str) -> _Captured:
    stream = getattr(sys, name)
    encoding, errors = getattr(stream, "encoding", None), getattr(stream, "errors", None)
    return _Captured(name, stream, encoding or "utf-8", errors or "strict")
