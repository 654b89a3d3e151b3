"""Annotations evaluated on demand, and type aliases: scripts that use them run as under plain Python."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import ipyparallel
import pytest

from IPython.parallel.tests.test_command_line import python

SCRIPTS = [
    pytest.param("lazy_annotations.py", marks=pytest.mark.skipif(sys.version_info < (3, 14), reason="new in 3.14")),
    pytest.param("type_aliases.py", marks=pytest.mark.skipif(sys.version_info < (3, 12), reason="new in 3.12")),
]


@pytest.mark.parametrize("script", SCRIPTS)
def test_runs_as_under_plain_python(script: str, connection_file: Path) -> None:
    expected = python(script)
    assert expected[1] == 0, expected
    assert python(script, via=("--quiet", "--connection-file", str(connection_file))) == expected


@pytest.mark.skipif(sys.version_info < (3, 14), reason="new in 3.14")
def test_what_ipyparallel_sends(client: ipyparallel.Client) -> None:
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile("def twice(x: Missing) -> int:\n    return 2 * x", "script.py", "exec", dont_inherit=True), names)
    assert client[:].apply_sync(names["twice"], 2) == [4] * len(client.ids)
    engine = client[client.ids[0]]
    engine.push({"_twice": names["twice"]}, block=True)
    engine.execute("_found = _twice(3), _twice.__annotations__; del _twice", block=True)
    assert engine.pull("_found", block=True) == (6, {"x": "Missing", "return": int})
    engine.execute("del _found", block=True)
