"""The modules that travel: their sources, as one package that caller and engine both load under one name.

Engines need nothing of ours installed. What runs there is sent as source text, once per engine, and loaded as a
package named after a digest of that text: two clients with different versions don't meet, and a client that runs
on an engine finds the package it needs. The caller loads the same package, so that functions pickled by reference
have the same name on both sides.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import functools
import hashlib
import inspect
import os
import sys
import types
import zlib
from importlib import resources
from typing import Any

import cloudpickle

from . import on_engines

# In the order in which they can be loaded.
MODULES = (
    "namespaces",
    "shipping",
    "remote_errors",
    "journal",
    "lent_memory",
    "lent_results",
    "kept_reports",
    "envelope",
    "shell_door",
    "call_output",
    "forked_children",
    "log_setup",
    "inherited_descriptors",
    "module_state",
    "process_state",
    "worker_identity",
    "running_group",
    "carried_values",
    "engine_runner",
    "own_messages",
    "entry_points",
)

# The caller's, which the engine's may not be.
PYTHON = sys.version_info[:2]

# Runs as an expression in any Python: gives the package, loading it first where it is not there yet.
_LOADER = '''
import sys, types, zlib
def load(name, packed, cloudpickle_packed, directories, python):
    if name in sys.modules:
        sys.modules[name].entry_points.prepare(directories, python)
        return sys.modules[name]
    def add(full, source):
        module = types.ModuleType(full)
        module.__package__ = full.rpartition(".")[0] or full
        sys.modules[full] = module
        exec(compile(source, "<" + full + ">", "exec"), module.__dict__)
        return module
    if cloudpickle_packed:
        try:
            import cloudpickle
        except ImportError:
            package = types.ModuleType("cloudpickle")
            package.__path__ = []
            sys.modules["cloudpickle"] = package
            code = add("cloudpickle.cloudpickle", zlib.decompress(cloudpickle_packed).decode())
            package.cloudpickle = code
            package.__dict__.update({k: v for k, v in vars(code).items() if not k.startswith("_")})
    package = types.ModuleType(name)
    package.__path__ = []
    package.__package__ = name
    sys.modules[name] = package
    try:
        for part in zlib.decompress(packed).decode().split("\\0"):
            module, source = part.split("\\1", 1)
            setattr(package, module, add(name + "." + module, source))
    except BaseException:
        for loaded in [full for full in sys.modules if full == name or full.startswith(name + ".")]:
            del sys.modules[loaded]
        raise
    package.entry_points.prepare(directories, python)
    return package
'''
_LOAD = "(exec(loader, scope), getattr(scope['load'](*arguments).entry_points, function))[1]"
_LOADED = "getattr(__import__('sys').modules[name].entry_points, function)"


@functools.cache
def _sources() -> bytes:
    package = resources.files(on_engines)
    texts = ((name, (package / f"{name}.py").read_text(encoding="utf-8")) for name in MODULES)
    return "\0".join(f"{name}\1{text}" for name, text in texts).encode()


@functools.cache
def name() -> str:
    """The name of the package, on the caller's side and on engines."""
    return "_ipython_parallel_" + hashlib.blake2b(_sources(), digest_size=6).hexdigest()


@functools.cache
def _packed() -> tuple[str, bytes, bytes]:
    """(name, sources, cloudpickle's source): cloudpickle goes along for engines that do not have it."""
    return name(), zlib.compress(_sources()), zlib.compress(inspect.getsource(cloudpickle.cloudpickle).encode())


@functools.cache
def load() -> Any:
    """The package as the engines have it, loaded in this process."""
    scope: dict[str, Any] = {}
    exec(_LOADER, scope)
    package: types.ModuleType = scope["load"](*_packed(), [], PYTHON)
    return package


class EngineFunction:
    """Pickles as a function of `entry_points` on the engine.

    Parameters
    ----------
    function : str
        Its name there.
    bundled : bool
        Whether the package goes along, for an engine that may not have it yet (about 25 kB).
    """

    def __init__(self, function: str, *, bundled: bool) -> None:
        self._function = function
        self._bundled = bundled

    def __call__(self, *args: Any) -> Any:
        return getattr(load().entry_points, self._function)(*args)

    def __reduce__(self) -> tuple[Any, ...]:
        scope: dict[str, Any] = {"function": self._function, "name": name()}
        if self._bundled:
            # The caller's directories: what lies beside a script is importable there, where it is there.
            directories = [os.path.abspath(path) for path in sys.path]
            scope.update(loader=_LOADER, scope={}, arguments=(*_packed(), directories, PYTHON))
        return eval, (_LOAD if self._bundled else _LOADED, scope)
