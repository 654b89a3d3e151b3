"""What we lean on inside ipyparallel, ipykernel, IPython, cloudpickle and the standard library, each by name.

None of it is promised by anybody. A test that fails here says what changed upstream, and its comment where it hurts.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import asyncio
import inspect
import io
import pickle
import re
import threading
import types
from concurrent.futures import Executor, Future
from concurrent.futures import _base as futures_base
from typing import Any

import cloudpickle
import ipykernel
import ipyparallel
import pytest
import traitlets
import zmq
from cloudpickle import cloudpickle as cloudpickle_module
from ipykernel.iostream import BackgroundSocket, IOPubThread
from ipykernel.kernelbase import Kernel
from ipyparallel import AsyncResult, Client, LoadBalancedView, serialize
from ipyparallel.client.client import Metadata
from ipyparallel.client.futures import MessageFuture
from ipyparallel.client.remotefunction import getname
from ipyparallel.client.view import View, ViewExecutor
from ipyparallel.controller.app import IPController
from ipyparallel.engine import app as engine_app
from ipyparallel.engine import nanny
from ipyparallel.engine.kernel import IPythonParallelKernel
from ipyparallel.error import (
    CompositeError,
    EngineError,
    RemoteError,
    collect_exceptions,
)
from jupyter_client.session import DELIM, Session
from tornado.ioloop import IOLoop
from zmq.eventloop.zmqstream import ZMQStream

import IPython.parallel  # noqa: F401 (its import is what installs the patches)
from IPython.parallel import originals
from IPython.parallel.tests.contracts.harness import PATIENCE
from IPython.parallel.traits import trait


def parameters(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)


def stock(target: type, name: str) -> Any:
    """What ipyparallel itself has there, under our patch."""
    recorded = originals.recorded.get((target, name), originals.ABSENT)
    return getattr(target, name) if recorded is originals.ABSENT else recorded


class TestFutures:
    """concurrent.futures: `task_states`, `callbacks`, `buffered_result`, `result_shim`."""

    def test_attributes(self) -> None:
        future: Future[int] = Future()
        assert isinstance(future._condition, threading.Condition)
        assert (future._state, future._result, future._exception) == ("PENDING", None, None)
        assert (future._waiters, future._done_callbacks) == ([], [])

    def test_states(self) -> None:
        names = ("PENDING", "RUNNING", "CANCELLED", "CANCELLED_AND_NOTIFIED", "FINISHED")
        assert [getattr(futures_base, name) for name in names] == list(names)

    def test_callbacks_are_invoked_by_a_method_once_the_state_is_set_and_the_lock_is_free(self) -> None:
        class Observed(Future[int]):
            def _invoke_callbacks(self) -> None:
                seen.append((self._state, self._condition.acquire(blocking=False)))
                self._condition.release()

        seen: list[Any] = []
        Observed().set_result(1)
        Observed().set_exception(ValueError())
        future = Observed()
        future.cancel()
        assert seen == [("FINISHED", True), ("FINISHED", True), ("CANCELLED", True)]

    def test_the_condition_can_be_entered_again_by_the_thread_that_holds_it(self) -> None:
        future: Future[int] = Future()
        with future._condition:
            assert not future.done()

    def test_waiters_hear_of_cancelled_futures(self) -> None:
        assert parameters(futures_base._Waiter.add_cancelled) == ["self", "future"]

    def test_an_executor_asks_for_nothing(self) -> None:
        assert "__init__" not in vars(Executor)
        assert {"submit", "map", "shutdown", "__enter__", "__exit__"} <= vars(Executor).keys()

    def test_asyncio_asks_for_public_methods_and_the_snapshot_only(self) -> None:
        source = inspect.getsource(asyncio.futures._copy_future_state)
        assert "source._state" not in source


class TestInterpreter:
    def test_exit_hooks_that_run_while_threads_still_do(self) -> None:
        assert parameters(threading._register_atexit)[:1] == ["func"]  # `process_exit`

    def test_running_loop_can_be_set_aside(self) -> None:
        # `engine_runner.outside_event_loop`
        async def main() -> Any:
            loop = asyncio._get_running_loop()
            asyncio._set_running_loop(None)
            try:
                return asyncio._get_running_loop()
            finally:
                asyncio._set_running_loop(loop)

        assert asyncio.run(main()) is None

    def test_current_task_can_be_set_aside(self) -> None:
        swap = getattr(asyncio.tasks, "_swap_current_task", None)
        if swap is not None:
            assert callable(swap)
        else:
            assert callable(asyncio.tasks._leave_task)


class TestCloudpickle:
    """`shipping`, `call_pickling`."""

    def reduce(self, obj: Any) -> Any:
        return cloudpickle.Pickler(io.BytesIO()).reducer_override(obj)

    def test_functions_by_value_reduce_to_six_parts(self) -> None:
        make, arguments, state, items, pairs, setter = self.reduce(lambda: pytest)
        assert make is cloudpickle_module._make_function
        assert (items, pairs, setter) == (None, None, cloudpickle_module._function_setstate)
        code, base_globals, *_ = arguments
        assert isinstance(code, types.CodeType)
        assert isinstance(base_globals, dict)
        attributes, slots = state
        assert slots["__globals__"] == {"pytest": pytest}

    def test_functions_by_name_do_not(self) -> None:
        reduced = self.reduce(inspect.getsource)
        assert reduced is NotImplemented or len(reduced) != 6

    def test_classes_by_value_reduce_to_six_parts(self) -> None:
        class Local:
            pass

        reduced = self.reduce(Local)
        assert len(reduced) == 6
        assert reduced[0] is cloudpickle_module._make_skeleton_class
        assert reduced[5] is cloudpickle_module._class_setstate

    def test_classes_by_name_do_not(self) -> None:
        reduced = self.reduce(io.BytesIO)
        assert reduced is NotImplemented or len(reduced) != 6

    def test_the_setters_take_object_and_state(self) -> None:
        assert len(parameters(cloudpickle_module._function_setstate)) == 2
        assert len(parameters(cloudpickle_module._class_setstate)) == 2

    def test_a_class_that_arrives_again_is_the_same(self) -> None:
        class Local:
            pass

        data = cloudpickle.dumps(Local)
        assert pickle.loads(data) is pickle.loads(data) is Local

    def test_code_reduces_to_a_call(self) -> None:
        make, arguments = cloudpickle_module._code_reduce((lambda: 0).__code__)
        assert make is types.CodeType
        assert isinstance(arguments, tuple)

    def test_it_is_one_module_of_source_text_on_the_standard_library(self) -> None:
        source = inspect.getsource(cloudpickle_module)  # `engine_bundle` carries it
        assert "from ." not in source
        assert cloudpickle.Pickler is cloudpickle_module.Pickler


class TestClient:
    """ipyparallel's client: `transport`, `engine_room`, `client_mixin`, `connection_watch`, `carried_errors`."""

    def test_send_apply_request(self) -> None:
        assert parameters(Client.send_apply_request) == [
            "self", "socket", "f", "args", "kwargs", "metadata", "track", "ident", "message_future_hook",
        ]  # fmt: skip

    def test_streams_and_their_loop(self) -> None:
        """`group_channel` stands before the handlers of both, on their own thread."""
        source = inspect.getsource(Client)
        for name in ("_mux_stream", "_iopub_stream"):
            assert re.search(rf"self\.{name} = ZMQStream\(self\.{name[:-6]}socket, self\._io_loop\)", source)
            assert re.search(rf"self\.{name}\.on_recv\(self\._dispatch_\w+, copy=False\)", source)
        assert "self._io_loop.start()" in source
        assert callable(IOLoop.add_callback)

    def test_a_client_says_when_it_is_closed(self) -> None:
        source = inspect.getsource(stock(Client, "close"))
        assert "self._closed = True" in source
        assert Client._closed is False or "_closed" in Client.class_traits()

    def test_the_session_is_a_public_attribute(self) -> None:
        assert "self.session = Session(" in inspect.getsource(Client)

    def test_the_hook_gets_the_future_before_the_message_is_sent(self) -> None:
        source = inspect.getsource(stock(Client, "_send"))
        assert source.index("message_future_hook(futures[0])") < source.index("add_callback(_really_send)")

    def test_engines_and_their_callbacks(self) -> None:
        assert isinstance(Client._engines.make_dynamic_default.__self__, type(Client._engines))
        assert Client._engines.klass is ipyparallel.util.ReverseDict
        assert "_registration_callbacks" in Client.class_traits()
        for name in ("register", "unregister"):  # and what `roll_call` gives them and hears
            source = inspect.getsource(getattr(Client, f"_{name}_engine")).replace("'", '"')
            assert "for callback in self._registration_callbacks" in source
            assert f'"event": "{name}"' in source and "event.update(content)" in source

    def test_the_mapping_of_engines_looks_up_both_ways(self) -> None:
        engines = ipyparallel.util.ReverseDict({0: "uuid"})
        assert (engines["uuid"], list(engines.values())) == (0, ["uuid"])

    def test_an_engine_leaves_the_mapping_before_its_messages_are_given_up(self) -> None:
        source = inspect.getsource(Client._unregister_engine)
        assert source.index("self._engines.pop") < source.index("self._handle_stranded_msgs")

    def test_lost_messages_end_with_an_engine_error(self) -> None:
        assert "EngineError" in inspect.getsource(Client._handle_stranded_msgs)

    @pytest.mark.parametrize("name", ["_mux_stream", "_mux_socket", "_query_socket", "_io_loop", "_closed", "_futures"])
    def test_attributes_are_there(self, name: str) -> None:
        source = inspect.getsource(Client)
        assert name in Client.class_traits() or f"self.{name} =" in source or f"    {name} = " in source

    @pytest.mark.parametrize("name", ["outstanding", "history", "results", "metadata"])
    def test_public_attributes_are_there(self, name: str) -> None:
        assert name in Client.class_traits()

    def test_iopub_callbacks_get_whole_messages(self) -> None:
        assert "for callback in msg_future.iopub_callbacks" in inspect.getsource(Client._dispatch_iopub)
        assert MessageFuture("id").iopub_callbacks == []

    def test_message_futures(self) -> None:
        assert parameters(MessageFuture.__init__) == ["self", "msg_id", "header", "track"]
        assert issubclass(MessageFuture, Future)

    def test_wrapped_methods(self) -> None:
        assert parameters(stock(Client, "_unwrap_exception")) == ["self", "content"]
        assert parameters(stock(Client, "_asyncresult_from_jobs")) == ["self", "jobs", "owner"]
        assert parameters(stock(Client, "_await_futures")) == ["self", "futures", "timeout"]
        assert "self._await_futures(futures, timeout)" in inspect.getsource(stock(Client, "wait"))
        assert parameters(stock(Client, "abort")) == ["self", "jobs", "targets", "block"]
        assert parameters(stock(Client, "close")) == ["self", "linger"]

    def test_metadata_is_strict_about_its_keys(self) -> None:
        metadata = Metadata(msg_id="id")  # `task_result`
        with pytest.raises(KeyError):
            metadata["no such key"] = 1
        expected = {"submitted", "started", "completed", "received", "status", "engine_id", "engine_uuid", "label"}
        assert expected | {"stdout", "stderr", "outputs"} <= metadata.keys()


