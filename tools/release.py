#!/usr/bin/env python
"""Build what is released, the source distribution and from it the wheel, and check both. Nothing is uploaded.

    python tools/release.py [--output DIRECTORY] [--rehearsal]

Checked are the contents (the wheel: ``IPython/parallel`` and nothing else, all of it), the version (one everywhere),
the news (merged), and, where twine is installed, the metadata. A rehearsal says what is left to do and builds all the
same. Needs setuptools 77 or newer in the running interpreter. Exit status: 0 when all is well.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import argparse
import importlib.util
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from zipfile import ZipFile

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = PurePosixPath("IPython/parallel")
# In the source distribution, beside the package.
BESIDE = ("README.rst", "CONTRIBUTING.md", "COPYING.rst", "docs/source/conf.py", "tools/release.py", "pyproject.toml")


def main(arguments: list[str]) -> int:
    """Build, check, and return the exit status."""
    parser = argparse.ArgumentParser(prog="release", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", type=Path, default=ROOT / "dist", help="default: dist")
    parser.add_argument("--rehearsal", action="store_true", help="it need not be time for it: news may be unmerged")
    options = parser.parse_args(arguments)
    sdist = build_sdist(options.output.resolve())
    wheel = build_wheel(sdist)
    unready = list(news_problems(ROOT, version_in(ROOT / "setup.py")))
    problems = [*wheel_problems(wheel, ROOT), *sdist_problems(sdist), *version_problems(ROOT)]
    problems += twine_problems(sdist, wheel)
    for problem in unready + problems:
        print(f"release: {problem}", file=sys.stderr)
    print(sdist, wheel, sep="\n")
    return 1 if problems or (unready and not options.rehearsal) else 0


# -- building


def build_sdist(output: Path) -> Path:
    """The source distribution of this tree."""
    output.mkdir(parents=True, exist_ok=True)
    return output / run_backend(ROOT, f"build_sdist({str(output)!r})")


def build_wheel(sdist: Path) -> Path:
    """The wheel, of what the source distribution holds: it is complete, or this fails."""
    with tempfile.TemporaryDirectory(prefix="release-") as scratch:
        with tarfile.open(sdist) as archive:
            archive.extractall(scratch, filter="data")
        (tree,) = Path(scratch).iterdir()
        return sdist.parent / run_backend(tree, f"build_wheel({str(sdist.parent)!r})")


def run_backend(tree: Path, call: str) -> str:
    """Let setuptools build in a tree; the name of what it made."""
    code = f"from setuptools import build_meta; print(build_meta.{call})"
    done = subprocess.run([sys.executable, "-c", code], cwd=tree, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"release: setuptools failed\n{done.stdout}{done.stderr}")
    return done.stdout.splitlines()[-1]


# -- checking


def wheel_problems(wheel: Path, tree: Path) -> Iterator[str]:
    """What is in the wheel and should not be, and the other way round."""
    with ZipFile(wheel) as archive:
        names = {PurePosixPath(name) for name in archive.namelist() if not name.endswith("/")}
    metadata = {name for name in names if name.parts[0].endswith(".dist-info")}
    package = {PurePosixPath(path.relative_to(tree)) for path in (tree / PACKAGE).rglob("*") if is_shipped(path)}
    yield from (f"the wheel must not have {name}" for name in sorted(names - metadata - package))
    yield from (f"the wheel has no {name}" for name in sorted(package - names))
    if any(name.name == "entry_points.txt" for name in metadata):
        yield "the wheel must install no commands: ipcluster and its kin are ipyparallel's"


def is_shipped(path: Path) -> bool:
    """Whether a file of the package's directory belongs to it."""
    return path.suffix in (".py", ".pyi") or path.name == "py.typed"


def sdist_problems(sdist: Path) -> Iterator[str]:
    """What the source distribution should have and has not."""
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    yield from (f"the source distribution has no {name}" for name in BESIDE if name not in names)


def version_in(path: Path) -> str:
    """The version that a file assigns."""
    found = re.search(r'^ *(?:__version__ = |version=)"([^"]+)"', path.read_text(encoding="utf-8"), re.MULTILINE)
    return found[1] if found else "none"


def version_problems(tree: Path) -> Iterator[str]:
    """Versions that differ."""
    built, said = version_in(tree / "setup.py"), version_in(tree / PACKAGE / "__init__.py")
    if built != said:
        yield f"setup.py has version {built}, IPython.parallel.__version__ is {said}"


def news_problems(tree: Path, version: str) -> Iterator[str]:
    """News that is not in the page of this version yet."""
    news = tree / "docs" / "source" / "whatsnew"
    waiting = sorted(path.name for path in (news / "pr").glob("*.rst"))
    if waiting:
        yield f"news is not merged (tools/merge_news.py {version}): {', '.join(waiting)}"
    if not (news / f"version-{version}.rst").exists():
        yield f"there is no page of news of version {version}"


def twine_problems(*built: Path) -> Iterator[str]:
    """What twine says of the metadata."""
    if importlib.util.find_spec("twine") is None:
        print("release: twine is not installed, the metadata was not checked", file=sys.stderr)
        return
    command = [sys.executable, "-m", "twine", "check", "--strict", *map(str, built)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        yield f"twine: {done.stdout}{done.stderr}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
