"""virtualizarr: it wants the class of an executor, for which the command line has one that stands in."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

from collections.abc import Callable

import pytest

from IPython.parallel.tests.consumers import needed

needed("virtualizarr")
pytest.importorskip("arro3.core", reason="needs arro3-core, for obstore: pip install '.[test-consumers]'")

# Reading needs many packages, and imports them for seconds.
pytestmark = pytest.mark.timeout(120)


def test_parallel_as_under_plain_python(run_example: Callable[..., str], on_the_cluster: tuple[str, ...]) -> None:
    printed = run_example("with_virtualizarr.py", *on_the_cluster)
    assert printed == run_example("with_virtualizarr.py")
    assert "{'time': 3, 'x': 4}" in printed
