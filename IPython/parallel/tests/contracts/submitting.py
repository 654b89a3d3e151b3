"""Contract of `submit`: arguments, results, errors, and what cannot be pickled."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

from concurrent.futures import Executor, Future, wait

import pytest

from IPython.parallel.tests.contracts.harness import (
    PATIENCE,
    Calls,
    ExecutorContract,
    Gate,
    Trace,
)


class SubmitContract(ExecutorContract):
    """Results come back, whatever the arguments are called."""

    def test_is_an_executor(self, executor: Executor) -> None:
        assert isinstance(executor, Executor)

    def test_idle_executor_is_true(self, executor: Executor) -> None:
        assert (executor or None) is executor

    def test_makes_futures(self, executor: Executor, calls: Calls) -> None:
        future = executor.submit(calls.add, 1, 2)
        assert isinstance(future, Future)
        assert future.result(PATIENCE) == 3

    def test_result_stays(self, executor: Executor, calls: Calls) -> None:
        future = executor.submit(calls.add, "a", "b")
        assert [future.result(PATIENCE), future.result(0), future.result()] == ["ab"] * 3

    @pytest.mark.parametrize("value", [None, False, 0, "", b"\x00\xff", [], {"a": (1, [2.5])}, {1, 2}, ..., 10**100])
    def test_values_come_back(self, executor: Executor, calls: Calls, value: object) -> None:
        result = executor.submit(calls.identity, value).result(PATIENCE)
        assert result == value
        assert type(result) is type(value)

    def test_nan_is_no_obstacle(self, executor: Executor, calls: Calls) -> None:
        result = executor.submit(calls.identity, float("nan")).result(PATIENCE)
        assert result != result

    def test_instances_come_back_as_their_class(self, executor: Executor, calls: Calls) -> None:
        result = executor.submit(calls.identity, [calls.Point(1, 2)]).result(PATIENCE)
        assert result == [calls.Point(1, 2)]
        assert isinstance(result[0], calls.Point)

    def test_bound_methods(self, executor: Executor, calls: Calls) -> None:
        assert executor.submit(calls.Point(1, 2).scaled, 3).result(PATIENCE) == calls.Point(3, 6)

    def test_classes_and_builtins_are_callables(self, executor: Executor, calls: Calls) -> None:
        assert executor.submit(calls.Point, 1, y=2).result(PATIENCE) == calls.Point(1, 2)
        assert executor.submit(divmod, 17, 5).result(PATIENCE) == (3, 2)

    @pytest.mark.parametrize("name", ["fn", "self", "f", "args", "kwargs", "func", "block", "timeout", "chunksize"])
    def test_every_keyword_goes_to_the_call(self, executor: Executor, calls: Calls, name: str) -> None:
        assert executor.submit(calls.echo, 0, **{name: 1}).result(PATIENCE) == ((0,), {name: 1})

    @pytest.mark.parametrize("name", ["after", "follow", "targets", "retries", "track", "ordered", "__ipp_f"])
    def test_names_of_view_options_are_no_exception(self, executor: Executor, calls: Calls, name: str) -> None:
        assert executor.submit(calls.echo, **{name: 1}).result(PATIENCE) == ((), {name: 1})

    def test_function_is_positional_only(self, executor: Executor, calls: Calls) -> None:
        with pytest.raises(TypeError):
            executor.submit(fn=calls.echo)

    def test_function_is_required(self, executor: Executor) -> None:
        with pytest.raises(TypeError):
            executor.submit()

    def test_wrong_arguments_are_the_calls_error(self, executor: Executor, calls: Calls) -> None:
        assert isinstance(executor.submit(calls.add, 1).exception(PATIENCE), TypeError)

    def test_what_cannot_be_called_is_the_calls_error(self, executor: Executor) -> None:
        assert isinstance(executor.submit("not a function").exception(PATIENCE), TypeError)

    def test_many_calls_keep_their_results_apart(self, executor: Executor, calls: Calls) -> None:
        futures = [executor.submit(calls.add, n, 1) for n in range(300)]
        assert [future.result(PATIENCE) for future in futures] == list(range(1, 301))

    def test_large_arguments_and_results(self, executor: Executor, calls: Calls) -> None:
        payload = bytes(range(256)) * 8192
        assert executor.submit(calls.identity, payload).result(PATIENCE) == payload

    def test_calls_run_at_the_same_time(self, executor: Executor, calls: Calls, gate: Gate) -> None:
        held = self.occupy(executor, calls, gate)  # fails if they don't
        assert not any(future.done() for future in held)


class OrderContract(ExecutorContract):
    """With one worker, calls run in the order in which they were submitted."""

    workers = 1

    def test_calls_run_in_the_order_of_submission(self, executor, calls: Calls, gate: Gate, tracer: Trace) -> None:
        self.occupy(executor, calls, gate)
        futures = [executor.submit(calls.trace, tracer.path, n) for n in range(40)]
        gate.open()
        wait(futures, timeout=PATIENCE)
        assert tracer.lines() == [str(n) for n in range(40)]

    def test_map_and_submit_keep_their_order(self, executor, calls: Calls, gate: Gate, tracer: Trace) -> None:
        self.occupy(executor, calls, gate)
        first = executor.submit(calls.trace, tracer.path, "first")
        middle = executor.map(calls.trace, [tracer.path] * 3, "abc")
        last = executor.submit(calls.trace, tracer.path, "last")
        gate.open()
        assert [first.result(PATIENCE), *middle, last.result(PATIENCE)] == ["first", *"abc", "last"]
        assert tracer.lines() == ["first", *"abc", "last"]


class CallErrorContract(ExecutorContract):
    """What the call raises is what the caller catches."""

    def test_type_and_arguments(self, executor: Executor, calls: Calls) -> None:
        with pytest.raises(ValueError, match="^wrong$") as caught:
            executor.submit(calls.raise_error, ValueError("wrong")).result(PATIENCE)
        assert caught.value.args == ("wrong",)

    def test_result_raises_every_time(self, executor: Executor, calls: Calls) -> None:
        future = executor.submit(calls.reciprocal, 0)
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                future.result(PATIENCE)

    def test_exception_returns_what_result_raises(self, executor: Executor, calls: Calls) -> None:
        future = executor.submit(calls.raise_error, KeyError("k"))
        with pytest.raises(KeyError) as caught:
            future.result(PATIENCE)
        assert future.exception() is caught.value

    def test_exception_of_a_success_is_none(self, executor: Executor, calls: Calls) -> None:
        assert executor.submit(calls.add, 1, 2).exception(PATIENCE) is None

    def test_returned_exceptions_are_results(self, executor: Executor, calls: Calls) -> None:
        future = executor.submit(calls.identity, ValueError("not raised"))
        assert future.exception(PATIENCE) is None
        assert future.result().args == ("not raised",)

    def test_custom_class_with_attributes(self, executor: Executor, calls: Calls) -> None:
        error = executor.submit(calls.raise_error, calls.CustomError("broken", 7)).exception(PATIENCE)
        assert isinstance(error, calls.CustomError)
        assert (error.args, error.code) == (("broken", 7), 7)

    @pytest.mark.parametrize("raised", [SystemExit(3), KeyboardInterrupt("no"), GeneratorExit()], ids=repr)
    def test_exits_end_the_call_alone(self, executor: Executor, calls: Calls, raised: BaseException) -> None:
        error = executor.submit(calls.raise_error, raised).exception(PATIENCE)
        assert isinstance(error, type(raised))
        assert error.args == raised.args
        assert executor.submit(calls.add, 1, 2).result(PATIENCE) == 3

    @pytest.mark.parametrize("raised", [StopIteration(5), StopAsyncIteration("s"), TimeoutError("t")], ids=repr)
    def test_exceptions_with_a_meaning_of_their_own(self, executor, calls: Calls, raised: Exception) -> None:
        error = executor.submit(calls.raise_error, raised).exception(PATIENCE)
        assert isinstance(error, type(raised))
        assert error.args == raised.args

    def test_errors_do_not_spread(self, executor: Executor, calls: Calls) -> None:
        futures = [executor.submit(calls.reciprocal, n % 2) for n in range(20)]
        assert [n for n, future in enumerate(futures) if future.exception(PATIENCE)] == list(range(0, 20, 2))


class RemoteCauseContract(ExecutorContract):
    """Where calls run in another process, the error's cause shows the traceback from there."""

    def test_cause_shows_the_remote_traceback(self, executor: Executor, calls: Calls) -> None:
        error = executor.submit(calls.raise_error, ValueError("wrong")).exception(PATIENCE)
        assert error.__cause__ is not None
        assert "in raise_error" in str(error.__cause__)
        assert "ValueError: wrong" in str(error.__cause__)

    def test_cause_shows_what_the_error_was_raised_from(self, executor: Executor, calls: Calls) -> None:
        future = executor.submit(calls.raise_from, ValueError("outer"), KeyError("inner"))
        assert "KeyError: 'inner'" in str(future.exception(PATIENCE).__cause__)


