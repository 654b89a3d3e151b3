"""The notebook of docs/examples runs from top to bottom, on a cluster of its own and real input."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from IPython.parallel.tests.source_tree import find_source_tree

# It parses the whole standard library, on two engines.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def notebook() -> Any:
    path = find_source_tree() / "docs" / "examples" / "census.ipynb"
    return nbformat.read(path, as_version=4)


def text_of(cell: Any) -> str:
    """What a cell printed and displayed."""
    return "".join(
        output.text if output.output_type == "stream" else output.data.get("text/plain", "") for output in cell.outputs
    )


def test_notebook_is_kept_without_outputs(notebook: Any) -> None:
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.source for cell in code if cell.outputs or cell.execution_count is not None] == []


def test_notebook_tells_its_story(notebook: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    cells = {cell.source.strip().splitlines()[-1]: cell for cell in notebook.cells if cell.cell_type == "code"}
    said = {last: text_of(cell) for last, cell in cells.items()}
    assert "2 engines, started here" in said["%cluster start -n 2"]
    assert "'lines'" in said["total"]
    assert re.search(r"[1-9][\d,]* done, [1-9]\d* failed", " ".join(said.values()))
    assert "caught:" in said['    print("cause:", error.__cause__)']
    assert any("<svg" in output.data.get("text/html", "") for output in cells["timeline(futures)"].outputs)
    assert "text/html" in cells["future"].outputs[0].data
    assert int(said['print(f"{cancelled} will never run, {finished} had left before")'].split()[0]) > 100
    assert said["longest.result(timeout=60)"].startswith("('")
    assert "stopped" in said["%cluster stop"]
