"""What a client may call on an engine by name, and what the engine it lands on has of ours."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import atexit
import functools
import os
import socket
import sys
import types
from collections.abc import Callable
from typing import Any

from . import forked_children, journal, lent_memory, module_state, namespaces, shell_door, shipping, worker_identity
from .call_output import Output, receive_descriptors
from .carried_values import MapError, Packed
from .engine_runner import Runner
from .own_messages import OwnMessages


@functools.cache
def runner() -> Runner:
    """The runner of the engine this process is, made when first asked for. On the engine's main thread."""
    from IPython.display import display

    from IPython import get_ipython

    shell = get_ipython()
    kernel = shell.kernel
    engine = {"engine_id": kernel.engine_id, "engine_uuid": kernel.ident, "host": socket.gethostname()}

    door: shell_door.Door

    namespaces.fall_back_on({"get_ipython": get_ipython, "display": display})
    _let_pickle_find_callers_names(sys.modules["__main__"])
    made = Runner(
        engine, lambda frames: door.publish(frames), shell.user_ns, shell.user_ns_hidden, Output(shell.display_pub)
    )
    door = shell_door.open_door(kernel, made.run_group)
    forked_children.let_go(made.interrupt, made.output.leave_to_parent)
    atexit.register(made.end, os.getpid())
    return made


@functools.cache
def own_messages() -> OwnMessages:
    """What runs the calls that come to this engine in messages of their own."""
    return OwnMessages(runner())


def open_door(
    client: str, python: tuple[int, int], probe: lent_memory.Address | None = None
) -> tuple[journal.Address | None, bool, lent_memory.Address | None]:
    """Called with the bundle, before a client's first group: from now on groups come the short way (`shell_door`).

    Where the client finds what was begun, whether this engine can read what the client lends, and what the client can
    try to read of this engine.
    """
    met, own = runner(), _probe()
    return met.introduce(client, python), met.lender.introduce(client, probe), None if own is None else own.address


@functools.cache
def _probe() -> lent_memory.Lent | None:
    return lent_memory.lend()


def revoke(address: journal.Address, group: int) -> journal.Begun | None:
    """Read for a client what another engine of this host had begun (`journal.revoke`)."""
    return journal.revoke(address, group)


def take_streams(path: str, patience: float) -> None:
    """Let calls write to the standard output and error of the process that gives them away at `path`."""
    from IPython import get_ipython

    kernel = get_ipython().kernel
    runner().output.lend(receive_descriptors(path, kernel.ident, patience), kernel.log)


def take_state(
    space: str,
    state: dict[str, Any],
    modules: dict[str, module_state.State],
    encodings: Any,
    caller: worker_identity.Caller,
) -> None:
    """Be as a worker of the caller's pool would be, were it forked now. On the engine's main thread."""
    runner().become_worker(space, state, modules, encodings, caller)


def _let_pickle_find_callers_names(main: Any) -> None:
    """Pickle looks for a class of the caller's in ``__main__``, which here is the engine user's module."""
    kind = type(main)
    if hasattr(kind, "finds_callers_names"):
        return

    class Main(kind):  # type: ignore[misc, valid-type]
        finds_callers_names = True

        def __getattr__(self, name: str) -> Any:
            try:
                return super().__getattr__(name)
            except (AttributeError, KeyError):
                return shipping.arrived(name)

    # IPython's module puts whatever is assigned to it into the user's namespace.
    types.ModuleType.__setattr__(main, "__class__", Main)


def resolve(name: str) -> Any:
    """Unpickling a Reference among a call's arguments calls this."""
    return own_messages().resolve(name)


def single_call(name: str, space: str, payload: bytes) -> Callable[[], Packed]:
    """A call, pickled with its arguments, that has a message of its own."""
    return lambda: own_messages().run_one(name, space, payload)


def mapped_calls(name: str, space: str, payload: bytes) -> Callable[[bytes], Any]:
    """A function that takes its arguments as a pickled tuple, for a chunk of a map."""
    return lambda args: own_messages().run_mapped(name, space, payload, args)


def run_chunk(
    function: Callable[..., Any], name: str, chunk: list[Any], unpack: bool
) -> tuple[list[Any], dict[int, MapError]]:
    """Run the calls of a pool's chunk: their values, and the errors by position."""
    return own_messages().run_chunk(function, name, chunk, unpack)


def carrying_errors(name: str, space: str, function: tuple[Any, Any]) -> Callable[..., Any]:
    """A function as the kernel's ``apply`` would run it, whose error keeps its type."""
    return lambda *args, **kwargs: own_messages().run_stock(name, space, function, args, kwargs)


def prepare(directories: list[str], python: tuple[int, int]) -> None:
    """Let the engine import what lies beside the caller's code, where it has those directories.

    Those in which another version of Python keeps its library and packages are none for this one.
    """
    if python != sys.version_info[:2]:
        own = {"python{}.{}".format(*python), "python{}{}.zip".format(*python)}
        directories = [path for path in directories if own.isdisjoint(path.split(os.sep))]
    sys.path.extend(path for path in directories if path not in sys.path and os.path.isdir(path))
