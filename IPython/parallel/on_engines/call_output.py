"""What calls print, display and write while they run.

Travels to the engine by value: standard library only; the display publisher is IPython's.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import contextlib
import io
import os
import socket
import sys
from collections.abc import Iterator, Sequence
from typing import Any


def receive_descriptors(path: str, patience: float) -> list[int]:
    """The two file descriptors given away at `path`, a Unix socket; waits up to `patience` seconds."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(patience)
        connection.connect(path)
        return list(socket.recv_fds(connection, 1, 2)[1])


class _Captured(io.TextIOBase):
    """Stands for ``sys.stdout`` or ``sys.stderr`` while calls run; what is written belongs to the call that runs."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.texts: list[str] = []

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        self.texts.append(text)
        return len(text)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._stream.fileno()  # type: ignore[no-any-return]

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return getattr(self._stream, "encoding", None) or "utf-8"

    @property
    def errors(self) -> str:  # type: ignore[override]
        return getattr(self._stream, "errors", None) or "strict"

    @property
    def buffer(self) -> Any:
        return _CapturedBytes(self)

    def take(self) -> str:
        texts, self.texts = self.texts, []
        return "".join(texts)


class _CapturedBytes(io.RawIOBase):
    """``sys.stdout.buffer`` of a captured stream."""

    def __init__(self, text: _Captured) -> None:
        self._text = text

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._text.write(bytes(data).decode(self._text.encoding, "replace"))
        return len(data)


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

    def lend(self, descriptors: Sequence[int]) -> None:
        """Let calls have these for 1 and 2, where what passes ``sys.stdout`` by goes; the engine keeps its own."""
        self._lent = tuple((fd, lent, os.dup(fd)) for fd, lent in zip((1, 2), descriptors, strict=True))

    @contextlib.contextmanager
    def capture(self) -> Iterator[None]:
        """Take over the standard streams for a group. Threads that outlive a call write to the call then running."""
        before = sys.stdout, sys.stderr
        self._out, self._err = _Captured(before[0]), _Captured(before[1])
        sys.stdout, sys.stderr = self._out, self._err
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
            # Whoever replaced the streams on purpose (a logging set-up, say) keeps the replacement.
            if sys.stdout is self._out:
                sys.stdout = before[0]
            if sys.stderr is self._err:
                sys.stderr = before[1]

    def _keep_display(self, message: dict[str, Any]) -> dict[str, Any] | None:
        if message["header"]["msg_type"] != "display_data":
            return message
        self._displayed.append(message["content"])
        return None

    def take(self) -> tuple[str, str, list[dict[str, Any]]] | None:
        """What was written since the last time, None for nothing, as for most calls."""
        if not (self._out.texts or self._err.texts or self._displayed):
            return None
        displayed, self._displayed = self._displayed, []
        return self._out.take(), self._err.take(), displayed
