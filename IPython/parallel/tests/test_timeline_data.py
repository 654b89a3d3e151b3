"""Timelines without a cluster: calls become bars, totals and columns, however many there are."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from IPython.parallel.timelines.calls import (
    CANCELLED,
    FAILED,
    FINISHED,
    RUNNING,
    WAITING,
    Call,
    in_one_line,
)
from IPython.parallel.timelines.layout import MAX_LANES, lay_out, ticks
from IPython.parallel.timelines.log import (
    ERRORS_KEPT,
    FUNCTIONS_KEPT,
    OTHER_FUNCTIONS,
    CallLog,
)
from IPython.parallel.timelines.totals import Totals, totals_of
from IPython.parallel.timelines.wording import describe, duration

NOW = 1_000_000.0


def ran(engine: int, start: float, end: float, submitted: float = 0.0, **more: object) -> Call:
    """A call that ran from `start` to `end`, seconds after NOW."""
    state = FAILED if more.get("failed") else FINISHED
    fields = {"received": NOW + end, "name": "f", **more}
    return Call(  # type: ignore[misc]
        state=state,
        engine=engine,
        submitted=NOW + submitted,
        started=NOW + start,
        completed=NOW + end,
        **fields,
    )


def not_run(
    state: str, submitted: float = 0.0, received: float | None = None, engine: int | None = None
) -> Call:
    return Call(
        "f",
        state,
        engine,
        NOW + submitted,
        None,
        None,
        None if received is None else NOW + received,
    )


def log_of(*calls: Call, now: float = 10.0, **options: object) -> CallLog:
    log = CallLog(**options)  # type: ignore[arg-type]
    log.extend(calls, NOW + now)
    return log


def totals(*calls: Call, **options: object) -> Totals:
    log = log_of(*calls, **options)
    return totals_of(log, log.bars())


# -- totals


def test_totals_of_nothing() -> None:
    assert (totals().calls, totals().wall_time, totals().speed_up, totals().busy) == (
        0,
        0.0,
        0.0,
        {},
    )


def test_speed_up_and_busy_share() -> None:
    found = totals(ran(0, 0, 4), ran(1, 0, 2), ran(1, 2, 3))
    assert (found.wall_time, found.engine_time, found.speed_up) == (4.0, 7.0, 1.75)
    assert found.busy == {0: 1.0, 1: 0.75}


def test_wall_time_is_from_first_submission_to_last_result() -> None:
    found = totals(ran(0, 2, 3, submitted=1, received=NOW + 5))
    assert found.wall_time == 4.0


def test_overhead_is_what_an_engine_loses_while_a_call_is_there() -> None:
    # One second until the first starts, half a second between the two; a third is not there before it starts.
    found = totals(ran(0, 1, 2), ran(0, 2.5, 3), ran(0, 9, 10, submitted=9))
    assert found.overhead_per_call == pytest.approx(1.5 / 3)


def test_states_are_counted_apart() -> None:
    found = totals(
        ran(0, 0, 1),
        ran(0, 1, 2, failed=1),
        not_run(CANCELLED, received=1),
        not_run(RUNNING),
        not_run(WAITING),
    )
    assert (found.finished, found.failed, found.cancelled, found.running, found.waiting) == (
        1,
        1,
        1,
        1,
        1,
    )
    assert found.calls == 5


def test_chunk_with_an_error_is_counted_by_its_calls() -> None:
    found = totals(ran(0, 0, 1, calls=5, failed=2))
    assert (found.finished, found.failed) == (3, 2)


def test_running_call_counts_as_busy_until_now() -> None:
    running = Call("f", RUNNING, 0, NOW, NOW + 1, None, None)
    assert totals(ran(0, 0, 4), running).busy == {0: 1.0}


def test_engines_without_calls_have_a_share_too() -> None:
    assert totals(ran(1, 0, 1), engines=[0, 1, 2]).busy == {0: 0.0, 1: 1.0, 2: 0.0}


def test_messages_are_counted_where_all_are_known() -> None:
    assert totals(ran(0, 0, 1, group=1), ran(0, 1, 2, group=1), ran(0, 2, 3, group=2)).messages == 2
    assert totals(ran(0, 0, 1, group=1), ran(0, 1, 2)).messages is None


# -- the log


@pytest.mark.parametrize(("skew", "said"), [(-50.0, 50.0), (50.0, -50.0)])
def test_clock_of_an_engine_is_put_right(skew: float, said: float) -> None:
    call = ran(0, skew, skew + 1, submitted=0, received=NOW + 1)
    log = log_of(call, ran(1, 0, 1))
    assert log.clock_corrections() == {0: pytest.approx(said)}
    assert [bar.start for bar in log.bars()] == [pytest.approx(NOW), NOW]


def test_running_call_starts_when_its_engine_was_free() -> None:
    log = log_of(ran(0, 0, 4), Call("f", RUNNING, 0, NOW, NOW + 1, None, None))
    assert [bar.start - NOW for bar in log.bars()] == [0.0, 4.0]


def test_call_without_any_time_is_drawn_now() -> None:
    (bar,) = log_of(Call("f", FAILED, None, None, None, None, None, failed=1)).bars()
    assert bar.start == bar.end == NOW + 10


def test_bounded_log_keeps_totals_and_few_bars() -> None:
    calls = [ran(n % 3, n, n + 0.5, submitted=n / 2, failed=int(n % 100 == 7)) for n in range(5000)]
    whole, bounded = log_of(*calls), log_of(*calls, bound=200)
    assert len(bounded.bars()) <= 200
    exact, kept = totals_of(whole, whole.bars()), totals_of(bounded, bounded.bars())
    assert (kept.calls, kept.failed, kept.wall_time) == (exact.calls, exact.failed, exact.wall_time)
    assert kept.engine_time == pytest.approx(exact.engine_time)
    assert kept.overhead_per_call == pytest.approx(exact.overhead_per_call, rel=0.01)
    assert sum(bar.calls for bar in bounded.bars()) == 5000


@given(
    st.lists(st.tuples(st.integers(0, 3), st.floats(0, 100), st.floats(0, 10)), max_size=60),
    st.integers(2, 20),
)
def test_taking_bars_together_loses_no_call_and_no_time(
    calls: list[tuple[int, float, float]], bound: int
) -> None:
    log = log_of(
        *(ran(engine, start, start + length) for engine, start, length in calls), bound=bound
    )
    assert sum(bar.calls for bar in log.bars()) == len(calls)
    assert math.isclose(sum(bar.busy for bar in log.bars()), sum(c[2] for c in calls), abs_tol=1e-6)


def test_functions_and_errors_kept_are_bounded() -> None:
    log = log_of(
        *(ran(0, n, n + 1, name=f"f{n}", failed=1, error="E") for n in range(FUNCTIONS_KEPT * 2))
    )
    assert len(log.functions) == FUNCTIONS_KEPT + 1
    assert log.functions[OTHER_FUNCTIONS].calls == FUNCTIONS_KEPT
    assert len(log.errors) == ERRORS_KEPT


# -- the layout


def test_wide_bars_stay_alone_and_thin_ones_share_a_column() -> None:
    log = log_of(
        ran(0, 0, 50),
        *(ran(0, 60 + n / 1000, 60 + (n + 1) / 1000) for n in range(500)),
        ran(0, 99, 100),
    )
    (lane,) = lay_out(log, log.bars(), 100).lanes
    assert [bar.end - bar.start for bar in lane.singles] == [50.0, 1.0]
    ((column, cell),) = lane.cells.items()
    assert (column, cell.bar.calls, cell.share) == (60, 500, pytest.approx(0.5))


def test_columns_share_out_a_bar_where_none_is_drawn_alone() -> None:
    log = log_of(ran(0, 0, 2.5), ran(1, 0, 10))
    lane = lay_out(log, log.bars(), 10, singles=False).lanes[0]
    assert [round(cell.share, 6) for _, cell in sorted(lane.cells.items())] == [1.0, 1.0, 0.5]


def test_drawing_never_has_more_parts_than_columns() -> None:
    calls = (ran(n % 2, n / 1000, (n + 1) / 1000, group=n // 10) for n in range(20_000))
    log = log_of(*calls)
    layout = lay_out(log, log.bars(), 250)
    assert all(
        len(lane.cells) + len(lane.singles) <= 251 and not lane.groups for lane in layout.lanes
    )


def test_groups_are_shown_where_they_are_wide_enough() -> None:
    log = log_of(*(ran(0, n, n + 1, group=n // 5) for n in range(10)), ran(0, 10, 11, group=9))
    (lane,) = lay_out(log, log.bars(), 100).lanes
    assert [(group.start - NOW, group.end - NOW, group.calls) for group in lane.groups] == [
        (0, 5, 5),
        (5, 10, 5),
    ]


def test_very_many_engines_share_lanes() -> None:
    log = log_of(*(ran(n, 0, 1 + n % 2) for n in range(1000)))
    layout = lay_out(log, log.bars(), 100)
    assert len(layout.lanes) <= MAX_LANES
    assert [engine for lane in layout.lanes for engine in lane.engines] == list(range(1000))
    assert layout.lanes[0].cells[0].share == pytest.approx(1.0)
    assert layout.lanes[0].cells[99].share == pytest.approx(0.5)


def test_waiting_calls_are_averaged_over_a_column() -> None:
    log = log_of(ran(0, 0, 10), ran(0, 5, 6), ran(0, 2.5, 3), not_run(CANCELLED, 0, 10))
    assert lay_out(log, log.bars(), 10).waiting == [3, 3, 2.5, 2, 2, 1, 1, 1, 1, 1]


@pytest.mark.parametrize("columns", [1, 10, 1000])
def test_most_that_waited_is_counted_and_not_averaged(columns: int) -> None:
    log = log_of(ran(0, 0, 10), ran(0, 5, 6), ran(0, 2.5, 3), not_run(CANCELLED, 5, 5.01))
    assert lay_out(log, log.bars(), columns).most_waiting == 2


def test_what_started_at_once_never_waited() -> None:
    log = log_of(ran(0, 3, 4, submitted=3))
    assert lay_out(log, log.bars(), 10).most_waiting == 0


def test_calls_without_engine_are_put_aside_by_state() -> None:
    log = log_of(
        ran(0, 0, 10), not_run(CANCELLED, 0, 2), not_run(CANCELLED, 1, 3), not_run(WAITING, 5)
    )
    aside = lay_out(log, log.bars(), 10).aside
    assert {state: [bar.calls for bar in bars] for state, bars in aside.items()} == {
        CANCELLED: [2],
        WAITING: [1],
    }


@pytest.mark.parametrize("seconds", [1e-5, 0.003, 0.7, 1, 9.99, 61, 4000, 1e5, 1e7])
def test_ticks_are_few_and_inside(seconds: float) -> None:
    marks = ticks(seconds, 6)
    assert 2 <= len(marks) <= 7 and marks[0] == 0 and marks[-1] <= seconds * 1.001


# -- wording


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"), (2e-7, "0 s"), (8e-7, "1 µs"), (12.4e-6, "12.4 µs"), (0.99996, "1 s"),
        (0.0421, "42.1 ms"), (1.5, "1.5 s"), (59.4, "59.4 s"), (125, "2 min 5 s"), (120, "2 min"),
        (3700, "1 h 1 min"),
    ],
)  # fmt: skip
def test_durations_are_said_as_people_say_them(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_bar_of_one_call_says_function_duration_and_error() -> None:
    (bar,) = log_of(ran(3, 2, 2.25, failed=1, error="ValueError: no", label="mine")).bars()
    assert describe(bar, NOW, group_size=4).splitlines() == [
        "f — failed after 250 ms", "ValueError: no", "label mine", "engine 3, from 2 s, waited 2 s",
        "travelled with 3 other calls",
    ]  # fmt: skip


def test_error_in_one_line_survives_any_error() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert in_one_line(Mute()) == "Mute"
    assert in_one_line(ValueError("first\nsecond")) == "ValueError: first"
    assert len(in_one_line(ValueError("x" * 1000))) == 200


def test_bounded_log_is_equally_fine_everywhere() -> None:
    bars = log_of(*(ran(0, n, n + 1) for n in range(10_000)), bound=100, now=10_000.0).bars()
    lengths = [bar.end - bar.start for bar in bars]
    assert 25 <= len(bars) <= 100
    assert max(lengths) <= 10_000 / 25


def test_same_errors_are_counted_together() -> None:
    log = log_of(*(ran(n % 2, n, n + 1, failed=1, error=f"E{n % 3}") for n in range(9)))
    assert {kind: (f.count, f.first_engine) for kind, f in log.errors.items()} == {
        ("f", "E0"): (3, 0),
        ("f", "E1"): (3, 1),
        ("f", "E2"): (3, 0),
    }
