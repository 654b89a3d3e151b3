"""The runner of groups, alone: one outcome per call, its output, what overruns, what is kept between groups."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import asyncio
import itertools
import pickle
import sys
import threading
import types
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ipyparallel.serialize import serialize_object

from IPython.parallel import engine_bundle
from IPython.parallel.call_pickling import dumps, pickle_call
from IPython.parallel.connection.transport import read_report
from IPython.parallel.dispatch.wire import Report
from IPython.parallel.engine_bundle import PYTHON
from IPython.parallel.tests.contracts.harness import PATIENCE

package = engine_bundle.load()
WHO = {"engine_id": 3, "engine_uuid": "uuid-3", "host": "here"}
LARGE = package.running_group.INLINE + 1
loads = engine_bundle.load().shipping.loads

_numbers = itertools.count()


class Bench:
    """A runner, and what it reports. Calls are numbered from 0 in each group.

    Attributes
    ----------
    frames : list
        The last final report, as it would travel.
    early : list of Report
        What was published while groups ran.
    """

    def __init__(self, output: Any = None) -> None:
        self.user_ns: dict[str, Any] = {}
        self.hidden: dict[str, Any] = {}
        self.early: list[Report] = []
        self.published = threading.Event()
        output = output or package.call_output.Output()
        self.runner = package.engine_runner.Runner(WHO, self._publish, self.user_ns, self.hidden, output)
        self.own_messages = package.own_messages.OwnMessages(self.runner)
        # All runners of this process have the same namespaces.
        self.space = f"space-{next(_numbers)}"

    def _publish(self, frames: list[bytes]) -> None:
        self.early.append(read_report(frames, final=False))
        self.published.set()

    def run(self, *calls: tuple[Any, bytes], send_functions: bool = True, **header: Any) -> Report:
        functions = {f.key: f for f, _ in calls if f is not None} if send_functions else {}
        frames: list[Any] = []
        listed = [self._listed(serial, *call, frames) for serial, call in enumerate(calls)]
        head = {
            "client": "client",
            "epoch": 0,
            "number": next(_numbers),
            "awaited": [],
            "seconds": 10 * PATIENCE,
            "space": self.space,
            "setup": None,
            "lifetime": None,
            "lent": None,
            "borrows": False,
        }
        listed_functions = [(f.key, f.data, f.fresh) for f in functions.values()]
        head |= {"functions": listed_functions, "calls": listed} | header
        self.frames = self.runner.run_group([pickle.dumps(head), *frames])
        return read_report(self.frames, final=True)

    @staticmethod
    def _listed(serial: int, function: Any, payload: Any, frames: list[Any]) -> tuple[Any, ...]:
        if isinstance(payload, list):
            first = len(frames) + 1
            frames += payload
            payload = range(first, len(frames) + 1)
        return serial, function and function.key, payload, f"call {serial}"

    def let_time_be_up(self) -> None:
        """What happens when the group has run for its seconds."""
        watchdog = self.runner._watchdog
        with watchdog._changed:
            watchdog._deadline = 0.0
            watchdog._changed.notify()


@pytest.fixture
def bench() -> Iterator[Bench]:
    global _bench
    _bench = Bench()
    ran.clear()
    yield _bench
    _bench = None


# -- what calls do: found by name, as these tests share a process with the runner

_bench: Bench | None = None
ran: list[Any] = []


def note(label: Any) -> Any:
    ran.append(label)
    return label


def fail(text: str = "as told") -> None:
    raise LookupError(text)


def leave() -> None:
    sys.exit(3)


def write(out: str, err: str = "") -> None:
    sys.stdout.write(out)
    sys.stderr.write(err)


def overrun() -> str:
    """Return when the early report is out."""
    assert _bench is not None
    _bench.let_time_be_up()
    assert _bench.published.wait(PATIENCE), "the watchdog did not come"
    return "overran"


def run_a_loop() -> str:
    async def work() -> str:
        await asyncio.sleep(0)
        return "ran"

    return asyncio.run(work())


class Unpicklable:
    def __reduce__(self) -> Any:
        raise TypeError("not this one")


def make_unpicklable() -> Unpicklable:
    return Unpicklable()


def call(function: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[Any, bytes]:
    return pickle_call(function, args, kwargs)


def statuses(report: Report) -> list[str]:
    return ["ok" if outcome.succeeded else outcome.status for outcome in report.outcomes]


def values(report: Report) -> list[Any]:
    return [o.data if o.status == "plain" else loads(o.data) for o in report.outcomes]


def outputs(report: Report) -> list[Any]:
    return [outcome.output for outcome in report.outcomes]


def described(error: dict[str, Any]) -> dict[str, Any]:
    """The outermost exception of a packed one."""
    return error["error"]["exceptions"][0]


@pytest.fixture
def by_value(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Makes a function of the caller's ``__main__``, which has these globals."""

    def make(source: str, **globals_: Any) -> Any:
        main = types.ModuleType("__main__")
        vars(main).update(globals_)
        monkeypatch.setitem(sys.modules, "__main__", main)
        return eval(source, vars(main))

    return make


