"""Errors by every way a call can be made, and the errors of an engine in trouble."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import asyncio
import concurrent.futures
import os
import pickle
import resource
import signal
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ipyparallel
import pytest
from ipyparallel import AsyncResult, CompositeError, RemoteError

import IPython.parallel  # noqa: F401 (its import is what brings original errors home)
from IPython.parallel.tests.contracts import calls, hostile_errors
from IPython.parallel.tests.contracts.harness import PATIENCE, Gate
from IPython.parallel.tests.test_errors_on_engines import (
    FAITHFUL,
    LOSSY,
    OWN_CLASS_EACH_TIME,
    _attributes,
    _shape,
    raised_here,
)

Client = ipyparallel.Client
Call = Callable[..., Any]


def _flagged(client: Client) -> Any:
    view = client.load_balanced_view()
    view.set_flags(retries=0, timeout=PATIENCE)
    return view


def _call(function: Call) -> Any:
    return function()


# Each gives the errors of all calls it makes.
WAYS: dict[str, Callable[[Client, Call], list[BaseException | None]]] = {
    "submit, with a flag": lambda c, f: [_flagged(c).submit(f).exception(PATIENCE)],
    "submit, several engines": lambda c, f: c[:].submit(f).get(PATIENCE, return_exceptions=True),
    "submit, broadcast": lambda c, f: c.broadcast_view().submit(f).get(PATIENCE, return_exceptions=True),
    "apply, balanced": lambda c, f: [c.load_balanced_view().apply_async(f).exception(PATIENCE)],
    "apply, one engine": lambda c, f: [c[c.ids[0]].apply_async(f).exception(PATIENCE)],
    "apply, several engines": lambda c, f: _parts(c[:].apply_async(f)),
    "map, balanced": lambda c, f: c.load_balanced_view().map(_call, [f, f]).get(PATIENCE, return_exceptions=True),
    "map, with a flag": lambda c, f: _flagged(c).map(_call, [f, f]).get(PATIENCE, return_exceptions=True),
    "map, several engines": lambda c, f: c[:].map(_call, [f, f, f]).get(PATIENCE, return_exceptions=True),
    "map, broadcast": lambda c, f: c.broadcast_view().map(_call, [f, f]).get(PATIENCE, return_exceptions=True),
    "split": lambda c, f: [part.exception(PATIENCE) for part in c[:].submit(f).split()],
    "found again": lambda c, f: [_found_again(c, f).exception(PATIENCE)],
    "found by another client": lambda c, f: _asked_of_the_hub(c, c[c.ids[0]].apply_async(f)),
}


def _found_again(client: Client, function: Call) -> AsyncResult:
    # While it waits behind another call: stock loses track of one that ends in the very moment it is looked for.
    view = client[client.ids[0]]
    with tempfile.TemporaryDirectory() as directory:
        gate = os.path.join(directory, "gate")
        view.apply_async(_wait_for_file, gate)
        found = client.get_result(view.apply_async(function).msg_ids[0])
        open(gate, "x").close()
        found.wait(PATIENCE)
    return found


def _wait_for_file(path: str) -> None:
    import os
    import time

    end = time.monotonic() + 20
    while not os.path.exists(path) and time.monotonic() < end:
        time.sleep(0.001)


def _parts(result: AsyncResult) -> list[BaseException]:
    with pytest.raises(CompositeError) as caught:
        result.result(PATIENCE)
    return list(caught.value.exceptions)


def _asked_of_the_hub(client: Client, result: AsyncResult) -> list[BaseException | None]:
    again = _others[0].get_result(result.msg_ids)
    assert type(again) is ipyparallel.AsyncHubResult
    again.wait(PATIENCE)
    return again.get(return_exceptions=True)


# The others share their way of bringing errors home with one of these.
THOROUGHLY = ("submit, with a flag", "apply, one engine", "map, several engines")

_others: list[Client] = []


@pytest.fixture(scope="module", autouse=True)
def _other(client: Client, connection_file: Path) -> Iterator[None]:
    """A second client, which knows of the first one's calls from the Hub alone."""
    with Client(str(connection_file)) as other:
        _others.append(other)
        yield
        _others.clear()


@pytest.mark.parametrize("way", WAYS)
def test_in_its_own_type(client: Client, way: str) -> None:
    for name in FAITHFUL if way in THOROUGHLY else FAITHFUL[::4]:
        function = getattr(hostile_errors, name)
        ours = raised_here(function)
        for theirs in WAYS[way](client, function):
            assert isinstance(theirs, RemoteError), name
            if name not in OWN_CLASS_EACH_TIME:
                assert isinstance(theirs, type(ours)), name
            assert (_shape(theirs.args), str(theirs)) == (_shape(ours.args), str(ours)), name
            assert _attributes(theirs) >= _attributes(ours), name
            assert f"in {name}" in str(theirs.__cause__), name


