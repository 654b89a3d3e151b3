"""The dispatcher, step by step: what reality does rarely, a scripted cluster does on demand."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import gc
import pickle
import random
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, wait
from itertools import chain
from typing import Any

import pytest

from IPython.parallel.call_pickling import dumps, pickle_call
from IPython.parallel.dispatch import callbacks, task_states
from IPython.parallel.dispatch.batch_policy import BatchPolicy
from IPython.parallel.dispatch.callbacks import CallbackQueue
from IPython.parallel.dispatch.dispatcher import Dispatcher
from IPython.parallel.dispatch.groups import Group
from IPython.parallel.dispatch.lazy_future import LazyFuture
from IPython.parallel.dispatch.lines import Line, Task
from IPython.parallel.dispatch.wire import Outcome
from IPython.parallel.errors import EngineDied, ExecutorShutdown
from IPython.parallel.tests.contracts.harness import PATIENCE, Recorder
from IPython.parallel.tests.fake_cluster import (
    Event,
    FakeTransport,
    Killed,
    Message,
    die,
    new_line,
    note,
    note_and_overrun,
    note_and_wait,
)


class Call(CallbackQueue, LazyFuture):
    """The future of a call, as the dispatcher sees one."""

    def __init__(self, dispatcher: Dispatcher, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        super().__init__()
        pickled, payload = pickle_call(function, args, {})
        self.task = Task(self, pickled, payload, str(args[0]) if args else function.__name__)
        self._dispatcher = dispatcher
        self.engine: str | None = None
        self.settled = 0

    def settle(self, outcome: Outcome, engine: str) -> None:
        self.settled += 1
        self.engine = engine
        if outcome.succeeded:
            self.set_result(outcome.data)
        else:
            self.set_exception(RuntimeError(outcome.status))

    def fail(self, error: BaseException) -> None:
        self.settled += 1
        self.set_exception(error)

    def cancel(self) -> bool:
        cancelled = self._dispatcher.cancel(self.task)
        if cancelled:
            self.tell_cancelled()
            self._dispatcher.withdraw(self.task)
        return cancelled is not False


class Steady(BatchPolicy):
    """Always so many calls to a group, and so many groups to an engine."""

    def __init__(self, calls: int = 1, groups: int = 1) -> None:
        super().__init__()
        self._calls, self._groups = calls, groups

    def size(self, waiting: int, engines: int) -> int:
        return self._calls

    def depth(self) -> int:
        return self._groups


class Bench:
    """A dispatcher on a scripted cluster, and a line to it."""

    def __init__(
        self, engines: int = 1, policy: BatchPolicy | None = None, line: Line | None = None, **cluster: Any
    ) -> None:
        self.cluster = FakeTransport(engines, **cluster)
        self.dispatcher = Dispatcher(self.cluster, policy or Steady())
        self.line = line or new_line()

    def submit(self, *labels: Any, function: Callable[..., Any] = note, line: Line | None = None) -> list[Call]:
        """One call per label, each a chunk of its own."""
        return self.submit_chunks([(label,) for label in labels], function, line)

    def submit_chunks(
        self, chunks: list[tuple[Any, ...]], function: Callable[..., Any] = note, line: Line | None = None
    ) -> list[Call]:
        made = [[Call(self.dispatcher, function, (label,)) for label in chunk] for chunk in chunks]
        for chunk in made:
            chunk[0].task.chunk = len(chunk)
        calls = list(chain.from_iterable(made))
        self.dispatcher.submit(line or self.line, [call.task for call in calls])
        return calls

    def submit_call(self, function: Callable[..., Any], *args: Any) -> Call:
        call = Call(self.dispatcher, function, args)
        self.dispatcher.submit(self.line, [call.task])
        return call

    @property
    def engines(self) -> list[Any]:
        return list(self.cluster.members.values())

    def settle_all(self) -> None:
        """Step every engine until there is nothing left to do."""
        self.cluster.flush()
        while stepped := [engine for engine in self.engines if engine._stepped < len(engine.messages)]:
            for engine in stepped:
                engine.step()
            self.cluster.flush()


@pytest.fixture
def bench() -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(*args: Any, **kwargs: Any) -> Bench:
        made.append(Bench(*args, **kwargs))
        return made[-1]

    yield make
    for each in made:
        each.dispatcher.stop(_gone)
        each.cluster.close()


def _gone() -> Exception:
    return ConnectionError("gone")


class TestJourney:
    def test_a_call_leaves_an_idle_client_at_once(self, bench) -> None:
        b = bench(1)
        (call,) = b.submit("a")
        assert call.running()
        assert [message.names for message in b.cluster.messages] == [["a"]]
        b.engines[0].step()
        assert call.result(PATIENCE) is not None
        assert call.engine == b.engines[0].name

    def test_what_has_no_engine_waits(self, bench) -> None:
        b = bench(1)
        first, second = b.submit("a", "b")
        assert (first.running(), second.running()) == (True, False)
        b.engines[0].step()
        b.cluster.flush()
        assert second.running()

    def test_calls_go_to_the_engine_with_the_most_room(self, bench) -> None:
        b = bench(2, Steady(groups=2))
        b.submit("a", "b", "c", "d")
        assert [[m.names for m in engine.messages] for engine in b.engines] == [[["a"], ["c"]], [["b"], ["d"]]]

    def test_a_submit_of_nothing_changes_nothing(self, bench) -> None:
        b = bench(1)
        b.submit()
        (call,) = b.submit("a")
        b.engines[0].step()
        call.result(PATIENCE)
        assert b.dispatcher.wait(b.line, PATIENCE)

    def test_no_engines_then_one_joins(self, bench) -> None:
        b = bench(0)
        calls = b.submit("a", "b")
        assert not any(call.running() for call in calls)
        engine = b.cluster.add()
        b.cluster.flush()
        assert [message.names for message in engine.messages] == [["a"]]
        b.settle_all()
        assert [call.done() for call in calls] == [True, True]

    def test_an_engine_that_joins_while_all_are_busy_gets_what_waits(self, bench) -> None:
        b = bench(1)
        b.submit("a", "b")
        engine = b.cluster.add()
        b.cluster.flush()
        assert [message.names for message in engine.messages] == [["b"]]

    def test_units_stay_together(self, bench) -> None:
        b = bench(1, Steady(calls=2))
        calls = b.submit_chunks([tuple("abc"), tuple("de"), tuple("f")])
        b.settle_all()
        assert [message.names for message in b.cluster.messages] == [["a", "b", "c"], ["d", "e"], ["f"]]
        assert all(call.done() for call in calls)

    def test_small_units_share_a_message(self, bench) -> None:
        b = bench(1, Steady(calls=3))
        b.submit("a", "b", "c", "d")
        b.settle_all()
        assert [message.names for message in b.cluster.messages] == [["a", "b", "c"], ["d"]]

    def test_lines_take_turns(self, bench) -> None:
        b, other = bench(1), new_line()
        b.submit("a", "b", "c")
        b.submit("x", "y", "z", line=other)
        b.settle_all()
        assert b.cluster.ran == ["a", "b", "x", "c", "y", "z"]

    def test_a_group_is_of_one_line(self, bench) -> None:
        b, other = bench(0, Steady(calls=10)), new_line()
        b.submit("a", "b")
        b.submit("x", line=other)
        engine = b.cluster.add()
        b.settle_all()
        assert [message.names for message in engine.messages] == [["a", "b"], ["x"]]

    def test_repr_tells_where_the_calls_are(self, bench) -> None:
        b = bench(1, Steady(calls=2))
        b.submit("a", "b", "c")
        assert repr(b.dispatcher) == "<Dispatcher [1 buffered | 1 groups (2 calls) in flight]>"
        assert repr(b.line) == "<Line: 3 outstanding>"

    def test_output_is_handed_on_before_the_call_is_settled(self, bench) -> None:
        heard: list[tuple[str, str, bool]] = []
        b = bench(1, line=new_line(on_output=lambda stream, text: heard.append((stream, text, call.done()))))
        from IPython.parallel import engine_bundle

        b.engines[0].runner.output = engine_bundle.load().call_output.Output()
        (call,) = b.submit("printed", function=print)
        b.engines[0].step()
        call.result(PATIENCE)
        assert heard == [("stdout", "printed\n", False)]

    def test_an_output_hook_that_raises_harms_nothing(self, bench, caplog) -> None:
        b = bench(1, line=new_line(on_output=_raise))
        from IPython.parallel import engine_bundle

        b.engines[0].runner.output = engine_bundle.load().call_output.Output()
        (call,) = b.submit("printed", function=print)
        b.engines[0].step()
        call.result(PATIENCE)
        assert "passing on a call's output failed" in caplog.text


class TestCancel:
    def test_cancelled_calls_never_leave(self, bench) -> None:
        b = bench(1)
        first, second, third = b.submit("a", "b", "c")
        assert second.cancel()
        b.settle_all()
        assert b.cluster.ran == ["a", "c"]
        assert (first.done(), third.done()) == (True, True)

    def test_a_call_that_left_cannot_be_cancelled(self, bench) -> None:
        b = bench(1)
        (call,) = b.submit("a")
        assert call.cancel() is False
        b.settle_all()
        assert b.cluster.ran == ["a"]

    def test_a_cancelled_call_is_no_part_of_its_chunk(self, bench) -> None:
        b = bench(0)
        _, second, _ = b.submit_chunks([tuple("abc")])
        second.cancel()
        b.cluster.add()
        b.settle_all()
        assert b.cluster.ran == ["a", "c"]

    @pytest.mark.parametrize("first", ["cancel", "begin"])
    def test_cancel_while_a_group_is_built(self, bench, monkeypatch, first: str) -> None:
        """The group and the cancel meet at the dispatcher's lock; whoever has it first decides, the other learns.

        1: the first has the lock, and makes its move. 2: the second comes to the lock. 3: the first lets go of it.
        """
        b = bench(0)
        (call,) = b.submit("a")
        move, other_is_there, answers = getattr(task_states, first), threading.Event(), []
        dispatchers = b.dispatcher._lock

        class Lock:
            def __enter__(self) -> None:
                if threading.current_thread() is other:
                    other_is_there.set()
                dispatchers.acquire()

            def __exit__(self, *error: object) -> None:
                dispatchers.release()

        def move_with_the_other_at_the_lock(future: Any) -> Any:
            moved = move(future)
            other.start()
            assert other_is_there.wait(PATIENCE)
            return moved

        def cancel() -> None:
            answers.append(call.cancel())

        def join() -> None:
            b.cluster.add()
            b.cluster.flush()

        one, two = (cancel, b.dispatcher._refresh_engines) if first == "cancel" else (join, cancel)
        other = threading.Thread(target=two)
        monkeypatch.setattr(b.dispatcher, "_lock", Lock())
        monkeypatch.setattr(task_states, first, move_with_the_other_at_the_lock)
        if first == "cancel":
            b.cluster._new_engine()
        one()
        other.join(PATIENCE)
        assert answers == [first == "cancel"]
        assert [message.names for message in b.cluster.messages] == ([] if first == "cancel" else [["a"]])
        assert call.cancelled() is (first == "cancel")

    def test_cancel_by_the_garbage_collector_on_a_thread_that_decides(self, bench, monkeypatch) -> None:
        """An iteration that was dropped cancels its calls when it is collected, wherever that happens."""
        b = bench(0, Steady(calls=3))
        calls = b.submit("a", "b", "c")
        begin, answers = task_states.begin, []

        def begin_after_a_collection(future: Any) -> bool:
            if not answers:
                answers.extend(call.cancel() for call in calls[1:])
            return begin(future)

        monkeypatch.setattr(task_states, "begin", begin_after_a_collection)
        joining = threading.Thread(target=lambda: (b.cluster.add(), b.settle_all()), daemon=True)
        joining.start()
        joining.join(PATIENCE)
        assert not joining.is_alive(), "the dispatcher waits for itself"
        assert answers == [True, True]
        assert b.cluster.ran == ["a"]
        assert b.dispatcher.wait(b.line, PATIENCE)

    def test_a_line_of_nothing_but_cancelled_calls_is_done(self, bench) -> None:
        b = bench(0)
        for call in b.submit("a", "b"):
            call.cancel()
        assert b.dispatcher.wait(b.line, 0)
        b.cluster.add()
        b.cluster.flush()
        assert b.cluster.messages == []

    def test_cancel_before_the_call_reaches_the_line(self, bench) -> None:
        """Another thread finds the call in the client's list of outstanding ones before `submit` is through."""
        b = bench(1)
        call = Call(b.dispatcher, note, ("a",))
        call.cancel()
        b.dispatcher.submit(b.line, [call.task])
        assert call.cancelled()
        assert b.dispatcher.wait(b.line, 0), "a cancelled call is counted for ever"


