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
    known, (a, b) = KnownResults(), results("a", "b")
    known.add([a])
    known.add([b])
    assert (known.get("a"), known.get("b")) == (a, b)


def test_what_is_not_known_is_the_default() -> None:
    known = KnownResults()
    assert (known.get("a"), known.get("a", 1), known.get(3, "three")) == (None, 1, "three")


def test_results_are_not_kept() -> None:
    known, (a,) = KnownResults(), results("a")
    known.add([a])
    ref = weakref.ref(a)
    del a
    gc.collect()
    assert ref() is None
    assert known.get("a", "gone") == "gone"


def test_the_ids_of_dead_results_go() -> None:
    known, kept = KnownResults(), results(*range(10))
    known.add(kept)
    for n in range(100):
        known.add(results(*(f"{n}-{m}" for m in range(1000))))
    assert len(known._refs) <= 2 * (len(kept) + 1000) + known_results._SLACK + 1000
    assert [known.get(str(n)) for n in range(10)] == kept


def test_many_that_live_are_not_looked_through_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_results, "_SLACK", 10)
    known, kept, looked = KnownResults(), results(*range(5000)), []
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
    known, kept, failed = KnownResults(), [], []

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
