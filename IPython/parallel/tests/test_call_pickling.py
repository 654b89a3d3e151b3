"""Functions and classes by value, there and back: an isolated interpreter is the engine."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import functools
import gc
import math
import operator
import pickle
import sys
import time
import types
import weakref
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import cloudpickle
import pytest

from IPython.parallel import call_pickling
from IPython.parallel.call_pickling import pickle_call, pickle_function
from IPython.parallel.tests.fake_cluster import ProcessEngine, RemoteFailure


@pytest.fixture(scope="module")
def engine() -> Iterator[ProcessEngine]:
    process = ProcessEngine()
    yield process
    process.close()


@pytest.fixture
def module(request: pytest.FixtureRequest) -> Iterator[Callable[[str], Any]]:
    """Makes a module of a source text, which the engine cannot import; more text goes on where it was."""
    name = f"only_here_{request.node.name.partition('[')[0]}"
    made = types.ModuleType(name)
    sys.modules[name] = made
    # As a script or notebook: what is importable elsewhere goes by name.
    cloudpickle.register_pickle_by_value(made)

    def run(source: str) -> Any:
        exec(source, made.__dict__)
        return made

    yield run
    cloudpickle.unregister_pickle_by_value(made)
    del sys.modules[name]


class TestFunctions:
    def test_globals_go_along(self, engine, module) -> None:
        m = module("import math\nfactor = 3\ndef helper(x): return math.floor(x) * factor\ndef f(x): return helper(x)")
        assert engine.call(m.f, 2.5) == 6

    def test_recursion(self, engine, module) -> None:
        m = module("def fact(n): return 1 if n == 0 else n * fact(n - 1)")
        assert engine.call(m.fact, 5) == 120

    def test_recursion_between_functions(self, engine, module) -> None:
        m = module("def even(n): return n == 0 or odd(n - 1)\ndef odd(n): return n > 0 and even(n - 1)")
        assert (engine.call(m.even, 10), engine.call(m.odd, 10)) == (True, False)

    def test_lambdas_closures_and_defaults(self, engine) -> None:
        n = 4
        assert engine.call(lambda x, y=2, *, z=3: x + y + z + n, 1) == 10

    def test_functions_as_arguments_share_globals_with_the_called_one(self, engine, module) -> None:
        m = module("count = 0\ndef up():\n global count\n count += 1\ndef run(f):\n f()\n return count")
        before = engine.call(m.run, m.up)
        assert engine.call(m.run, m.up) == before + 1

    def test_globals_are_shared_from_call_to_call(self, engine, module) -> None:
        m = module("state = None\ndef set_up(v):\n global state\n state = v\ndef read(): return state")
        engine.call(m.set_up, "set there")
        assert engine.call(m.read) == "set there"
        assert m.state is None

    def test_names_the_user_put_there_win(self, engine, module) -> None:
        m = module("pushed_name = 'here'\ndef read_pushed(): return pushed_name")
        assert engine.call(m.read_pushed) == "here"
        engine.push(pushed_name="there")
        assert engine.call(m.read_pushed) == "there"

    def test_importable_functions_go_by_name(self) -> None:
        pickled = pickle_function(call_pickling.dumps)
        assert pickled is not None
        assert len(pickled.data) < 200


class TestRebinding:
    def test_a_global_that_is_rebound(self, engine, module) -> None:
        m = module("x = 1\ndef f(): return x")
        assert engine.call(m.f) == 1
        module("x = 2")
        assert engine.call(m.f) == 2
        module("x = 1")
        assert engine.call(m.f) == 1

    def test_a_global_that_is_defined_later(self, engine, module) -> None:
        m = module("def f(): return defined_later")
        with pytest.raises(RemoteFailure, match="defined_later"):
            engine.call(m.f)
        module("defined_later = 5")
        assert engine.call(m.f) == 5

    def test_a_global_that_is_deleted(self, module) -> None:
        m = module("x = 1\ndef f(): return x")
        first = pickle_function(m.f)
        module("del x")
        assert pickle_function(m.f).key != first.key

    def test_a_function_that_is_redefined(self, engine, module) -> None:
        m = module("def helper(): return 'old'\ndef f(): return helper()")
        assert engine.call(m.f) == "old"
        module("def helper(): return 'new'")
        assert engine.call(m.f) == "new"

    def test_a_helper_of_a_helper(self, engine, module) -> None:
        m = module("def inner(): return 1\ndef helper(): return inner()\ndef f(): return helper()")
        assert engine.call(m.f) == 1
        module("def inner(): return 2")
        assert engine.call(m.f) == 2

    def test_what_a_call_set_there_survives_what_is_sent_unchanged(self, engine, module) -> None:
        m = module("x = 1\ndef set_x(v):\n global x\n x = v\ndef f(): return x\ndef g(): return x, 0")
        engine.call(m.set_x, 7)
        assert engine.call(m.f) == 7
        assert engine.call(m.g) == (7, 0)

    def test_a_name_that_is_closed_over_and_rebound(self, engine) -> None:
        n = 1

        def f() -> int:
            return n

        assert engine.call(f) == 1
        n = 2
        assert engine.call(f) == 2

    def test_a_name_that_a_helper_closes_over_and_is_rebound(self, engine) -> None:
        n = 1

        def helper() -> int:
            return n

        def f() -> int:
            return helper()

        assert engine.call(f) == 1
        n = 2
        assert engine.call(f) == 2

    def test_what_is_closed_over_and_changed_in_place(self, engine) -> None:
        items = [1]

        def f() -> list[int]:
            return items

        assert engine.call(f) == [1]
        items.append(2)
        assert engine.call(f) == [1, 2]

    def test_new_defaults_and_new_code(self, engine, module) -> None:
        m = module("def f(x=1): return x\ndef other(x=1): return -x")
        assert engine.call(m.f) == 1
        m.f.__defaults__ = (2,)
        assert engine.call(m.f) == 2
        m.f.__code__ = m.other.__code__
        assert engine.call(m.f) == -2

    def test_arguments_are_taken_as_they_are(self, module) -> None:
        m = module("def f(x): return x")
        argument = [1]
        _, first = pickle_call(m.f, (argument,), {})
        argument.append(2)
        _, second = pickle_call(m.f, (argument,), {})
        assert first != second


class TestCost:
    def test_a_function_is_pickled_once(self, module, monkeypatch) -> None:
        m = module("x = 1\ndef helper(v): return v\ndef f(v): return helper(v) + x")
        pickled: list[Any] = []
        dump = call_pickling._dump
        monkeypatch.setattr(call_pickling, "_dump", lambda f: pickled.append(f) or dump(f))
        keys = {pickle_call(m.f, (n,), {})[0].key for n in range(1000)}
        assert pickled == [m.f]
        assert len(keys) == 1

    def test_plain_arguments_need_no_pickler_of_ours(self, module, monkeypatch) -> None:
        m = module("def f(*args): pass")
        pickle_function(m.f)
        monkeypatch.setattr(call_pickling, "dumps", None)
        assert pickle_call(m.f, (1, 2.0, 3j, "a", b"b", None, True), {})

    def test_what_can_change_in_place_is_not_kept(self) -> None:
        items: list[int] = []
        assert pickle_function(lambda: items) is None

    @pytest.mark.parametrize("function", [len, math.sqrt, operator.add, time.sleep, Fraction, dict], ids=repr)
    def test_what_is_found_by_its_name_is_pickled_once(self, function: Callable[..., Any]) -> None:
        pickled = pickle_function(function)
        assert pickle_function(function) is pickled
        assert pickle.loads(pickled.data) is function
        assert len(pickled.data) < 60

    def test_what_is_neither_a_plain_function_nor_found_by_its_name_travels_with_the_call(self) -> None:
        class Local:
            pass

        for function in ([].append, "a".join, Local, Fraction(1).limit_denominator, functools.partial(len), str.upper):
            assert pickle_function(function) is None

    def test_functions_are_forgotten_with_their_last_reference(self) -> None:
        def make() -> Callable[[], int]:
            n = 1
            return lambda: n

        f = make()
        assert pickle_function(f) is not None
        ref = weakref.ref(f)
        del f
        gc.collect()
        assert ref() is None

    def test_recursive_functions_are_forgotten_too(self) -> None:
        def make() -> Callable[[int], int]:
            def fact(n: int) -> int:
                return 1 if n == 0 else n * fact(n - 1)

            return fact

        f = make()
        pickle_function(f)
        ref = weakref.ref(f)
        del f
        gc.collect()
        assert ref() is None


CLASSES = """
import dataclasses, enum
from collections import namedtuple
class Plain:
    kind = "plain"
    def __init__(self, x): self.x = x
    def method(self): return self.x
    @staticmethod
    def static(x): return x
    @classmethod
    def of_class(cls): return cls.__name__
    @property
    def double(self): return 2 * self.x
    def __eq__(self, other): return type(self) is type(other) and self.x == other.x
    __hash__ = None