@pytest.mark.parametrize("way", WAYS)
def test_that_cannot_come_home_names_itself(client: Client, way: str) -> None:
    for name in LOSSY:
        function = getattr(hostile_errors, name)
        for theirs in WAYS[way](client, function):
            assert isinstance(theirs, RemoteError), name
            shown = "".join(traceback.format_exception(theirs))
            assert type(raised_here(function)).__name__ in shown, name


class HostileEq(Exception):
    def __eq__(self, other: object) -> bool:
        raise RuntimeError("compared")

    def __hash__(self) -> int:
        raise RuntimeError("hashed")


class HostileInit(Exception):
    def __init__(self, *args: object, made_by: int = 0) -> None:
        if made_by != os.getpid():
            raise RuntimeError("made in another process")
        super().__init__(*args)


class HostileBool(Exception):
    def __bool__(self) -> bool:
        raise RuntimeError("asked for its truth")

    def __len__(self) -> int:
        raise RuntimeError("asked for its length")


class HostileGetattr(Exception):
    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"asked for {name}")


def _raise_hostile_init() -> None:
    raise HostileInit("made here", made_by=os.getpid())


@pytest.mark.parametrize("way", ["submit", *WAYS])
@pytest.mark.parametrize("kind", [HostileEq, HostileBool, HostileGetattr, HostileInit])
def test_of_a_class_that_raises_in_its_methods(client: Client, way: str, kind: type[Exception]) -> None:
    ways = {**WAYS, "submit": lambda c, f: [c.load_balanced_view().submit(f).exception(PATIENCE)]}

    def fail() -> None:
        if kind is HostileInit:
            _raise_hostile_init()
        raise kind("made here")

    for error in ways[way](client, fail):
        assert isinstance(error, kind)
        assert error.args == ("made here",)


class TestTimeouts:
    """A TimeoutError that the call raised is a RemoteError; one of the waiting is not."""

    @pytest.mark.parametrize("wait", ["result", "exception", "get"])
    def test_of_the_call_and_of_the_waiting(self, client: Client, gate: Gate, wait: str) -> None:
        view = client.load_balanced_view()
        waiting = view.submit(calls.pass_gate, gate.address)
        failed = view.submit(hostile_errors.raise_timeout)
        with pytest.raises(TimeoutError) as caught:
            getattr(waiting, wait)(0.01)
        assert not isinstance(caught.value, RemoteError)
        error = failed.exception(PATIENCE)
        assert isinstance(error, TimeoutError)
        assert isinstance(error, RemoteError)
        assert failed.done()

    def test_in_a_map(self, client: Client, gate: Gate) -> None:
        for view in (client.load_balanced_view(), _flagged(client), client[:]):
            results = view.map(_call, [hostile_errors.raise_timeout], timeout=PATIENCE)
            with pytest.raises(TimeoutError) as caught:
                next(results)
            assert isinstance(caught.value, RemoteError)
        for view in (client.load_balanced_view(), _flagged(client), client[:]):
            late = view.map(calls.pass_gate, [gate.address], timeout=0.01)
            with pytest.raises(TimeoutError) as caught:
                next(late)
            assert not isinstance(caught.value, RemoteError)

    def test_in_asyncio(self, client: Client) -> None:
        async def main() -> None:
            with pytest.raises(TimeoutError) as caught:
                await asyncio.wait_for(client.load_balanced_view().submit(hostile_errors.raise_timeout), PATIENCE)
            assert isinstance(caught.value, RemoteError)

        asyncio.run(main())

    def test_of_several_engines(self, client: Client) -> None:
        result = client[:].submit(hostile_errors.raise_timeout)
        with pytest.raises(CompositeError):
            list(result)
        assert [isinstance(part, TimeoutError) for part in result.get(return_exceptions=True)] == [True, True]


AWKWARD = {
    "StopIteration": StopIteration(5),
    "StopAsyncIteration": StopAsyncIteration(5),
    "GeneratorExit": GeneratorExit("g"),
    "futures.CancelledError": concurrent.futures.CancelledError("c"),
    "asyncio.CancelledError": asyncio.CancelledError("c"),
    "InvalidStateError": asyncio.InvalidStateError("i"),
}


