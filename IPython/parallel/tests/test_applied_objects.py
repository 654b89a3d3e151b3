"""Objects with the caller's code inside, or a view, as libraries make them of what their users give them."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

import ipyparallel
import numpy
import pytest
from ipyparallel import interactive

import IPython.parallel  # noqa: F401 (its import is what is tested)
from IPython.parallel.tests.contracts.harness import PATIENCE
from IPython.parallel.tests.test_contract_views import ByValue


class Wrapper:
    """Importable by engines; what it wraps may not be."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, *args: Any) -> Any:
        return self.function(*args)


@pytest.fixture(params=["balanced", "one engine"])
def view(request: pytest.FixtureRequest, client: ipyparallel.Client) -> Any:
    return client.load_balanced_view() if request.param == "balanced" else client[client.ids[0]]


@interactive
def choice() -> str:
    return chosen_by  # type: ignore[name-defined]  # noqa: F821


def test_the_users_choice_of_a_pickle_decides_whose_names_win(
    view: Any, client: ipyparallel.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("__main__.chosen_by", "the client", raising=False)
    every = client[:]
    every.push({"chosen_by": "the engine"}, block=True)
    try:
        assert view.apply_sync(choice) == "the engine"
        every.use_cloudpickle().get(PATIENCE)
        assert view.apply_sync(choice) == "the client"
    finally:
        every.use_pickle().get(PATIENCE)
        every.execute("del chosen_by", block=True)


class TestAppliedObjects(ByValue):
    def test_function_of_main_inside(self, view: Any, calls: Any) -> None:
        assert view.apply_sync(Wrapper(calls.add), 1, 2) == 3

    def test_instance_of_a_class_of_main(self, view: Any, calls: Any) -> None:
        assert view.apply_sync(calls.Point(1, 2).scaled, 3) == calls.Point(3, 6)

    def test_closure_inside(self, view: Any) -> None:
        offset = 10
        assert view.apply_sync(Wrapper(lambda x: x + offset), 1) == 11

    def test_result_of_a_class_of_main_is_of_the_callers_class(self, view: Any, calls: Any) -> None:
        assert type(view.apply_sync(Wrapper(calls.Point), 1, 2)) is calls.Point

    def test_error_of_a_class_of_main(self, view: Any, calls: Any) -> None:
        with pytest.raises(calls.CustomError) as caught:
            view.apply_sync(Wrapper(functools.partial(calls.raise_error, calls.CustomError("broken", 3))))
        assert caught.value.code == 3

    def test_importable_objects_go_as_ever(self, view: Any) -> None:
        assert view.apply_sync(Wrapper(pow), 2, 5) == 32

    def test_the_users_names_are_seen_from_inside(self, view: Any, client: ipyparallel.Client) -> None:
        client[:].push({"pushed_offset": 5}, block=True)
        try:
            assert view.apply_sync(Wrapper(interactive(lambda x: x + pushed_offset)), 1) == 6  # noqa: F821
        finally:
            client[:].execute("del pushed_offset", block=True)

    def test_what_cannot_be_pickled_either_way(self, view: Any, calls: Any) -> None:
        with pytest.raises(calls.CustomError, match="no pickling"):
            view.apply_sync(Wrapper(calls.ErrorAtPickle()), 1)


class Keeper:
    """Keeps what it was given to map with beside the function that is mapped."""

    def __init__(self, **kept: Any) -> None:
        self.kept = kept

    def double(self, x: int) -> int:
        return 2 * x

    def use(self, name: str) -> Any:
        return self.kept[name](abs, [1])


class TestConnectionsInside:
    """A view or client inside what is sent harms nobody who does not use it there."""

    @pytest.fixture
    def keeper(self, client: ipyparallel.Client, view: Any) -> Keeper:
        return Keeper(client=client, view=view, map=view.map, executor=view.executor, submit=view.executor.submit)

    def test_unused(self, view: Any, keeper: Keeper) -> None:
        assert view.submit(keeper.double, 4).result(PATIENCE) == 8
        assert list(view.map(keeper.double, [1, 2])) == [2, 4]

    @pytest.mark.parametrize("name", ["client", "view", "map", "executor", "submit"])
    def test_used(self, view: Any, keeper: Keeper, name: str) -> None:
        with pytest.raises(RuntimeError, match="its connection belongs to the caller's process"):
            view.submit(keeper.use, name).result(PATIENCE)

    def test_as_a_global(self, view: Any) -> None:
        with pytest.raises(RuntimeError, match="belongs to the caller's process"):
            view.submit(lambda: view.map(abs, [1])).result(PATIENCE)


class TestMappedOverSeveralEngines(ByValue):
    """Each engine's part of a map is one message, whose results are pickled as those of other calls are."""

    @pytest.fixture(params=["direct", "broadcast"])
    def several(self, request: pytest.FixtureRequest, client: ipyparallel.Client) -> Any:
        return client[:] if request.param == "direct" else client.broadcast_view()

    def test_results_of_a_class_of_main(self, several: Any, calls: Any) -> None:
        assert list(several.map(calls.Point, range(4), range(4))) == [calls.Point(n, n) for n in range(4)]

    def test_a_result_that_cannot_be_pickled_fails_alone(self, several: Any) -> None:
        results = several.map(lambda n: n if n < 2 else threading.Lock(), range(4))
        assert (next(results), next(results)) == (0, 1)
        with pytest.raises(TypeError):
            next(results)

    def test_arrays(self, several: Any) -> None:
        found = list(several.map(numpy.arange, range(4)))
        assert [array.tolist() for array in found] == [list(range(n)) for n in range(4)]
