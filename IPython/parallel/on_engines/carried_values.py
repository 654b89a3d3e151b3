"""Values and errors in messages of ipyparallel's own, as its client takes them: each in its own form."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import contextlib
import pickle
from collections.abc import Callable
from typing import Any

from . import remote_errors, shipping


class Packed:
    """A value as the client will unpickle it: pickled by `shipping`, whatever the kernel pickles with."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __reduce__(self) -> tuple[Any, ...]:
        return unpack, (self._data,)


def unpack(data: bytes) -> Any:
    """The value of a call; at the client, where ipyparallel unpickles it on the thread that receives messages.

    An error there would leave the result waiting for ever: it becomes the result, as a remote error does.
    """
    try:
        return pickle.loads(data)
    except BaseException as error:  # an exit would end the thread, and the client with it
        with contextlib.suppress(Exception):
            error.add_note("while unpickling the result, here at the client")
        return rebuild({"error": remote_errors.pack_exception(error, shipping.dumps), "engine": {}})


class MapError:
    """Stands among a chunk's results for a call that failed; unpickles as the exception itself."""

    def __init__(self, packed: dict[str, Any]) -> None:
        self._packed = packed

    def __reduce__(self) -> tuple[Any, ...]:
        return rebuild, (self._packed,)


def rebuild(packed: dict[str, Any]) -> Any:
    """The exception that was packed, at the client, which sets `rebuilder`; anywhere else what was packed."""
    return packed if rebuilder is None else rebuilder(packed)


rebuilder: Callable[[dict[str, Any]], BaseException] | None = None


def remote_failure(error: BaseException, packed: dict[str, Any]) -> Exception:
    """An exception the kernel can report as if it were `error`, with `packed` in its last traceback line.

    The kernel sends an error as a name, a text and traceback lines, and nothing else; the client takes the packed
    exception out of the lines again (`carried_errors`).
    """
    first = packed["error"]["exceptions"][0]
    text = first["message"]
    lines = [*first.get("traceback", text).splitlines(), FAILURE_MARK + pickle.dumps(packed).hex()]

    def render(self: Exception) -> list[str]:
        return lines

    members = {"_render_traceback_": render, "__str__": lambda self: text, "__module__": type(error).__module__}
    failure: Exception = type(type(error).__name__, (Exception,), members)(text)
    return failure


FAILURE_MARK = "\x00IPython.parallel:"
