"""Which code is the program's own, and which belongs to the libraries that it uses."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import os
import site
import sys
import sysconfig
from functools import cache
from types import FrameType, ModuleType

__all__ = ["is_program", "program_modules"]

_PACKAGE = __name__.rpartition(".running.")[0]

# Code that looks a name up on behalf of whoever pickles.
_PICKLERS = ("pickle", "cloudpickle", "IPython.parallel")


def is_program(frame: FrameType) -> bool:
    """Whether this frame runs code of the program, or code that pickles for it.

    Code of a library lies where Python keeps its standard library or installed packages. What lies
    beside the script, and the package that the program was started from, with ``-m``, is the
    program's wherever it lies.
    """
    module = str(frame.f_globals.get("__name__"))
    if module == "__main__" or _is_below(module, _PICKLERS):
        return True
    return _is_own(module, frame.f_code.co_filename)


def program_modules() -> list[ModuleType]:
    """The modules that the program has imported and that are its own, in that order; `__main__` is none of them."""
    found = []
    for name, module in list(sys.modules.items()):
        spec = getattr(module, "__spec__", None)
        # A module under another name than its own cannot be imported by that.
        if spec is None or spec.name != name or _is_below(name, ("__main__", _PACKAGE)):
            continue
        file = spec.origin
        if file is None or not os.path.isabs(file):
            continue
        if _is_own(name, file) and not name.startswith("_ipython_parallel_"):
            found.append(module)
    return found


def _is_own(module: str, file: str) -> bool:
    main = sys.modules.get("__main__")
    started = str(getattr(main, "__package__", None) or "").partition(".")[0]
    beside = os.path.dirname(str(getattr(main, "__file__", None) or ""))
    return _is_below(module, (started,)) or not _is_library(file) or _is_beside(file, beside)


def _is_below(module: str, packages: tuple[str, ...]) -> bool:
    return any(package and f"{module}.".startswith(f"{package}.") for package in packages)


@cache
def _is_library(file: str) -> bool:
    return file.startswith("<frozen ") or bool(_libraries_of(file))


@cache
def _is_beside(file: str, directory: str) -> bool:
    """Whether a file lies below the script's directory, and in no library that lies there too, as a venv's do."""
    top = os.path.realpath(directory) + os.sep
    nearer = any((library + os.sep).startswith(top) for library in _libraries_of(file))
    return bool(directory) and not nearer and os.path.realpath(file).startswith(top)


def _libraries_of(file: str) -> list[str]:
    path = os.path.realpath(file)
    return [directory for directory in _directories() if path.startswith(directory + os.sep)]


@cache
def _directories() -> tuple[str, ...]:
    """Where the standard library and installed packages are."""
    paths = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    paths += [*site.getsitepackages(), site.getusersitepackages()]
    return tuple({os.path.realpath(path) for path in paths})
