"""Namespaces and what is pickled into them, alone: whose names win, what is shared, and what goes home by name."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import functools
import itertools
import pickle
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from IPython.parallel import engine_bundle
from IPython.parallel.call_pickling import dumps

namespaces = engine_bundle.load().namespaces
shipping = engine_bundle.load().shipping

_numbers = itertools.count()

Define = Callable[[str], types.ModuleType]


@pytest.fixture(autouse=True)
def _namespaces_as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test has its own space; what it leaves elsewhere is forgotten."""
    for name in ("_users", "_fallbacks"):
        monkeypatch.setattr(namespaces, name, {})
    monkeypatch.setattr(namespaces, "_space", "")
    namespaces.enter(f"test-{next(_numbers)}")
    yield
    namespaces.overlay_all({})


@pytest.fixture
def define(monkeypatch: pytest.MonkeyPatch) -> Define:
    """Runs source as a module of the caller's that engines can import neither by file nor by name."""

    def run(source: str) -> types.ModuleType:
        module = types.ModuleType("__main__")
        monkeypatch.setitem(sys.modules, "__main__", module)
        exec(source, vars(module))
        return module

    return run


def sent(value: Any) -> Any:
    """What the engine gets."""
    return pickle.loads(dumps(value))


class TestOffers:
    def test_newer_values_are_taken(self) -> None:
        namespace = namespaces.Namespace()
        namespace.offer({"a": 1, "b": 2}, {"a": 1, "b": 1})
        namespace.offer({"a": 10}, {"a": 2})
        assert namespace.globals == {"a": 10, "b": 2}

    @pytest.mark.parametrize("version", [1, 2])
    def test_older_and_equal_ones_are_not(self, version: int) -> None:
        namespace = namespaces.Namespace()
        namespace.offer({"a": "first"}, {"a": 2})
        namespace.globals["a"] = "set by a call"
        namespace.offer({"a": "again"}, {"a": version})
        assert namespace.globals == {"a": "set by a call"}


class TestOverlay:
    def test_the_users_name_wins(self) -> None:
        namespace = namespaces.Namespace()
        namespace.offer({"a": "caller"}, {"a": 1})
        namespace.overlay({"a": "user"})
        assert namespace.globals == {"a": "user"}

    def test_the_users_name_wins_over_what_comes_later(self) -> None:
        namespace = namespaces.Namespace()
        namespace.overlay({"a": "user"})
        namespace.offer({"a": "caller"}, {"a": 1})
        assert namespace.globals == {"a": "user"}

    def test_the_callers_newest_is_back_when_the_user_removes_the_name(self) -> None:
        namespace = namespaces.Namespace()
        namespace.offer({"a": "older"}, {"a": 1})
        namespace.overlay({"a": "user", "b": "user"})
        namespace.offer({"a": "newer"}, {"a": 2})
        namespace.overlay({})
        assert namespace.globals == {"a": "newer"}

    def test_what_a_call_sets_stays_until_the_user_rebinds_the_name(self) -> None:
        namespace = namespaces.Namespace()
        namespace.overlay({"a": "user"})
        namespace.globals["a"] = "set by a call"
        namespace.overlay({"a": "user"})
        assert namespace.globals == {"a": "set by a call"}
        namespace.overlay({"a": "user again"})
        assert namespace.globals == {"a": "user again"}

    def test_none_is_a_value_too(self) -> None:
        namespace = namespaces.Namespace()
        namespace.offer({"a": "caller"}, {"a": 1})
        namespace.overlay({"a": None})
        assert namespace.globals == {"a": None}

    def test_concerns_every_space_and_module(self) -> None:
        globals_ = [namespaces.globals_of(module, {}) for module in "ab"]
        namespaces.enter("another")
        globals_.append(namespaces.globals_of("a", {}))
        namespaces.overlay_all({"pushed": 1})
        assert [g["pushed"] for g in globals_] == [1] * 3
        namespaces.overlay_all({})
        assert ["pushed" in g for g in globals_] == [False] * 3

    def test_is_in_namespaces_that_come_later(self) -> None:
        namespaces.overlay_all({"pushed": 1})
        assert namespaces.globals_of("later", {})["pushed"] == 1