class TestClosedLine:
    def test_takes_no_more(self, bench) -> None:
        b = bench(1)
        b.dispatcher.close(b.line)
        with pytest.raises(ExecutorShutdown):
            b.submit("a")

    def test_does_what_it_has(self, bench) -> None:
        b = bench(1)
        b.submit("a", "b")
        b.dispatcher.close(b.line)
        b.settle_all()
        assert b.cluster.ran == ["a", "b"]

    def test_with_cancel_only_what_left_is_done(self, bench) -> None:
        b = bench(1)
        calls = b.submit("a", "b", "c")
        b.dispatcher.close(b.line, cancel=True)
        assert [call.cancelled() for call in calls] == [False, True, True]
        b.settle_all()
        assert b.cluster.ran == ["a"]
        assert b.dispatcher.wait(b.line, 0)

    def test_other_lines_go_on(self, bench) -> None:
        b, other = bench(1), new_line()
        b.dispatcher.close(b.line, cancel=True)
        (call,) = b.submit("x", line=other)
        b.settle_all()
        assert call.done()

    def test_requeued_calls_of_a_closed_line_still_run(self, bench) -> None:
        b = bench(1, Steady(calls=3))
        b.submit("slow", function=note_and_overrun)
        b.submit("a")
        b.dispatcher.close(b.line)
        b.settle_all()
        assert b.cluster.ran == ["slow", "a"]