class TestViews:
    def test_signatures_under_the_patch(self) -> None:
        assert parameters(stock(LoadBalancedView, "map"))[:2] == ["self", "f"]
        assert parameters(stock(View, "shutdown")) == ["self", "targets", "restart", "hub", "block"]

    @pytest.mark.parametrize("flag", ["after", "follow", "targets", "timeout", "retries", "track"])
    def test_flags_that_need_a_message_of_their_own(self, flag: str) -> None:
        assert flag in LoadBalancedView.class_traits()  # `executor_mixin._OWN_MESSAGE_FLAGS`

    def test_view_attributes(self) -> None:
        assert {"client", "block", "label", "history", "outstanding", "targets"} <= View.class_traits().keys()

    def test_the_view_executor_has_its_view(self) -> None:
        assert parameters(ViewExecutor.__init__) == ["self", "view"]
        assert "self.view = view" in inspect.getsource(ViewExecutor.__init__)

    def test_names_of_functions(self) -> None:
        assert getname(len) == "len"


class TestAsyncResult:
    def test_it_is_a_future(self) -> None:
        assert issubclass(AsyncResult, Future)

    def test_attributes_that_buffered_results_stand_in_for(self) -> None:
        source = inspect.getsource(ipyparallel.client.asyncresult)
        names = ("_ready", "_success", "_output_ready", "_children", "_metadata", "_fname", "_targets", "_client",
                 "_return_exceptions", "_single_result", "_chunk_sizes", "owner")  # fmt: skip
        assert [name for name in names if f"self.{name}" not in source and f"    {name} =" not in source] == []

    def test_wrapped_methods(self) -> None:
        assert parameters(stock(AsyncResult, "_init_futures")) == ["self"]
        assert parameters(stock(ipyparallel.AsyncMapResult, "_yield_child_results")) == ["self", "child"]
        assert parameters(stock(ipyparallel.AsyncMapResult, "_collect_exceptions")) == ["self", "results"]

    def test_errors(self) -> None:
        error = RemoteError("ValueError", "wrong", "traceback", {"engine_id": 0})
        assert (error.ename, error.evalue, error.engine_info) == ("ValueError", "wrong", {"engine_id": 0})
        assert issubclass(CompositeError, RemoteError)
        assert issubclass(EngineError, Exception)
        with pytest.raises(RemoteError):
            collect_exceptions([error], "f")


