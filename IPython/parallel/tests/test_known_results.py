"""Results by their ids: found as long as somebody has them, and no longer kept than that."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import gc
import itertools
import threading
import weakref
from typing import Any

import pytest

from IPython.parallel import known_results
from IPython.parallel.known_results import KnownResults
from IPython.parallel.tests.contracts.harness import PATIENCE


class Result:
    def __init__(self, msg_id: str) -> None:
        self._msg_id = msg_id


def results(*ids: Any) -> list[Any]:
    return [Result(str(name)) for name in ids]


def test_a_result_is_found_by_its_id() -> None:
    known, (a, b) = KnownResults("p"), results("a", "b")
    known.add([a])
    known.add([b])
    assert (known.get("a"), known.get("b")) == (a, b)


def test_what_is_not_known_is_the_default() -> None:
    known = KnownResults("p")
    assert (known.get("a"), known.get("a", 1), known.get(3, "three")) == (None, 1, "three")


def test_results_are_not_kept() -> None:
    known, (a,) = KnownResults("p"), results("a")
    known.add([a])
    ref = weakref.ref(a)
    del a
    gc.collect()
    assert ref() is None
    assert known.get("a", "gone") == "gone"


def test_the_ids_of_dead_results_go() -> None:
    known, kept = KnownResults("p"), results(*range(10))
    known.add(kept)
    for n in range(100):
        known.add(results(*(f"{n}-{m}" for m in range(1000))))
    assert len(known._refs) <= 2 * (len(kept) + 1000) + known_results._SLACK + 1000
    assert [known.get(str(n)) for n in range(10)] == kept


class Whole:
    def __init__(self, tasks: list[Any]) -> None:
        self._tasks = tasks


def a_map(known: KnownResults, number: int) -> tuple[Whole, list[str]]:
    """A map whose calls got their ids in portions of 10."""
    whole, ids = Whole([]), []
    for _ in range(0, number, 10):
        start, portion = known.new_ids(10)
        known.add_run(start, 10, whole, len(ids))
        ids += portion
        known.new_ids(3)  # others submit meanwhile
    whole._tasks = results(*ids)
    return whole, ids


def test_the_results_of_a_map_are_found_in_it() -> None:
    known = KnownResults("p")
    maps = [a_map(known, 30) for _ in range(3)]
    for whole, ids in maps:
        assert [known.get(msg_id) for msg_id in ids] == whole._tasks
    _, other = known.new_ids(1)
    for msg_id in (*other, "p_", "p_x", "p_-1", "p_10", "q_0", "p_99999999", 0):
        assert known.get(msg_id) is None


def test_a_result_whose_map_is_gone_is_found_as_long_as_it_is_kept() -> None:
    known = KnownResults("p")
    whole, ids = a_map(known, 10)
    kept = known.get(ids[3])
    del whole
    assert [known.get(msg_id) for msg_id in ids] == [None] * 3 + [kept] + [None] * 6
    ref = weakref.ref(kept)
    del kept
    assert (ref(), known.get(ids[3])) == (None, None)


def test_maps_that_are_gone_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_results, "_SLACK", 20)
    known = KnownResults("p")
    whole, ids = a_map(known, 10)
    for _ in range(200):
        a_map(known, 10)
    assert len(known._runs) <= 2 * 1 + 2 * 20
    assert known.get(ids[-1]) is whole._tasks[-1]


def test_no_id_is_given_twice() -> None:
    known, given = KnownResults("p"), []
    workers = [threading.Thread(target=lambda: given.extend(known.new_ids(50)[1])) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(PATIENCE)
    assert len(set(given)) == len(given) == 400


def test_many_that_live_are_not_looked_through_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_results, "_SLACK", 10)
    known, kept, looked = KnownResults("p"), results(*range(5000)), []
    for number, result in enumerate(kept):
        before = known._refs
        known.add([result])
        if known._refs is not before:
            looked.append(number)
    assert looked
    assert all(later >= 2 * earlier for earlier, later in itertools.pairwise(looked))
    assert all(known.get(result._msg_id) is result for result in kept)


def test_many_threads_add_and_lose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_results, "_SLACK", 50)
    known, kept, failed = KnownResults("p"), [], []

    def work(thread: int) -> None:
        try:
            for n in range(500):
                made = results(*(f"{thread}-{n}-{m}" for m in range(10)))
                known.add(made)
                kept.append(made[0])
        except BaseException as error:
            failed.append(error)

    workers = [threading.Thread(target=work, args=(thread,)) for thread in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(PATIENCE)
    assert failed == []
    assert all(known.get(result._msg_id) is result for result in kept)
    assert len(known._refs) <= 2 * (len(kept) + 40) + 50
