"""Where tasks wait: one line for each view, or for each engine of a view of given engines."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from . import callbacks, task_states

if TYPE_CHECKING:
    from ..call_pickling import FreshFunction, Payload, PickledFunction


class Task:
    """One call on its way."""

    __slots__ = (
        "alone",
        "chunk",
        "counted",
        "function",
        "future",
        "label",
        "line",
        "lost_with",
        "name",
        "payload",
        "retries",
        "serial",
        "unwanted",
        "withdrawn",
    )

    def __init__(
        self,
        future: Any,
        function: PickledFunction | FreshFunction | None,
        payload: Payload,
        name: str,
        label: str | None = None,
    ) -> None:
        self.future = future
        self.label = label
        self.function = function
        self.payload = payload
        self.name = name
        self.line: Any = None  # a Line, from `Dispatcher.submit` on
        self.serial: int  # from then on, too
        self.withdrawn = False
        self.unwanted = False  # nobody waits for it any more, should an engine give it back
        self.retries = 0
        self.lost_with: str | None = None  # the last engine that died while it ran this
        self.counted = False  # among those outstanding in its line
        self.chunk = 1  # how many tasks, from this one on, travel together
        # Whether its chunk needs a message of its own: a label is what the Hub knows a call by.
        self.alone = label is not None

    def allow_retries(self, retries: int) -> None:
        """Let it run again that often if it is lost with its engine: lost with another, it must not have begun."""
        self.retries = retries
        self.alone = self.alone or retries > 0

    def retry(self, engine: str) -> bool:
        """Whether a task that was lost with this engine is to run again."""
        self.retries -= 1
        self.lost_with = engine
        return self.retries >= 0


class Line:
    """The tasks of one view: those that wait here for an engine, and how many are not settled yet.

    Parameters
    ----------
    space : str
        Whose globals the calls' functions share on an engine: the client's, or one pool's.
    only : str, iterable of str or None
        The engines to use, by name; by default all there are and will be.
    max_engines : int or None
        Use at most that many engines.
    setup : tuple of str and bytes, or None
        A token and a pickled ``(function, args)`` that each engine runs before its first call from this line.
    lifetime : int or None
        After that many calls an engine begins anew: with the setup, and with no function or global of this line.
    fails_without_engines : bool
        Whether calls fail when the last engine is gone, because no other will come, instead of waiting for one.
    on_output : callable or None
        ``on_output(stream, text)`` hears what calls printed, on the dispatcher's thread, before they are settled.
    on_submit : callable or None
        ``on_submit(number)`` hears of so many calls, right after their submission, on the submitting thread.
    on_over : callable or None
        ``on_over(futures)`` hears of calls that have ended, however they did, on the callbacks' thread.
    """

    def __init__(
        self,
        space: str,
        only: str | Iterable[str] | None = None,
        max_engines: int | None = None,
        setup: tuple[str, bytes] | None = None,
        lifetime: int | None = None,
        on_output: Callable[[str, str], None] | None = None,
        on_submit: Callable[[int], None] | None = None,
        on_over: Callable[[Sequence[Any]], None] | None = None,
        fails_without_engines: bool = False,
    ) -> None:
        self.fails_without_engines = fails_without_engines
        self.space = space
        self.only: frozenset[str] | None = None
        self.use_only(only)
        self.max_engines = max_engines
        self.setup = setup
        self.lifetime = lifetime
        self.on_output = on_output
        self._on_submit = on_submit
        self._on_over = on_over
        self.waiting: deque[Task] = deque()
        self.engines: set[str] = set()
        self.outstanding = 0
        self.calling_back = 0  # those of them that are over, but for their callbacks
        self.closed = False
        self.cancels = False  # what comes back to this line does not wait again

    def __repr__(self) -> str:
        return f"<Line: {self.outstanding} outstanding>"

    def tell_submitted(self, number: int) -> None:
        """Let who wants to know hear of new calls. On the submitting thread."""
        if self._on_submit is not None and number:
            self._on_submit(number)

    def tell_over(self, futures: Sequence[Any]) -> None:
        """Let who wants to know hear that these calls have ended. Any thread; never blocks."""
        if self._on_over is not None and futures:
            callbacks.post(partial(self._on_over, futures))

    def use_only(self, engines: str | Iterable[str] | None) -> None:
        """Use these engines; before the line has a task."""
        self.only = None if engines is None else frozenset((engines,) if isinstance(engines, str) else engines)

    def take_all(self) -> list[Task]:
        """All that wait and are not cancelled; they count as running now."""
        tasks = list(self.waiting)
        self.waiting.clear()
        return [task for task in tasks if task_states.begin(task.future)]

    def take_lost_before(self) -> list[Task]:
        """Those that wait to be retried, as `take_all` takes them."""
        tasks = [task for task in self.waiting if task.lost_with is not None]
        if tasks:
            self.waiting = deque(task for task in self.waiting if task.lost_with is None)
        return [task for task in tasks if task_states.begin(task.future)]

    def put_back(self, tasks: list[Task]) -> None:
        """Insert tasks where they were: nearly always in front of all others."""
        last = max(task.serial for task in tasks)
        while self.waiting and self.waiting[0].serial < last:
            tasks.append(self.waiting.popleft())
        self.waiting.extendleft(sorted(tasks, key=lambda task: task.serial, reverse=True))

    def may_use(self, engine: str) -> bool:
        if self.only is not None:
            return engine in self.only
        return self.max_engines is None or engine in self.engines or len(self.engines) < self.max_engines