class TestOutcomes:
    def test_values_in_order_of_the_calls(self, bench: Bench) -> None:
        report = bench.run(call(note, 1), call(note, [2]), call(dict, a=3))
        assert statuses(report) == ["ok"] * 3
        assert values(report) == ran + [{"a": 3}] == [1, [2], {"a": 3}]
        assert [outcome.serial for outcome in report.outcomes] == [0, 1, 2]
        assert (report.epoch, list(report.returned)) == (0, [])

    def test_times_are_in_order(self, bench: Bench) -> None:
        first, second = bench.run(call(note, 1), call(note, 2)).outcomes
        assert first.started <= first.completed <= second.started <= second.completed

    @pytest.mark.parametrize("function", [fail, leave, make_unpicklable])
    def test_whatever_is_raised_is_that_calls_error(self, bench: Bench, function: Any) -> None:
        report = bench.run(call(note, 1), call(function), call(note, 2))
        assert statuses(report) == ["ok", "error", "ok"]
        assert ran == [1, 2]

    def test_error_says_what_and_where(self, bench: Bench) -> None:
        (error,) = values(bench.run(call(fail, "no such key")))
        assert error["engine"] == {**WHO, "method": "apply", "call": "call 0"}
        assert described(error)["message"] == "no such key"
        assert "in fail\n" in described(error)["traceback"]
        assert engine_bundle.name() not in described(error)["traceback"]

    def test_broken_payload_is_its_calls_error(self, bench: Bench) -> None:
        function, _ = call(note, 1)
        report = bench.run((function, b"no pickle"), (None, b"none either"), call(note, 2))
        assert statuses(report) == ["error", "error", "ok"]

    def test_broken_function_is_the_error_of_the_calls_that_use_it(self, bench: Bench) -> None:
        function, payload = call(note, 1)
        report = bench.run((function, payload), call((-2).__abs__), functions=[(function.key, b"no pickle", False)])
        assert statuses(report) == ["error", "ok"]


class TestAnotherPythonsCaller:
    TOLD = "the caller runs Python 3.9 and this engine "

    @pytest.fixture(autouse=True)
    def _met(self, bench: Bench) -> None:
        bench.runner.introduce("client", (3, 9))

    def test_is_told_of_the_versions_where_a_call_cannot_be_read(self, bench: Bench) -> None:
        function, payload = call(note, 1)
        errors = values(bench.run((function, payload), functions=[(function.key, b"no pickle", False)]))
        errors += values(bench.run((function, b"no pickle"), (None, b"none either")))
        assert [described(error)["traceback"].count(self.TOLD) for error in errors] == [1, 1, 1]

    def test_not_where_the_error_is_the_calls_own(self, bench: Bench) -> None:
        (error,) = values(bench.run(call(fail)))
        assert self.TOLD not in described(error)["traceback"]

    def test_not_where_the_error_says_so(self, bench: Bench) -> None:
        (error,) = values(bench.run((None, pickle.dumps((_Made((3, 9)), (), {})))))
        assert described(error)["message"].startswith("code of Python 3.9 cannot run on Python 3.")
        assert self.TOLD not in described(error)["traceback"]

    def test_who_runs_the_same_is_told_nothing(self, bench: Bench) -> None:
        bench.runner.introduce("another", PYTHON)
        (error,) = values(bench.run((None, b"no pickle"), client="another"))
        assert "Python" not in described(error)["traceback"].splitlines()[-1]


