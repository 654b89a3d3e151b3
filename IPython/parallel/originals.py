"""What ipyparallel's classes had before they were patched."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

from typing import Any

# Stands for an attribute that the class itself did not have.
ABSENT = object()

# `patching` fills this when it installs and empties it when it uninstalls.
recorded: dict[tuple[type, str], Any] = {}


def original_of(target: type, name: str) -> Any:
    """What ``target.name`` was before the patch, looked up as the class would."""
    before = recorded.get((target, name), ABSENT)
    return getattr(super(target, target), name) if before is ABSENT else before