class PicklingContract(ExecutorContract):
    """Where arguments and results travel, what cannot travel is that call's own error."""

    def test_unpicklable_argument(self, executor: Executor, calls: Calls) -> None:
        future = executor.submit(calls.identity, calls.make_lock())
        assert "pickle" in str(future.exception(PATIENCE))
        assert executor.submit(calls.add, 1, 2).result(PATIENCE) == 3

    def test_argument_that_raises_when_pickled(self, executor: Executor, calls: Calls) -> None:
        error = executor.submit(calls.identity, calls.ErrorAtPickle()).exception(PATIENCE)
        assert isinstance(error, calls.CustomError)
        assert error.code == 1
        assert executor.submit(calls.add, 1, 2).result(PATIENCE) == 3

    @pytest.mark.parametrize("maker", ["make_lock", "make_error_at_pickle"])
    def test_unpicklable_result(self, executor: Executor, calls: Calls, maker: str) -> None:
        error = executor.submit(getattr(calls, maker)).exception(PATIENCE)
        assert "pickl" in str(error)
        assert executor.submit(calls.add, 1, 2).result(PATIENCE) == 3

    def test_neighbours_of_an_unpicklable_call_succeed(self, executor: Executor, calls: Calls) -> None:
        arguments = [calls.make_lock() if n == 5 else n for n in range(10)]
        futures = [executor.submit(calls.identity, argument) for argument in arguments]
        assert [n for n, future in enumerate(futures) if future.exception(PATIENCE)] == [5]