class _Made:
    """Pickles as code of this version."""

    def __init__(self, version: tuple[int, int]) -> None:
        self._version = version

    def __reduce__(self) -> Any:
        return engine_bundle.load().shipping.make_code, (self._version, "script.py", ())


def test_a_group_that_comes_twice_runs_once(bench: Bench) -> None:
    # Somebody may send again what was signed long ago, when its signature is no longer remembered.
    number = next(_numbers)
    assert values(bench.run(call(note, "once"), number=number)) == ["once"]
    again = bench.run(call(note, "once"), number=number)
    assert (again.outcomes, again.returned, ran) == ([], [0], ["once"])


class TestOutput:
    def test_belongs_to_the_call_that_wrote_it(self, bench: Bench) -> None:
        report = bench.run(call(write, "a", "b"), call(note, 1), call(write, "", "c"))
        assert outputs(report) == [("a", "b", []), None, ("", "c", [])]

    def test_of_a_call_that_fails(self, bench: Bench) -> None:
        def write_and_fail() -> None:
            print("so far")
            raise ValueError

        report = bench.run(call(write_and_fail))
        assert statuses(report) == ["error"]
        assert outputs(report) == [("so far\n", "", [])]

    def test_streams_are_given_back(self, bench: Bench) -> None:
        before = sys.stdout, sys.stderr
        bench.run(call(write, "a"), call(fail))
        assert (sys.stdout, sys.stderr) == before

    def test_a_stream_replaced_on_purpose_stays(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stdout", sys.stdout)

        def replace() -> None:
            sys.stdout = sys.__stderr__

        def is_replaced(**header: Any) -> list[Any]:
            return values(bench.run(call(lambda: sys.stdout is sys.__stderr__), **header))

        engines = sys.stdout
        pool, other = ("token", dumps((replace, ()))), ("another", dumps((int, ())))
        assert is_replaced(setup=pool) == [True]
        assert sys.stdout is engines
        assert is_replaced(setup=other) == [False]
        assert is_replaced() == [False]
        assert is_replaced(setup=pool) == [True]
        bench.run(call(replace))
        assert is_replaced() == [False]  # of a view: the engine is others', too

    def test_bytes(self, bench: Bench) -> None:
        def write_bytes() -> int:
            return sys.stdout.buffer.write("ä".encode(sys.stdout.encoding))

        report = bench.run(call(write_bytes))
        assert outputs(report) == [("ä", "", [])]
        assert values(report) == [len("ä".encode(sys.stdout.encoding))]

    def test_only_text_can_be_written(self, bench: Bench) -> None:
        report = bench.run(call(write, b"bytes"))
        assert described(*values(report))["message"] == "write() argument must be str, not bytes"

    def test_stands_for_the_stream(self, bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        def describe() -> Any:
            return sys.stdout.fileno(), sys.stdout.encoding, sys.stdout.errors, sys.stdout.writable()

        with (tmp_path / "out").open("w", encoding="latin-1", errors="replace") as stream:
            monkeypatch.setattr(sys, "stdout", stream)
            assert values(bench.run(call(describe))) == [(stream.fileno(), "latin-1", "replace", True)]

    def test_displayed_outputs_are_kept_with_the_call(self) -> None:
        publisher = Publisher()
        report = Bench(package.call_output.Output(publisher)).run(call(note, 1), call(show, "picture"))
        assert outputs(report) == [None, ("", "", [{"data": "picture"}])]
        assert publisher.sent == []

    def test_other_messages_of_the_publisher_pass(self) -> None:
        publisher = Publisher()
        report = Bench(package.call_output.Output(publisher)).run(call(show, "bar", "update_display_data"))
        assert outputs(report) == [None]
        assert publisher.sent == [{"data": "bar"}]

    def test_displays_go_their_own_way_again_after_the_group(self) -> None:
        publisher = Publisher()
        Bench(package.call_output.Output(publisher)).run(call(fail))
        show("later")
        assert publisher.sent == [{"data": "later"}]


class Publisher:
    """As much of IPython's display publisher as matters here."""

    latest: Publisher

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self._hooks: list[Any] = []
        Publisher.latest = self

    def register_hook(self, hook: Any) -> None:
        self._hooks.append(hook)

    def unregister_hook(self, hook: Any) -> None:
        self._hooks.remove(hook)

    def publish(self, kind: str, data: Any) -> None:
        message: Any = {"header": {"msg_type": kind}, "content": {"data": data}}
        for hook in self._hooks:
            message = message and hook(message)
        if message is not None:
            self.sent.append(message["content"])


def show(data: Any, kind: str = "display_data") -> None:
    Publisher.latest.publish(kind, data)


class TestOverrun:
    def test_early_report_has_what_is_finished_and_what_has_not_begun(self, bench: Bench) -> None:
        bench.run(call(note, "a"), call(overrun), call(note, "b"), call(note, "c"))
        (early,) = bench.early
        assert values(early) == ["a"]
        assert list(early.returned) == [2, 3]
        assert early.epoch == 1
        assert not early.final

    def test_final_report_has_all_of_it_again(self, bench: Bench) -> None:
        report = bench.run(call(note, "a"), call(overrun), call(note, "b"))
        assert values(report) == ["a", "overran"]
        assert list(report.returned) == [2]
        assert report.epoch == 1
        assert ran == ["a"]

    def test_large_results_are_in_both_reports(self, bench: Bench) -> None:
        report = bench.run(call(note, "x" * LARGE), call(overrun))
        assert values(bench.early[0]) == values(report)[:1] == ["x" * LARGE]

    def test_group_of_an_older_epoch_is_given_back_whole(self, bench: Bench) -> None:
        bench.run(call(overrun))
        report = bench.run(call(note, "late"), call(note, "too"), epoch=0)
        assert (list(report.outcomes), list(report.returned), report.epoch) == ([], [0, 1], 1)
        assert ran == []

    def test_group_of_the_new_epoch_runs(self, bench: Bench) -> None:
        bench.run(call(overrun))
        report = bench.run(call(note, "new"), epoch=1)
        assert values(report) == ["new"]
        assert len(bench.early) == 1

    def test_other_clients_epoch_is_theirs(self, bench: Bench) -> None:
        bench.run(call(overrun), client="slow")
        report = bench.run(call(note, 1), client="other")
        assert (values(report), report.epoch) == ([1], 0)

    @pytest.mark.parametrize("seconds", [0.0, 0.0001, 0.001])
    def test_every_call_either_runs_or_is_given_back(self, bench: Bench, seconds: float) -> None:
        for epoch in range(5):
            ran.clear()
            calls = [*(call(note, label) for label in range(200)), call(wait_for_publication), call(note, "never")]
            report = bench.run(*calls, seconds=seconds, epoch=epoch)
            early = bench.early[epoch]
            assert Counter([o.serial for o in report.outcomes] + list(report.returned)) == Counter(range(202))
            assert not {o.serial for o in early.outcomes} & set(early.returned)
            assert list(early.returned) == list(report.returned)
            assert ran == [o.serial for o in report.outcomes if o.serial != 200]
            assert early.outcomes == report.outcomes[: len(early.outcomes)]
            bench.published.clear()

    def test_a_report_that_cannot_be_sent_is_no_end(self, bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
        def refuse(frames: list[bytes]) -> None:
            bench.published.set()
            raise OSError("no way out")

        bench.runner._publish = refuse
        report = bench.run(call(overrun), call(note, 1))
        assert (values(report), list(report.returned), report.epoch) == (["overran"], [1], 1)
        bench.published.clear()
        assert values(bench.run(call(overrun), epoch=1)) == ["overran"]

    def test_a_group_in_time_is_left_alone(self, bench: Bench) -> None:
        bench.run(call(note, 1))
        # Whatever the watchdog does when the time is up, it has no group to do it to.
        assert bench.runner._watchdog._group is None
        bench.let_time_be_up()
        assert values(bench.run(call(note, 2))) == [2]
        assert bench.early == []


def wait_for_publication() -> None:
    assert _bench is not None
    assert _bench.published.wait(PATIENCE), "the watchdog did not come"


class TestSetup:
    def test_runs_once_before_the_first_call(self, bench: Bench) -> None:
        setup = ("pool", dumps((note, ("set up",))))
        bench.run(call(note, 1), call(note, 2), setup=setup)
        bench.run(call(note, 3), setup=setup)
        assert ran == ["set up", 1, 2, 3]

    def test_each_token_is_another_pool(self, bench: Bench) -> None:
        for token in "aba":
            bench.run(call(note, 1), setup=(token, dumps((note, (token,)))))
        assert ran == ["a", 1, "b", 1, 1]

    def test_failure_is_every_calls_error(self, bench: Bench) -> None:
        setup = ("pool", dumps((note_and_fail, ())))
        reports = [bench.run(call(note, 1), call(note, 2), setup=setup) for _ in range(2)]
        errors = [error for report in reports for error in values(report)]
        assert [statuses(report) for report in reports] == [["error"] * 2] * 2
        assert all(error["setup"] is True for error in errors)
        assert [described(error)["message"] for error in errors] == ["in setup"] * 4
        assert errors[0]["engine"]["call"] == "note_and_fail"
        assert ran == ["set up"]

    def test_failure_concerns_no_other_pool(self, bench: Bench) -> None:
        bench.run(call(note, 1), setup=("pool", dumps((fail, ()))))
        assert values(bench.run(call(note, 2), setup=None)) == [2]

    def test_unreadable_setup_is_a_failure(self, bench: Bench) -> None:
        report = bench.run(call(note, 1), setup=("pool", b"no pickle"))
        assert statuses(report) == ["error"]
        assert values(report)[0]["engine"]["call"] == "initializer"

    def test_a_calls_own_error_is_not_marked(self, bench: Bench) -> None:
        (error,) = values(bench.run(call(fail), setup=("pool", dumps((note, (1,))))))
        assert "setup" not in error


def note_and_fail() -> None:
    note("set up")
    raise LookupError("in setup")


class TestFrames:
    def test_large_results_have_frames_of_their_own(self, bench: Bench) -> None:
        report = bench.run(call(note, 1), call(bytes, LARGE), call(note, 2), call(bytes, 2 * LARGE))
        assert values(report) == [1, bytes(LARGE), 2, bytes(2 * LARGE)]
        assert statuses(report) == ["ok"] * 4
        sent = [fields[1:3] for fields in pickle.loads(bench.frames[0])["outcomes"]]
        # Of those not plain, numbers of frames: what is large has one of its own, uncopied.
        assert sent == [("plain", 1), ("ok", range(1, 4)), ("plain", 2), ("ok", range(4, 7))]
        assert [len(frame) for frame in bench.frames if len(frame) > package.running_group.INLINE] == [LARGE, 2 * LARGE]

    def test_large_errors_too(self, bench: Bench) -> None:
        report = bench.run(call(fail, "x" * LARGE))
        assert statuses(report) == ["error"]
        assert len(bench.frames) == 2

    def test_large_payloads_come_in_frames(self, bench: Bench) -> None:
        report = bench.run(call(len, b"x" * LARGE), call(note, 1), call(len, b"x" * 2 * LARGE))
        assert values(report) == [LARGE, 1, 2 * LARGE]


class TestFunctions:
    def test_are_kept(self, bench: Bench) -> None:
        bench.run(call(note, 1))
        assert values(bench.run(call(note, 2), send_functions=False)) == [2]

    def test_are_loaded_once(self, bench: Bench) -> None:
        def state() -> int:
            return id(state)

        first, second = values(bench.run(call(state), call(state)))
        assert first == second == values(bench.run(call(state), send_functions=False))[0]

    def test_unknown_one_is_missing(self, bench: Bench) -> None:
        report = bench.run(call(note, 1), call((-2).__abs__), send_functions=False)
        assert statuses(report) == ["missing", "ok"]
        assert ran == []

    def test_belong_to_a_space(self, bench: Bench) -> None:
        bench.run(call(note, 1))
        assert statuses(bench.run(call(note, 2), send_functions=False, space="another")) == ["missing"]

    def test_the_least_recently_used_makes_room(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(package.engine_runner, "FUNCTIONS_KEPT", 2)
        bench.run(call(note, 1))
        bench.run(call(write, ""))
        bench.run(call(note, 2), send_functions=False)
        bench.run(call(run_a_loop))
        report = bench.run(call(note, 3), call(run_a_loop), call(write, ""), send_functions=False)
        assert statuses(report) == ["ok", "ok", "missing"]

    def test_what_a_group_brings_is_not_what_makes_room(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(package.engine_runner, "FUNCTIONS_KEPT", 2)
        bench.run(call(note, 1))
        bench.run(call(write, ""))
        assert statuses(bench.run(call(note, 2), call(run_a_loop))) == ["ok", "ok"]

    def test_a_function_sent_with_its_call_is_not_kept(self, bench: Bench) -> None:
        function, payload = call((-2).__abs__)
        assert function is None
        assert values(bench.run((None, payload))) == [2]
        assert len(bench.runner._functions) == 0


class TestNames:
    def test_of_the_engines_user_win(self, bench: Bench, by_value: Any) -> None:
        bench.user_ns["overlaid"] = "engine"
        assert values(bench.run(call(by_value("lambda: overlaid", overlaid="caller")))) == ["engine"]

    def test_of_ipython_do_not(self, bench: Bench, by_value: Any) -> None:
        bench.user_ns["overlaid"] = bench.hidden["overlaid"] = "IPython"
        assert values(bench.run(call(by_value("lambda: overlaid", overlaid="caller")))) == ["caller"]

    def test_of_the_engines_user_are_followed(self, bench: Bench, by_value: Any) -> None:
        read = call(by_value("lambda: overlaid", overlaid="caller"))
        seen = []
        for users in [{"overlaid": 1}, {"overlaid": 2}, {}]:
            bench.user_ns.clear()
            bench.user_ns.update(users)
            seen += values(bench.run(read))
        assert seen == [1, 2, "caller"]


class TestEventLoop:
    def test_calls_can_run_one_inside_the_kernels(self, bench: Bench) -> None:
        async def kernel() -> tuple[Any, bool]:
            loop, task = asyncio.get_running_loop(), asyncio.current_task()
            report = bench.run(call(run_a_loop), call(fail), call(run_a_loop))
            return report, loop is asyncio.get_running_loop() and task is asyncio.current_task()

        report, as_before = asyncio.run(kernel())
        assert statuses(report) == ["ok", "error", "ok"]
        assert values(report)[0] == "ran"
        assert as_before

    def test_calls_can_run_one_where_no_task_runs(self, bench: Bench) -> None:
        """As the kernel's do that come by a callback of the loop."""

        async def kernel() -> Any:
            report = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_soon(lambda: report.set_result(bench.run(call(run_a_loop))))
            return await report

        assert values(asyncio.run(kernel())) == ["ran"]

    def test_calls_can_run_one_outside(self, bench: Bench) -> None:
        assert values(bench.run(call(run_a_loop))) == ["ran"]

    def test_calls_with_a_message_of_their_own_too(self, bench: Bench) -> None:
        async def kernel() -> Any:
            return bench.own_messages.run_one("run_a_loop", bench.space, dumps((run_a_loop, (), {})))

        assert pickle.loads(pickle.dumps(asyncio.run(kernel()))) == "ran"


class TestSingleCalls:
    def test_value(self, bench: Bench) -> None:
        packed = bench.own_messages.run_one("note", bench.space, dumps((note, (1,), {})))
        assert pickle.loads(pickle.dumps(packed)) == 1

    @pytest.mark.parametrize("error", [LookupError("gone"), ExceptionGroup("gone", [ValueError(1), KeyError(2)])])
    def test_error_is_one_the_kernel_can_report(self, bench: Bench, error: Exception) -> None:
        with pytest.raises(Exception, match="^gone") as raised:
            bench.own_messages.run_one("throw", bench.space, dumps((throw, (error,), {})))
        *lines, last = raised.value._render_traceback_()
        assert type(raised.value).__name__ == type(error).__name__
        assert not isinstance(raised.value, ExceptionGroup)
        assert raised.value.__context__ is None
        assert any("in throw" in line for line in lines)
        packed = pickle.loads(bytes.fromhex(last.removeprefix(package.carried_values.FAILURE_MARK)))
        assert packed["engine"]["call"] == "throw"
        assert len(packed["error"]["exceptions"]) == 1 + len(getattr(error, "exceptions", ()))

    def test_error_of_one_call_of_a_chunk_is_its_result(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        run_mapped, function = bench.own_messages.run_mapped, dumps(divide)
        run = [run_mapped("divide", bench.space, function, pickle.dumps((1, n))) for n in (1, 0, 2)]
        monkeypatch.setattr(package.carried_values, "rebuilder", lambda packed: described(packed)["message"])
        assert pickle.loads(pickle.dumps(run)) == [1.0, "division by zero", 0.5]

    def test_unreadable_value_is_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(package.carried_values, "rebuilder", None)
        assert described(package.carried_values.unpack(b""))["message"] == "Ran out of input"

    def test_reference_is_looked_up_in_the_users_namespace(self, bench: Bench) -> None:
        bench.user_ns["mine"] = [1, 2]
        assert bench.own_messages.resolve("mine[1]") == 2


class TestStockCalls:
    def test_functions_use_the_users_namespace(self, bench: Bench, by_value: Any) -> None:
        bench.user_ns["base"] = 10
        function = [bytes(part) for part in serialize_object(by_value("lambda x: base + x", base=0))]
        assert bench.own_messages.run_stock("add", bench.space, (function, None), (1,), {}) == 11

    def test_functions_whose_names_the_user_has_write_there(self, bench: Bench, by_value: Any) -> None:
        function = by_value("lambda: globals().update(base=base + 1)", base=20)
        sent = [bytes(part) for part in serialize_object(function)], dumps(function)
        bench.user_ns["base"] = 10
        bench.own_messages.run_stock("add", bench.space, sent, (), {})
        assert bench.user_ns["base"] == 11

    def test_functions_get_callers_names_that_the_user_lacks(self, bench: Bench, by_value: Any) -> None:
        function = by_value("lambda x: base + abs(x)", base=20)
        sent = [bytes(part) for part in serialize_object(function)], dumps(function)
        assert bench.own_messages.run_stock("add", bench.space, sent, (-1,), {}) == 21
        bench.user_ns["base"] = 10
        assert bench.own_messages.run_stock("add", bench.space, sent, (-1,), {}) == 11

    def test_errors_are_carried(self, bench: Bench, by_value: Any) -> None:
        function = [bytes(part) for part in serialize_object(by_value("lambda: 1 / 0"))]
        with pytest.raises(Exception, match="division by zero") as raised:
            bench.own_messages.run_stock("divide", bench.space, (function, None), (), {})
        assert raised.value._render_traceback_()[-1].startswith(package.carried_values.FAILURE_MARK)


def throw(error: Exception) -> None:
    raise error


def divide(a: int, b: int) -> float:
    return a / b


def test_prepare_adds_new_directories_that_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", ["first"])
    package.entry_points.prepare([str(tmp_path), "first", str(tmp_path / "nowhere"), str(tmp_path)], PYTHON)
    assert sys.path == ["first", str(tmp_path)]


def test_prepare_adds_no_library_of_another_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packages = tmp_path / "lib" / "python3.9" / "site-packages"
    packages.mkdir(parents=True)
    monkeypatch.setattr(sys, "path", [])
    package.entry_points.prepare([str(packages), str(tmp_path)], (3, 9))
    assert sys.path == [str(tmp_path)]
    package.entry_points.prepare([str(packages)], PYTHON)
    assert sys.path == [str(tmp_path), str(packages)]