class TestWait:
    def test_ends_with_the_last_call(self, bench) -> None:
        b = bench(1)
        b.submit("a", "b")
        assert b.dispatcher.wait(b.line, 0) is False
        b.settle_all()
        assert b.dispatcher.wait(b.line, 0) is True

    def test_times_out(self, bench) -> None:
        b = bench(0)
        b.submit("a")
        assert b.dispatcher.wait(b.line, 0.01) is False

    def test_of_one_line_does_not_wait_for_another(self, bench) -> None:
        b = bench(0)
        b.submit("a")
        assert b.dispatcher.wait(new_line(), 0) is True

    def test_wakes_the_waiting_thread(self, bench) -> None:
        b = bench(1)
        b.submit("a")
        answers: list[bool] = []
        waiter = threading.Thread(target=lambda: answers.append(b.dispatcher.wait(b.line, PATIENCE)))
        waiter.start()
        b.engines[0].step()
        waiter.join(PATIENCE)
        assert answers == [True]

    def test_futures_are_done_when_it_returns(self, bench) -> None:
        b = bench(2, BatchPolicy(), started=True)
        for _ in range(20):
            calls = b.submit(*range(10))
            assert b.dispatcher.wait(b.line, PATIENCE)
            assert all(call.done() for call in calls)


class TestOverrun:
    def test_what_waits_in_the_group_goes_elsewhere_and_runs_once(self, bench) -> None:
        b = bench(1, Steady(calls=3))
        (slow,) = b.submit("first")  # so that the next three travel together
        long, *short = [b.submit_call(note_and_overrun, "long"), *b.submit("a", "b")]
        b.engines[0].step()
        b.cluster.flush()
        message = b.engines[0].next()
        message.run()
        message.deliver(final=False)
        b.cluster.flush()
        other = b.cluster.add()
        b.settle_all()
        assert [m.names for m in other.messages] == [["a", "b"]]
        assert not long.done()
        message.deliver()
        b.cluster.flush()
        assert long.done() and slow.done() and all(call.settled == 1 for call in short)
        assert sorted(b.cluster.ran) == ["a", "b", "first", "long"]

    def behind(self, bench: Callable[..., Bench]) -> tuple[Bench, Call, Call, Message, Message]:
        """Two groups at an engine: one that overruns, and one that waits behind it and will be given back."""
        b = bench(1, Steady(groups=2))
        slow = b.submit_call(note_and_overrun, "slow")
        (behind,) = b.submit("behind")
        overrunning, waiting = b.engines[0].next(), b.engines[0].next()
        overrunning.run()
        waiting.run()
        assert b.cluster.ran == ["slow"]
        return b, slow, behind, overrunning, waiting

    def test_groups_behind_are_requeued_once_and_run_once(self, bench) -> None:
        b, slow, behind, overrunning, waiting = self.behind(bench)
        overrunning.deliver(final=False)
        other = b.cluster.add()
        b.cluster.flush()
        assert [m.names for m in other.messages] == [["behind"]]
        overrunning.deliver()
        waiting.deliver()
        b.settle_all()
        assert b.cluster.ran == ["slow", "behind"]
        assert (slow.settled, behind.settled) == (1, 1)

    def test_nothing_is_sent_behind_an_overrunning_group(self, bench) -> None:
        b, slow, behind, overrunning, waiting = self.behind(bench)
        overrunning.deliver(final=False)
        b.cluster.flush()
        assert len(b.engines[0].messages) == 2
        assert not behind.done()
        overrunning.deliver()
        b.settle_all()
        assert (slow.settled, behind.settled) == (1, 1)

    def test_an_early_report_that_is_lost_is_made_up_for_by_the_final_one(self, bench) -> None:
        b, slow, behind, overrunning, waiting = self.behind(bench)
        overrunning.drop_reports(early=True)
        overrunning.deliver()
        b.cluster.flush()
        waiting.deliver()
        b.settle_all()
        assert b.cluster.ran == ["slow", "behind"]
        assert (slow.settled, behind.settled) == (1, 1)

    def test_an_early_report_that_comes_after_the_final_one(self, bench) -> None:
        b, slow, behind, overrunning, waiting = self.behind(bench)
        overrunning.deliver(early=False)
        waiting.deliver()
        overrunning.deliver()
        b.settle_all()
        assert b.cluster.ran == ["slow", "behind"]
        assert (slow.settled, behind.settled) == (1, 1)
        (after,) = b.submit("after")
        b.settle_all()
        assert after.done(), "the engine counts as overrunning for ever"

    def test_reports_that_come_twice(self, bench) -> None:
        b, slow, behind, overrunning, waiting = self.behind(bench)
        overrunning.deliver(final=False, again=True)
        overrunning.deliver(again=True)
        overrunning.deliver()
        waiting.deliver(again=True)
        waiting.deliver()
        b.settle_all()
        assert b.cluster.ran == ["slow", "behind"]
        assert (slow.settled, behind.settled) == (1, 1)
        assert b.dispatcher.wait(b.line, 0)

    def test_an_engine_that_dies_does_not_take_requeued_calls_along(self, bench) -> None:
        b, slow, behind, overrunning, _ = self.behind(bench)
        overrunning.deliver(final=False)
        b.cluster.flush()
        b.cluster.lose(b.engines[0])
        b.cluster.add()
        b.settle_all()
        assert isinstance(slow.exception(0), EngineDied)
        assert behind.exception(0) is None

    def test_an_engine_that_dies_before_its_early_report(self, bench) -> None:
        b, slow, behind, overrunning, waiting = self.behind(bench)
        b.cluster.lose(b.engines[0])
        b.cluster.flush()
        overrunning.deliver()
        waiting.deliver()
        b.cluster.flush()
        assert isinstance(slow.exception(0), EngineDied)
        assert not behind.done(), "it never began: it waits for another engine"
        b.cluster.add()
        b.settle_all()
        assert behind.exception(0) is None
        assert b.cluster.ran == ["slow", "behind"]
        assert (slow.settled, behind.settled) == (1, 1)
        assert b.dispatcher.wait(b.line, 0)

    def test_a_requeued_call_can_be_cancelled_and_does_not_run_then(self, bench) -> None:
        b, _, behind, overrunning, waiting = self.behind(bench)
        overrunning.deliver(final=False)
        b.cluster.flush()
        assert not behind.running()
        assert behind.cancel() is True
        overrunning.deliver()
        waiting.deliver()
        b.settle_all()
        assert b.cluster.ran == ["slow"]
        assert b.dispatcher.wait(b.line, 0)

    def test_requeued_calls_keep_their_order_before_younger_ones(self, bench) -> None:
        b = bench(1, Steady(calls=4))
        b.submit("first")
        b.submit_call(note_and_overrun, "slow")
        b.submit("a", "b", "c", "d")
        b.settle_all()
        assert b.cluster.ran == ["first", "slow", "a", "b", "c", "d"]

    def test_two_overruns_one_after_the_other(self, bench) -> None:
        b = bench(1, Steady(calls=2, groups=2))
        calls = [b.submit_call(note_and_overrun, n) for n in range(5)]
        b.settle_all()
        assert b.cluster.ran == list(range(5))
        assert [call.settled for call in calls] == [1] * 5

    def test_outcomes_in_an_early_report_are_settled_early(self, bench) -> None:
        b = bench(1, Steady(calls=2))
        b.submit("first")
        quick, slow = b.submit("quick")[0], b.submit_call(note_and_overrun, "slow")
        b.engines[0].step()
        b.cluster.flush()
        message = b.engines[0].next()
        message.run()
        message.deliver(final=False)
        b.cluster.flush()
        assert (quick.done(), slow.done()) == (True, False)
        message.deliver()
        b.cluster.flush()
        assert (quick.settled, slow.settled) == (1, 1)


