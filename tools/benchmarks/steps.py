"""What each design step gave: ours without one of them, for `--steps`.

Knows the inside of IPython.parallel, unlike the rest: each variant undoes one step in its own process.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

FOREVER = 3600.0


def one_call_a_message() -> Any:
    from IPython.parallel.dispatch.batch_policy import BatchPolicy

    return mock.patch.object(BatchPolicy, "size", lambda policy, waiting, engines: 1)


def one_group_in_flight() -> Any:
    from IPython.parallel.dispatch.batch_policy import BatchPolicy

    return mock.patch.object(BatchPolicy, "depth", lambda policy: 1)


def large_groups_always() -> Any:
    from IPython.parallel.dispatch.batch_policy import MOST, BatchPolicy

    return mock.patch.object(BatchPolicy, "observe", lambda policy, calls, seconds: setattr(policy, "_size", MOST))


def nothing_given_back() -> Any:
    from IPython.parallel.dispatch import groups

    return mock.patch.object(groups, "OVERRUN", FOREVER)


def pickle_for_each_call() -> Any:
    from IPython.parallel import call_pickling

    def pickle_arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return call_pickling._dump_frames((args, kwargs))

    return mock.patch.object(call_pickling, "pickle_arguments", pickle_arguments)


def function_in_each_call() -> Any:
    from IPython.parallel import call_pickling

    return mock.patch.object(call_pickling, "pickle_function", lambda function: None)


def stock_parts_at_once() -> Any:
    from IPython.parallel.task_result import TaskResult

    make = TaskResult.__init__

    def make_all(self: Any, *args: Any, **kwargs: Any) -> None:
        make(self, *args, **kwargs)
        self._children  # noqa: B018 - makes the message's futures, their metadata and locks

    return mock.patch.object(TaskResult, "__init__", make_all)


def large_ones_through_the_controller() -> Any:
    from IPython.parallel.connection.transport import lent_memory

    return mock.patch.multiple(lent_memory, lend=lambda *pieces: None, can_borrow=lambda probe: False)


def reports_in_an_event_loop() -> Any:
    from tornado.ioloop import IOLoop
    from zmq.eventloop.zmqstream import ZMQStream

    from IPython.parallel.connection import mux_connection

    class InLoop(mux_connection.ReportListener):
        def _listen(self) -> None:
            loop = IOLoop(make_current=False)
            ZMQStream(self._incoming, loop).on_recv(self._receive_safely, copy=False)
            ZMQStream(self._monitor, loop).on_recv(lambda event: self._connected())
            loop.add_handler(self._stopped, lambda *event: loop.stop(), IOLoop.READ)
            loop.start()

    return mock.patch.object(mux_connection, "ReportListener", InLoop)


def without(step: Callable[[], Any]) -> Callable[[int], contextlib.AbstractContextManager[Any]]:
    """Start ours with a step undone."""

    @contextlib.contextmanager
    def start(workers: int) -> Iterator[Any]:
        from IPython.parallel.running.local_cluster import LocalCluster

        with step(), LocalCluster(workers) as client:
            yield client.load_balanced_view()

    return start


class OwnMessages:
    """ipyparallel's own way: each call a message through client and kernel."""

    def __init__(self, view: Any) -> None:
        self.submit = view.apply_async


@contextlib.contextmanager
def start_long_way(workers: int) -> Iterator[OwnMessages]:
    from IPython.parallel.running.local_cluster import LocalCluster

    with LocalCluster(workers) as client:
        yield OwnMessages(client.load_balanced_view())
