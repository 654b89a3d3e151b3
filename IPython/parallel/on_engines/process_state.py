"""What a worker forked from the caller's process would have of it: a table of settings, and how to read and apply each.

Travels to the engine by value: standard library only. The caller reads, the engine applies; numpy and others take part
where the caller has imported them.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import contextlib
import gc
import importlib
import os
import pickle
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from . import log_setup

if sys.platform != "win32":
    import resource


class Setting(NamedTuple):
    """One part of a process's state.

    Parameters
    ----------
    name : str
    read : callable
        Gives the value in the caller's process.
    apply : callable
        Takes the value on an engine's main thread, in its turn among the calls.
    module : str
        Only where the caller has imported this module.
    in_parts : bool
        Whether the value is a dict whose values are pickled each by itself: those that cannot be are missed alone.
    """

    name: str
    read: Callable[[], Any]
    apply: Callable[[Any], Any]
    module: str = "sys"
    in_parts: bool = False


def read_all(pickled: Callable[[Any], bytes]) -> dict[str, Any]:
    """The state of this process: each setting pickled by itself, without those that cannot be.

    Parameters
    ----------
    pickled : callable
        Pickles one value.
    """
    state: dict[str, Any] = {}
    for setting in SETTINGS:
        if setting.module in sys.modules:
            with contextlib.suppress(Exception):
                value = setting.read()
                state[setting.name] = _in_parts(value, pickled) if setting.in_parts else pickled(value)
    return state


def apply_all(state: Mapping[str, Any]) -> None:
    """Bring this process to a state. What cannot be had here, or is not allowed, stays as it is."""
    for setting in SETTINGS:
        if setting.name in state:
            with contextlib.suppress(Exception):
                value = state[setting.name]
                setting.apply(_in_parts(value, pickle.loads) if setting.in_parts else pickle.loads(value))


def _in_parts(values: Mapping[Any, Any], change: Callable[[Any], Any]) -> dict[Any, Any]:
    """`values`, each changed by itself, without those that cannot be."""
    changed = {}
    for key, value in values.items():
        with contextlib.suppress(Exception):
            changed[key] = change(value)
    return changed


# -- where a getter and a setter are not all there is to it


def _environment() -> tuple[dict[str, str], list[str]]:
    return dict(os.environ), sorted(_environment_at_start)


_environment_at_start = frozenset(os.environ)
_of_the_engine: dict[str, str] = {}


def _set_environment(value: tuple[dict[str, str], list[str]]) -> None:
    environment, at_start = value
    if not _of_the_engine:
        # What its launcher has put there, before any call could.
        ours = {name: text for name, text in os.environ.items() if name not in at_start and name != "PYTHONHASHSEED"}
        _of_the_engine.update(ours)
    wanted = _of_the_engine | environment
    for name in os.environ.keys() - wanted.keys():
        del os.environ[name]
    os.environ.update(wanted)
    if hasattr(time, "tzset"):
        time.tzset()


def _umask() -> int:
    # It can only be read by setting it; files that another thread makes meanwhile are the owner's alone.
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


# Those of a kind that an engine needs itself, or that a process gets from elsewhere.
_OWN_SIGNALS = frozenset(
    number
    for number in (getattr(signal, name, None) for name in ("SIGINT", "SIGTERM", "SIGKILL", "SIGSTOP", "SIGCHLD"))
    if number is not None
)


def _signals() -> dict[int, Any]:
    handlers = {int(number): signal.getsignal(number) for number in signal.valid_signals() - _OWN_SIGNALS}
    return {number: handler for number, handler in handlers.items() if handler is not None}


def _set_signals(handlers: Mapping[int, Any]) -> None:
    for number, handler in handlers.items():
        if signal.getsignal(number) != handler:
            with contextlib.suppress(OSError, ValueError):
                signal.signal(number, handler)


def _limits() -> dict[int, int]:
    kinds = {getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")}
    return {kind: resource.getrlimit(kind)[0] for kind in kinds}


def _set_limits(soft: Mapping[int, int]) -> None:
    for kind, limit in soft.items():
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(kind, (limit, resource.getrlimit(kind)[1]))


def _warning_filters() -> list[Any]:
    return list(warnings.filters)


def _set_warning_filters(filters: list[Any]) -> None:
    warnings.resetwarnings()  # tells the registries that a filter has changed, too
    warnings.filters.extend(filters)  # type: ignore[attr-defined]
    if sys.version_info >= (3, 12):
        # A worker has one thread and may fork. An engine has more of its own, which its forked children do without.
        warnings.filterwarnings("ignore", r"This process \(pid=\d+\) is multi-threaded", DeprecationWarning)


# What a program may put a function of its own into, and what is there otherwise.
_HOOKS = (
    ("sys", "excepthook"),
    ("sys", "unraisablehook"),
    ("threading", "excepthook"),
    ("warnings", "showwarning"),
    ("warnings", "formatwarning"),
)
_hooks_at_start = {(module, name): getattr(sys.modules[module], name) for module, name in _HOOKS}


def _hooks() -> dict[tuple[str, str], Any]:
    now = {hook: getattr(sys.modules[hook[0]], hook[1]) for hook in _HOOKS}
    return {hook: function for hook, function in now.items() if function is not _hooks_at_start[hook]}


def _set_hooks(functions: Mapping[tuple[str, str], Any]) -> None:
    for (module, name), original in _hooks_at_start.items():
        setattr(sys.modules[module], name, functions.get((module, name), original))


def _garbage_collector() -> tuple[bool, tuple[int, int, int]]:
    return gc.isenabled(), gc.get_threshold()


def _set_garbage_collector(value: tuple[bool, tuple[int, int, int]]) -> None:
    enabled, thresholds = value
    gc.set_threshold(*thresholds)
    (gc.enable if enabled else gc.disable)()


def _of(module: str, name: str) -> Callable[..., Any]:
    """A function of a module that is imported when it is called."""
    return lambda *args, **options: getattr(importlib.import_module(module), name)(*args, **options)


def _locale() -> str:
    import locale

    return locale.setlocale(locale.LC_ALL)


def _set_locale(value: str) -> None:
    import locale

    locale.setlocale(locale.LC_ALL, value)


def _set_temporary_directory(value: str | None) -> None:
    import tempfile

    tempfile.tempdir = value


def _set_numpy_errors(value: dict[str, Any]) -> None:
    _of("numpy", "seterr")(**value)


def _set_numpy_printing(value: dict[str, Any]) -> None:
    _of("numpy", "set_printoptions")(**{name: option for name, option in value.items() if name != "override_repr"})


def _list_setter(name: str) -> Callable[[list[Any]], None]:
    return lambda value: getattr(sys, name).__setitem__(slice(None), value)


def _attribute_setter(name: str) -> Callable[[Any], None]:
    return lambda value: setattr(sys, name, value)


# In the order in which they are applied: modules are found by path, from the directory, and resources limited last.
SETTINGS: tuple[Setting, ...] = (
    Setting("directory", os.getcwd, os.chdir),
    Setting("environment", _environment, _set_environment),
    Setting("arguments", lambda: list(sys.argv), _list_setter("argv")),
    Setting("path", lambda: list(sys.path), _list_setter("path")),
    Setting("warning options", lambda: list(sys.warnoptions), _list_setter("warnoptions")),
    Setting("no byte code", lambda: sys.dont_write_bytecode, _attribute_setter("dont_write_bytecode")),
    Setting("recursion limit", sys.getrecursionlimit, sys.setrecursionlimit),
    Setting("switch interval", sys.getswitchinterval, sys.setswitchinterval),
    Setting("digits of numbers", _of("sys", "get_int_max_str_digits"), _of("sys", "set_int_max_str_digits")),
    Setting("garbage collector", _garbage_collector, _set_garbage_collector),
    Setting("thread stack", threading.stack_size, threading.stack_size),
    Setting("umask", _umask, os.umask),
    Setting("locale", _locale, _set_locale, "locale"),
    Setting("signals", _signals, _set_signals, in_parts=True),
    Setting("warning filters", _warning_filters, _set_warning_filters),
    Setting("hooks", _hooks, _set_hooks, in_parts=True),
    Setting("logging", log_setup.read, log_setup.apply, "logging", in_parts=True),
    Setting("decimals", _of("decimal", "getcontext"), _of("decimal", "setcontext"), "decimal"),
    Setting("socket timeout", _of("socket", "getdefaulttimeout"), _of("socket", "setdefaulttimeout"), "socket"),
    Setting("fields of csv", _of("csv", "field_size_limit"), _of("csv", "field_size_limit"), "csv"),
    Setting("temporary directory", lambda: sys.modules["tempfile"].tempdir, _set_temporary_directory, "tempfile"),
    Setting("numpy's errors", _of("numpy", "geterr"), _set_numpy_errors, "numpy"),
    Setting("numpy's printing", _of("numpy", "get_printoptions"), _set_numpy_printing, "numpy"),
    Setting("numpy's random state", _of("numpy.random", "get_state"), _of("numpy.random", "set_state"), "numpy.random"),
)
if hasattr(os, "sched_getaffinity"):
    SETTINGS += (
        Setting("cores", lambda: os.sched_getaffinity(0), lambda cores: os.sched_setaffinity(0, cores)),
    )
if sys.platform != "win32":
    SETTINGS += (Setting("limits", _limits, _set_limits),)