class TestLostEngines:
    def test_calls_fail_by_the_engines_name_and_their_own(self, bench) -> None:
        b = bench(1)
        (call,) = b.submit("a")
        name = b.engines[0].name
        b.engines[0].next().run()
        b.cluster.lose(b.engines[0])
        with pytest.raises(EngineDied) as caught:
            call.result(PATIENCE)
        assert (caught.value.engine_id, caught.value.call) == (name, "a")

    def test_what_waits_goes_on_elsewhere(self, bench) -> None:
        b = bench(2)
        first, second, third = b.submit("a", "b", "c")
        b.engines[0].next().run()
        b.cluster.lose(b.engines[0])
        b.settle_all()
        assert isinstance(first.exception(0), EngineDied)
        assert (second.exception(0), third.exception(0)) == (None, None)
        assert b.cluster.ran == ["a", "b", "c"]

    def test_what_was_sent_and_had_not_begun_runs_elsewhere(self, bench) -> None:
        b = bench(2)
        calls = b.submit("a", "b", "c")
        b.cluster.lose(b.engines[0])
        b.settle_all()
        assert [call.exception(0) for call in calls] == [None] * 3
        assert [call.settled for call in calls] == [1] * 3
        assert Counter(b.cluster.ran) == Counter("abc")

    def test_of_a_group_what_had_begun_fails_and_the_rest_runs_elsewhere(self, bench) -> None:
        """Of a group of three calls the engine has begun two, the first of them is over, and it dies."""
        b = bench(1, Steady(calls=3))
        b.submit("warm up")
        calls = [Call(b.dispatcher, note, ("first",)), Call(b.dispatcher, die, ("second",))]
        calls.append(Call(b.dispatcher, note, ("third",)))
        calls[0].task.chunk = len(calls)
        b.dispatcher.submit(b.line, [call.task for call in calls])
        b.engines[0].step()
        b.cluster.flush()
        with pytest.raises(Killed):
            b.engines[0].next().run()
        b.cluster.lose(b.engines[0])
        b.cluster.add()
        b.settle_all()
        assert [type(call.exception(0)) for call in calls] == [EngineDied, EngineDied, type(None)]
        assert b.cluster.ran == ["warm up", "first", "third"]
        assert [call.settled for call in calls] == [1] * 3
        assert b.dispatcher.wait(b.line, 0)

    def test_calls_that_have_taken_all_engines_along_do_not_wait_for_the_next_one(self, bench) -> None:
        b = bench(2, Steady(calls=1, groups=1))
        calls = [Call(b.dispatcher, die, (n,)) for n in range(2)] + [Call(b.dispatcher, note, ("never begun",))]
        for call in calls:
            call.task.allow_retries(5)
            b.dispatcher.submit(b.line, [call.task])
        for engine in b.engines:
            engine.wait_for_message()
            with pytest.raises(Killed):
                engine.next().run()
        for engine in list(b.engines):
            b.cluster.lose(engine)
            b.cluster.flush()
        assert [type(call.exception(PATIENCE)) for call in calls[:2]] == [EngineDied] * 2
        assert not calls[2].done()
        b.cluster.add()
        b.settle_all()
        assert b.cluster.ran == ["never begun"]

    def test_engines_are_looked_for_as_long_as_calls_wait(self, bench) -> None:
        b = bench(1)
        b.submit("first")
        b.settle_all()
        b.cluster.doubt(False)
        b.cluster.flush()
        assert b.cluster.looked_for_engines == 0
        b.cluster.lose(b.engines[0])
        (call,) = b.submit("waits")
        b.cluster.doubt(False)
        b.cluster.flush()
        assert b.cluster.looked_for_engines == 1
        b.cluster.add()
        b.settle_all()
        assert call.done()

    def test_a_call_that_takes_the_last_engine_along_is_not_tried_again(self, bench) -> None:
        b = bench(1, Steady(calls=3))
        call = Call(b.dispatcher, die, (0,))
        call.task.allow_retries(5)
        b.dispatcher.submit(b.line, [call.task])
        (engine,) = b.engines
        engine.wait_for_message()
        with pytest.raises(Killed):
            engine.next().run()
        b.cluster.lose(engine)
        b.cluster.flush()
        assert type(call.exception(PATIENCE)) is EngineDied

    def test_what_had_begun_runs_again_if_that_was_asked_for(self, bench) -> None:
        b = bench(1, Steady(calls=3))
        calls = [Call(b.dispatcher, die, (n,)) for n in range(2)] + [Call(b.dispatcher, note, ("last",))]
        for call, retries in zip(calls, (1, 0, 1), strict=True):
            call.task.allow_retries(retries)
        b.dispatcher.submit(b.line, [call.task for call in calls[:2]])
        b.dispatcher.submit(b.line, [calls[2].task])
        sent = []
        for _ in range(3):
            (engine,) = b.engines
            engine.wait_for_message()
            message = engine.next()
            sent.append(message.names)
            with pytest.raises(Killed):
                message.run()
            b.cluster.add()  # before: a call that takes the last engine along is not tried again
            b.cluster.lose(engine)
            b.cluster.flush()
        b.settle_all()
        assert sent == [["0"], ["1"], ["0"]]
        assert [type(call.exception(0)) for call in calls] == [EngineDied, EngineDied, type(None)]
        assert b.cluster.ran == ["last"]
        assert [call.settled for call in calls] == [1] * 3

    def test_without_a_journal_all_that_was_sent_counts_as_begun(self, bench) -> None:
        b = bench(1, Steady(groups=2))
        b.cluster.has_journals = False
        sent = b.submit("a", "b")
        (waiting,) = b.submit("c")
        b.cluster.lose(b.engines[0])
        b.cluster.add()
        b.settle_all()
        assert [type(call.exception(0)) for call in sent] == [EngineDied] * 2
        assert waiting.exception(0) is None
        assert b.cluster.ran == ["c"]

    def lost_from_afar(self, bench) -> tuple[Bench, list[Call]]:
        """An engine that had begun one of two groups is gone, and its journal is on another host."""
        b = bench(1, Steady(groups=2))
        b.cluster.journals_are_far = True
        calls = b.submit("begun", "sent", "waiting")
        b.engines[0].next().run()
        b.cluster.lose(b.engines[0])
        b.cluster.add()
        b.settle_all()
        assert [call.done() for call in calls] == [False, False, True]
        return b, calls

    def test_a_journal_on_another_host_is_waited_for(self, bench) -> None:
        b, (begun, sent, _) = self.lost_from_afar(bench)
        (read,) = b.cluster.reads_later
        read(True)
        b.settle_all()
        assert isinstance(begun.exception(0), EngineDied) and sent.exception(0) is None
        assert b.cluster.ran == ["begun", "waiting", "sent"]
        assert b.dispatcher.wait(b.line, 0)

    def test_a_journal_that_nobody_can_read(self, bench) -> None:
        b, calls = self.lost_from_afar(bench)
        (read,) = b.cluster.reads_later
        read(False)
        b.settle_all()
        assert [type(call.exception(0)) for call in calls] == [EngineDied, EngineDied, type(None)]

    @pytest.mark.parametrize("end", ["break off", "abandon"])
    def test_nobody_waits_for_a_journal_after_the_end(self, bench, end: str) -> None:
        b, calls = self.lost_from_afar(bench)
        (read,) = b.cluster.reads_later
        if end == "break off":
            b.dispatcher.break_off(_gone)
        else:
            b.dispatcher.abandon(b.line, _gone)
        assert [type(call.exception(0)) for call in calls] == [ConnectionError, ConnectionError, type(None)]
        read(True)
        b.cluster.flush()
        assert b.cluster.ran == ["begun", "waiting"] and [call.settled for call in calls] == [1] * 3

    def test_what_could_run_on_that_engine_only_fails(self, bench) -> None:
        b = bench(2)
        pinned = new_line(only=b.engines[0].name)
        sent, waiting = b.submit("a", "b", line=pinned)
        b.cluster.lose(b.engines[0])
        b.settle_all()
        assert [type(call.exception(0)) for call in (sent, waiting)] == [EngineDied] * 2
        assert b.cluster.ran == []

    def test_an_engine_that_lives_on_after_it_was_given_up_runs_nothing_any_more(self, bench) -> None:
        """It was stopped, or cut off: what it was sent runs elsewhere, so it must not run there as well."""
        b = bench(1)
        (call,) = b.submit("a")
        (cut_off,) = b.engines
        b.cluster.lose(cut_off)
        b.cluster.flush()
        message = cut_off.next()
        message.run()
        assert pickle.loads(message.reports[0][0][0])["returned"] == [call.task.serial]
        b.cluster.add()
        b.settle_all()
        message.deliver()
        b.cluster.flush()
        assert b.cluster.ran == ["a"]
        assert (call.exception(0), call.settled) == (None, 1)

    def test_an_engine_that_dies_while_a_group_is_sent_to_it(self, bench) -> None:
        """1: a group is decided for an engine. 2: the engine is buried without it. 3: the group is sent."""
        b = bench(2)
        first, second = b.engines

        def lose(group: Group) -> None:
            b.cluster.before_send = lambda group: None
            b.cluster.lose(b.cluster.members[group.engine])
            b.cluster.flush()

        b.cluster.before_send = lose
        (call,) = b.submit("a")
        b.settle_all()
        assert (call.exception(0), call.settled) == (None, 1)
        assert b.cluster.ran == ["a"]
        assert b.dispatcher.wait(b.line, 0)

    def test_a_report_after_the_engine_was_lost_changes_nothing(self, bench) -> None:
        b = bench(1)
        (call,) = b.submit("a")
        message = b.engines[0].next()
        message.run()
        b.cluster.lose(b.engines[0])
        b.cluster.flush()
        message.deliver()
        b.cluster.flush()
        assert isinstance(call.exception(0), EngineDied)
        assert call.settled == 1
        assert b.dispatcher.wait(b.line, 0)

    def test_a_report_before_the_loss_counts(self, bench) -> None:
        b = bench(1)
        (call,) = b.submit("a")
        message = b.engines[0].next()
        message.run()
        message.deliver(again=True)
        message.over = False
        b.cluster.lose(b.engines[0])
        b.cluster.flush()
        assert call.exception(0) is None
        assert call.settled == 1

    def test_a_loss_told_twice(self, bench) -> None:
        b = bench(1)
        (call,) = b.submit("a")
        message = b.engines[0].next()
        message.lose()
        message.lose()
        b.cluster.flush()
        assert call.settled == 1
        assert b.dispatcher.wait(b.line, 0)

    def test_sending_that_fails_is_the_calls_error(self, bench) -> None:
        b = bench(1)
        b.cluster.before_send = _raise
        (call,) = b.submit("a")
        with pytest.raises(RuntimeError, match="scripted"):
            call.result(PATIENCE)
        b.cluster.before_send = lambda group: None
        (call,) = b.submit("b")
        b.settle_all()
        assert call.exception(0) is None

    def test_ctrl_c_while_sending_leaves_no_call_without_an_end(self, bench) -> None:
        b = bench(2)

        def interrupt(group: Group) -> None:
            b.cluster.before_send = lambda group: None
            raise KeyboardInterrupt

        b.cluster.before_send = interrupt
        with pytest.raises(KeyboardInterrupt):
            b.submit("a", "b")
        b.settle_all()
        assert b.dispatcher.wait(b.line, 1), "calls that were never sent count as running for ever"

    def test_ctrl_c_while_sending_is_the_error_of_no_call(self, bench) -> None:
        """Earlier ones, whose futures somebody has, may be in that group."""
        b = bench(1, Steady(calls=3))

        def interrupt(group: Group) -> None:
            b.cluster.before_send = lambda group: None
            raise KeyboardInterrupt

        b.cluster.before_send = interrupt
        calls = [Call(b.dispatcher, note, (label,)) for label in "abc"]
        with pytest.raises(KeyboardInterrupt):
            b.dispatcher.submit(b.line, [call.task for call in calls])
        b.settle_all()
        assert b.dispatcher.wait(b.line, PATIENCE)
        assert [call.exception(0) for call in calls] == [None] * 3
        assert b.cluster.ran == ["a", "b", "c"]


