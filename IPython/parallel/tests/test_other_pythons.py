"""Engines of another Python than the client's: what works there, and what is refused in one sentence."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

import ipyparallel
import pytest

from IPython.parallel import canned_code
from IPython.parallel.running.local_cluster import LocalCluster
from IPython.parallel.tests.contracts import calls
from IPython.parallel.tests.contracts.harness import PATIENCE

# Interpreters that have ipyparallel, of other versions than this one.
OTHERS = [path for path in os.environ.get("IPYTHON_PARALLEL_OTHER_PYTHONS", "").split(os.pathsep) if path]
REFUSED = "cannot run on Python {}: use the same version at the client and on the engines"

SENDING: dict[str, Callable[[ipyparallel.Client, Any], Any]] = {
    "apply on one engine": lambda client, function: client[client.ids[-1]].apply_async(function, 1),
    "apply on several": lambda client, function: client[:].apply_async(function, 1),
    "apply, balanced": lambda client, function: client.load_balanced_view().apply_async(function, 1),
    "apply, broadcast": lambda client, function: client.broadcast_view().apply_async(function, 1),
    "argument": lambda client, function: client[:].apply_async(callable, function),
    "push": lambda client, function: client[:].push({"_pushed": function}, block=False),
}


def map_async(client: ipyparallel.Client, function: Any) -> Any:
    """ipyparallel sends the code of the function that maps; the mapped one is sent by us."""
    return client[:].map_async(function, range(3))


@pytest.fixture
def local() -> Callable[[int], int]:
    """A function that is sent by what it does: its module has no such name."""
    return lambda x: 2 * x


@pytest.mark.parametrize("send", SENDING.values(), ids=SENDING)
def test_code_that_ipyparallel_sends_is_refused(
    client: ipyparallel.Client, local: Callable[[int], int], send: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(canned_code, "PYTHON", (3, 9))
        result = send(client, local)
        error = result.exception(PATIENCE)
    assert error is not None
    refused = "code of Python 3.9 " + REFUSED.format("{}.{}".format(*sys.version_info[:2]))
    assert all(refused in text for text in texts_of(error))
    assert send(client, local).exception(PATIENCE) is None


def test_a_function_of_a_module_is_taken_from_there(
    client: ipyparallel.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(canned_code, "PYTHON", (3, 9))
    for send in (*SENDING.values(), map_async):
        assert send(client, calls.identity).exception(PATIENCE) is None
    assert client[:].apply_sync(calls.identity, 2) == [2] * len(client.ids)


def texts_of(error: BaseException) -> list[str]:
    return [str(part) for part in getattr(error, "exceptions", [error])]


# -- a real one


@pytest.fixture(scope="module", params=OTHERS)
def other(request: pytest.FixtureRequest) -> Iterator[ipyparallel.DirectView]:
    """An engine of another Python, in a cluster that has one of this Python too."""
    cluster = LocalCluster(1)
    with cluster as client:
        engine_file = str(cluster.connection_file).replace("-client.json", "-engine.json")
        environment = {**os.environ, "IPYTHONDIR": str(cluster.connection_file.parents[1])}
        command = [request.param, "-P", "-m", "ipyparallel.engine", f"--file={engine_file}"]
        engine = subprocess.Popen(command, env=environment, start_new_session=True, stderr=subprocess.DEVNULL)
        try:
            client.wait_for_engines(2, interactive=False, timeout=PATIENCE)
            yield client[max(client.ids)]
        finally:
            engine.kill()
            engine.wait()


@pytest.fixture
def version(other: ipyparallel.DirectView) -> str:
    return str(other.apply_sync(eval, "'%d.%d' % __import__('sys').version_info[:2]"))


@pytest.mark.skipif(not OTHERS, reason="IPYTHON_PARALLEL_OTHER_PYTHONS names no other Python with ipyparallel")
class TestAnotherPython:
    def test_what_both_can_import_works(self, other: ipyparallel.DirectView) -> None:
        balanced = other.client.load_balanced_view(targets=other.targets)
        for view in (other, balanced):
            assert view.submit(pow, 2, 3).result(PATIENCE) == 8
            assert list(view.map(abs, range(-3, 0))) == [3, 2, 1]
            assert view.apply_sync(textwrap.dedent, "  a") == "a"  # of which ipyparallel sends the code
            with pytest.raises(ValueError, match="invalid literal"):
                view.submit(int, "x").result(PATIENCE)

    def test_code_is_refused(self, other: ipyparallel.DirectView, version: str, local: Any) -> None:
        balanced = other.client.load_balanced_view(targets=other.targets)
        refused = REFUSED.format(version)
        for call in (balanced.submit(local, 1), other.submit(local, 1)):
            with pytest.raises(TypeError, match=refused):
                call.result(PATIENCE)

    @pytest.mark.parametrize("send", [*SENDING.values(), map_async], ids=[*SENDING, "map"])
    def test_code_that_ipyparallel_sends_is_refused(
        self, other: ipyparallel.DirectView, version: str, local: Any, send: Any
    ) -> None:
        error = send(other.client, local).exception(PATIENCE)
        if error is None:
            assert send is SENDING["apply, balanced"]  # it went to the other engine
            return
        assert REFUSED.format(version) in " ".join(texts_of(error))
        assert other.apply_sync(pow, 2, 3) == 8

    def test_code_that_comes_back_is_refused(self, other: ipyparallel.DirectView) -> None:
        here = "{}.{}".format(*sys.version_info[:2])
        with pytest.raises(TypeError, match=REFUSED.format(here)):
            other.submit(eval, "lambda: 1").result(PATIENCE)

    def test_none_of_its_library_is_the_callers(self, other: ipyparallel.DirectView) -> None:
        other.submit(int).result(PATIENCE)
        own = "python{}.{}".format(*sys.version_info[:2])
        path = other.apply_sync(eval, "__import__('sys').path")
        assert [entry for entry in path if own in entry.split(os.sep)] == []
