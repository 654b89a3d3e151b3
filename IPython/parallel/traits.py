"""Traits of ipyparallel's views and clients, past traitlets' lookup: a small call is submitted in not much more time.

Only to look them up: to set one is traitlets' affair.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

from typing import Any


def trait(owner: Any, name: str) -> Any:
    """The value of a trait. Any thread."""
    try:
        return owner._trait_values[name]
    except KeyError:  # its default was never asked for
        return getattr(owner, name)