class TestMaxEngines:
    def test_no_more_than_that_are_used(self, bench) -> None:
        b = bench(3, line=new_line(max_engines=2))
        b.submit(*range(6))
        b.settle_all()
        assert sorted(len(engine.messages) for engine in b.engines) == [0, 3, 3]

    def test_an_engine_that_is_used_stays_the_lines(self, bench) -> None:
        b = bench(3, line=new_line(max_engines=1))
        for n in range(4):
            b.submit(n)
            b.settle_all()
        assert sorted(len(engine.messages) for engine in b.engines) == [0, 0, 4]

    def test_a_lost_engine_is_replaced(self, bench) -> None:
        b = bench(2, line=new_line(max_engines=1))
        b.submit("a", "b")
        (used,) = [engine for engine in b.engines if engine.messages]
        used.next().run()
        b.cluster.lose(used)
        b.settle_all()
        assert b.cluster.ran == ["a", "b"]
        assert len(b.engines) == 1

    def test_other_lines_use_the_others(self, bench) -> None:
        b, other = bench(2, line=new_line(max_engines=1)), new_line()
        b.submit("a", "b")
        b.submit("x", line=other)
        assert sorted(message.names for message in b.cluster.messages) == [["a"], ["x"]]

    def test_a_line_that_must_wait_does_not_hold_up_the_next(self, bench) -> None:
        b, other = bench(2, line=new_line(max_engines=1)), new_line()
        b.submit("a", "b", "c")
        b.submit("x", "y", line=other)
        b.settle_all()
        assert sorted(map(str, b.cluster.ran)) == ["a", "b", "c", "x", "y"]