class TestSerialize:
    def test_what_is_pickled_already_is_sent_as_it_is(self) -> None:
        prepickled = serialize.PrePickled.__new__(serialize.PrePickled)  # `transport.run_group`
        prepickled.buffers = [b"pickled by us"]
        assert b"pickled by us" in serialize.pack_apply_message(prepickled, [], {})

    def test_large_frames_are_not_copied(self) -> None:
        data = memoryview(bytes(10**6))
        buffers = serialize.pack_apply_message(len, [data], {})
        assert any(isinstance(buffer, memoryview) and buffer.nbytes == 10**6 for buffer in buffers)

    def test_there_and_back(self) -> None:
        value, rest = serialize.deserialize_object(serialize.serialize_object({"report": [b"a", b"b"]}))
        assert (value, rest) == ({"report": [b"a", b"b"]}, [])

    def test_references(self) -> None:
        assert serialize.Reference("x").get_object({"x": 5}) == 5


class TestSession:
    """jupyter_client's Session: `envelope`, on both sides."""

    def test_signatures(self) -> None:
        session = Session(key=b"a key")
        assert session.auth is not None
        assert Session(key=b"").auth is None
        parts = [b"{}"] * 4
        assert session.sign(parts) == Session(key=b"a key").sign(parts)
        assert isinstance(session.sign(parts), bytes)
        assert Session(key=b"").sign(parts) == b""

    def test_memory_of_signatures(self) -> None:
        session = Session(key=b"a key")
        session._add_digest(b"seen")
        assert b"seen" in session.digest_history
        assert parameters(session._add_digest) == ["signature"]

    def test_packing(self) -> None:
        session = Session()
        assert session.unpack(session.pack({"a": [1, "ä"]})) == {"a": [1, "ä"]}
        assert isinstance(session.pack({}), bytes)

    def test_who_it_is(self) -> None:
        session = Session()
        assert isinstance(session.username, str)
        assert isinstance(session.session, str) and session.session
        assert session.session != Session().session

    def test_frames_of_a_message(self) -> None:
        session = Session(key=b"a key")
        frames = session.serialize(session.msg("apply_reply", {"a": 1}, metadata={"b": 2}), ident=b"who")
        assert frames[:2] == [b"who", b"<IDS|MSG>"]
        assert frames[2] == session.sign(frames[3:7])
        assert [session.unpack(frame) for frame in frames[5:7]] == [{"b": 2}, {"a": 1}]
        assert len(frames) == 7


