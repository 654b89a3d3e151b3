"""A census of the installed standard library: parse every module, count what is in it.

A normal process-pool program; it knows nothing of clusters. Run it as it is, or on all cores of an IPython cluster::

    python census.py
    python -m IPython.parallel census.py
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import ast
import sysconfig
import warnings
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

LIBRARY = Path(sysconfig.get_path("stdlib"))
# What other people installed below it, and what was compiled from it.
FOREIGN = {"site-packages", "dist-packages", "__pycache__"}
KINDS = {
    "classes": (ast.ClassDef,),
    "functions": (ast.FunctionDef,),
    "coroutines": (ast.AsyncFunctionDef,),
    "lambdas": (ast.Lambda,),
    "imports": (ast.Import, ast.ImportFrom),
    "raises": (ast.Raise,),
}
COLUMNS = ("modules", "lines", *KINDS)
SHOWN = 15


class Unparsable(Exception):
    """A file that is not Python, or not of this version."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason


@dataclass
class Survey:
    """What is in one module."""

    package: str
    counts: Counter[str] = field(default_factory=Counter)


def modules() -> Iterator[str]:
    """Paths of the library's modules, relative to it, in a fixed order."""
    for path in sorted(LIBRARY.rglob("*.py")):
        relative = path.relative_to(LIBRARY)
        if not FOREIGN.intersection(relative.parts):
            yield relative.as_posix()


def survey(path: str) -> Survey:
    """Parse one module and count."""
    source = (LIBRARY / path).read_bytes()
    result = Survey(package=path.partition("/")[0].removesuffix(".py"))
    result.counts.update(modules=1, lines=source.count(b"\n"))
    nodes = Counter(map(type, ast.walk(parse(path, source))))
    result.counts.update({column: sum(nodes[kind] for kind in kinds) for column, kinds in KINDS.items()})
    return result


def parse(path: str, source: bytes) -> ast.Module:
    with warnings.catch_warnings():
        # Old test files are full of invalid escapes; whether that warns depends on the version and on what ran before.
        warnings.simplefilter("ignore")
        try:
            return ast.parse(source, path)
        except SyntaxError as error:
            raise Unparsable(path, f"{type(error).__name__} in line {error.lineno}: {error.msg}") from None
        except ValueError as error:
            raise Unparsable(path, str(error)) from None


def take_census() -> tuple[dict[str, Counter[str]], list[Unparsable]]:
    """Survey all modules; counts per package, and the files that could not be parsed."""
    packages: dict[str, Counter[str]] = {}
    failures = []
    with ProcessPoolExecutor() as pool:
        for future in as_completed([pool.submit(survey, path) for path in modules()]):
            try:
                found = future.result()
            except Unparsable as error:
                failures.append(error)
            else:
                packages.setdefault(found.package, Counter()).update(found.counts)
    return packages, sorted(failures, key=lambda error: error.path)


def row(name: str, counts: Counter[str]) -> str:
    return f"{name:<20}" + "".join(f"{counts[column]:>12,}" for column in COLUMNS)


def report(packages: dict[str, Counter[str]], failures: list[Unparsable]) -> None:
    largest = sorted(packages.items(), key=lambda item: (-item[1]["lines"], item[0]))
    total: Counter[str] = sum(packages.values(), Counter())
    print(f"{'':<20}" + "".join(f"{column:>12}" for column in COLUMNS))
    for name, counts in largest[:SHOWN]:
        print(row(name, counts))
    rest: Counter[str] = sum((counts for _, counts in largest[SHOWN:]), Counter())
    print(row(f"{len(largest[SHOWN:])} more", rest))
    print(row("all", total))
    print(f"\n{len(failures)} files could not be parsed")
    for error in failures:
        print(f"  {error.path}: {error.reason}")


if __name__ == "__main__":
    report(*take_census())