class TestBreakingOff:
    def test_everything_outstanding_fails_once(self, bench) -> None:
        b = bench(1, Steady(groups=2))
        slow = b.submit_call(note_and_overrun, "slow")
        in_flight, buffered = *b.submit("in flight"), *b.submit("buffered")
        message = b.engines[0].next()
        message.run()
        message.deliver(final=False)  # "in flight" is requeued now
        b.cluster.flush()
        b.dispatcher.break_off(_gone)
        calls = [slow, in_flight, buffered]
        assert [type(call.exception(PATIENCE)) for call in calls] == [ConnectionError] * 3
        assert [call.settled for call in calls] == [1] * 3
        assert b.dispatcher.wait(b.line, 0)

    def test_later_submits_are_refused(self, bench) -> None:
        b = bench(1)
        b.submit("a")
        b.dispatcher.break_off(_gone)
        with pytest.raises(ConnectionError):
            b.submit("b")

    def test_cancelled_calls_stay_cancelled(self, bench) -> None:
        b = bench(0)
        (call,) = b.submit("a")
        call.cancel()
        b.dispatcher.break_off(_gone)
        with pytest.raises(CancelledError):
            call.result(0)
        assert b.dispatcher.wait(b.line, 0)

    def test_a_report_that_comes_after_it_changes_nothing(self, bench) -> None:
        b = bench(1)
        (call,) = b.submit("a")
        message = b.engines[0].next()
        message.run()
        b.dispatcher.break_off(_gone)
        message.deliver()
        b.cluster.flush()
        assert call.settled == 1
        assert b.line.outstanding == 0

    def test_after_resuming_old_reports_change_nothing_and_new_calls_run(self, bench) -> None:
        b = bench(1)
        (old,) = b.submit("old")
        message = b.engines[0].next()
        message.run()
        b.dispatcher.break_off(_gone)
        b.dispatcher.resume()
        b.cluster.flush()
        (new,) = b.submit("new")
        message.deliver()
        b.settle_all()
        assert isinstance(old.exception(0), ConnectionError)
        assert new.exception(0) is None
        assert (old.settled, new.settled) == (1, 1)
        assert b.line.outstanding == 0

    def test_an_engine_that_is_back_takes_the_first_group_at_once(self, bench) -> None:
        """It remembers the number of the last one, and gives back what seems to come before it."""
        b = bench(1)
        b.submit(*range(5))
        b.settle_all()
        b.dispatcher.break_off(_gone)
        b.dispatcher.resume()
        b.cluster.flush()
        before = len(b.cluster.messages)
        (new,) = b.submit("new")
        b.settle_all()
        assert new.exception(0) is None
        assert len(b.cluster.messages) == before + 1

    def test_calls_given_back_after_it_do_not_run(self, bench) -> None:
        b = bench(1, Steady(calls=2))
        b.submit("first")
        b.submit_call(note_and_overrun, "slow")
        (late,) = b.submit("late")
        b.engines[0].step()
        b.cluster.flush()
        message = b.engines[0].next()
        message.run()
        b.dispatcher.break_off(_gone)
        b.dispatcher.resume()
        message.deliver()
        b.settle_all()
        assert isinstance(late.exception(0), ConnectionError)
        assert b.cluster.ran == ["first", "slow"]

    def test_stop_ends_the_thread(self, bench) -> None:
        b = bench(1)
        before = set(threading.enumerate())
        b.submit("a")
        (thread,) = set(threading.enumerate()) - before
        b.dispatcher.stop(_gone)
        thread.join(PATIENCE)
        assert not thread.is_alive()

    def test_a_dropped_dispatcher_ends_its_thread(self) -> None:
        cluster = FakeTransport(1)
        before = set(threading.enumerate())
        dispatcher = Dispatcher(cluster)
        call = Call(dispatcher, note, ("a",))
        dispatcher.submit(new_line(), [call.task])
        (thread,) = set(threading.enumerate()) - before
        cluster.members[next(iter(cluster.members))].step()
        call.result(PATIENCE)
        cluster.close()
        ref = weakref.ref(dispatcher)
        del dispatcher, call
        gc.collect()
        thread.join(PATIENCE)
        assert ref() is None
        assert not thread.is_alive()


