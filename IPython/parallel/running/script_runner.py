"""Run a script, module or command as ``python`` would have run it, in a process that is running already.

The program gets a `__main__` module, `sys.argv` and `sys.path` of its own, and its exceptions leave this process in the
interpreter's own way: what prints a traceback and decides on the exit status is Python, not this module. All that is
done about it is to take our frames out of the traceback before it is shown.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import builtins
import importlib.machinery
import importlib.util
import linecache
import os
import pkgutil
import shlex
import sys
import textwrap
from abc import ABC, abstractmethod
from collections.abc import Iterator
from itertools import dropwhile
from types import CodeType, FrameType, ModuleType, TracebackType
from typing import Any

from ipyparallel.error import RemoteError

from .. import errors

__all__ = ["Command", "Module", "Program", "ProgramNotFound", "Script", "StandardInput"]

# One line of a traceback: frame, instruction and line number.
_Entry = tuple[FrameType, int, int]

_PACKAGE = __name__.rpartition(".running.")[0]


class ProgramNotFound(Exception):
    """There is no such script or module; the message says so in one line."""


class Program(ABC):
    """Something to run as `__main__`.

    Parameters
    ----------
    name : str
        What was given on the command line: a path, a module's name, or source text.
    args : list of str
        The program's own arguments.
    """

    # How many of the frames around us python itself would have around the program: `-m` goes through runpy.
    outer_frames = 0
    # The option that says what it is.
    said_by: tuple[str, ...] = ()

    def __init__(self, name: str, args: list[str]) -> None:
        self.name = name
        self.args = args

    @property
    def title(self) -> str:
        """What runs, as it was said on the command line."""
        return shlex.join([*self.said_by, self.name, *self.args])

    @abstractmethod
    def check(self) -> None:
        """Raise ProgramNotFound if there is nothing to run. Runs nothing of the program, and changes nothing."""

    @abstractmethod
    def load(self) -> tuple[ModuleType, CodeType]:
        """Set `sys.argv` and `sys.path`; give an empty `__main__` module and the code to run in it."""

    def run(self) -> None:
        """Run the program; to be called from the main thread, once, near the top of the stack.

        Raises
        ------
        BaseException
            Whatever the program raises. It must be left to propagate: then the interpreter shows it and exits as it
            would have for the program.
        """
        try:
            main, code = self.load()
            sys.modules["__main__"] = main
            exec(code, vars(main))
        except SystemExit:
            raise
        except BaseException:
            _show_without(self.run.__code__, self.outer_frames)
            raise


class Script(Program):
    """A file, or a directory or zip archive with a `__main__.py`."""

    def check(self) -> None:
        if os.path.isdir(self.name) or _is_archive(self.name):
            if _main_of(self.name) is None:
                raise ProgramNotFound(f"can't find '__main__' module in {self.name!r}")
            return
        try:
            open(self.name, "rb").close()
        except OSError as error:
            path = os.path.abspath(self.name)
            raise ProgramNotFound(f"can't open file {path!r}: [Errno {error.errno}] {error.strerror}") from None

    def load(self) -> tuple[ModuleType, CodeType]:
        sys.argv[:] = [self.name, *self.args]
        if os.path.isdir(self.name) or _is_archive(self.name):
            return self._load_container()
        _set_path0(os.path.dirname(os.path.realpath(self.name)))
        path = os.path.abspath(self.name)
        return _main_module(_script_loader(path), path), _code_of(path)

    def _load_container(self) -> tuple[ModuleType, CodeType]:
        self.outer_frames = Module.outer_frames
        # Python adds the container even where it was told not to add paths that may be unsafe.
        _set_path0(os.path.abspath(self.name), always=True)
        spec = _main_of(os.path.abspath(self.name))
        assert spec is not None
        return _main_module_of(spec), _code_from(spec)


class Module(Program):
    """A module or package of the import path."""

    outer_frames = 2
    said_by = ("-m",)

    def check(self) -> None:
        # Looking further down would import the packages above it, and with them code of the program.
        top = self.name.partition(".")[0]
        try:
            found = importlib.util.find_spec(top)
        except (ImportError, ValueError):
            found = None
        if found is None:
            raise ProgramNotFound(f"No module named {top}")

    def load(self) -> tuple[ModuleType, CodeType]:
        sys.argv[:] = ["-m", *self.args]
        _set_path0(os.getcwd())
        spec = _spec_to_run(self.name)
        if spec.origin is not None:
            sys.argv[0] = spec.origin
        return _main_module_of(spec), _code_from(spec)


class Command(Program):
    """Source text from the command line."""

    said_by = ("-c",)

    def check(self) -> None:
        pass

    def load(self) -> tuple[ModuleType, CodeType]:
        sys.argv[:] = ["-c", *self.args]
        _set_path0("")
        main = _main_module(importlib.machinery.BuiltinImporter, None)
        source = textwrap.dedent(self.name) if sys.version_info >= (3, 14) else self.name
        code = compile(source, "<string>", "exec", dont_inherit=True)
        if hasattr(linecache, "_register_code"):  # where tracebacks show its lines, as of Python 3.13
            linecache._register_code(code, source, "<string>")
        return main, code


class StandardInput(Program):
    """Source text that is read from standard input, all of it before it runs."""

    def check(self) -> None:
        pass

    def load(self) -> tuple[ModuleType, CodeType]:
        sys.argv[:] = ["-", *self.args]
        _set_path0("")
        source = sys.stdin.buffer.read() if sys.stdin is not None else b""
        file = "<stdin>"
        return _main_module(importlib.machinery.BuiltinImporter, file), compile(source, file, "exec", dont_inherit=True)


def _set_path0(entry: str, always: bool = False) -> None:
    """Put `entry` where python put the directory of ``-m``, ours, at start-up."""
    if not sys.flags.safe_path:
        sys.path[0] = entry
    elif always:
        sys.path.insert(0, entry)


def _main_module(loader: Any, path: str | None) -> ModuleType:
    main = ModuleType("__main__")
    main.__loader__ = loader
    # ModuleType leaves these out, the interpreter's own `__main__` has them.
    vars(main)["__builtins__"] = builtins
    if sys.version_info < (3, 14):
        vars(main)["__annotations__"] = {}
    if path is not None:
        main.__file__ = path
        vars(main)["__cached__"] = None
    return main


def _main_module_of(spec: importlib.machinery.ModuleSpec) -> ModuleType:
    main = _main_module(spec.loader, spec.origin)
    main.__spec__ = spec
    main.__package__ = spec.parent
    vars(main)["__cached__"] = spec.cached
    return main


def _script_loader(path: str) -> Any:
    if path.endswith(".pyc"):
        return importlib.machinery.SourcelessFileLoader("__main__", path)
    return importlib.machinery.SourceFileLoader("__main__", path)


def _code_of(path: str) -> CodeType:
    with open(path, "rb") as file:
        compiled = pkgutil.read_code(file) if path.endswith(".pyc") else None
        return compiled or compile(file.read(), path, "exec", dont_inherit=True)


def _code_from(spec: importlib.machinery.ModuleSpec) -> CodeType:
    # Every loader that can be run has it: runpy asks for the same.
    code: CodeType | None = spec.loader.get_code(spec.name)  # type: ignore[union-attr]
    if code is None:
        raise ImportError(f"No code object available for {spec.name}")
    return code


def _spec_to_run(name: str) -> importlib.machinery.ModuleSpec:
    """The module's own spec, a package's `__main__`."""
    spec = importlib.util.find_spec(name)
    if spec is not None and spec.submodule_search_locations is not None:
        name = f"{name}.__main__"
        spec = importlib.util.find_spec(name)
    if spec is None or spec.loader is None:
        raise ImportError(f"No module named {name}")
    return spec


def _is_archive(path: str) -> bool:
    """Whether the import system can look into this file."""
    return os.path.isfile(path) and pkgutil.get_importer(path) is not None


def _main_of(container: str) -> importlib.machinery.ModuleSpec | None:
    return importlib.machinery.PathFinder.find_spec("__main__", [container])


def _show_without(ours: CodeType, outer_frames: int) -> None:
    """Have the interpreter show the exception under way without our frames.

    It shows an exception by calling `sys.excepthook` after the last frame, so the hook is where they can be taken out;
    the program's own hook, if it has set one, sees the traceback it would have seen.
    """
    hook = sys.excepthook

    def show(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> Any:
        sys.excepthook = hook
        error.__traceback__ = _without(traceback, ours, outer_frames)
        for linked in _linked(error):
            entries = list(_entries(linked.__traceback__))
            # Where the innermost frame is ours it is our code that failed, unless it hands out what became of a call.
            if entries and (_tells_of_a_call(linked) or not _is_ours(entries[-1])):
                linked.__traceback__ = _joined([entry for entry in entries if not _is_ours(entry)])
        return hook(kind, error, error.__traceback__)

    sys.excepthook = show


def _without(traceback: TracebackType | None, ours: CodeType, outer_frames: int) -> TracebackType | None:
    entries = list(_entries(traceback))
    codes = [frame.f_code for frame, _, _ in entries]
    inner = entries[codes.index(ours) + 1 :] if ours in codes else entries
    # A program that cannot be compiled fails below us, in no frame of its own.
    inner = list(dropwhile(lambda entry: entry[0].f_code.co_filename == __file__, inner))
    return _joined(entries[:outer_frames] + inner)


def _tells_of_a_call(error: BaseException) -> bool:
    return isinstance(error, RemoteError) or type(error).__module__ == errors.__name__


def _is_ours(entry: _Entry) -> bool:
    # By name: a program may lie within our directories, as those of the tests do.
    return str(entry[0].f_globals.get("__name__")).startswith(_PACKAGE + ".")


def _linked(error: BaseException) -> list[BaseException]:
    """The exception, and all that is shown with it."""
    found: dict[int, BaseException] = {}
    left: list[BaseException | None] = [error]
    while left:
        one = left.pop()
        if one is not None and id(one) not in found:
            found[id(one)] = one
            left += [one.__cause__, one.__context__]
            left += one.exceptions if isinstance(one, BaseExceptionGroup) else ()
    return list(found.values())


def _joined(entries: list[_Entry]) -> TracebackType | None:
    shown: TracebackType | None = None
    for frame, lasti, line in reversed(entries):
        shown = TracebackType(shown, frame, lasti, line)
    return shown


def _entries(traceback: TracebackType | None) -> Iterator[_Entry]:
    while traceback is not None:
        yield traceback.tb_frame, traceback.tb_lasti, traceback.tb_lineno
        traceback = traceback.tb_next