class TestUserNames:
    def users(self, user_ns: dict[str, Any], hidden: dict[str, Any] | None = None) -> dict[str, Any]:
        return dict(namespaces.user_names(user_ns, hidden or {}))

    def test_are_the_users(self) -> None:
        mine = {"x": 1, "_private": 2, "x_1": 3, "_x1": 4, "__half": 5, "i1": 6, "_iiii": 7}
        assert self.users(mine) == mine

    def test_what_ipython_put_there_is_hidden(self) -> None:
        assert self.users({"In": (history := []), "x": 1}, {"In": history}) == {"x": 1}

    def test_a_hidden_name_that_the_user_bound_is_not(self) -> None:
        assert self.users({"exit": "mine"}, {"exit": "IPython's"}) == {"exit": "mine"}

    @pytest.mark.parametrize("name", ["_", "__", "___", "_i", "_iii", "_ih", "_oh", "_dh", "_1", "_i23", "__name__"])
    def test_history_is_not_the_users(self, name: str) -> None:
        assert self.users({name: 1}) == {}

    @pytest.mark.parametrize("kind", ["f", "args", "kwargs", "result"])
    def test_temporaries_of_an_apply_message_are_not_the_users(self, kind: str) -> None:
        assert self.users({f"_0f3bc2d1_8a2e_1234_57_{kind}": 1}) == {}


class TestSpaces:
    def test_have_their_own_globals(self) -> None:
        namespaces.enter("one")
        one = namespaces.globals_of("module", {})
        namespaces.enter("two")
        assert namespaces.globals_of("module", {}) is not one
        namespaces.enter("one")
        assert namespaces.globals_of("module", {}) is one

    def test_have_those_of_each_module(self) -> None:
        assert namespaces.globals_of("a", {}) is not namespaces.globals_of("b", {})

    def test_globals_begin_with_the_modules_attributes(self) -> None:
        assert namespaces.globals_of("module", {"__name__": "module"}) == {"__name__": "module"}

    def test_namespace_is_found_by_its_globals(self) -> None:
        globals_ = namespaces.globals_of("module", {})
        assert namespaces.namespace_of(globals_).globals is globals_
        assert namespaces.namespace_of(dict(globals_)) is None

    def test_lookup_is_in_the_space_entered(self) -> None:
        namespaces.globals_of("module", {"a": 1})
        assert namespaces.lookup("module", "a") == 1
        namespaces.enter("empty")
        with pytest.raises(KeyError):
            namespaces.lookup("module", "a")


class TestFallbacks:
    def test_are_found_when_nobody_has_the_name(self) -> None:
        namespaces.fall_back_on({"display": "IPython's"})
        assert namespaces.globals_of("module", {})["display"] == "IPython's"

    def test_the_callers_and_the_users_come_first(self) -> None:
        namespaces.fall_back_on({"display": "IPython's", "get_ipython": "IPython's"})
        namespaces.overlay_all({"get_ipython": "user"})
        globals_ = namespaces.globals_of("module", {})
        namespaces.namespace_of(globals_).offer({"display": "caller"}, {"display": 1})
        assert globals_ == {"display": "caller", "get_ipython": "user"}

    def test_are_back_when_the_user_removes_the_name(self) -> None:
        namespaces.fall_back_on({"display": "IPython's"})
        globals_ = namespaces.globals_of("module", {})
        namespaces.overlay_all({"display": "user"})
        namespaces.overlay_all({})
        assert globals_ == {"display": "IPython's"}