class TestFinishing:
    def test_waits_for_all_lines_and_refuses_more(self, bench) -> None:
        b, other = bench(1), new_line()
        calls = b.submit("a", "b") + b.submit("x", line=other)
        finished = threading.Thread(target=b.dispatcher.finish)
        finished.start()
        b.settle_all()
        finished.join(PATIENCE)
        assert not finished.is_alive()
        assert all(call.done() for call in calls)
        with pytest.raises(RuntimeError, match="interpreter shutdown"):
            b.submit("late")

    def test_without_work_returns_at_once(self, bench) -> None:
        b = bench(0)
        b.dispatcher.finish()
        with pytest.raises(RuntimeError, match="interpreter shutdown"):
            b.submit("late")


class TestHolding:
    def held(self, b: Bench, only: Any = None) -> Call:
        call = Call(b.dispatcher, note, ("held",))
        b.dispatcher.hold(new_line(only=only), call.task)
        return call

    def test_does_not_leave_before_it_is_let_go(self, bench) -> None:
        b = bench(1)
        call = self.held(b)
        b.submit("other")
        b.settle_all()
        assert b.cluster.ran == ["other"]
        b.dispatcher.let_go(call.task)
        b.settle_all()
        assert (b.cluster.ran, call.exception(0), call.task.line.outstanding) == (["other", "held"], None, 0)

    def test_one_that_is_refused_or_cancelled_is_not_outstanding(self, bench) -> None:
        b = bench(1)
        refused, cancelled = self.held(b), self.held(b)
        b.dispatcher.refuse(refused.task, ValueError())
        assert cancelled.cancel()
        b.dispatcher.let_go(cancelled.task)
        b.settle_all()
        assert [call.task.line.outstanding for call in (refused, cancelled)] == [0, 0]
        assert b.cluster.ran == []

    def test_finishing_waits_for_it(self, bench) -> None:
        b = bench(1)
        call = self.held(b)
        finished = threading.Thread(target=b.dispatcher.finish)
        finished.start()
        with pytest.raises(RuntimeError, match="interpreter shutdown"):
            while True:
                b.submit("late")
        b.dispatcher.let_go(call.task)
        b.settle_all()
        finished.join(PATIENCE)
        assert not finished.is_alive()
        assert "held" in b.cluster.ran

    def test_one_that_is_let_go_when_all_is_over_fails(self, bench) -> None:
        b = bench(1)
        call = self.held(b)
        b.dispatcher.stop(ExecutorShutdown)
        jobs: list[str] = []
        b.dispatcher.soon(lambda: jobs.append("ran"))  # the thread has ended, or will
        b.dispatcher.let_go(call.task)
        assert (type(call.exception(0)), jobs) == (ExecutorShutdown, ["ran"])
        assert call.task.line.outstanding == 0

    def test_one_whose_engine_is_gone_by_then_fails(self, bench) -> None:
        b = bench(2)
        call = self.held(b, only=b.engines[0].name)
        b.cluster.lose(b.engines[0])
        b.cluster.flush()
        b.dispatcher.let_go(call.task)
        assert type(call.exception(PATIENCE)) is EngineDied


class TestLinesOfSomeEngines:
    def test_use_these_only(self, bench) -> None:
        b = bench(3)
        first, second, _ = (engine.name for engine in b.engines)
        calls = b.submit(*range(6), line=new_line(only=[first, second]))
        b.settle_all()
        assert {call.engine for call in calls} == {first, second}

    def test_go_on_as_long_as_one_of_them_is_there(self, bench) -> None:
        b = bench(3)
        first, second, third = b.engines
        line = new_line(only=[first.name, second.name])
        calls = b.submit(*range(6), line=line)
        b.cluster.lose(first)
        b.settle_all()
        assert {call.engine for call in calls} == {second.name}
        b.cluster.lose(second)
        b.cluster.flush()
        (late,) = b.submit("late", line=line)
        assert type(late.exception(PATIENCE)) is EngineDied
        assert third.messages == []


