"""What is built and installed: nothing but `IPython/parallel`, over an IPython that stays whole."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import ast
import hashlib
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path, PurePosixPath
from zipfile import ZipFile

import pytest

import IPython.parallel
from IPython.parallel.tests.source_tree import DISTRIBUTION, find_source_tree

from . import source_tree as relative_source_tree

# Building wheels and environments takes seconds each, more on a busy machine.
pytestmark = pytest.mark.timeout(180)

PACKAGE = Path(__file__).parents[1]
# Imported in methods that numpy calls, and therefore only where it is.
OPTIONAL = {"numpy"}
NOT_SOURCE = shutil.ignore_patterns(".git", "build", "dist", "*.egg-info", "__pycache__", ".*_cache", ".hypothesis")


@pytest.fixture(scope="module")
def source() -> Path:
    return find_source_tree()


@pytest.fixture
def copied_source(source: Path, tmp_path: Path) -> Path:
    """A copy of the source tree in which a test may build and delete."""
    return Path(shutil.copytree(source, tmp_path / "source", ignore=NOT_SOURCE))


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the source tree."""
    directory = tmp_path_factory.mktemp("wheel")
    tree = shutil.copytree(source, directory / "source", ignore=NOT_SOURCE)
    return build_wheel(Path(tree), directory / "out")


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    """An environment that holds this interpreter's IPython and nothing else."""
    return Environment(tmp_path / "environment")


class Environment:
    """A virtual environment with a copy of the installed IPython, served by our own pip, so that nothing is fetched."""

    def __init__(self, directory: Path) -> None:
        venv.EnvBuilder(symlinks=True).create(directory)
        scheme = sysconfig.get_paths("venv", {"base": str(directory), "platbase": str(directory)})
        self.python = Path(scheme["scripts"]) / "python"
        self.packages = Path(scheme["purelib"])
        copy_distribution("ipython", self.packages)

    def pip(self, *arguments: str) -> None:
        """Run pip on this environment."""
        run(sys.executable, "-m", "pip", "--python", str(self.python), *arguments)

    def ipython_files(self) -> dict[str, str]:
        """The hash of each file below `IPython`, except what Python compiled by the way."""
        root = self.packages / "IPython"
        files = (path for path in root.rglob("*") if path.is_file() and path.suffix != ".pyc")
        return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def copy_distribution(name: str, packages: Path) -> None:
    """Copy an installed distribution, its metadata too, to another site-packages."""
    files = metadata.distribution(name).files
    if not files or "direct_url.json" in {file.name for file in files}:
        pytest.skip(f"{name} does not say which files it installed here")
    for file in files:
        if file.parts[0] == ".." or "__pycache__" in file.parts:
            continue
        target = packages / file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file.locate(), target)


def run(*command: str, cwd: Path | None = None) -> str:
    """Run a command and return its output; show it when the command fails."""
    done = subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout.strip()


def build_wheel(tree: Path, out: Path) -> Path:
    """Build the wheel of `tree` as `pip install` does, with the setuptools that is here."""
    options = ("--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", str(out))
    run(sys.executable, "-m", "pip", "wheel", *options, ".", cwd=tree)
    (built,) = out.glob("*.whl")
    return built


def names_in(wheel: Path) -> set[str]:
    with ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if not name.endswith("/")}


def test_tests_belong_to_the_package_that_is_imported() -> None:
    # By path, pytest would give the tests other names and a second copy of the package to import from.
    assert __name__ == "IPython.parallel.tests.test_packaging"
    assert sys.modules["IPython.parallel.tests.source_tree"] is relative_source_tree
    assert PACKAGE == Path(IPython.parallel.__file__).parent


def test_repository_has_no_init_that_would_hide_ipython(source: Path) -> None:
    assert [path.name for path in (source / "IPython").iterdir() if path.name != "__pycache__"] == ["parallel"]


def test_wheel_holds_the_package_and_its_metadata_only(source: Path, wheel: Path) -> None:
    package = {
        path.relative_to(source).as_posix()
        for path in (source / "IPython" / "parallel").rglob("*")
        if path.suffix in (".py", ".pyi") or path.name == "py.typed"
    }
    names = names_in(wheel)
    beside = {PurePosixPath(name).parts[0] for name in names - package}
    assert package <= names
    assert beside == {f"{DISTRIBUTION.replace('-', '_')}-{wheel.name.split('-')[1]}.dist-info"}


def test_wheel_installs_no_commands(wheel: Path) -> None:
    # ipcluster and its kin are ipyparallel's: shipping them too, our uninstall would take them away.
    assert [name for name in names_in(wheel) if re.search(r"/entry_points\.txt$|\.data/scripts/", name)] == []


def test_deleted_module_does_not_come_back(copied_source: Path, tmp_path: Path) -> None:
    ephemeral = copied_source / "IPython" / "parallel" / "ephemeral.py"
    ephemeral.write_text('"""Here today."""\n', encoding="utf-8")
    assert "IPython/parallel/ephemeral.py" in names_in(build_wheel(copied_source, tmp_path / "first"))
    ephemeral.unlink()
    assert "IPython/parallel/ephemeral.py" not in names_in(build_wheel(copied_source, tmp_path / "second"))


def test_what_an_older_build_left_is_not_used(copied_source: Path, tmp_path: Path) -> None:
    stale = copied_source / "build" / "lib" / "IPython" / "__init__.py"
    stale.parent.mkdir(parents=True)
    stale.write_text("raise SystemExit\n", encoding="utf-8")
    assert "IPython/__init__.py" not in names_in(build_wheel(copied_source, tmp_path / "out"))