class TestStreams:
    """pyzmq's ZMQStream: `group_channel`, `shell_door`."""

    def test_handlers_can_be_read_and_put_in_place(self) -> None:
        assert "self._recv_callback = " in inspect.getsource(ZMQStream)
        assert parameters(ZMQStream.on_recv) == ["self", "callback", "copy"]

    def test_sending(self) -> None:
        assert parameters(ZMQStream.send_multipart)[:4] == ["self", "msg", "flags", "copy"]
        assert parameters(ZMQStream.flush)[:2] == ["self", "flag"]
        assert callable(ZMQStream.closed)

    def test_a_stream_can_be_made_to_look_again(self) -> None:
        """Sending past a stream may take the news of what has arrived; asked to, it looks by itself."""

        async def receive() -> list[bytes]:
            with zmq.Context() as context, context.socket(zmq.PAIR) as one, context.socket(zmq.PAIR) as other:
                one.bind("inproc://assumptions")
                other.connect("inproc://assumptions")
                arrived: asyncio.Future[list[bytes]] = asyncio.get_running_loop().create_future()
                stream = ZMQStream(other, io_loop=IOLoop.current())
                stream.on_recv(arrived.set_result)
                await asyncio.sleep(0)
                one.send(b"news")
                other.send(b"past the stream")
                stream._update_handler(stream._state)
                try:
                    return await asyncio.wait_for(arrived, PATIENCE)
                finally:
                    stream.close()

        assert asyncio.run(receive()) == [b"news"]


