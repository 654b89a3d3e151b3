"""Configuration of the documentation's build."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
import sys
from importlib.metadata import version as installed_version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "sphinxext"))

project = "IPython.parallel"
author = "IPython Development Team"
copyright = "2013-2026, IPython Development Team"
release = installed_version("ipython-parallel-futures")
version = ".".join(release.split(".")[:2])

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "drawn_from_code", "elsewhere", "legacy_tables", "reference"]
needs_sphinx = "7.4"

# What a page says in backquotes is literal, as in the docstrings of IPython.
default_role = "literal"

# A reference that leads nowhere is an error: what is not described here is found by `elsewhere`.
nitpicky = True

# Docstrings are in NumPy style and give the types in words and units; the signature gives the annotations.
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_preprocess_types = True
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
# Docstrings of other projects' base classes follow other conventions, and are documented there.
autodoc_inherit_docstrings = False

# Snippets are no pages: the page of what is next is drawn from them.
exclude_patterns = ["whatsnew/pr/*"]

html_theme = "alabaster"
html_static_path = ["_static"]
html_css_files = ["links.css", "narrow.css"]
html_theme_options = {"description": "concurrent.futures on an IPython cluster", "fixed_sidebar": True}
html_show_sourcelink = False
