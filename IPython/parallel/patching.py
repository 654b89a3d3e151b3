"""What this project changes in ipyparallel: a table, and putting it on and taking it off.

Each row names a class, an attribute, what it becomes and why. Originals are recorded once, so that installing twice is
installing once, and uninstalling puts the very same objects back.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ipyparallel
from ipyparallel import (
    AsyncHubResult,
    AsyncMapResult,
    AsyncResult,
    BroadcastView,
    Client,
    DirectView,
    LoadBalancedView,
)
from ipyparallel.client.client import ExecuteReply
from ipyparallel.client.view import LazyMapIterator, View, ViewExecutor
from ipyparallel.error import CompositeError
from ipyparallel.serialize.canning import CannedFunction

from . import (
    broadcast_calls,
    canned_code,
    carried_errors,
    client_mixin,
    executor_mixin,
    future_mixin,
    held_calls,
    map_mixin,
    originals,
    pool_mixin,
    view_map,
)
from .legacy import results as legacy_results
from .map_iteration import MapIteration
from .notebook import reprs as notebook_reprs
from .originals import original_of
from .result_shim import ResultAccess

# The versions this table was written and tested for.
TESTED = ((9, 2), (10, 0))


@dataclass(frozen=True)
class Patch:
    """One row of the table.

    Attributes
    ----------
    target : type
        The class of ipyparallel's.
    name : str
        The attribute that is added or replaced.
    new : object
        What it becomes; with `wraps`, a callable that makes it of the original.
    why : str
    kind : str
        ``"add"`` for a name that ipyparallel does not have there, ``"replace"`` for one it has or inherits.
    wraps : bool
    """

    target: type
    name: str
    new: Any
    why: str
    kind: str = "replace"
    wraps: bool = False


def _row(target: type, name: str, new: Any, why: str) -> Patch:
    return Patch(target, name, new, why, "replace" if hasattr(target, name) else "add")


def _wrapping(target: type, name: str, make: Callable[[Any], Any], why: str) -> Patch:
    return Patch(target, name, make, why, "replace", wraps=True)


def _balanced_apply(original: Callable[..., Any]) -> Callable[..., Any]:
    return held_calls.wrap_balanced_apply(carried_errors.wrap_really_apply(original))


_BASES = "isinstance(view, ...) holds for concurrent.futures.Executor, as dask asks, and ViewExecutor, as adaptive asks"

PATCHES: tuple[Patch, ...] = (
    Patch(View, "__bases__", (*View.__bases__, pool_mixin.ViewIsItsExecutor), _BASES),
    _row(View, "submit", executor_mixin.submit, "PEP 3148: schedule a call"),
    _row(View, "__enter__", executor_mixin.enter, "PEP 3148: executors are context managers"),
    _row(View, "__exit__", executor_mixin.exit_, "PEP 3148: leaving the block waits; engines keep running"),
    _row(View, "__bool__", executor_mixin.is_true, "`executor or other` keeps a view that has no engines yet"),
    _row(View, "_max_workers", property(executor_mixin.max_workers), "what dask and others divide work by"),
    _row(View, "size", property(pool_mixin.size), "as pools have it: dynesty divides work by it"),
    _row(View, "starmap", pool_mixin.starmap, "as pools have it: pymoo maps with it"),
    _wrapping(View, "shutdown", executor_mixin.wrap_shutdown, "PEP 3148's meaning beside ipyparallel's"),
    _row(LoadBalancedView, "map", view_map.balanced_map, "timeout, chunksize, buffersize; grouped calls"),
    _wrapping(DirectView, "map", view_map.wrap_direct_map, "timeout, buffersize, zip; errors in place"),
    _wrapping(BroadcastView, "map", view_map.wrap_direct_map, "timeout, buffersize, zip; errors in place"),
    _wrapping(DirectView, "_really_apply", carried_errors.wrap_really_apply, "errors keep their type"),
    _wrapping(BroadcastView, "_really_apply", carried_errors.wrap_really_apply, "errors keep their type"),
    _wrapping(
        BroadcastView, "_make_async_result", broadcast_calls.wrap_make_async_result, "wait() waits for what is answered"
    ),
    _wrapping(LoadBalancedView, "_really_apply", _balanced_apply, "errors keep their type; after=ar of a grouped call"),
    _row(View, "_repr_html_", notebook_reprs.view_html, "a line in notebooks: engines, what is outstanding"),
    _row(ViewExecutor, "submit", executor_mixin.executor_submit, "hands on to the view"),
    _row(ViewExecutor, "map", executor_mixin.executor_map, "hands on to the view"),
    _row(ViewExecutor, "shutdown", executor_mixin.executor_shutdown, "hands on to the view"),
    _row(ViewExecutor, "size", property(pool_mixin.size), "as pools have it: dynesty divides work by it"),
    _row(ViewExecutor, "starmap", pool_mixin.starmap, "as pools have it: pymoo maps with it"),
    _row(ViewExecutor, "_max_workers", executor_mixin.MaxWorkersOfView(), "live, as the view's"),
    _row(AsyncResult, "result", ResultAccess(), "callable as in PEP 3148, and the value as in IPython.parallel"),
    _row(AsyncResult, "cancel", future_mixin.cancel, "PEP 3148: True only if the call will never run"),
    _row(AsyncResult, "running", future_mixin.running, "PEP 3148: stock says False always"),
    _row(AsyncResult, "done", future_mixin.done, "PEP 3148"),
    _row(AsyncResult, "exception", future_mixin.exception, "PEP 3148"),
    _row(AsyncResult, "add_done_callback", future_mixin.add_done_callback, "callbacks may submit and wait"),
    _row(AsyncResult, "_invoke_callbacks", future_mixin.invoke_callbacks, "callbacks leave the receiving thread"),
    _row(AsyncResult, "_run_callbacks", future_mixin.run_callbacks, "callbacks leave the receiving thread"),
    _row(AsyncResult, "__await__", future_mixin.await_, "`await ar` in asyncio"),
    _row(AsyncResult, "_repr_html_", notebook_reprs.result_html, "a line in notebooks: state, engine, timings"),
    _wrapping(AsyncResult, "_init_futures", future_mixin.wrap_init_futures, "a sent call counts as running"),
    _wrapping(AsyncResult, "_resolve_result", future_mixin.wrap_resolve_result, "an exception returned is a value"),
    _wrapping(AsyncResult, "_collect_exceptions", carried_errors.wrap_collect_exceptions, "parts keep their type"),
    _wrapping(AsyncResult, "__getitem__", legacy_results.wrap_getitem, "what succeeded, beside what failed"),
    _row(AsyncResult, "sent", property(legacy_results.sent), "valid as soon as there is a result, as it was"),
    _row(
        AsyncResult,
        "_tracker",
        property(legacy_results.tracker, legacy_results.set_tracker),
        "there as soon as the message is handed over",
    ),
    _row(AsyncResult, "_tracker_made", None, "what ipyparallel sets as _tracker"),
    _row(AsyncResult, "pyout", property(legacy_results.pyout), "execute_result, as IPython 2 called it"),
    _row(ExecuteReply, "pyout", property(legacy_results.pyout), "execute_result, as IPython 2 called it"),
    _wrapping(CannedFunction, "__init__", canned_code.wrap_can, "annotations need not have values"),
    _row(CannedFunction, "__getstate__", canned_code.state_of_canned, "another Python refuses it instead of crashing"),
    _wrapping(CompositeError, "raise_exception", carried_errors.wrap_raise_exception, "parts keep their type"),
    _row(AsyncResult, "join", classmethod(future_mixin.join), "joins results of load-balanced views and of maps, too"),
    _row(AsyncHubResult, "_init_futures", future_mixin.hub_init_futures, "made of futures, which the Hub is asked for"),
    _row(AsyncHubResult, "wait", AsyncResult.wait, "waits for these futures; stock is for one thread at a time"),
    _row(AsyncHubResult, "ready", future_mixin.hub_ready, "asks the Hub, as stock"),
    _row(AsyncHubResult, "progress", property(future_mixin.hub_progress), "stock counts the client's own messages"),
    _row(AsyncHubResult, "add_done_callback", future_mixin.hub_add_done_callback, "kept until callbacks have run"),
    _wrapping(AsyncHubResult, "__getitem__", future_mixin.wrap_hub_getitem, "metadata is known by asking the Hub"),
    _row(AsyncMapResult, "__iter__", map_mixin.map_iter, "errors at their position, in their own type"),
    _row(AsyncMapResult, "__next__", map_mixin.map_next, "the result of map is an iterator"),
    _row(AsyncMapResult, "_iterate", map_mixin.iterate, "iteration, with the map's timeout"),
    _row(AsyncMapResult, "_iterator", MapIteration._iterator, "where the loop is"),
    _row(AsyncMapResult, "_at_end", MapIteration._at_end, "whether the loop has ended"),
    _row(AsyncMapResult, "_in_one_go", MapIteration._in_one_go, "whether the next loop begins anew"),
    _row(LazyMapIterator, "__iter__", map_mixin.lazy_iter, "an iterator is its own"),
    _row(AsyncMapResult, "_deadline", None, "the map's timeout"),
    _row(AsyncMapResult, "_yield_child_results", map_mixin.yield_child_results, "errors at their position"),
    _row(AsyncMapResult, "_collect_exceptions", map_mixin.collect_map_exceptions, "finds errors inside chunks"),
    _row(AsyncMapResult, "split", map_mixin.split, "an error in a chunk is that part's error"),
    _row(AsyncMapResult, "_parts", None, "what split() gave"),
    _wrapping(Client, "_unwrap_exception", carried_errors.wrap_unwrap_exception, "errors keep their type"),
    _wrapping(Client, "_asyncresult_from_jobs", client_mixin.wrap_asyncresult_from_jobs, "finds grouped calls"),
    _wrapping(Client, "wait", client_mixin.wrap_wait, "waits for other clients' calls, too"),
    _wrapping(Client, "_await_futures", client_mixin.wrap_await_futures, "what failed is over, too: stock logs errors"),
    _wrapping(Client, "abort", client_mixin.wrap_abort, "aborts grouped calls"),
    _wrapping(Client, "_send", client_mixin.wrap_send, "raises when the controller is gone; stock waits for ever"),
    _row(Client, "_repr_html_", notebook_reprs.client_html, "a line in notebooks: engines, what is outstanding"),
    _wrapping(Client, "close", client_mixin.wrap_close, "outstanding calls fail instead of waiting for ever"),
)

_lock = threading.Lock()


class UnsupportedVersion(ImportError):
    """The installed ipyparallel is not one this patch was made for."""


def install() -> None:
    """Put the patches on; once is enough, and twice is once.

    Raises
    ------
    UnsupportedVersion
        If ipyparallel is outside the tested range or lacks a patched name; nothing is changed then.

    Notes
    -----
    Any thread. Importing the package does it.

    .. versionadded:: 0.1
    """
    with _lock:
        if originals.recorded:
            return
        _check(ipyparallel.version_info, PATCHES)
        for patch in PATCHES:
            originals.recorded[patch.target, patch.name] = _own(patch.target, patch.name)
        for patch in PATCHES:
            setattr(patch.target, patch.name, _made(patch))


def uninstall() -> None:
    """Take the patches off: the very same objects are back. Results and views made meanwhile lose what they gained.

    Any thread.

    .. versionadded:: 0.1
    """
    with _lock:
        for patch in reversed(PATCHES):
            _take_off(patch.target, patch.name)


def _take_off(target: type, name: str) -> None:
    if (target, name) not in originals.recorded:
        return
    before = originals.recorded.pop((target, name))
    if before is originals.ABSENT:
        delattr(target, name)
    else:
        setattr(target, name, before)


def _own(target: type, name: str) -> Any:
    return target.__bases__ if name == "__bases__" else vars(target).get(name, originals.ABSENT)


def _made(patch: Patch) -> Any:
    return patch.new(original_of(patch.target, patch.name)) if patch.wraps else patch.new


def _check(version: tuple[Any, ...], patches: tuple[Patch, ...]) -> None:
    lowest, highest = TESTED
    if not lowest <= tuple(version[:2]) < highest:
        found = ".".join(map(str, version[:3]))
        raise UnsupportedVersion(
            f"IPython.parallel works with ipyparallel from {_dotted(lowest)} up to {_dotted(highest)}, found {found}; "
            f"install one of these (pip install 'ipyparallel>={_dotted(lowest)},<{_dotted(highest)}')"
        )
    for patch in patches:
        if patch.kind == "replace" and not hasattr(patch.target, patch.name):
            raise UnsupportedVersion(
                f"this ipyparallel has no {patch.target.__name__}.{patch.name}, which IPython.parallel builds on; "
                f"install ipyparallel {_dotted(lowest)}"
            )


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
