"""Sphinx extension that links what other projects document, by rules and without asking the network for inventories.

The build is to be the same with and without a network. What is referred to is imported, so that a name nobody has is a
warning here as everywhere; ``python tools/build_docs.py --builder linkcheck`` asks whether the pages have it.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import sys
from importlib import import_module
from typing import Any, TypeVar

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

PYTHON = "https://docs.python.org/3/"

# Modules of the standard library that are described on another's page.
PAGES = {
    "concurrent.futures.process": "concurrent.futures",
    "importlib.abc": "importlib",
    "importlib.machinery": "importlib",
    "multiprocessing.pool": "multiprocessing",
}

# Words for types that docstrings use -> the term of Python's glossary.
TERMS = {
    **{word: word for word in ("callable", "descriptor", "iterable", "iterator", "mapping", "module", "sequence")},
    "file": "file-object",
    "path": "path-like-object",
}

# Names that docstrings use without their module, which every reader knows.
SHORT = {
    "AsyncMapResult": "ipyparallel.AsyncMapResult",
    "AsyncResult": "ipyparallel.AsyncResult",
    "Client": "ipyparallel.Client",
    "Future": "concurrent.futures.Future",
    "LoadBalancedView": "ipyparallel.LoadBalancedView",
    "Path": "pathlib.Path",
    "View": "ipyparallel.client.view.View",
    "t.Any": "typing.Any",  # as traitlets writes it
}

# What no rule finds: where a class says that it is -> where it is described.
DESCRIBED_AS = {
    "_frozen_importlib.ModuleSpec": "importlib.machinery.ModuleSpec",
    "multiprocessing.pool.ApplyResult": "multiprocessing.pool.AsyncResult",
}

# Other projects: top of the package -> the page, which has a place for each name, or not.
PROJECTS = {
    "IPython": "https://ipython.readthedocs.io/en/stable/api/generated/{module}.html#{name}",
    "cloudpickle": "https://github.com/cloudpipe/cloudpickle",
    "ipyparallel": "https://ipyparallel.readthedocs.io/en/latest/api/ipyparallel.html#{name}",
    "tornado": "https://www.tornadoweb.org/en/stable/{module}.html#{name}",
    "zmq": "https://pyzmq.readthedocs.io/en/latest/api/zmq.html",
}


def resolve(app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.Element) -> nodes.Element | None:
    """The link for a reference that no page of ours answers; None, and so a warning, if nothing has that name."""
    if node.get("refdomain") != "py":
        return None
    target = str(node.get("reftarget", ""))
    if target in ("False", "True"):
        return link(f"{PYTHON}library/constants.html#{target}", target, content)
    if target in TERMS:
        return link(f"{PYTHON}glossary.html#term-{TERMS[target]}", target, content)
    found = located(SHORT.get(target, target)) or located(f"{node.get('py:module', '')}.{target}")
    return own_link(app, env, node, content) if found is None else linked(*found, content)


def own_link(app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.Element) -> nodes.Element | None:
    """The link to the one object of ours that has this last name, from a module that imports it for its types alone."""
    python: Any = env.get_domain("py")
    names = [name for name in python.objects if name.endswith(f".{node['reftarget']}")]
    if len(names) != 1 or app.builder is None:
        return None
    return python.resolve_xref(env, node["refdoc"], app.builder, "obj", names[0], node, content)


def located(target: str) -> tuple[str, Any] | None:
    """The full name and the object, if such an object can be imported."""
    module, _, name = target.rpartition(".")
    if not module or not all(part.isidentifier() for part in target.split(".")):
        return None
    try:
        holder: Any = import_module(module)
    except ImportError:
        holder = (located(module) or (module, None))[1]
    return (target, getattr(holder, name)) if hasattr(holder, name) else None


def linked(target: str, found: Any, content: nodes.Element) -> nodes.Element:
    """The link to where an object is described; none if it is one of our own private ones, or nobody's."""
    name = public_name(target, found)
    module, _, _ = name.rpartition(".")
    address = address_of(module, name)
    ours = module.startswith("IPython.parallel") or isinstance(found, TypeVar)
    private = any(part.startswith("_") for part in name.split("."))
    return content if ours or private or address is None else link(address, name, content)


def public_name(target: str, found: Any) -> str:
    """The shortest name under which a class is found: it may say that it is where nobody is to import it from."""
    if target in DESCRIBED_AS or target.startswith("IPython."):  # IPython describes each module by itself
        return DESCRIBED_AS.get(target, target)
    *parts, name = target.lstrip("_").split(".")
    for length in range(1, len(parts)):
        shorter = ".".join([*parts[:length], name])
        if (there := located(shorter)) is not None and there[1] is found:
            return shorter
    return ".".join([*parts, name])


def address_of(module: str, name: str) -> str | None:
    """The page that describes a name of a module."""
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names:
        return f"{PYTHON}library/{PAGES.get(module, module)}.html#{name}"
    page = PROJECTS.get(top)
    return page and page.format(module=module, name=name)


def link(address: str, title: str, content: nodes.Element) -> nodes.reference:
    """A link with the content that the reference had."""
    return nodes.reference("", "", content, internal=False, refuri=address, reftitle=title)


def setup(app: Sphinx) -> dict[str, bool]:
    """Ask these rules after all others."""
    app.connect("missing-reference", resolve, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
