"""Functions that ipyparallel sends: another Python takes its own code, or refuses it. Run there, it would crash.

What `apply` and `push` send goes ipyparallel's own way, by its `CannedFunction`, which has the byte code and not the
version that it is of. Engines need nothing of ours for this: what the code pickles as checks the version itself.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

from ipyparallel.serialize.canning import CannedFunction
from ipyparallel.serialize.codeutil import reduce_code

from .engine_bundle import PYTHON, load

# Evaluated where the pickle is read, in whatever Python that is.
_CODE = (
    "__import__('types').CodeType(*parts) if __import__('sys').version_info[:2] == python "
    "else (exec(elsewhere, scope), scope['own_code'](python, home, refusal))[1]"
)
# Functions of modules are found there, in the code of that Python. Those of the caller's main module are not.
_ELSEWHERE = """
import importlib, sys
def own_code(python, home, refusal):
    module, name = home
    try:
        found = None if module.startswith("__") else importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
        if found.__code__.co_qualname == name:
            return found.__code__
    except Exception:
        pass
    raise TypeError(refusal.format(*python, *sys.version_info[:2]))
"""


class _Checked:
    """Stands in a pickle for the code of a function of this module."""

    def __init__(self, code: types.CodeType, module: str) -> None:
        self._code = code
        self._module = module

    def __reduce__(self) -> tuple[Any, ...]:
        facts = {
            "python": PYTHON,
            "parts": reduce_code(self._code)[1],
            "home": (self._module, self._code.co_qualname),
            "refusal": load().shipping.REFUSAL,
            "elsewhere": _ELSEWHERE,
            "scope": {},
        }
        return eval, (_CODE, facts)


def state_of_canned(self: CannedFunction) -> dict[str, Any]:
    """What a function that is sent pickles as: another Python takes its own code of that name, or refuses it.

    Source: ipyparallel, where an engine of another Python runs what came, and crashes.
    """
    return {**vars(self), "code": _Checked(self.code, self.module)}


def wrap_can(original: Callable[..., None]) -> Callable[..., None]:
    """`CannedFunction.__init__` for functions whose annotations cannot be evaluated, as may be from Python 3.14 on."""

    def __init__(self: CannedFunction, f: Any) -> None:
        original(self, load().shipping.with_plain_annotations(f) if isinstance(f, types.FunctionType) else f)

    return __init__
