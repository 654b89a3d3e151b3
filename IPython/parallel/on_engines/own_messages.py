"""Calls that have a message of their own: the kernel runs them, ipyparallel carries what comes of them."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import builtins
import pickle
from collections.abc import Callable
from typing import Any

from . import shipping
from .carried_values import MapError, Packed, remote_failure
from .engine_runner import Runner, outside_event_loop


class OwnMessages:
    """Runs calls one at a time, as the kernel comes to them. On the engine's main thread.

    Parameters
    ----------
    runner : Runner
    """

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._user_ns = runner.user_ns
        self._mapped: tuple[bytes, Any] | None = None

    def run_one(self, name: str, space: str, payload: bytes) -> Packed:
        """Run a call that has a message of its own. On the engine's main thread; its output goes the stock way."""
        self._runner.enter(space)

        def call() -> Packed:
            function, args, kwargs = pickle.loads(payload)
            return Packed(shipping.dumps(function(*args, **kwargs)))

        packed: Packed = self._carrying_errors(name, call)
        return packed

    def run_mapped(self, name: str, space: str, payload: bytes, args: bytes) -> Any:
        """Run one call of a chunk. Its error is a result: raised, it would lose the others'."""
        self._runner.enter(space)

        def call() -> Any:
            if self._mapped is None or self._mapped[0] != payload:
                self._mapped = payload, pickle.loads(payload)
            value = self._mapped[1](*pickle.loads(args))
            # Arrays go as they are: ipyparallel sends their data without a copy.
            as_it_is = type(value) in shipping.PLAIN or type(value).__module__ == "numpy"
            return value if as_it_is else Packed(shipping.dumps(value))

        succeeded, result = self._attempt(name, call)
        return result if succeeded else MapError(result[1])

    def run_stock(self, name: str, space: str, function: tuple[Any, Any], args: Any, kwargs: Any) -> Any:
        """Run a function as ipyparallel's own ``apply`` does: its globals are the user's namespace.

        A function that needs names which only its caller has gets those with it instead; so does an object with the
        caller's code inside.
        """

        def call() -> Any:
            from ipyparallel.serialize import deserialize_object

            buffers, with_callers_names = function
            if buffers is None:
                self._runner.enter(space)
                return Packed(shipping.dumps(pickle.loads(with_callers_names)(*args, **kwargs)))
            loaded, _ = deserialize_object(buffers, self._user_ns)
            if with_callers_names is not None and self._lacks_names(loaded):
                self._runner.enter(space)
                loaded = pickle.loads(with_callers_names)
            return loaded(*args, **kwargs)

        return self._carrying_errors(name, call)

    def _lacks_names(self, function: Any) -> bool:
        if getattr(function, "__globals__", None) is not self._user_ns:
            return False
        names = shipping.global_names(function.__code__)
        return any(name not in self._user_ns and not hasattr(builtins, name) for name in names)

    def resolve(self, name: str) -> Any:
        """What an `ipyparallel.Reference` of that name refers to here."""
        return eval(name, self._user_ns)

    def _carrying_errors(self, name: str, call: Callable[[], Any]) -> Any:
        """The value of `call()`; an error leaves in a form that the kernel reports and the client finds again."""
        succeeded, result = self._attempt(name, call)
        if succeeded:
            return result
        # Raised here, where no exception is being handled: IPython looks at the context, and shows groups its own way.
        raise remote_failure(*result)

    def _attempt(self, name: str, call: Callable[[], Any]) -> tuple[bool, Any]:
        """(True, value) or (False, (error, packed error)) of `call()`."""
        with outside_event_loop():
            try:
                return True, call()
            except BaseException as error:
                return False, (error, self._runner.pack(error, name))

    def run_chunk(
        self, function: Callable[..., Any], name: str, chunk: list[Any], unpack: bool
    ) -> tuple[list[Any], dict[int, MapError]]:
        """Run the calls of a pool's chunk: their values, and the errors by position."""
        values, errors = [], {}
        for index, item in enumerate(chunk):
            try:
                values.append(function(*item) if unpack else function(item))
            except KeyboardInterrupt:  # is meant for the chunk
                raise
            except BaseException as error:
                values.append(None)
                errors[index] = MapError(self._runner.pack(error, name))
        return values, errors
