"""Type checkers find nothing in the package, and see through it what views and results are."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import ast
import concurrent.futures
import inspect
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ipyparallel
import pytest
import traitlets.config
from ipyparallel.client import view as upstream_view

import IPython.parallel
from IPython.parallel.tests.source_tree import find_source_tree

# mypy reads everything that is imported, the standard library too, when it has no cache.
pytestmark = pytest.mark.timeout(300)

PACKAGE = Path(IPython.parallel.__file__).parent
USER_CODE = PACKAGE / "tests" / "typed" / "user_code.py"
DECLARED = ast.parse((PACKAGE / "declared.pyi").read_text(encoding="utf-8"))
CLASSES = {node.name: node for node in DECLARED.body if isinstance(node, ast.ClassDef)}


def mypy(directory: Path, *arguments: str, cwd: Path, **environment: str) -> str:
    """What mypy says; nothing when it finds nothing."""
    pytest.importorskip("mypy")
    command = (sys.executable, "-m", "mypy", "--no-error-summary", "--cache-dir", str(directory), *arguments)
    done = subprocess.run(command, cwd=cwd, env=os.environ | environment, capture_output=True, text=True)
    return done.stdout + done.stderr


def search_path() -> dict[str, str]:
    """Where mypy finds a package that is not installed beside IPython but edited where it is."""
    root = PACKAGE.parents[1]
    return {} if (root / "IPython" / "__init__.py").exists() else {"MYPYPATH": str(root)}


def check_code(code: Path, directory: Path) -> str:
    """What mypy, all its checks on, says of a user's file, somewhere else than here."""
    options = ("--strict", "--config-file=", "--follow-imports=silent", "--explicit-package-bases")
    return mypy(directory / "cache", *options, str(code), cwd=directory, **search_path())


def test_package_is_typed_throughout(tmp_path: Path) -> None:
    assert mypy(tmp_path, cwd=find_source_tree()) == ""


def test_users_code_is_understood(tmp_path: Path) -> None:
    code = tmp_path / "user_code.py"
    code.write_text(USER_CODE.read_text(encoding="utf-8"), encoding="utf-8")
    assert check_code(code, tmp_path) == ""


def test_what_is_not_so_is_found(tmp_path: Path) -> None:
    code = tmp_path / "wrong.py"
    code.write_text(
        "from IPython.parallel import LoadBalancedView\n"
        "def wrong(view: LoadBalancedView) -> str:\n"
        "    return view.submit(len, 'abc').result()\n",
        encoding="utf-8",
    )
    assert 'expected "str"' in check_code(code, tmp_path)


# -- what is declared is so


def real_class(name: str) -> type:
    return getattr(ipyparallel, name, None) or getattr(upstream_view, name)


def declared_functions(name: str) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in CLASSES[name].body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def declared_names(name: str) -> set[str]:
    """The attributes that a class is declared to have, those of its declared bases too."""
    own = {node.name for node in declared_functions(name)}
    own |= {node.target.id for node in CLASSES[name].body if isinstance(node, ast.AnnAssign)}  # type: ignore[union-attr]
    bases = {inner.id for base in CLASSES[name].bases for inner in ast.walk(base) if isinstance(inner, ast.Name)}
    return own.union(*(declared_names(base) for base in bases & set(CLASSES)))


def exists(cls: type, attribute: str) -> bool:
    if (cls, attribute) == (upstream_view.ViewExecutor, "view"):  # set by its constructor
        return True
    # ipyparallel makes the other half of a pair when an instance is asked for it.
    return hasattr(cls, attribute.removesuffix("_sync") if cls is ipyparallel.Cluster else attribute)


@pytest.mark.parametrize("name", CLASSES)
def test_declared_attributes_exist(name: str) -> None:
    cls = real_class(name)
    assert [attribute for attribute in sorted(declared_names(name)) if not exists(cls, attribute)] == []


@pytest.mark.parametrize("name", CLASSES)
def test_declared_parameters_exist(name: str) -> None:
    cls = real_class(name)
    wrong = [
        f"{function.name}({parameter})"
        for function in declared_functions(name)
        for parameter in unknown_parameters(function, getattr(cls, function.name.removesuffix("_sync"), None))
    ]
    assert wrong == []


def unknown_parameters(declared: ast.FunctionDef | ast.AsyncFunctionDef, real: Any) -> list[str]:
    """Parameters that can be given by name as it is declared, and which there are not."""
    if not callable(real):
        return []
    try:
        parameters = inspect.signature(real).parameters
    except ValueError:  # written in C
        return []
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return []
    named = [*declared.args.args[1:], *declared.args.kwonlyargs]
    return [argument.arg for argument in named if argument.arg not in parameters]


@pytest.mark.parametrize("name", ["View", "LoadBalancedView", "DirectView", "AsyncResult", "Client", "Cluster"])
def test_everything_public_is_declared(name: str) -> None:
    cls = real_class(name)
    public = {attribute for attribute in vars(cls) if not attribute.startswith("_")}
    inherited = {*dir(traitlets.config.LoggingConfigurable), *dir(concurrent.futures.Executor)}
    assert public - inherited - declared_names(name) == set()


def test_result_classes_can_be_given_types_when_the_code_runs() -> None:
    assert IPython.parallel.AsyncResult[int].__origin__ is ipyparallel.AsyncResult  # type: ignore[attr-defined]
