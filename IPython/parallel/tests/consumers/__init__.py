"""Existing code that takes executors, futures or a `map`: the real packages, each on a real cluster.

What is not installed is skipped; ``pip install '.[test-consumers]'`` installs what there is for this Python.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

from typing import Any

import pytest


def needed(module: str) -> Any:
    """The module of a consumer; without it the tests of the calling file are skipped."""
    return pytest.importorskip(module, reason=f"needs {module}: pip install '.[test-consumers]'")
