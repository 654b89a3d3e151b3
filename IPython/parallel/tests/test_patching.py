"""Putting the patches on and taking them off; each in a process of its own, so that no other test is disturbed."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

import IPython.parallel  # noqa: F401 (its import is what installs the patches)
from IPython.parallel import originals
from IPython.parallel.patching import PATCHES, Patch
from IPython.parallel.pool_mixin import ViewIsItsExecutor

ADDED_BASES = ViewIsItsExecutor.__mro__[:-1]


def run(code: str) -> str:
    """What `code` prints in a fresh interpreter."""
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


STATE = """
import ipyparallel
from ipyparallel import *
from ipyparallel.client.view import LazyMapIterator, View, ViewExecutor
ABSENT = object()
CLASSES = [View, LoadBalancedView, DirectView, BroadcastView, ViewExecutor, AsyncResult, AsyncHubResult,
           AsyncMapResult, LazyMapIterator, Client]
def state():
    return {c: (c.__bases__, {n: v for n, v in vars(c).items() if n != "__doc__"}) for c in CLASSES}
def same(a, b):
    return all(
        a[c][0] == b[c][0] and a[c][1].keys() == b[c][1].keys() and all(a[c][1][n] is b[c][1][n] for n in a[c][1])
        for c in CLASSES
    )
before = state()
import IPython.parallel
from IPython.parallel import originals, patching
"""


def test_importing_installs() -> None:
    assert run(STATE + "print(same(before, state()), len(originals.recorded) == len(patching.PATCHES))") == "False True"


def test_installing_twice_is_installing_once() -> None:
    assert run(STATE + "on = state(); patching.install(); print(same(on, state()))") == "True"


def test_uninstalling_puts_the_very_same_objects_back() -> None:
    assert run(STATE + "patching.uninstall(); print(same(before, state()))") == "True"


def test_uninstalling_twice_is_uninstalling_once() -> None:
    assert run(STATE + "patching.uninstall(); patching.uninstall(); print(same(before, state()))") == "True"


def test_installing_again_after_uninstalling() -> None:
    code = "patching.uninstall(); patching.install(); print(hasattr(View, 'submit')); patching.uninstall()"
    assert run(STATE + code + "; print(same(before, state()))").split() == ["True", "True"]


def test_method_resolution_orders_are_as_before() -> None:
    code = """
    orders = {c: c.__mro__ for c in CLASSES}
    patching.uninstall()
    import concurrent.futures
    print(any(concurrent.futures.Executor in c.__mro__ for c in CLASSES[:4]))
    print(all(concurrent.futures.Executor in order for order in list(orders.values())[:4]))
    """
    assert run(STATE + textwrap.dedent(code)).split() == ["False", "True"]


@pytest.mark.parametrize("version", ["(8, 9, 0)", "(9, 1, 9)", "(10, 0, 0)", "(11, 0)"])
def test_another_version_is_refused_with_one_sentence_and_nothing_changes(version: str) -> None:
    code = f"""
    patching.uninstall()
    ipyparallel.version_info = {version}
    try:
        patching.install()
    except Exception as error:
        said = str(error)
        print(type(error).__name__, isinstance(error, ImportError), "\\n" not in said, "pip install" in said)
    print(same(before, state()))
    """
    assert run(STATE + textwrap.dedent(code)).splitlines() == ["UnsupportedVersion True True True", "True"]


def test_a_missing_name_is_refused_with_one_sentence_and_nothing_changes() -> None:
    code = """
    patching.uninstall()
    kept = Client._unwrap_exception
    del Client._unwrap_exception
    before = state()
    try:
        patching.install()
    except Exception as error:
        print(type(error).__name__, "Client._unwrap_exception" in str(error), "\\n" not in str(error))
    print(same(before, state()))
    """
    assert run(STATE + textwrap.dedent(code)).splitlines() == ["UnsupportedVersion True True", "True"]


def test_objects_made_before_gain_the_api() -> None:
    code = """
    import concurrent.futures, ipyparallel
    from ipyparallel.client.asyncresult import AsyncResult
    from ipyparallel.client.view import DirectView
    view, result = DirectView.__new__(DirectView), AsyncResult.__new__(AsyncResult)
    had = [hasattr(view, "submit"), isinstance(view, concurrent.futures.Executor)]
    import IPython.parallel
    print(had, [hasattr(view, "submit"), isinstance(view, concurrent.futures.Executor), hasattr(result, "__await__")])
    """
    assert run(code) == "[False, False] [True, True, True]"


def test_the_patched_classes_are_ipyparallels_own() -> None:
    code = """
    import ipyparallel
    client, view, result = ipyparallel.Client, ipyparallel.LoadBalancedView, ipyparallel.AsyncResult
    import IPython.parallel as p
    print(p.Client is client, p.LoadBalancedView is view, p.AsyncResult is result)
    """
    assert run(code) == "True True True"


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: f"{patch.target.__name__}.{patch.name}")
class TestTable:
    def test_has_a_reason(self, patch: Patch) -> None:
        assert len(patch.why) > 5

    def test_is_about_a_class_of_ipyparallel(self, patch: Patch) -> None:
        assert patch.target.__module__.startswith("ipyparallel.")

    def test_kind_is_true(self, patch: Patch) -> None:
        before = originals.recorded[patch.target, patch.name]
        others = [base for base in patch.target.__mro__[1:] if base not in ADDED_BASES]
        there = before is not originals.ABSENT or any(patch.name in vars(base) for base in others)
        assert patch.kind == ("replace" if there else "add")


def test_no_name_is_patched_twice() -> None:
    names = [(patch.target, patch.name) for patch in PATCHES]
    assert len(names) == len(set(names))


def test_original_is_what_was_there() -> None:
    from ipyparallel import LoadBalancedView

    before = originals.original_of(LoadBalancedView, "map")
    assert before is not vars(LoadBalancedView)["map"]
    assert before.__module__.startswith("ipyparallel") or hasattr(before, "__wrapped__")
