"""The journal of a dead engine on another host: an engine that lives there reads it for us."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..dispatch.wire import HadBegun

# Seconds that the engines of that host have. Where calls are so small that there is something to be saved, they answer
# in less; an engine in a long call answers after it.
PATIENCE = 3.0
# So many of them are asked: the first that knows is enough.
MOST_ASKED = 8


def ask(
    loop: Any, engines: Sequence[str], call: Callable[[str], Any], tell: Callable[[HadBegun | None], None]
) -> None:
    """Let engines read what another one had begun. Any thread; never blocks.

    Parameters
    ----------
    loop : tornado.ioloop.IOLoop
        Of the thread that receives messages.
    engines : sequence of str
    call : callable
        ``call(engine)`` sends the request; the future of the answer.
    tell : callable
        Called once, on the receiving thread, with the first answer there is, or with None. Must not block.
    """
    asked = engines[:MOST_ASKED]
    answers = _Answers(len(asked), tell)
    for engine in asked:
        try:
            message = call(engine)
        except Exception:  # the controller is gone
            loop.add_callback(answers.add, None)
        else:
            message.add_done_callback(lambda message: loop.add_callback(answers.add, message.result()))
    loop.add_callback(loop.call_later, PATIENCE, answers.end)


class _Answers:
    """On the receiving thread alone."""

    def __init__(self, expected: int, tell: Callable[[HadBegun | None], None]) -> None:
        self._expected = expected
        self._tell: Callable[[HadBegun | None], None] | None = tell

    def add(self, answer: Any) -> None:
        """An engine's answer; an exception or None if it could not read the journal."""
        self._expected -= 1
        if answer is not None and not isinstance(answer, BaseException):
            self.end(HadBegun(*answer))
        elif self._expected == 0:
            self.end()

    def end(self, begun: HadBegun | None = None) -> None:
        tell, self._tell = self._tell, None
        if tell is not None:
            tell(begun)
