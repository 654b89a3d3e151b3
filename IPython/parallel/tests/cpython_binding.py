"""Binds CPython's own tests of concurrent.futures, as the running Python ships them, to views of a real cluster."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import importlib
import inspect
import re
import unittest
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from types import ModuleType
from typing import Any

import pytest

from IPython.parallel.tests.contracts.calls import pass_gate
from IPython.parallel.tests.contracts.harness import Gate

SUITE = "test.test_concurrent_futures"

try:
    importlib.import_module(SUITE)
except ImportError as missing:
    # Distributors split the `test` package off, and some releases forgot to install this part of it.
    pytest.skip(f"this Python does not ship {missing.name}", allow_module_level=True)


def part(name: str) -> ModuleType:
    """A module of the suite; up to 3.11.4 it was a single one."""
    suite = importlib.import_module(SUITE)
    return importlib.import_module(f"{SUITE}.{name}") if hasattr(suite, "__path__") else suite


util = part("util")

# What the text of a test shows to be about the standard library's pools themselves, and why that has no counterpart.
INTERNALS = {
    r"\._processes\b|\._threads\b|executor_manager|_call_queue|_ThreadWakeup|_start_new_thread|start_joinable_thread": (
        "looks at the pool's own processes, threads and queues; engines belong to a cluster that others use too"
    ),
    r"futures\.(Process|Thread)PoolExecutor\(": "makes a pool of the standard library itself",
    r"max_tasks_per_child|worker_exit_test\(": "engines are not replaced after a number of calls",
    r"\._force_shutdown\b": "asks how a process pool's own methods call each other",
    r"\._broken\b": "reads a flag of the pool; engines fail one by one, and the view goes on",
    r"get_context\(\)\.Manager|mp_context\.Semaphore": "hands multiprocessing's own objects to the pool's children",
}

# Tests that the text does not tell from others, and why they have no counterpart.
NOT_APPLICABLE = {
    "test_traceback": "wants the type itself, with a cause of the standard library's private type: here an error is "
    "of a subclass that is a RemoteError too (test_remote_errors.py has the traceback)",
    "test_free_reference": "map's result can be asked again, so it keeps its results; with `buffersize` it does not "
    "(PoolContract has that)",
    "test_max_workers_too_large": "is about a limit of Windows",
    "test_sysconf_permission_error": "is about the pool's semaphores",
    "test_traceback_when_child_process_terminates_abruptly": "wants the exit code: only an engine's absence is seen",
    "test_broken_process_pool_traceback": "kills a process of the pool",
    "test_shutdown_gh_132969_case_1": "is about processes replaced after each call",
    "test_shutdown_gh_132969_case_2": "is about processes replaced after each call",
}


def reason_against(name: str, test: Callable[..., Any], reasons: dict[str, str]) -> str | None:
    """Why a test of CPython's cannot be asked of a view; None if it can."""
    text = inspect.getsource(inspect.unwrap(test))
    matching = (reason for pattern, reason in INTERNALS.items() if re.search(pattern, text))
    return reasons.get(name) or NOT_APPLICABLE.get(name) or next(matching, None)


def tests_of(cls: type) -> Iterator[tuple[str, Callable[..., Any]]]:
    """The names of a class's tests, and their functions."""
    for name in unittest.TestLoader().getTestCaseNames(cls):  # type: ignore[arg-type]
        yield name, getattr(cls, name)


class Event:
    """What CPython's tests take for an event that calls on workers can wait for, as they do of a Manager."""

    def __init__(self) -> None:
        self._gate = Gate()
        self._address = self._gate.address

    def __getstate__(self) -> dict[str, Any]:
        return {"_address": self._address}

    def set(self) -> None:
        self._gate.open()

    def wait(self) -> bool:
        return bool(pass_gate(self._address, True))


class BoundToView(util.ExecutorMixin):
    """Stands where CPython's suite has ``ThreadPoolMixin`` or ``ProcessPoolForkMixin``.

    Each test gets a fresh view, made by `open_view`; a test for which there is a reason is not collected.

    Attributes
    ----------
    reasons : dict
        Tests that cannot be asked of this kind of view, with the reason for each.
    left_out : dict
        Of a bound class: what is not collected, with the reasons.
    client : ipyparallel.Client
        Connected to a cluster whose engines are all alive at the beginning of a test.
    """

    reasons: dict[str, str] = {}
    left_out: dict[str, str] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if not issubclass(cls, unittest.TestCase):
            return
        why = {name: reason_against(name, test, cls.reasons) for name, test in tests_of(cls)}
        cls.left_out = {name: reason for name, reason in why.items() if reason is not None}
        for name in cls.left_out:
            setattr(cls, name, None)

    @pytest.fixture(autouse=True)
    def _get_client(self, healthy_client: Any) -> None:
        self.client = healthy_client

    @property
    def executor_type(self) -> Callable[..., Executor]:
        """What CPython's tests call with a pool's arguments; scripts they run know it by its ``__name__``."""

        def View(max_workers: int, mp_context: None = None, **pool: Any) -> Executor:
            return self.open_view(max_workers, **pool)

        return View

    def get_context(self) -> Any:
        """No start method of multiprocessing: engines are running already."""
        return None

    def create_event(self) -> Event:
        """An event for the calls of a test. Source: CPython 3.14, whose tests no longer wait for a time."""
        return Event()

    def open_view(self, max_workers: int, **pool: Any) -> Executor:
        raise NotImplementedError
