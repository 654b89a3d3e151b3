"""Groups and reports that are lost between client and engine, step by step: asked for, never run twice."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from IPython.parallel.engine_bundle import load
from IPython.parallel.tests.contracts.harness import PATIENCE
from IPython.parallel.tests.fake_cluster import Message, new_line, note_and_overrun
from IPython.parallel.tests.test_dispatcher import Bench, Steady

KeptReports = load().kept_reports.KeptReports


@pytest.fixture
def bench() -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(*args: Any, **kwargs: Any) -> Bench:
        made.append(Bench(*args, **kwargs))
        return made[-1]

    yield make
    for each in made:
        each.dispatcher.stop(lambda: ConnectionError("gone"))
        each.cluster.close()


def lose_report(message: Message) -> None:
    """The engine runs it, and what it reports does not arrive."""
    message.run()
    message.reports.clear()


def doubt(b: Bench, *, certain: bool = True) -> None:
    b.cluster.doubt(certain)
    b.cluster.flush()


def questions(b: Bench) -> int:
    return sum("asked" in message.header for message in b.cluster.messages)


def test_a_report_that_was_lost_is_given_again(bench) -> None:
    b = bench(1, Steady(calls=3))
    calls = b.submit("a") + b.submit("b", "c")
    lose_report(b.engines[0].next())
    doubt(b)
    b.settle_all()
    assert [call.result(PATIENCE) for call in calls] == ["a", "b", "c"]
    assert b.cluster.ran == ["a", "b", "c"] and [call.settled for call in calls] == [1, 1, 1]


def test_a_group_that_was_lost_is_sent_again_and_runs_once_though_it_should_come_late(bench) -> None:
    b = bench(1)
    (call,) = b.submit("a")
    late = b.engines[0].next()
    doubt(b)
    b.settle_all()
    assert call.result(PATIENCE) == "a"
    late.run()
    late.deliver()
    b.cluster.flush()
    assert b.cluster.ran == ["a"] and call.settled == 1
    assert b.dispatcher.wait(b.line, PATIENCE)


def test_a_report_that_was_only_slow_comes_before_the_answer(bench) -> None:
    b = bench(1)
    (call,) = b.submit("a")
    message = b.engines[0].next()
    message.run()
    doubt(b)
    answer = b.engines[0].next()
    answer.run()
    message.deliver()
    answer.deliver()
    b.cluster.flush()
    assert call.result(PATIENCE) == "a" and call.settled == 1
    (after,) = b.submit("b")
    b.settle_all()
    assert after.result(PATIENCE) == "b"


def test_the_question_is_lost_too(bench) -> None:
    b = bench(1)
    (call,) = b.submit("a")
    lose_report(b.engines[0].next())
    doubt(b)
    b.engines[0].next()  # the question, which does not arrive
    doubt(b)
    lose_report(b.engines[0].next())  # the answer
    doubt(b)
    b.settle_all()
    assert call.result(PATIENCE) == "a" and b.cluster.ran == ["a"]


def test_reports_are_kept_while_they_are_awaited_and_no_longer(bench) -> None:
    b = bench(1, Steady(groups=2))
    calls = b.submit(*range(20))
    lose_report(b.engines[0].next())
    b.settle_all()  # the others go by the second place at the engine
    assert [call.done() for call in calls] == [False] + [True] * 19
    kept = b.engines[0].runner._kept._reports
    assert len(kept) == 2
    doubt(b)
    b.settle_all()
    assert calls[0].result(PATIENCE) == 0 and b.cluster.ran == list(range(20))


def test_a_report_too_large_to_be_kept_is_an_error_and_its_call_does_not_run_again(bench) -> None:
    b = bench(1)
    b.engines[0].runner._kept = KeptReports(most=10)
    (call,) = b.submit("a")
    lose_report(b.engines[0].next())
    doubt(b)
    message = b.engines[0].next()
    with pytest.raises(LookupError, match="lost on its way"):
        message.run()
    message.lose("LookupError", "the result was lost on its way")
    b.cluster.flush()
    assert isinstance(call.exception(PATIENCE), RuntimeError) and b.cluster.ran == ["a"]


def test_an_overrunning_group_whose_final_report_is_lost(bench) -> None:
    b = bench(1, Steady(calls=3))
    b.submit("first")
    long, *short = [b.submit_call(note_and_overrun, "long"), *b.submit("a", "b")]
    b.engines[0].step()
    b.cluster.flush()
    message = b.engines[0].next()
    message.run()
    message.drop_reports(final=True)
    message.deliver()
    doubt(b)
    b.settle_all()
    assert [call.result(PATIENCE) for call in (long, *short)] == ["long", "a", "b"]
    assert Counter(b.cluster.ran) == {"first": 1, "long": 1, "a": 1, "b": 1}


def test_a_group_whose_report_is_lost_does_not_wait_behind_one_that_overran(bench) -> None:
    """The engine runs a group that overruns, and gives the next one back; of the first nothing is ever heard."""
    b = bench(1, Steady(groups=2))
    long = b.submit_call(note_and_overrun, "long")
    (behind,) = b.submit("behind")
    lose_report(b.engines[0].next())
    message = b.engines[0].next()
    assert message.names == ["behind"]
    message.run()
    message.deliver()
    b.settle_all()
    assert not long.done() and b.cluster.ran == ["long", "behind"]
    doubt(b)
    b.settle_all()
    assert (long.result(PATIENCE), behind.result(PATIENCE)) == ("long", "behind")
    assert b.cluster.ran == ["long", "behind"]


def test_without_a_reason_only_what_takes_long_is_asked_about_and_ever_more_seldom(bench) -> None:
    b = bench(1)
    b.submit("a")
    asked = []
    for look in range(1, 200):
        before = questions(b)
        doubt(b, certain=False)
        if questions(b) > before:
            asked.append(look)
    assert asked == [2, 4, 8, 16, 32, 64, 96, 128, 160, 192]


def test_an_engine_that_is_gone_is_asked_nothing(bench) -> None:
    b = bench(2)
    b.submit("a", "b")
    b.cluster.lose(b.engines[0])
    doubt(b)
    assert questions(b) == 1


def test_calls_for_that_engine_alone(bench) -> None:
    b = bench(1)
    line = new_line(only=b.engines[0].name)
    calls = b.submit("a", "b", line=line)
    b.engines[0].next()  # lost
    doubt(b)
    b.settle_all()
    assert [call.result(PATIENCE) for call in calls] == ["a", "b"] and b.cluster.ran == ["a", "b"]


@pytest.mark.parametrize("seed", range(8))
def test_whatever_is_lost_each_call_runs_once_and_is_done(bench, seed: int) -> None:
    chance = random.Random(seed)
    b = bench(3, Steady(calls=3, groups=2))
    calls = b.submit(*range(200))
    calls += [b.submit_call(note_and_overrun, n) for n in range(200, 203)] + b.submit(*range(203, 230))
    late: list[Message] = []
    while not all(call.done() for call in calls):
        for engine in b.engines:
            if engine._stepped == len(engine.messages):
                continue
            message, fate = engine.next(), chance.random()
            if fate < 0.15:
                late.append(message)
            elif fate < 0.3:
                lose_report(message)
            else:
                message.run()
                message.deliver()
        if late and chance.random() < 0.2:
            late.pop(0).run()  # what was held up somewhere arrives after all
        if chance.random() < 0.3:
            doubt(b)
        b.cluster.flush()
    for message in late:
        message.run()
    assert Counter(b.cluster.ran) == dict.fromkeys(range(230), 1)
    assert {call.settled for call in calls} == {1}
    assert b.dispatcher.wait(b.line, PATIENCE)


class TestKeptReports:
    def test_what_never_came_is_not_found(self) -> None:
        assert KeptReports().find("client", 1) is None

    def test_what_came_and_has_no_report_is_an_error(self) -> None:
        kept = KeptReports()
        kept.begin("client", 1, [])
        with pytest.raises(LookupError):
            kept.find("client", 1)

    def test_clients_do_not_get_each_others(self) -> None:
        kept = KeptReports()
        kept.begin("client", 1, [])
        kept.keep("client", 1, [b"report"])
        assert kept.find("other", 1) is None and kept.find("client", 1) == [b"report"]

    def test_all_together_stay_below_the_limit(self) -> None:
        kept = KeptReports(most=25)
        for number in (1, 2, 3):
            kept.begin(f"client {number}", number, [])
            kept.keep(f"client {number}", number, [b"x" * 10])
        with pytest.raises(LookupError):
            kept.find("client 1", 1)
        assert kept.find("client 3", 3) and kept._bytes == 20

    def test_a_group_sent_later_that_came_earlier_is_not_taken_for_heard(self) -> None:
        kept = KeptReports()
        kept.begin("client", 2, [1])
        kept.keep("client", 2, [b"second"])
        kept.begin("client", 1, [])
        assert kept.find("client", 2) == [b"second"]