class TestKernel:
    """ipykernel's and ipyparallel's kernel: `shell_door`."""

    def test_one_stream_for_shell_messages_handled_in_the_main_thread(self) -> None:
        assert IPythonParallelKernel.shell_stream.klass is ZMQStream
        assert "shell_channel_thread" not in inspect.getsource(engine_app)
        assert "self.shell_stream.on_recv" in inspect.getsource(Kernel.start)

    @pytest.mark.skipif(ipykernel.version_info[0] < 7, reason="this ipykernel has a queue")
    def test_messages_wait_for_a_lock_each_in_a_task(self) -> None:
        """In a wrapper that makes one task for each: as deep as `shell_door._Turns` makes its own."""
        assert "self._main_asyncio_lock = asyncio.Lock()" in inspect.getsource(Kernel.__init__)
        assert "async with asyncio_lock" in inspect.getsource(Kernel.shell_main)
        assert "_async_in_context(partial(self.shell_main, None))" in inspect.getsource(Kernel.start)
        from ipykernel.utils import _async_in_context

        assert inspect.getsource(_async_in_context).count("create_task(") == 1

    @pytest.mark.skipif(ipykernel.version_info[0] >= 7, reason="this ipykernel has a lock")
    def test_messages_wait_in_a_queue(self) -> None:
        assert parameters(Kernel.schedule_dispatch) == ["self", "dispatch", "args"]
        assert not hasattr(Kernel, "_main_asyncio_lock")
        assert "await dispatch(*args)" in inspect.getsource(Kernel.process_one)

    def test_aborted_messages(self) -> None:
        assert isinstance(IPythonParallelKernel.aborted, traitlets.Set)
        assert "in self.aborted" in inspect.getsource(IPythonParallelKernel.should_handle)
        assert "self.aborted.add" in inspect.getsource(IPythonParallelKernel)

    def test_parents(self) -> None:
        assert parameters(Kernel.set_parent)[:3] == ["self", "ident", "parent"]
        assert parameters(IPythonParallelKernel.set_parent)[:3] == ["self", "ident", "parent"]

    def test_publishing(self) -> None:
        assert "iopub_socket" in IPythonParallelKernel.class_traits()
        assert "iopub_socket = IOPubThread(iopub_socket" in inspect.getsource(engine_app)
        assert callable(BackgroundSocket.send_multipart)
        assert "schedule" in inspect.getsource(IOPubThread.send_multipart), "reports are sent from any thread"
        assert parameters(IPythonParallelKernel._topic) == ["self", "topic"]

    def test_its_session_and_log(self) -> None:
        assert {"session", "log", "ident"} <= Kernel.class_traits().keys() | vars(Kernel).keys()

    def test_messages_are_identities_delimiter_signature_and_four_parts(self) -> None:
        assert DELIM == b"<IDS|MSG>"  # `envelope.DELIMITER`


