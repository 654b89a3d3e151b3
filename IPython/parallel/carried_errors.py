"""Errors of calls that have a message of their own: wrapped on the way out, and brought home in their own type.

A kernel answers a failed apply with a name, a text and traceback lines. The wrapped function packs its exception
into one more such line (`engine_runner.remote_failure`); here that line is taken out again.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import logging
import pickle
from collections.abc import Callable
from typing import Any

from ipyparallel import AsyncResult, Client
from ipyparallel.client.remotefunction import getname
from ipyparallel.serialize import serialize_object

from .call_pickling import CLIENT, dumps
from .engine_bundle import EngineFunction, load
from .rebuilt_errors import rebuild_exception
from .view_state import state_of

_logger = logging.getLogger(__name__)
_MARK = load().engine_runner.FAILURE_MARK


class _Sent:
    """A call that brings along what it needs at an engine: pickles as a callable of `engine_runner`."""

    def __init__(self, name: str, function: str, content: Any) -> None:
        self.__name__ = name
        self._function = function
        self._content = content

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(f"{self.__name__} runs on engines only")

    def __reduce__(self) -> tuple[Any, ...]:
        return EngineFunction(self._function, bundled=True), (self.__name__, CLIENT, self._content)


def single_call(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Callable[[], Any]:
    """A whole call, pickled now, for a message of its own.

    Raises
    ------
    Exception
        Whatever pickling raises.
    """
    return _Sent(getname(function), "single_call", dumps((function, args, kwargs)))


def mapped_calls(function: Callable[..., Any]) -> Callable[[bytes], Any]:
    """A function of one pickled tuple of arguments whose errors are results, for a chunk of a map."""
    return _Sent(getname(function), "mapped_calls", dumps(function))


def carrying_errors(function: Any) -> Any:
    """`function`, as ipyparallel sends it, but with errors that come home; whatever else as it is."""
    if isinstance(function, _Sent) or not (callable(function) or hasattr(function, "buffers")):
        return function
    return _Sent(getname(function), "carrying_errors", [bytes(part) for part in serialize_object(function)])


def wrap_really_apply(original: Callable[..., Any]) -> Callable[..., Any]:
    """`View._really_apply` that lets every function carry its errors, and whose results the view knows."""

    def _really_apply(self: Any, f: Any, args: Any = None, kwargs: Any = None, **flags: Any) -> Any:
        result = original(self, carrying_errors(f), args, kwargs, **flags)
        if isinstance(result, AsyncResult):
            state_of(self).note([result])
        return result

    return _really_apply


def wrap_unwrap_exception(original: Callable[..., Any]) -> Callable[..., Any]:
    """`Client._unwrap_exception` that finds a carried error."""

    def _unwrap_exception(self: Client, content: dict[str, Any]) -> BaseException:
        packed = _take_out(content)
        error = original(self, content)
        if packed is None:
            return error  # type: ignore[no-any-return]
        return rebuild_exception(packed["error"], pickle.loads, {**packed["engine"], **error.engine_info})

    return _unwrap_exception


def _take_out(content: dict[str, Any]) -> dict[str, Any] | None:
    lines = content.get("traceback") or []
    if not lines or not str(lines[-1]).startswith(_MARK):
        return None
    content["traceback"] = lines[:-1]
    try:
        return pickle.loads(bytes.fromhex(lines[-1][len(_MARK) :]))  # type: ignore[no-any-return]
    except Exception:
        _logger.exception("an error's own line could not be read; a RemoteError stands for it")
        return None