class TestFunctions:
    def test_of_one_module_share_their_globals(self, define: Define) -> None:
        main = define("a = 1\ndef set_it(v):\n global a\n a = v\ndef read(): return a")
        set_it, read = sent(main.set_it), sent(main.read)
        set_it(2)
        assert (read(), main.a) == (2, 1)
        assert read.__globals__ is set_it.__globals__

    def test_that_arrive_again_leave_what_was_set(self, define: Define) -> None:
        main = define("a = 1\ndef set_it(v):\n global a\n a = v\ndef read(): return a")
        sent(main.set_it)(2)
        assert sent(main.read)() == 2
        main.a = 3
        assert sent(main.read)() == 3

    def test_of_another_space_see_their_own(self, define: Define) -> None:
        main = define("a = 1\ndef set_it(v):\n global a\n a = v\ndef read(): return a")
        data = dumps(main.set_it), dumps(main.read)
        pickle.loads(data[0])(2)
        namespaces.enter("another pool")
        assert pickle.loads(data[1])() == 1

    def test_keep_attributes_defaults_and_names(self, define: Define) -> None:
        main = define("def f(a, b=2, *, c: int = 3):\n 'doc'\n return a, b, c\nf.mark = 'x'")
        f = sent(main.f)
        assert f(1) == (1, 2, 3)
        assert (f.__name__, f.__doc__, f.__module__, f.mark) == ("f", "doc", "__main__", "x")

    def test_with_a_cache_arrive_with_an_empty_one(self, define: Define) -> None:
        main = define("import functools\n@functools.lru_cache(maxsize=7)\ndef double(x): return 2 * x")
        main.double(4)
        double = sent(main.double)
        assert double(4) == 8
        assert double.cache_info() == (0, 1, 7, 1)

    def test_that_dispatch_still_do(self, define: Define) -> None:
        main = define(
            "import functools\n@functools.singledispatch\ndef kind(x): return 'any'\n"
            "@kind.register\ndef _(x: int): return 'int'"
        )
        assert [sent(main.kind)(value) for value in (1, "a")] == ["int", "any"]

    def test_globals_that_cannot_be_sent_say_so_when_used(self, define: Define) -> None:
        main = define("import sys\nstuck = sys._getframe()\ndef use(really): return really and stuck.f_code")
        use = sent(main.use)
        assert use(False) is False
        with pytest.raises(RuntimeError, match="'stuck' cannot be sent to engines"):
            use(True)

    def test_of_another_python_are_refused(self) -> None:
        with pytest.raises(TypeError, match="code of Python 2.7 cannot run on Python 3"):
            shipping.make_code((2, 7), "script.py", ())


class TestGoingHome:
    def test_functions_and_classes_come_home_as_themselves(self, define: Define) -> None:
        main = define("class Point: pass\ndef f(): pass")
        for theirs in (main.f, main.Point):
            assert pickle.loads(shipping.dumps(sent(theirs))) is theirs

    def test_instances_are_of_the_callers_class(self, define: Define) -> None:
        main = define("class Point:\n def __init__(self, x): self.x = x\ndef make(x): return Point(x)")
        back = pickle.loads(shipping.dumps(sent(main.make)(3)))
        assert (type(back), back.x) == (main.Point, 3)

    def test_local_functions_come_by_value(self, define: Define) -> None:
        main = define("def make(x):\n return lambda y: x + y")
        assert pickle.loads(shipping.dumps(sent(main.make)(1)))(2) == 3

    @pytest.mark.parametrize("value", [1, "text", None, b"bytes", [1, {2}], functools.partial(int, base=2)])
    def test_anything_else_as_ever(self, value: Any) -> None:
        assert repr(pickle.loads(shipping.dumps(value))) == repr(value)

    def test_slots_are_there_when_the_class_is_made(self, define: Define) -> None:
        main = define("class Slim:\n __slots__ = ('a',)\n def __init__(self, a): self.a = a")
        slim = sent(main.Slim)(1)
        assert slim.a == 1
        assert not hasattr(slim, "__dict__")


class TestArrived:
    def test_finds_what_came_from_main(self, define: Define) -> None:
        main = define("def f_that_arrived(): pass")
        there = sent(main.f_that_arrived)
        assert shipping.arrived("f_that_arrived") is there

    def test_finds_what_functions_use(self, define: Define) -> None:
        main = define("table_there = [1]\ndef f(): return table_there")
        there = sent(main.f)
        assert shipping.arrived("table_there") is there()

    @pytest.mark.parametrize("source", [None, "def f(): pass"])
    def test_anything_else_is_no_attribute(self, define: Define, source: str | None) -> None:
        if source is not None:
            sent(define(source).f)
        with pytest.raises(AttributeError, match="module '__main__' has no attribute 'never_sent'"):
            shipping.arrived("never_sent")

    def test_is_of_the_space_entered(self, define: Define) -> None:
        data = dumps(define("def same_name(): return 1").same_name)
        namespaces.enter("one")
        ones = pickle.loads(data)
        data = dumps(define("def same_name(): return 2").same_name)
        namespaces.enter("two")
        twos = pickle.loads(data)
        assert shipping.arrived("same_name") is twos
        namespaces.enter("one")
        assert shipping.arrived("same_name") is ones
