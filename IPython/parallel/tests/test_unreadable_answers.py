"""Results that the client cannot unpickle: an error of that call, whatever way it went, and of nothing else."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ipyparallel
import pytest
from ipyparallel import AsyncHubResult
from ipyparallel.error import CompositeError

from IPython.parallel.tests.contracts import calls
from IPython.parallel.tests.contracts.harness import PATIENCE

Call = Callable[..., Any]


class ExitsAtUnpickle:
    """What a module does that calls ``sys.exit()`` when it is imported."""

    def __reduce__(self) -> tuple[Any, ...]:
        return sys.exit, (3,)


def make_exit() -> ExitsAtUnpickle:
    return ExitsAtUnpickle()


def make_of_engines_module() -> Any:
    """An object of a class that only the engine has."""
    import sys

    module = types.ModuleType("module_of_engines")
    exec("class OfEngines: pass", vars(module))
    sys.modules[module.__name__] = module
    return module.OfEngines()


ERRORS: dict[str, tuple[Call, type[BaseException]]] = {
    "raises": (calls.make_error_at_unpickle, calls.CustomError),
    "exits": (make_exit, SystemExit),
    "class of engines": (make_of_engines_module, ModuleNotFoundError),
}
SINGLE: dict[str, Call] = {
    "submit, balanced": lambda client, f: client.load_balanced_view().submit(f),
    "submit, with a flag": lambda client, f: _flagged(client.load_balanced_view()).submit(f),
    "submit, one engine": lambda client, f: client[client.ids[0]].submit(f),
    "apply, balanced": lambda client, f: client.load_balanced_view().apply_async(f),
    "apply, one engine": lambda client, f: client[client.ids[0]].apply_async(f),
}
COALESCED: dict[str, Call] = {  # an error of one is that of all
    "submit, coalescing": lambda client, f: client.broadcast_view(is_coalescing=True).submit(f),
    "apply, coalescing": lambda client, f: client.broadcast_view(is_coalescing=True).apply_async(f),
}
SEVERAL: dict[str, Call] = {
    "submit, several": lambda client, f: client[:].submit(f),
    "submit, broadcast": lambda client, f: client.broadcast_view().submit(f),
    "apply, several": lambda client, f: client[:].apply_async(f),
    "apply, broadcast": lambda client, f: client.broadcast_view().apply_async(f),
}


def _flagged(view: Any) -> Any:
    view.set_flags(timeout=3 * PATIENCE)
    return view


@pytest.fixture(params=ERRORS)
def unreadable(request: pytest.FixtureRequest) -> tuple[Call, type[BaseException]]:
    return ERRORS[request.param]


@pytest.fixture
def own_client(connection_file: Path) -> Iterator[ipyparallel.Client]:
    """A client of the test's own: what is tested has taken along its thread."""
    with ipyparallel.Client(str(connection_file)) as client:
        yield client
        assert client[:].apply_async(calls.add, 1, 2).get(PATIENCE) == [3] * len(client.ids)


@pytest.mark.parametrize("way", SINGLE | COALESCED)
def test_single(own_client: ipyparallel.Client, way: str, unreadable: tuple[Call, type[BaseException]]) -> None:
    make, error = unreadable
    result = (SINGLE | COALESCED)[way](own_client, make)
    assert isinstance(result.exception(PATIENCE), error)
    assert any("here at the client" in note for note in result.exception(0).__notes__)
    with pytest.raises(error):
        result.get(PATIENCE)


@pytest.mark.parametrize("way", SEVERAL)
def test_several(own_client: ipyparallel.Client, way: str, unreadable: tuple[Call, type[BaseException]]) -> None:
    make, error = unreadable
    found = SEVERAL[way](own_client, make).exception(PATIENCE)
    assert isinstance(found, CompositeError)
    assert all(isinstance(part, error) for part in found.exceptions)


@pytest.mark.parametrize("way", ["balanced", "one engine", "several"])
def test_map(own_client: ipyparallel.Client, way: str, unreadable: tuple[Call, type[BaseException]]) -> None:
    make, error = unreadable
    client = own_client
    view = {"balanced": client.load_balanced_view(), "one engine": client[client.ids[0]], "several": client[:]}[way]
    with pytest.raises(error):
        list(view.map(lambda n: make(), [1, 2], timeout=PATIENCE))


def test_of_another_client(
    own_client: ipyparallel.Client, client: ipyparallel.Client, unreadable: tuple[Call, type[BaseException]]
) -> None:
    make, error = unreadable
    sent = client[client.ids[0]].apply_async(make)
    sent.wait(PATIENCE)
    result = own_client.get_result(sent.msg_ids[0])
    assert isinstance(result, AsyncHubResult)
    assert isinstance(result.exception(PATIENCE), error)


def test_one_of_two_parts(own_client: ipyparallel.Client) -> None:
    """The other part is a value still."""
    own_client[:].scatter("fails", [0, 1], flatten=True, block=True)
    result = own_client[:].apply_async(lambda fails: make_exit() if fails else "value", ipyparallel.Reference("fails"))
    assert isinstance(result.exception(PATIENCE), CompositeError)
    first, second = result.get(return_exceptions=True)
    assert first == "value"
    assert isinstance(second, SystemExit)
