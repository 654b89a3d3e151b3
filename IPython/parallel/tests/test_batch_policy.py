"""How many calls travel together: arithmetic, with durations as told."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from IPython.parallel.dispatch.batch_policy import MOST, PREFETCH_BELOW, TARGET, BatchPolicy

PLENTY = 10**6


def sizes_while_calls_last(seconds: float, groups: int = 20) -> list[int]:
    policy, sizes = BatchPolicy(), []
    for _ in range(groups):
        sizes.append(policy.size(PLENTY, 1))
        policy.observe(sizes[-1], sizes[-1] * seconds)
    return sizes


def test_begins_with_calls_that_travel_alone() -> None:
    policy = BatchPolicy()
    assert (policy.size(PLENTY, 1), policy.depth()) == (1, 1)


def test_grows_by_no_more_than_twice() -> None:
    sizes = sizes_while_calls_last(1e-6)
    assert all(after <= 2 * before for before, after in zip(sizes, sizes[1:]))
    assert sizes[-1] == MOST


@pytest.mark.parametrize("seconds", [1e-4, 1e-3, 5e-3])
def test_groups_last_about_as_long_as_wanted(seconds: float) -> None:
    assert sizes_while_calls_last(seconds)[-1] * seconds == pytest.approx(TARGET, rel=0.1)


@pytest.mark.parametrize("seconds", [TARGET, 1.0, 3600.0])
def test_long_calls_travel_alone_and_wait_behind_none(seconds: float) -> None:
    assert set(sizes_while_calls_last(seconds)) == {1}
    policy = BatchPolicy()
    policy.observe(1, max(seconds, PREFETCH_BELOW))
    assert policy.depth() == 1


def test_shrinks_at_once() -> None:
    policy = BatchPolicy()
    for _ in range(10):
        policy.observe(policy.size(PLENTY, 1), 1e-6)
    assert policy.size(PLENTY, 1) == MOST
    policy.observe(MOST, MOST * TARGET)
    assert policy.size(PLENTY, 1) == 1


def test_small_groups_say_nothing_about_larger_ones() -> None:
    policy = BatchPolicy()
    for _ in range(4):
        policy.observe(policy.size(PLENTY, 1), 1e-6)
    grown = policy.size(PLENTY, 1)
    policy.observe(1, 1e-6)
    assert policy.size(PLENTY, 1) == grown > 2


def test_an_overrun_begins_anew() -> None:
    policy = BatchPolicy()
    for _ in range(10):
        policy.observe(policy.size(PLENTY, 1), 1e-6)
    policy.overrun()
    assert (policy.size(PLENTY, 1), policy.depth()) == (1, 1)


def test_a_second_group_waits_behind_short_ones_only() -> None:
    policy = BatchPolicy()
    policy.observe(1, 0.001)
    assert policy.depth() == 2
    policy = BatchPolicy()
    policy.observe(1, PREFETCH_BELOW * 1.01)
    assert policy.depth() == 1


def test_few_calls_are_shared_by_all_engines() -> None:
    policy = BatchPolicy()
    for _ in range(10):
        policy.observe(policy.size(PLENTY, 1), 1e-6)
    assert policy.size(40, 4) == 40 / (4 * policy.depth())
    assert policy.size(1, 4) == 1


def test_a_group_of_nothing_teaches_nothing() -> None:
    policy = BatchPolicy()
    policy.observe(0, 5.0)
    assert (policy.size(PLENTY, 1), policy.depth()) == (1, 1)


def test_repr_tells_the_size() -> None:
    assert repr(BatchPolicy()) == "<BatchPolicy: 1 calls a group>"


@given(
    st.lists(st.tuples(st.integers(0, 2 * MOST), st.floats(-1, 1e6)), max_size=30),
    st.integers(1, 10**7),
    st.integers(1, 10**4),
)
def test_whatever_is_observed_sizes_stay_sensible(
    observed: list[tuple[int, float]], waiting: int, engines: int
) -> None:
    policy = BatchPolicy()
    for calls, seconds in observed:
        policy.observe(calls, seconds)
    assert 1 <= policy.size(waiting, engines) <= min(MOST, waiting)
    assert policy.depth() in (1, 2)