class TestCode:
    def test_functions_are_sent_once_to_each_engine(self, bench) -> None:
        b = bench(2)
        b.submit(*range(10))
        b.settle_all()
        sent = [[len(m.header["functions"]) for m in engine.messages] for engine in b.engines]
        assert [(each[0], sum(each)) for each in sent] == [(1, 1), (1, 1)]

    def test_a_function_the_engine_has_no_more_is_sent_again(self, bench) -> None:
        b = bench(1)
        b.submit("a")
        b.settle_all()
        b.engines[0].forget_functions()
        (call,) = b.submit("b")
        b.settle_all()
        assert call.exception(0) is None
        assert call.settled == 1
        assert b.cluster.ran == ["a", "b"]

    def test_the_initializer_runs_once_on_each_engine(self, bench) -> None:
        b = bench(2, line=new_line(setup=("token", dumps((note, ("set up",))))))
        b.submit(*range(6))
        b.settle_all()
        assert b.cluster.ran.count("set up") == 2
        assert b.cluster.ran[0] == "set up"

    def test_lines_have_initializers_of_their_own(self, bench) -> None:
        b = bench(1, line=new_line(setup=("one", dumps((note, ("set up",))))))
        b.submit("a")
        b.submit("x", line=new_line())
        b.settle_all()
        assert b.cluster.ran == ["set up", "a", "x"]

    def test_calls_of_a_failing_initializer_fail_and_do_not_run(self, bench) -> None:
        b = bench(1, line=new_line(setup=("token", dumps((_raise, (1,))))))
        calls = b.submit("a", "b")
        b.settle_all()
        assert [str(call.exception(0)) for call in calls] == ["error", "error"]
        assert b.cluster.ran == []


class TestRobustness:
    def test_a_result_that_cannot_be_settled_does_not_stop_the_others(self, bench, caplog) -> None:
        b = bench(1, Steady(calls=2))
        b.submit("first")
        bad, good = b.submit("bad", "good")
        bad.settle = _raise  # type: ignore[method-assign]
        b.settle_all()
        assert isinstance(bad.exception(0), RuntimeError)
        assert good.exception(0) is None
        assert b.dispatcher.wait(b.line, 0)
        assert "settling" in caplog.text

    @pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
    @pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
    def test_an_exit_while_settling_does_not_end_the_dispatcher(self, bench, error: type[BaseException]) -> None:
        """Unpickling a result runs code of the user's, which may raise anything."""
        b = bench(1)
        (bad,) = b.submit("bad")

        def settle(outcome: Outcome, engine: str) -> None:
            raise error

        bad.settle = settle  # type: ignore[method-assign]
        b.engines[0].step()
        (good,) = b.submit("good")
        b.settle_all()
        assert good.exception(PATIENCE) is None
        assert isinstance(bad.exception(PATIENCE), error)

    def test_callbacks_may_submit(self, bench) -> None:
        b = bench(1, BatchPolicy(), started=True)
        done = Recorder(lambda call: call.settled)

        def go_on(call: Call) -> None:
            label = int(call.task.name)
            (following,) = b.submit(label + 1)
            following.add_done_callback(done if label == 8 else go_on)

        b.submit(0)[0].add_done_callback(go_on)
        assert done.wait_for(1) == [1]
        assert b.cluster.ran == list(range(10))

    def test_a_callback_of_a_failed_send_may_submit(self, bench) -> None:
        b = bench(1)
        b.cluster.before_send = _raise
        (call,) = b.submit("a")
        again = Recorder(lambda call: b.submit("b")[0])
        b.cluster.before_send = lambda group: None
        call.add_done_callback(again)
        (second,) = again.wait_for(1)
        b.settle_all()
        assert second.exception(0) is None

    def test_many_threads_submit_and_cancel(self, bench) -> None:
        """Every future ends, nothing runs twice, nothing cancelled runs; engines come and overrun meanwhile."""
        b = bench(2, BatchPolicy(), started=True)
        threads, each = 32, 40
        calls: list[list[Call]] = [[] for _ in range(threads)]
        cancelled: list[set[int]] = [set() for _ in range(threads)]

        def work(thread: int) -> None:
            choose, line = random.Random(thread), new_line()
            for n in range(each):
                label = thread * each + n
                (call,) = b.submit(label, line=line)
                calls[thread].append(call)
                victim = choose.choice(calls[thread])
                if choose.random() < 0.5 and victim.cancel():
                    cancelled[thread].add(int(victim.task.name))
            assert b.dispatcher.wait(line, PATIENCE)

        workers = [threading.Thread(target=work, args=(thread,)) for thread in range(threads)]
        for worker in workers:
            worker.start()
        b.cluster.add()
        for worker in workers:
            worker.join(PATIENCE)
        everything = [call for thread in calls for call in thread]
        assert len(everything) == threads * each
        assert not wait(everything, PATIENCE).not_done
        never = set().union(*cancelled)
        assert Counter(b.cluster.ran) == Counter(set(range(threads * each)) - never)
        assert {int(call.task.name) for call in everything if call.cancelled()} == never
        assert all(call.settled == 1 for call in everything if not call.cancelled())

    def test_long_and_short_calls_on_running_engines(self, bench) -> None:
        """The same with real time: groups overrun while others are sent behind them."""
        b = bench(2, Steady(calls=4, groups=2), started=True)
        event = Event()
        held = b.submit_call(note_and_wait, "held", event)
        event.wait_for_arrival()
        short = b.submit(*range(60))
        assert not wait(short, PATIENCE).not_done
        assert not held.done()
        event.set()
        held.result(PATIENCE)
        assert Counter(b.cluster.ran) == Counter(["held", *range(60)])
        assert all(call.settled == 1 for call in [held, *short])


class TestCost:
    def test_small_calls_share_messages(self, bench) -> None:
        b = bench(2, BatchPolicy(), started=True)
        wait(b.submit(*range(1000)), PATIENCE)
        assert len(b.cluster.ran) == 1000
        assert len(b.cluster.messages) < 500  # far fewer on a machine with nothing else to do

    def test_threads_do_not_grow_with_calls(self, bench) -> None:
        b = bench(2, BatchPolicy(), started=True)
        wait(b.submit("warm up"), PATIENCE)
        before = threading.active_count()
        wait(b.submit(*range(500)), PATIENCE)
        wait(b.submit(*range(500)), PATIENCE)
        # A watchdog for each engine comes with its first group.
        assert threading.active_count() <= before + 1

    def test_nothing_of_finished_calls_is_kept(self, bench) -> None:
        b = bench(1, BatchPolicy(), started=True)
        calls = b.submit(*range(50))
        assert not wait(calls, PATIENCE).not_done
        assert b.dispatcher.wait(b.line, PATIENCE)
        b.cluster.flush()
        callbacks.drain(PATIENCE)
        refs = [weakref.ref(call) for call in calls]
        b.cluster.close()
        del calls
        gc.collect()
        assert [ref() for ref in refs if ref() is not None] == []


def _raise(*args: Any) -> None:
    raise RuntimeError("scripted")