@pytest.mark.parametrize("name", AWKWARD)
class TestAwkwardForWhoWaits:
    """Errors that mean something to who waits: nobody hangs, and the future itself was not cancelled."""

    def test_future(self, client: Client, name: str) -> None:
        for view in (client.load_balanced_view(), _flagged(client)):
            future = view.submit(calls.raise_error, AWKWARD[name])
            assert concurrent.futures.wait([future], PATIENCE).done == {future}
            assert (future.cancelled(), future.done()) == (False, True)
            assert type(AWKWARD[name]) in type(future.exception(0)).__mro__
            called: list[object] = []
            future.add_done_callback(called.append)
            assert called == [future]

    def test_map_ends_with_an_error(self, client: Client, name: str) -> None:
        for view in (client.load_balanced_view(), _flagged(client), client[:]):
            with pytest.raises(BaseException) as caught:
                list(view.map(calls.raise_error, [AWKWARD[name]]))
            assert not isinstance(caught.value, StopIteration)

    def test_await(self, client: Client, name: str) -> None:
        async def main() -> BaseException | None:
            async with asyncio.timeout(PATIENCE):
                try:
                    await client.load_balanced_view().submit(calls.raise_error, AWKWARD[name])
                except BaseException as error:
                    return error
            return None

        # Not through wait_for, which from 3.12 on is a frame of the same task: a GeneratorExit closes those below it.
        error = asyncio.run(main())
        assert isinstance(error, (type(AWKWARD[name]), RuntimeError))


class TestEngineInTrouble:
    @pytest.fixture(params=["grouped", "message of its own"])
    def view(self, request: pytest.FixtureRequest, client: Client) -> Any:
        if request.param == "grouped":
            return client[client.ids[0]]
        view = client.load_balanced_view([client.ids[0]])
        view.set_flags(retries=0, timeout=PATIENCE)
        return view

    def test_interrupted(self, client: Client, view: Any) -> None:
        error = view.submit(_interrupt_oneself).exception(PATIENCE)
        assert isinstance(error, KeyboardInterrupt)
        assert isinstance(error, RemoteError)
        assert view.submit(calls.add, 1, 2).result(PATIENCE) == 3

    def test_interrupted_by_the_client(self, client: Client, view: Any, gate: Gate) -> None:
        waiting = view.submit(calls.pass_gate, gate.address)
        gate.wait_for_arrivals(1)
        client.send_signal(signal.SIGINT, targets=client.ids[0], block=False)
        assert isinstance(waiting.exception(PATIENCE), KeyboardInterrupt)
        assert view.submit(calls.add, 1, 2).result(PATIENCE) == 3

    def test_out_of_memory(self, client: Client, view: Any) -> None:
        """For the value, for the arguments' copies, for the result's pickle: the call fails, and the engine lives."""
        before = view.submit(_limit_memory, 256 << 20).result(PATIENCE)
        try:
            for function in (_use_memory, _return_what_takes_memory_to_pickle, _raise_what_takes_memory_to_pickle):
                error = view.submit(function).exception(PATIENCE)
                assert isinstance(error, RemoteError)
                expected = ValueError if function is _raise_what_takes_memory_to_pickle else MemoryError
                assert isinstance(error, expected)
                assert view.submit(calls.add, 1, 2).result(PATIENCE) == 3
        finally:
            view.submit(_set_limit, before).result(PATIENCE)
        assert len(view.submit(bytes, 1 << 20).result(PATIENCE)) == 1 << 20

    def test_result_that_cannot_be_pickled(self, client: Client, view: Any) -> None:
        error = view.submit(calls.make_lock).exception(PATIENCE)
        assert isinstance(error, (TypeError, pickle.PicklingError))
        assert "lock" in str(error)
        assert view.submit(calls.add, 1, 2).result(PATIENCE) == 3


def _interrupt_oneself() -> None:
    import os
    import signal
    import time

    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(60)  # until the signal is handled


class TakesMemoryToPickle:
    def __reduce__(self) -> Any:
        return bytes, (b"x" * (2 << 30),)


def _limit_memory(more: int) -> tuple[int, int]:
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + more, before[1]))
    return before


def _set_limit(limit: tuple[int, int]) -> None:
    resource.setrlimit(resource.RLIMIT_AS, limit)


def _use_memory() -> int:
    return len(bytes(2 << 30))


def _return_what_takes_memory_to_pickle() -> Any:
    return TakesMemoryToPickle()


def _raise_what_takes_memory_to_pickle() -> None:
    raise ValueError(TakesMemoryToPickle())


class NotTrue(Exception):
    """To concurrent.futures, until Python 3.13, no error at all."""

    def __len__(self) -> int:
        return 0


class WillNotSay(Exception):
    def __bool__(self) -> bool:
        raise RuntimeError("not to be asked")


@pytest.mark.parametrize("error", [NotTrue, WillNotSay])
@pytest.mark.parametrize("kind", ["submit", "apply_async", "map"])
def test_an_error_that_is_not_true_is_raised_all_the_same(client: Client, error: type[Exception], kind: str) -> None:
    view = client.load_balanced_view()
    if kind == "map":
        with pytest.raises(error):
            list(view.map(calls.raise_error, [error("no")]))
        return
    result = getattr(view, kind)(calls.raise_error, error("no"))
    for ask in (result.result, result.get, lambda timeout: asyncio.run(_awaited(result))):
        with pytest.raises(error):
            ask(PATIENCE)


async def _awaited(result: AsyncResult) -> Any:
    return await result