class TestEngine:
    """What `entry_points` uses of the engine it lands on."""

    def test_who_it_is(self) -> None:
        assert {"ident", "engine_id"} <= IPythonParallelKernel.class_traits().keys() | vars(
            IPythonParallelKernel
        ).keys()

    def test_hooks_of_the_display_publisher(self) -> None:
        from ipykernel.zmqshell import ZMQDisplayPublisher

        assert parameters(ZMQDisplayPublisher.register_hook) == ["self", "hook"]
        assert parameters(ZMQDisplayPublisher.unregister_hook) == ["self", "hook"]

    def test_names_that_are_not_the_users(self) -> None:
        from IPython.core.interactiveshell import InteractiveShell

        assert "user_ns_hidden" in inspect.getsource(InteractiveShell.__init__) + inspect.getsource(
            InteractiveShell.init_create_namespaces
        )

    def test_apply_keeps_its_names_in_the_users_namespace(self) -> None:
        source = inspect.getsource(IPythonParallelKernel.do_apply).replace("'", '"')  # `namespaces._NOT_THE_USERS`
        for name in ("args", "kwargs", "result"):
            assert f'"{name}"' in source

    def test_tracebacks_can_be_rendered_by_the_exception(self) -> None:
        from IPython.core.interactiveshell import InteractiveShell

        assert "_render_traceback_" in inspect.getsource(InteractiveShell)  # `carried_values.remote_failure`

    def test_the_controller_is_an_application(self) -> None:
        assert callable(IPController.launch_instance)


class TestTraits:
    """`traits.trait` looks where traitlets keeps values; `engine_room` changes in place what it finds there."""

    def test_it_finds_what_the_attribute_is(self, client: Client) -> None:
        view = client.load_balanced_view()
        for owner, names in ((client, ("outstanding", "history")), (view, ("outstanding", "history", "client"))):
            for name in names:
                assert trait(owner, name) is getattr(owner, name)
        view.label = "own"
        assert trait(view, "label") == view.label == "own"

    def test_a_default_that_nobody_asked_for(self) -> None:
        class Owner(traitlets.HasTraits):
            late = traitlets.Any()

            @traitlets.default("late")
            def _late(self) -> list[int]:
                return [1]

        owner = Owner()
        assert "late" not in owner._trait_values
        assert trait(owner, "late") == [1]
        assert trait(owner, "late") is owner.late


class TestStartingAnEngine:
    """`cluster_programs.ENGINE` forks the nanny that this would start, and is told when the engine has registered."""

    def test_the_nanny_is_started_by_a_function_of_the_module(self) -> None:
        assert engine_app.start_nanny is nanny.start_nanny
        assert "return start_nanny(" in inspect.getsource(engine_app.IPEngine.start_nanny)
        assert "nanny_url, self.nanny_pipe = self.start_nanny(" in inspect.getsource(
            engine_app.IPEngine.complete_registration
        )
        # What a nanny reads from its standard input and writes to its standard output.
        assert "pickle.dumps(kwargs)" in inspect.getsource(nanny.start_nanny)
        assert "pickle.load(f)" in inspect.getsource(nanny.main)
        assert "self.pipe.write(" in inspect.getsource(nanny.KernelNanny)

    def test_registration_is_completed_by_a_coroutine(self) -> None:
        assert inspect.iscoroutinefunction(engine_app.IPEngine.complete_registration)

    def test_the_controller_still_sleeps(self) -> None:
        """Where it does not, `cluster_programs.CONTROLLER` need not keep it from that."""
        assert "time.sleep(" in inspect.getsource(IPController.init_hub)
