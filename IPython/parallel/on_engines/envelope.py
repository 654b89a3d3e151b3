"""Signed messages of Jupyter's protocol, without what a group does not need.

Travels to the engine by value: standard library only; sessions are given.

To the controller and its Hub these are messages like any others. Packing and unpacking each part, dates, parents and
all, costs a session four times what running a small call does, so here a part that says what was said before is
passed on as the bytes it came in. Signing, checking and the memory of signatures seen are the session's own.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import hmac
import itertools
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any, NamedTuple

DELIMITER = b"<IDS|MSG>"
# A message with this key in its metadata is a group, or a report of one: nobody but this version of us reads it.
MARK = __name__.rpartition(".")[0]
_MARK = MARK.encode()
# In a group's metadata: the identity of the socket that is to get the report.
REPORT_TO = "report_to"


_numbers = itertools.count()


class Envelope(NamedTuple):
    """A message whose signature is good: its parts as they came, and its buffers."""

    header: bytes
    parent: bytes
    metadata: bytes
    content: bytes
    buffers: list[Any]


def make_header(session: Any, kind: str) -> dict[str, Any]:
    """What names a message: an id of its own, a type, the time."""
    return {
        # Not random: asking for randomness lets go of the interpreter lock, and a busy caller keeps it for 5 ms.
        "msg_id": f"{session.session}_group_{next(_numbers)}",
        "msg_type": kind,
        "username": session.username,
        "session": session.session,
        "date": now(),
        "version": "5.3",
    }


def now() -> str:
    """The time as messages have it."""
    return datetime.now(timezone.utc).isoformat()  # noqa: UP017 - engines may run an older Python


def seal(session: Any, header: bytes, parent: bytes, metadata: bytes, content: bytes) -> list[bytes]:
    """The frames of a message between the identities and its buffers."""
    parts = [header, parent, metadata, content]
    return [DELIMITER, session.sign(parts), *parts]


def split(frames: Sequence[Any]) -> tuple[list[bytes], Sequence[Any]]:
    """The identities, and the frames behind the delimiter: of ours or not."""
    idents: list[bytes] = []
    for index, frame in enumerate(frames):
        if (data := frame.bytes) == DELIMITER:
            return idents, frames[index + 1 :]
        idents.append(data)
    return idents, ()


def is_ours(parts: Sequence[Any]) -> bool:
    """Whether a message that was `split` says that it is a group or a report."""
    return len(parts) >= 5 and _MARK in parts[3].bytes


def unseal(session: Any, parts: Sequence[Any]) -> Envelope:
    """The message of these frames.

    Raises
    ------
    ValueError
        If it is not signed with the session's key, or was seen before.
    """
    signature, *said = [frame.bytes for frame in parts[:5]]
    if session.auth is not None:
        if signature in session.digest_history:
            raise ValueError("a message came twice")
        if not hmac.compare_digest(signature, session.sign(said)):
            raise ValueError("a message is not signed with this cluster's key")
        session._add_digest(signature)
    header, parent, metadata, content = said
    return Envelope(header, parent, metadata, content, [frame.buffer for frame in parts[5:]])