def test_building_leaves_nothing_in_the_source_tree(copied_source: Path, tmp_path: Path) -> None:
    before = set(copied_source.rglob("*"))
    build_wheel(copied_source, tmp_path / "out")
    assert {path for path in copied_source.rglob("*") if "__pycache__" not in path.parts} - before == set()


def test_sdist_holds_what_the_readme_speaks_of(copied_source: Path, tmp_path: Path) -> None:
    code = f"from setuptools import build_meta; print(build_meta.build_sdist({str(tmp_path)!r}))"
    archive = tmp_path / run(sys.executable, "-c", code, cwd=copied_source).splitlines()[-1]
    with tarfile.open(archive) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert {"README.rst", "CONTRIBUTING.md", "COPYING.rst", "docs/examples/census.py", "tools/build_docs.py"} <= names


def test_install_and_uninstall_leave_ipython_whole(environment: Environment, wheel: Path) -> None:
    before = environment.ipython_files()
    assert "__init__.py" in before
    environment.pip("install", "--quiet", "--no-deps", "--no-index", str(wheel))
    installed = environment.ipython_files()
    assert {name: installed.get(name) for name in before} == before
    assert {name.split("/")[0] for name in installed.keys() - before.keys()} == {"parallel"}
    environment.pip("uninstall", "--quiet", "--yes", DISTRIBUTION)
    assert environment.ipython_files() == before


def test_it_is_found_also_from_within_the_source_tree(environment: Environment, wheel: Path, source: Path) -> None:
    environment.pip("install", "--quiet", "--no-deps", "--no-index", str(wheel))
    # What IPython and we require is taken from the running environment, after the new one's own packages.
    paths = f"import sys; sys.path.extend({sys.path[1:]!r})"
    code = f"{paths}; import IPython, IPython.parallel; print(IPython.__file__); print(IPython.parallel.__file__)"
    found = run(str(environment.python), "-c", code, cwd=source).splitlines()
    expected = [environment.packages / "IPython" / name for name in ("__init__.py", "parallel/__init__.py")]
    assert [Path(line) for line in found] == expected


# -- requirements ------------------------------------------------------------------------------------------------


def test_every_requirement_is_imported() -> None:
    assert requirements() - imported_distributions(package_files(tests=False)) == set()


def test_every_import_of_the_package_is_required() -> None:
    assert imported_distributions(package_files(tests=False)) - requirements() <= OPTIONAL


def test_every_import_of_the_tests_is_required() -> None:
    declared = requirements() | requirements("test") | requirements("test-consumers")
    assert imported_distributions(package_files(tests=True)) - declared == set()


def requirements(extra: str = "") -> set[str]:
    """The distributions declared, without an extra or for one."""
    lines = metadata.requires(DISTRIBUTION) or []
    wanted = (line for line in lines if extra_of(line) == extra)
    return {normalized(re.split(r"[^\w.-]", line, maxsplit=1)[0]) for line in wanted}


def extra_of(requirement: str) -> str:
    found = re.search(r"""extra\s*==\s*['"](.+?)['"]""", requirement)
    return found[1] if found else ""


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def package_files(*, tests: bool) -> Iterator[Path]:
    """The modules of the package, or of its tests."""
    return (path for path in PACKAGE.rglob("*.py") if (PACKAGE / "tests" in path.parents) is tests)


def imported_distributions(files: Iterator[Path]) -> set[str]:
    """The distributions that the files import from, anywhere in them; a module of none stands under its own name."""
    owners = metadata.packages_distributions()
    modules = {module for path in files for module in absolute_imports(path)}
    ours_and_python = re.compile(r"(IPython\.parallel|__main__)(\.|$)")
    roots = {module.split(".")[0] for module in modules if not ours_and_python.match(module)}
    foreign = roots - sys.stdlib_module_names - {"test"} - beside_scripts()  # Python's own tests are a part of it
    return {owner_of(root, owners.get(root, [])) for root in foreign}


def beside_scripts() -> set[str]:
    """The modules that scripts of the tests find beside them: one is written by its test."""
    return {path.stem for path in (PACKAGE / "tests" / "scripts").glob("*.py")} | {"beside_main_script"}


def owner_of(root: str, distributions: list[str]) -> str:
    """The distribution that a top-level module belongs to; `IPython` is ipython's, though we are in it too."""
    others = [name for name in map(normalized, distributions) if name != DISTRIBUTION]
    return others[0] if others else root


def absolute_imports(path: Path) -> Iterator[str]:
    """The modules a file imports by their full names."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


# -- the tree itself ---------------------------------------------------------------------------------------------


def test_no_file_names_a_directory_of_one_persons_machine(source: Path) -> None:
    private = re.compile(r"(?<![\w.$}~/:-])/(?:home|Users|root|tmp|work|opt/homebrew)/\w")
    files = [source / name for name in ("README.rst", "CONTRIBUTING.md", "setup.py", "pyproject.toml", ".ci/run")]
    for part in ("IPython", "docs", "tools"):
        files += [path for path in (source / part).rglob("*") if path.suffix in {".py", ".rst", ".md", ".html"}]
    built = source / "docs" / "build"
    texts = {path: path.read_text(encoding="utf-8") for path in files if built not in path.parents}
    assert [str(path) for path, text in texts.items() if private.search(text)] == []
