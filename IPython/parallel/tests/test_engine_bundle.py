"""The package that travels: what is in it, and that it loads where nothing of ours is."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import ast
import hashlib
import importlib.util
import pickle
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from IPython.parallel import engine_bundle, on_engines
from IPython.parallel.engine_bundle import PYTHON, EngineFunction
from IPython.parallel.tests.fake_cluster import ProcessEngine

PACKAGE = Path(on_engines.__file__).parent
# Imported in functions that only run inside an engine, which has them.
ON_ENGINES_ONLY = {"IPython", "ipyparallel"}


def imports_of(source: str) -> Iterator[tuple[str, bool]]:
    """(top-level name, whether it is imported as the module is loaded) for each import in `source`."""
    tree = ast.parse(source)
    inside = {node for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) for node in ast.walk(f)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name.partition(".")[0], node not in inside) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            name = (node.module or "").partition(".")[0] if node.level == 0 else "."
            yield name, node not in inside


@pytest.mark.parametrize("module", engine_bundle.MODULES)
def test_modules_import_the_standard_library_and_cloudpickle_only(module: str) -> None:
    found = dict.fromkeys(imports_of((PACKAGE / f"{module}.py").read_text(encoding="utf-8")))
    allowed = {*sys.stdlib_module_names, "cloudpickle", "."}
    assert {name for name, at_load in found if at_load} <= allowed
    assert {name for name, at_load in found if not at_load} <= allowed | ON_ENGINES_ONLY


@pytest.mark.parametrize("module", engine_bundle.MODULES)
def test_modules_import_no_other_module_of_ours(module: str) -> None:
    tree = ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))
    relative = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level]
    earlier = engine_bundle.MODULES[: engine_bundle.MODULES.index(module)]
    assert {alias.name for node in relative for alias in node.names if not node.module} <= set(earlier)
    assert {node.module for node in relative if node.module} <= set(earlier)


def test_its_name_is_a_digest_of_its_text() -> None:
    texts = [f"{name}\1{(PACKAGE / f'{name}.py').read_text(encoding='utf-8')}" for name in engine_bundle.MODULES]
    digest = hashlib.blake2b("\0".join(texts).encode(), digest_size=6).hexdigest()
    assert engine_bundle.name() == f"_ipython_parallel_{digest}"


def test_it_is_loaded_once() -> None:
    assert engine_bundle.load() is engine_bundle.load() is sys.modules[engine_bundle.name()]
    assert engine_bundle.load().engine_runner.shipping is engine_bundle.load().shipping


@pytest.mark.parametrize("hide_cloudpickle", [False, True])
def test_runs_in_an_interpreter_that_has_nothing_of_ours(hide_cloudpickle: bool) -> None:
    def work(x: int) -> tuple[int, list[str]]:
        return x + 1, sorted(name for name in sys.modules if name.startswith("IPython"))

    engine = ProcessEngine(hide_cloudpickle=hide_cloudpickle)
    try:
        assert engine.call(work, 1) == (2, [])
        assert engine.call(lambda: (lambda y: y * 2))(4) == 8
    finally:
        engine.close()


def test_a_function_of_it_pickles_small_once_the_package_is_there() -> None:
    assert len(pickle.dumps(EngineFunction("run_group", bundled=False))) < 500
    assert len(pickle.dumps(EngineFunction("run_group", bundled=True))) < 64_000


def test_unpickled_here_it_is_the_function_itself() -> None:
    for bundled in (True, False):
        function = pickle.loads(pickle.dumps(EngineFunction("single_call", bundled=bundled)))
        assert function is engine_bundle.load().entry_points.single_call


def loader() -> Any:
    scope: dict[str, Any] = {}
    exec(engine_bundle._LOADER, scope)
    return scope["load"]


def test_a_failure_leaves_nothing_behind() -> None:
    packed = zlib.compress(b"good\1value = 1\0entry_points\1raise LookupError('broken')")
    before = set(sys.modules)
    with pytest.raises(LookupError, match="broken"):
        loader()("_broken_package", packed, b"", [], PYTHON)
    assert set(sys.modules) == before


def test_a_package_that_is_there_is_not_loaded_again() -> None:
    package = loader()(engine_bundle.name(), b"not even read", b"", [], PYTHON)
    assert package is engine_bundle.load()


def test_the_callers_directories_are_added_at_the_end_where_they_exist(tmp_path: Path) -> None:
    code = (
        "import sys; load = sys.modules.get; scope = {}\n"
        f"exec({engine_bundle._LOADER!r}, scope)\n"
        f"directories = [{str(tmp_path)!r}, '/no/such/directory']\n"
        f"package = scope['load'](*{engine_bundle._packed()!r}, directories, {PYTHON!r})\n"
        "print(sys.path[-1], '/no/such/directory' in sys.path)"
    )
    done = subprocess.run([sys.executable, "-I", "-"], input=code, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(tmp_path), "False"]


def test_the_loader_needs_nothing_but_the_standard_library() -> None:
    assert {name for name, _ in imports_of(engine_bundle._LOADER)} <= {*sys.stdlib_module_names, "cloudpickle"}
    assert importlib.util.find_spec("cloudpickle") is not None
