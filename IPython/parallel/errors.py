"""The errors of our own: one class for each thing a caller can do about it."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
#
#   What the caller should do      Class              Also caught by
#   -----------------------------  -----------------  ------------------------------------------------
#   send something else            CallNotSendable    pickle.PicklingError
#   submit the call again          EngineDied         ipyparallel.error.EngineError, BrokenProcessPool
#   repair the initializer         InitializerFailed  BrokenProcessPool
#   connect to a cluster again     ClusterGone        concurrent.futures.BrokenExecutor
#   nothing: it was shut down      ExecutorShutdown   RuntimeError
#
# Every class keeps its facts in `args` and makes its message in `__str__`: such an exception pickles and copies
# without a `__reduce__`, and no message is ever built for an error nobody reads.
from __future__ import annotations

import pickle
from concurrent.futures import BrokenExecutor
from concurrent.futures.process import BrokenProcessPool

from ipyparallel.error import EngineError

__all__ = ["CallNotSendable", "ClusterGone", "EngineDied", "ExecutorShutdown", "InitializerFailed"]


class CallNotSendable(pickle.PicklingError):
    """A call or its result cannot cross the network; sending the same again will fail again.

    Arguments that fail to pickle in the caller's process keep the error type pickle gave them, as in the standard
    library's pool. This class is for what only comes to light on the engine.

    Parameters
    ----------
    call : str
        Name of the function called.
    part : str
        ``"result"``: the call ran, its value does not pickle. ``"call"``: the engine could not load the call.
    reason : str
        What pickle said.
    type_name : str
        Type of the value that does not pickle, for a result.
    """

    def __init__(self, call: str, part: str = "result", reason: str = "", type_name: str = "object") -> None:
        super().__init__(call, part, reason, type_name)
        self.call, self.part, self.reason, self.type_name = call, part, reason, type_name

    def __str__(self) -> str:
        because = f" ({self.reason})" if self.reason else ""
        if self.part == "result":
            return (
                f"{self.call} returned a {self.type_name}, which cannot be pickled to come back{because}; "
                "return something that can, or leave it on the engine and return a summary"
            )
        return (
            f"the engine cannot load the call of {self.call}{because}; "
            "install what it imports there, or define it in the script so that it travels along"
        )


class EngineDied(EngineError, BrokenProcessPool):
    """The engine went away while it had this call; the other engines go on, so submitting it again is sensible.

    The call may have run in part, or completely without being able to say so.

    It is a ``BrokenProcessPool`` by the standard library's own description ("raised when one of the workers has
    terminated in a non-clean fashion"): programs written for process pools catch that, make a new pool and submit
    the lost calls again, and both steps do the right thing here. Unlike there, the executor itself is not broken:
    only the calls this engine was running fail. Catch `EngineDied` to retry, `ClusterGone` to give up.

    Parameters
    ----------
    engine_id : int or str
        The engine that is gone.
    call : str
        Name of the function called.
    """

    def __init__(self, engine_id: int | str, call: str = "a call") -> None:
        super().__init__(engine_id, call)
        self.engine_id, self.call = engine_id, call

    def __str__(self) -> str:
        return f"engine {self.engine_id} died while it had {self.call}; submit the call again to run it elsewhere"


class ClusterGone(BrokenExecutor):
    """The controller cannot be reached any more: no outstanding call will ever be answered.

    Parameters
    ----------
    reason : str
        How it was noticed.
    """

    def __init__(self, reason: str = "no answer from the controller") -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the cluster is gone ({self.reason}); start it again, or connect a new Client to another one"


class ExecutorShutdown(RuntimeError):
    """This view takes no more work because it was shut down (the standard library raises RuntimeError there)."""

    def __init__(self, message: str = "cannot schedule new futures after shutdown") -> None:
        super().__init__(message)


class InitializerFailed(BrokenProcessPool):
    """The initializer raised on an engine, so no call can run there; its exception is the ``__cause__``.

    Parameters
    ----------
    initializer : str
        Name of the initializer.
    engine_id : int or str
        Where it raised.
    reason : str
        Type and message of what it raised.
    """

    def __init__(self, initializer: str, engine_id: int | str = "?", reason: str = "") -> None:
        super().__init__(initializer, engine_id, reason)
        self.initializer, self.engine_id, self.reason = initializer, engine_id, reason

    def __str__(self) -> str:
        because = f" ({self.reason})" if self.reason else ""
        return (
            f"the initializer {self.initializer} failed on engine {self.engine_id}{because}; "
            "repair it and make a new executor"
        )
