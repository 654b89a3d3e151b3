"""Errors that were raised on a real engine, as the caller gets them."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import copy
import pickle
import socket
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ipyparallel
import pytest
from ipyparallel import CompositeError, RemoteError

import IPython.parallel  # noqa: F401 (its import is what brings original errors home)
from IPython.parallel.tests.contracts import hostile_errors
from IPython.parallel.tests.contracts.harness import PATIENCE

FAITHFUL = [name for name in vars(hostile_errors) if name.startswith("raise_")]
LOSSY = [name for name in vars(hostile_errors) if name.startswith("lose_")]

# Contents that say where in a file or program the error arose are the engine's own, and those of a class
# that the call itself makes are of another class than the one made here.
OWN_CLASS_EACH_TIME = {"raise_local_class"}


@pytest.fixture(params=["balanced", "direct"])
def view(request: pytest.FixtureRequest, client: ipyparallel.Client) -> Any:
    return {"balanced": client.load_balanced_view, "direct": lambda: client[client.ids[0]]}[request.param]()


@pytest.fixture(params=["imported", "by value"], scope="module")
def errors(request: pytest.FixtureRequest) -> Any:
    """The functions that raise, once such as engines can import, once such as they cannot."""
    if request.param == "imported":
        return hostile_errors
    source = Path(hostile_errors.__file__)
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(source.read_text(encoding="utf-8"), str(source), "exec"), names)
    return SimpleNamespace(**names)


def raised_here(function: Callable[[], Any]) -> BaseException:
    try:
        function()
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


class TestFaithful:
    """What was raised has its class, arguments, text and attributes, and is a RemoteError."""

    @pytest.fixture(params=FAITHFUL)
    def pair(self, request: pytest.FixtureRequest, view: Any, errors: Any) -> tuple[BaseException, BaseException]:
        """The error as it comes from an engine, and as it is raised here."""
        function = getattr(errors, request.param)
        theirs, ours = view.submit(function).exception(PATIENCE), raised_here(function)
        assert theirs is not None
        if request.param in OWN_CLASS_EACH_TIME:
            assert type(theirs).__name__ == type(ours).__name__
            assert isinstance(theirs, type(ours).__base__)
        else:
            assert isinstance(theirs, type(ours))
        return theirs, ours

    def test_comes_back_as_itself(self, pair: tuple[BaseException, BaseException]) -> None:
        theirs, ours = pair
        assert isinstance(theirs, RemoteError)
        assert _shape(theirs.args) == _shape(ours.args)
        assert str(theirs) == str(ours)
        assert _attributes(theirs) >= _attributes(ours)
        assert str(theirs.__cause__)
        assert traceback.format_exception(theirs)
        assert theirs.render_traceback()


class TestLossy:
    """What cannot come back whole names its type, its message and where it was raised, and harms nothing else."""

    @pytest.mark.parametrize("name", LOSSY)
    def test_is_named(self, view: Any, errors: Any, name: str) -> None:
        function = getattr(errors, name)
        error = view.submit(function).exception(PATIENCE)
        assert isinstance(error, RemoteError)
        shown = "".join(traceback.format_exception(error))
        assert type(raised_here(function)).__name__ in shown
        assert f"in {name}" in shown
        if name != "lose_text":
            assert str(raised_here(function).args[0]) in shown
        assert view.submit(divmod, 17, 5).result(PATIENCE) == (3, 2)


class TestGroups:
    def test_members_come_back(self, view: Any, errors: Any) -> None:
        error = view.submit(errors.raise_group).exception(PATIENCE)
        assert isinstance(error, ExceptionGroup)
        first, inner = error.exceptions
        assert isinstance(first, ValueError)
        assert isinstance(inner, ExceptionGroup)
        assert isinstance(inner.exceptions[0], KeyError)
        assert inner.exceptions[1].code == 2

    def test_except_star(self, view: Any, errors: Any) -> None:
        caught: list[int] = []
        try:
            view.submit(errors.raise_group).result(PATIENCE)
        except* KeyError as group:
            caught.append(len(group.exceptions))
        except* (ValueError, errors.KeywordOnly) as group:
            caught.append(len(group.exceptions))
        assert len(caught) == 2


class TestNotesAndChains:
    def test_notes(self, view: Any, errors: Any) -> None:
        error = view.submit(errors.raise_with_notes).exception(PATIENCE)
        assert error.__notes__ == ["first note", "second note"]

    @pytest.mark.parametrize(("name", "link"), [("raise_from_cause", "cause"), ("raise_in_handler", "context")])
    def test_chain_is_shown(self, view: Any, errors: Any, name: str, link: str) -> None:
        error = view.submit(getattr(errors, name)).exception(PATIENCE)
        assert f"KeyError: 'the {link}'" in str(error.__cause__)

    def test_error_that_holds_itself(self, view: Any, errors: Any) -> None:
        error = view.submit(errors.raise_holding_itself).exception(PATIENCE)
        assert error.myself is error


class TestRemoteSide:
    """The error says where it comes from."""

    def test_headed_by_engine_host_and_call(self, view: Any, errors: Any) -> None:
        result = view.submit(errors.raise_builtin)
        headline = str(result.exception(PATIENCE).__cause__).strip().splitlines()[0]
        assert f"engine {result.engine_id}" in headline
        assert socket.gethostname() in headline
        assert "raise_builtin" in headline

    def test_traceback_of_the_engine(self, view: Any, errors: Any) -> None:
        text = str(view.submit(errors.raise_file_not_found).exception(PATIENCE).__cause__)
        assert "in raise_file_not_found" in text
        assert 'open("/no/such/file")' in text

    def test_facts_of_a_remote_error(self, view: Any, errors: Any) -> None:
        result = view.submit(errors.raise_keyword_only)
        error = result.exception(PATIENCE)
        assert (error.ename, error.evalue) == ("KeywordOnly", "code 4")
        assert "raise_keyword_only" in error.traceback
        assert error.engine_info["engine_id"] == result.engine_id
        assert result.error is not None or result.metadata.status == "error"

    def test_every_way_to_ask_raises_the_same(self, view: Any, errors: Any) -> None:
        result = view.submit(errors.raise_more_arguments)
        for ask in (lambda: result.result(PATIENCE), lambda: result.get(PATIENCE), lambda: result.r):
            with pytest.raises(errors.MoreArguments, match="this and that") as caught:
                ask()
            assert (caught.value.first, caught.value.second) == ("this", "that")

    def test_class_that_exists_on_the_engine_alone(self, client: ipyparallel.Client) -> None:
        engine = client[client.ids[0]]
        engine.execute("class OnlyThere(Exception): pass\ndef fail_there(): raise OnlyThere('far away')", block=True)
        try:
            error = engine.submit(_call_by_name, ipyparallel.Reference("fail_there")).exception(PATIENCE)
        finally:
            engine.clear(block=True)
        shown = "".join(traceback.format_exception(error))
        assert isinstance(error, RemoteError)
        assert "OnlyThere" in shown
        assert "far away" in shown


class TestAtHome:
    """The error is used here as any other."""

    @pytest.mark.parametrize("name", ["raise_builtin", "raise_keyword_only", "raise_os_error", "raise_group"])
    def test_pickle_and_copy(self, view: Any, name: str) -> None:
        error = view.submit(getattr(hostile_errors, name)).exception(PATIENCE)
        for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
            assert isinstance(again, type(raised_here(getattr(hostile_errors, name))))
            assert isinstance(again, RemoteError)
            assert str(again) == str(error)
            assert _attributes(again) == _attributes(error)

    def test_raised_again_elsewhere(self, view: Any, errors: Any) -> None:
        first = view.submit(errors.raise_with_attributes).exception(PATIENCE)
        second = view.submit(_raise_again, first).exception(PATIENCE)
        assert isinstance(second, errors.WithAttributes)
        assert second.code == 5


class TestLegacyCalls:
    """apply and map bring the original home too, wherever they can."""

    def test_apply(self, view: Any) -> None:
        with pytest.raises(hostile_errors.KeywordOnly) as caught:
            view.apply_sync(hostile_errors.raise_keyword_only)
        assert isinstance(caught.value, RemoteError)
        assert caught.value.code == 4

    def test_map(self, view: Any) -> None:
        with pytest.raises(RemoteError, match="code"):
            view.map_sync(_raise_keyword_only_for, [1])

    def test_several_engines(self, client: ipyparallel.Client, errors: Any) -> None:
        result = client[:].submit(errors.raise_keyword_only)
        error = result.exception(PATIENCE)
        assert isinstance(error, CompositeError)
        assert "code 4" in str(error)
        assert len(error.elist) == 2
        with pytest.raises(RemoteError):
            error.raise_exception(0)

    def test_several_engines_one_by_one(self, client: ipyparallel.Client, errors: Any) -> None:
        parts = client[:].submit(errors.raise_keyword_only).get(PATIENCE, return_exceptions=True)
        assert [(isinstance(part, errors.KeywordOnly), part.code) for part in parts] == [(True, 4)] * 2


@pytest.fixture(autouse=True)
def _cluster_survives(client: ipyparallel.Client) -> Iterator[None]:
    yield
    assert len(client.ids) == 2


def _call_by_name(function: Callable[[], Any]) -> Any:
    return function()


def _raise_again(error: BaseException) -> None:
    raise error


def _raise_keyword_only_for(code: int) -> None:
    raise hostile_errors.KeywordOnly(code=code)


def _shape(value: Any) -> Any:
    """Something to compare that is equal also for exceptions, which are equal to themselves alone."""
    if isinstance(value, BaseExceptionGroup):
        return value.message, [_shape(one) for one in value.exceptions]
    if isinstance(value, BaseException):
        return str(value), _shape(value.args)
    if isinstance(value, (list, tuple)):
        return [_shape(one) for one in value]
    return value


def _attributes(error: BaseException) -> set[tuple[str, str]]:
    """Names and values of the attributes that belong to this kind of error."""
    names = ["errno", "strerror", "filename", "filename2", "lineno", "offset", "text", "msg", "name", "path", "object"]
    names += ["start", "end", "reason", "encoding", "pos", "returncode", "cmd", "output", "stderr", "value", "code"]
    names += ["details", "first", "second", "place", "doubled", "__notes__"]
    return {(name, repr(getattr(error, name))) for name in names if getattr(error, name, None) is not None}