class HostilePayloadContract(ExecutorContract):
    """Views only: the stdlib's pool breaks as a whole when something raises as it is unpickled."""

    def test_argument_that_raises_when_unpickled(self, executor: Executor, calls: Calls) -> None:
        future = executor.submit(calls.identity, calls.ErrorAtUnpickle())
        assert "no unpickling" in str(future.exception(PATIENCE))
        assert executor.submit(calls.add, 1, 2).result(PATIENCE) == 3

    def test_result_that_raises_when_unpickled(self, executor: Executor, calls: Calls) -> None:
        error = executor.submit(calls.make_error_at_unpickle).exception(PATIENCE)
        assert "no unpickling" in str(error)
        assert executor.submit(calls.add, 1, 2).result(PATIENCE) == 3

    def test_neighbours_of_a_hostile_call_succeed(self, executor: Executor, calls: Calls) -> None:
        arguments = [calls.ErrorAtUnpickle() if n == 5 else n for n in range(10)]
        futures = [executor.submit(calls.identity, argument) for argument in arguments]
        assert [n for n, future in enumerate(futures) if future.exception(PATIENCE)] == [5]

    def test_neighbours_of_a_hostile_result_succeed(self, executor: Executor, calls: Calls) -> None:
        makers = [calls.make_error_at_unpickle if n == 5 else calls.Point(n, n).scaled for n in range(10)]
        futures = [executor.submit(make, *() if n == 5 else (1,)) for n, make in enumerate(makers)]
        assert [n for n, future in enumerate(futures) if future.exception(PATIENCE)] == [5]


class ArgumentsContract(ExecutorContract):
    """Views only: arguments are taken as they are at the call (the pools take them when they get to it)."""

    def test_later_changes_do_not_show(self, executor: Executor, calls: Calls, gate: Gate) -> None:
        self.occupy(executor, calls, gate)
        argument = [1, 2]
        futures = [executor.submit(calls.identity, argument) for _ in range(10)]
        argument.append(3)
        gate.open()
        assert [future.result(PATIENCE) for future in futures] == [[1, 2]] * 10

    def test_the_callers_object_stays_untouched(self, executor: Executor, calls: Calls) -> None:
        argument = [1]
        assert executor.submit(calls.append_there, argument).result(PATIENCE) == [1, "there"]
        assert argument == [1]

    def test_calls_do_not_share_arguments(self, executor: Executor, calls: Calls) -> None:
        argument: list[object] = [1]
        futures = [executor.submit(calls.append_there, argument) for _ in range(10)]
        assert [future.result(PATIENCE) for future in futures] == [[1, "there"]] * 10
