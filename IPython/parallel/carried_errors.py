"""Errors of calls that have a message of their own: wrapped on the way out, and brought home in their own type.

A kernel answers a failed apply with a name, a text and traceback lines. The wrapped function packs its exception
into one more such line (`carried_values.remote_failure`); here that line is taken out again.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import logging
import os
import pickle
import sys
import types
from collections.abc import Callable, Iterable
from typing import Any

from ipyparallel import AsyncResult, Client, LoadBalancedView
from ipyparallel.client.remotefunction import getname
from ipyparallel.error import CompositeError, RemoteError, TaskAborted
from ipyparallel.serialize import can, serialize, serialize_object

from .call_pickling import CLIENT, dumps, pickle_function
from .engine_bundle import EngineFunction, load
from .engine_room import room_of
from .rebuilt_errors import rebuild_exception
from .view_state import state_of

_logger = logging.getLogger(__name__)
_MARK = load().carried_values.FAILURE_MARK


class _Sent:
    """A call that brings along what it needs at an engine: pickles as a callable of `entry_points`."""

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
    return _Sent(getname(function), "carrying_errors", _loadable_there(function))


def _loadable_there(function: Any) -> tuple[list[bytes] | None, bytes | None]:
    """`function` as ipyparallel sends it, and with what it needs of its caller; one of them may be missing.

    An object with the caller's code inside, as joblib wraps the user's function, is one that engines cannot load from
    what ipyparallel sends: plain pickle names that code, in a ``__main__`` which is another there.
    """
    try:
        buffers = [bytes(part) for part in serialize_object(function)]
    except Exception:
        if can(function) is not function:
            raise
        return None, dumps(function)
    if _goes_by_name(function) and b"__main__" in buffers[0]:
        return None, dumps(function)
    return buffers, _with_callers_names(function)


def _goes_by_name(function: Any) -> bool:
    """Whether ipyparallel sends the name of `function` alone: not with `use_cloudpickle` or `use_dill`."""
    return can(function) is function and serialize.pickle is pickle


def _with_callers_names(function: Any) -> bytes | None:
    """`function` with the globals it uses, for an engine that lacks some; None if it has none or comes by name."""
    if type(function) is not types.FunctionType or not _is_the_sessions_own(function):
        return None
    try:
        pickled = pickle_function(function)
        return dumps(function) if pickled is None else pickled.data
    except Exception:  # what stock would send is still there
        return None


def wrap_really_apply(original: Callable[..., Any]) -> Callable[..., Any]:
    """`View._really_apply` that lets every function carry its errors, and whose results the view knows."""

    def _really_apply(self: Any, f: Any, args: Any = None, kwargs: Any = None, **flags: Any) -> Any:
        room_of(self.client).stock.check()
        result = original(self, carrying_errors(f), args, kwargs, **flags)
        if isinstance(result, AsyncResult):
            state_of(self).note([result])
            for child in result._children:
                child.knows_scheduler = isinstance(self, LoadBalancedView)
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


def _is_the_sessions_own(function: types.FunctionType) -> bool:
    """Whether a function was written in the script or session, and not made part of it.

    ipyparallel's ``interactive`` gives functions of modules the globals of ``__main__``, so that engines give them
    those of their users, and nothing else.
    """
    main = sys.modules["__main__"]
    if function.__globals__ is not vars(main):
        return False
    file, own = function.__code__.co_filename, getattr(main, "__file__", None)
    return os.path.abspath(file) == os.path.abspath(own) if own is not None else not os.path.isfile(file)


def parts_of(results: Iterable[Any]) -> list[BaseException]:
    """The errors among `results`, those of composite ones taken apart, as `collect_exceptions` counts them."""
    parts: list[BaseException] = []
    for result in results:
        if isinstance(result, CompositeError):
            parts += getattr(result, "exceptions", ())
        elif isinstance(result, (RemoteError, TaskAborted)):
            parts.append(result)
    return parts


def wrap_collect_exceptions(original: Callable[..., Any]) -> Callable[..., Any]:
    """`AsyncResult._collect_exceptions` whose CompositeError keeps the exceptions themselves, as ``exceptions``.

    A call that was aborted is an error among them; stock has it among the values.
    """

    def _collect_exceptions(self: AsyncResult, results: Any) -> Any:
        aborted = not self._return_exceptions and any(isinstance(result, TaskAborted) for result in results)
        try:
            return original(self, [_as_remote(result) for result in results] if aborted else results)
        except CompositeError as error:
            error.exceptions = parts_of(results)
            raise

    return _collect_exceptions


def _as_remote(result: Any) -> Any:
    if not isinstance(result, TaskAborted):
        return result
    return RemoteError("TaskAborted", str(result), f"TaskAborted: {result}", {})


def wrap_raise_exception(original: Callable[..., Any]) -> Callable[..., Any]:
    """`CompositeError.raise_exception` that raises the exception itself, in its own type."""

    def raise_exception(self: CompositeError, excid: int = 0) -> None:
        """Raise one of the exceptions, in its own type.

        Parameters
        ----------
        excid : int
            Its position among them.

        Raises
        ------
        IndexError
            If there is none.

        Notes
        -----
        Any thread. Source: ipyparallel.
        """
        parts = getattr(self, "exceptions", ())
        if len(parts) == len(self.elist) and -len(parts) <= excid < len(parts):
            raise parts[excid]
        original(self, excid)

    return raise_exception


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