class Derived(Plain):
    def method(self): return super().method() + 1
@dataclasses.dataclass
class Data:
    x: int
    y: list = dataclasses.field(default_factory=list)
class Color(enum.Enum):
    RED = 1
    BLUE = 2
Named = namedtuple("Named", "a b")
Named.__module__ = __name__
class Slotted:
    __slots__ = ("x",)
    def __init__(self, x): self.x = x
    def __eq__(self, other): return self.x == other.x
    __hash__ = None
def identity(v): return v
def is_same(v, cls): return type(v) is cls
"""


class TestClasses:
    @pytest.mark.parametrize("make", [
        "Plain(3)", "Derived(3)", "Data(1, [2])", "Color.RED", "Named(1, 2)", "Slotted(4)", "[Data(1), Color.BLUE]",
    ])  # fmt: skip
    def test_what_comes_back_is_of_the_callers_own_class(self, engine, module, make: str) -> None:
        m = module(CLASSES)
        value = eval(make, m.__dict__)
        back = engine.call(m.identity, value)
        assert type(back) is type(value)
        assert back == value

    def test_classes_themselves_come_back(self, engine, module) -> None:
        m = module(CLASSES)
        for cls in (m.Plain, m.Data, m.Color, m.Named):
            assert engine.call(m.identity, cls) is cls

    def test_members_of_enums_are_the_same_object(self, engine, module) -> None:
        m = module(CLASSES)
        assert engine.call(m.identity, m.Color.RED) is m.Color.RED

    def test_methods_of_all_kinds_work_there(self, engine, module) -> None:
        m = module(CLASSES)
        module("def use(p): return p.method(), p.static(5), p.of_class(), p.double, p.kind")
        assert engine.call(m.use, m.Derived(3)) == (4, 5, "Derived", 6, "plain")

    def test_bound_methods_are_callables(self, engine, module) -> None:
        m = module(CLASSES)
        assert engine.call(m.Derived(3).method) == 4

    def test_a_class_is_the_same_there_from_call_to_call(self, engine, module) -> None:
        m = module(CLASSES + "\nkept = []\ndef keep(v): kept.append(v)\ndef kept_is(cls): return type(kept[0]) is cls")
        engine.call(m.keep, m.Data(1))
        assert engine.call(m.kept_is, m.Data)

    def test_what_a_call_set_on_a_class_stays(self, engine, module) -> None:
        m = module(CLASSES + "\ndef mark(): Plain.kind = 'marked'\ndef kind(): return Plain.kind")
        engine.call(m.mark)
        assert engine.call(m.kind) == "marked"

    def test_classes_made_in_functions(self, engine) -> None:
        class Local:
            def __init__(self, x: int) -> None:
                self.x = x

        back = engine.call(lambda v: Local(v.x + 1), Local(1))
        assert (type(back), back.x) == (Local, 2)

    def test_functions_that_come_back_are_the_callers_own(self, engine, module) -> None:
        m = module(CLASSES)
        assert engine.call(m.identity, m.is_same) is m.is_same


class TestUnnamedGlobals:
    """Who looks names up brings the whole module; nobody else does."""

    SOURCE = "data = list(range(100))\nstep = 0\ndef other(): return 1\n"

    @pytest.mark.parametrize(
        "body",
        ["globals()['da' + 'ta']", "eval(name)", "exec(name)", "[eval(n) for n in name]", "(lambda: globals())()[name]"]
        + ["__import__('__main__')", "sys.modules['__main__']"],
    )
    def test_whole_module(self, module, body: str) -> None:
        m = module(self.SOURCE + f"def f(name): return {body}")
        assert b"other" in pickle_function(m.f).data

    @pytest.mark.parametrize(
        "body", ["name.eval()", "vars(name)", "'eval and globals'", "json.loads(name)", "data"]
    )
    def test_named_globals_alone(self, module, body: str) -> None:
        m = module("import json\n" + self.SOURCE + f"def f(name): return {body}")
        assert b"other" not in pickle_function(m.f).data

    def test_step_of_a_loop_sends_nothing_anew(self, module) -> None:
        m = module(self.SOURCE + "def f(name): return eval(name)")
        before = pickle_function(m.f)
        module("step = 1")
        assert pickle_function(m.f) is before
        module("another = 1")
        assert pickle_function(m.f) is not before

    def test_many_functions_that_look_names_up(self, engine, module) -> None:
        lines = [f"def f{n}(name): return globals()[name]" for n in range(30)]
        m = module("value = 7\n" + "\n".join(lines))
        assert engine.call(m.f3, "value") == 7
        assert engine.call(m.f29, "f3").__name__ == "f3"
        assert len(pickle_function(m.f29).data) < 60_000

    @pytest.mark.timeout(20)
    def test_functions_in_a_list_that_each_of_them_names(self, engine, module) -> None:
        lines = [f"def f{n}(name): return globals()[name] or [f('value') for f in every]" for n in range(8)]
        lines += [f"every = [{', '.join(f'f{n}' for n in range(8))}]"]
        m = module("value = 7\n" + "\n".join(lines) + "\ndef main(name): return [f(name) for f in every]")
        assert engine.call(m.main, "value") == [7] * 8
        assert len(pickle_function(m.main).data) < 120_000

    def test_pickle_brings_the_scripts_classes(self, module, monkeypatch) -> None:
        main = types.ModuleType("__main__")
        monkeypatch.setitem(sys.modules, "__main__", main)
        exec(
            "import pickle\nclass Kept: pass\ndata = 1\ndef f(b): return pickle.loads(b)\ndef g(b): return b",
            vars(main),
        )
        assert b"Kept" in pickle_function(main.f).data
        assert b"Kept" not in pickle_function(main.g).data
        assert b"Kept" in pickle_call(sys.modules["pickle"].loads, (b"",), {})[1]

    def test_objects_that_make_up_attributes_are_not_asked_for_any(self, module) -> None:
        """As ``pytest.mark`` does, and warns of what it does not know."""
        m = module(
            "class Maker:\n"
            "    asked = []\n"
            "    def __getattr__(self, name):\n"
            "        if not name.startswith('__'):\n"
            "            self.asked.append(name)\n"
            "        raise AttributeError(name)\n"
            "maker = Maker()\n"
            "def f(name): return globals()[name]"
        )
        pickle_function(m.f)
        call_pickling.dumps_small(m.maker)
        assert m.Maker.asked == []
