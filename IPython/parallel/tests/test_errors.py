"""Our own errors: what catches them, what they say, and that they survive pickle and copy."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import concurrent.futures
import copy
import pickle
from concurrent.futures.process import BrokenProcessPool

import pytest
from ipyparallel.error import EngineError

from IPython.parallel import errors

EXAMPLES = [
    errors.CallNotSendable("load", "result", "cannot pickle '_io.TextIOWrapper' object", "_io.TextIOWrapper"),
    errors.CallNotSendable("load", "call", "No module named 'pandas'"),
    errors.EngineDied(3, "simulate"),
    errors.ClusterGone("no heartbeat for 10 s"),
    errors.ExecutorShutdown(),
    errors.InitializerFailed("connect", 2, "OSError: no route"),
]


@pytest.mark.parametrize(
    ("cls", "caught_by"),
    [
        (errors.CallNotSendable, pickle.PicklingError),
        (errors.EngineDied, EngineError),
        (errors.EngineDied, BrokenProcessPool),
        (errors.ClusterGone, concurrent.futures.BrokenExecutor),
        (errors.InitializerFailed, BrokenProcessPool),
        (errors.ExecutorShutdown, RuntimeError),
    ],
)
def test_existing_handlers_catch_it(cls: type, caught_by: type) -> None:
    assert issubclass(cls, caught_by)


def test_a_cluster_that_is_gone_is_not_taken_for_one_dead_engine() -> None:
    assert not issubclass(errors.ClusterGone, (BrokenProcessPool, EngineError))
    assert not issubclass(errors.EngineDied, errors.ClusterGone)


def test_shutdown_says_what_the_standard_library_says() -> None:
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        pass
    with pytest.raises(RuntimeError) as caught:
        pool.submit(print)
    assert str(errors.ExecutorShutdown()) == str(caught.value)


@pytest.mark.parametrize(
    ("error", "words"),
    list(
        zip(
            EXAMPLES,
            [
                ["load", "_io.TextIOWrapper", "cannot pickle", "return something"],
                ["load", "No module named 'pandas'", "install"],
                ["engine 3", "simulate", "submit the call again"],
                ["cluster is gone", "no heartbeat for 10 s", "start it again"],
                ["shutdown"],
                ["connect", "engine 2", "OSError: no route", "repair"],
            ],
            strict=True,
        )
    ),
    ids=lambda value: type(value).__name__,
)
def test_the_message_names_the_facts_and_what_to_do(error: Exception, words: list[str]) -> None:
    message = str(error)
    assert [word for word in words if word not in message] == []
    assert "\n" not in message


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("through", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])
def test_survives_pickle_and_copy(error: Exception, through: object) -> None:
    error.add_note("seen")
    again = through(error)  # type: ignore[operator]
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))
