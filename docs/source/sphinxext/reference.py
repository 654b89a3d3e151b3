"""Sphinx directives that draw the reference: the public names, what is patched class by class, and every module."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from drawn_from_code import DrawnDirective, module_names, package_parts, table_head, table_row
from sphinx.application import Sphinx

PACKAGE = "IPython.parallel"

# What users meet beside the names at the top of the package and of its module of errors.
ALSO_PUBLIC = (
    f"{PACKAGE}.patching.UnsupportedVersion",
    f"{PACKAGE}.running.cluster_choice.ClusterUnavailable",
    f"{PACKAGE}.timelines.timeline.Timeline",
    f"{PACKAGE}.timelines.totals.Totals",
)
ERRORS = f"{PACKAGE}.errors"

# Special methods that users know by the syntax they are behind.
SYNTAX = {"__enter__", "__exit__", "__bool__", "__await__", "__iter__", "__next__", "__getitem__"}


class PublicNames(DrawnDirective):
    """The reference of the package's own public names."""

    def lines(self) -> Iterator[str]:
        for name, found in public_names():
            if found.__module__.startswith(PACKAGE):
                yield from documented(f"{PACKAGE}.{name}", found)


class UpstreamNames(DrawnDirective):
    """A table of the public names that are ipyparallel's own."""

    def lines(self) -> Iterator[str]:
        yield from table_head("name", "in ipyparallel", widths="35 65")
        for name, found in public_names():
            if not found.__module__.startswith(PACKAGE):
                yield from table_row(f"``{name}``", f":class:`{found.__module__}.{found.__qualname__}`")


class AlsoPublic(DrawnDirective):
    """The reference of `ALSO_PUBLIC` names: of exceptions or of what is none, as the argument says."""

    required_arguments = 1

    def lines(self) -> Iterator[str]:
        for path in ALSO_PUBLIC:
            module, _, name = path.rpartition(".")
            found = getattr(import_module(module), name)
            if issubclass(found, BaseException) == (self.arguments[0] == "errors"):
                yield from documented(path, found)


class PatchedMembers(DrawnDirective):
    """The reference of what is added and replaced on ipyparallel's classes, from the table of patches."""

    def lines(self) -> Iterator[str]:
        patches = import_module(f"{PACKAGE}.patching").PATCHES
        for target in dict.fromkeys(patch.target for patch in patches):
            names = [patch.name for patch in patches if patch.target is target and is_for_users(patch.name)]
            if names:
                yield from patched_class(target, names)


class PackageModules(DrawnDirective):
    """The reference of every module of the package, without what is described as public."""

    def lines(self) -> Iterator[str]:
        for part, directory in package_parts():
            for name in module_names(directory):
                path = ".".join(filter(None, (PACKAGE, part, name)))
                if name != "__main__" and path != ERRORS:  # importing __main__ would be running it
                    yield from module_section(path)


def public_names() -> Iterator[tuple[str, Any]]:
    """The names of ``__all__``, and what they are."""
    package = import_module(PACKAGE)
    yield from ((name, getattr(package, name)) for name in package.__all__)


def is_for_users(name: str) -> bool:
    """Whether users write this name, or the syntax that it is behind."""
    return name in SYNTAX or not name.startswith("_")


def documented(path: str, found: Any) -> Iterator[str]:
    """The reference of a function, class or exception."""
    if not inspect.isclass(found):
        yield from ("", f".. autofunction:: {path}", "")
        return
    kind = "autoexception" if issubclass(found, BaseException) else "autoclass"
    yield from ("", f".. {kind}:: {path}", "   :members:", "   :show-inheritance:", "")


def module_section(path: str) -> Iterator[str]:
    """A section with the reference of one module."""
    title = path.removeprefix(f"{PACKAGE}.")
    elsewhere = [name for module, _, name in (public.rpartition(".") for public in ALSO_PUBLIC) if module == path]
    yield from (title, "-" * len(title), "", f".. automodule:: {path}", "   :members:", "   :show-inheritance:")
    yield from (*(f"   :exclude-members: {name}" for name in elsewhere), "")


def patched_class(target: type, names: list[str]) -> Iterator[str]:
    """A class of ipyparallel's with those of its members that are ours."""
    module, title = target.__module__, target.__qualname__
    path = f"{module}.{title}"
    yield from (title, "~" * len(title), "", f".. py:class:: {title}", f"   :module: {module}", "")
    for name in names:
        kind = "autoproperty" if isinstance(inspect.getattr_static(target, name), property) else "automethod"
        yield from (f"   .. {kind}:: {path}.{name}", "")


def plain_parameters(
    app: Sphinx, what: str, name: str, found: Any, options: Any, signature: str | None, returned: str | None
) -> tuple[str | None, str | None]:
    """The signature without parameter specifications, which autodoc writes so that they cannot be parsed."""
    return signature and re.sub(r"~typing\.~\w+", "~typing.Any", re.sub(r"\[\[~\w+\]", "[...", signature)), returned


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    app.connect("autodoc-process-signature", plain_parameters)
    app.add_directive("public-names", PublicNames)
    app.add_directive("upstream-names", UpstreamNames)
    app.add_directive("also-public", AlsoPublic)
    app.add_directive("patched-members", PatchedMembers)
    app.add_directive("package-modules", PackageModules)
    return {"parallel_read_safe": True}
