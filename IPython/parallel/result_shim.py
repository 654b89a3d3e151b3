"""``ar.result``: called, the method of PEP 3148; used as a value, the value that IPython.parallel's property gave."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.

# One attribute has two users. `ar.result(timeout=5)`, `submit(ar.result)`, `assertRaises(E, ar.result)` and
# `hasattr(ar, "result")` evaluate it before anybody wants the value; `ar.result[0]` and `for x in ar.result` are
# written by people who want nothing else. So evaluating it neither waits nor raises and gives a LazyResult; calling
# that waits as PEP 3148 says; anything else done with it is done with the value, waited for without limit, and
# raises the task's error every time anew. Whatever comes out of an operation is a plain object again.
#
# Two things the legacy property did and this cannot: `try: out = ar.result` does not raise (the first use of `out`
# does), and the bare statement `ar.result` does not wait. `ar.r` is still that property.
#
# Why not otherwise. A real list when the result is there and a proxy while it is not would make `json.dumps(ar.result)`
# work in tests and fail in production. Reading the caller's bytecode for "is this a call?" is wrong for
# `executor.submit(ar.result)`. Raising at once what has already failed breaks `assertRaises(E, ar.result)`.

from __future__ import annotations

import collections.abc
import copy
import inspect
import math
import operator
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from types import FrameType, MethodType
from typing import Any, NamedTuple, overload

from .dispatch.task_states import FINISHED


def result(ar: Future[Any], timeout: float | None = None) -> Any:
    """
    Wait for the call to end and return its value.

    Any thread may call this, except the one that receives results.

    Parameters
    ----------
    timeout : float, optional
        Seconds to wait; by default without limit. Zero or less: do not wait.

    Returns
    -------
    object
        The value itself, never a proxy.

    Raises
    ------
    TimeoutError
        If the call has not ended after `timeout` seconds.
    concurrent.futures.CancelledError
        If the call was cancelled.
    Exception
        What the call itself raised.

    Notes
    -----
    Source: PEP 3148. Not called, ``ar.result`` stands for the value, as in IPython.parallel: its first use waits and
    raises.
    """
    if ar._state == FINISHED and ar._exception is None:
        return ar._result
    # Not by way of ar.get(), which calls ar.result(); nor of Future.result, which until Python 3.13 asks an exception
    # whether it is true, and gives None where it says that it is not.
    error = Future.exception(ar, timeout)
    if error is None:
        return ar._result
    try:
        raise error
    finally:
        del ar, error  # the traceback refers to this frame


future_result = result
"""The same function under the name that reads well where there is no ``ar.`` before it."""


class ResultAccess:
    """
    The attribute ``result`` of AsyncResult.

    On the class it gives the function `result`, on an instance a `LazyResult`. It is no data descriptor: a ``result``
    set on an instance wins.
    """

    __slots__ = ()

    @overload
    def __get__(self, ar: None, owner: type | None = None) -> Callable[..., Any]: ...
    @overload
    def __get__(self, ar: Future[Any], owner: type | None = None) -> LazyResult: ...
    def __get__(self, ar: Future[Any] | None, owner: type | None = None) -> Any:
        return result if ar is None else LazyResult(ar)


# What unittest, threading, asyncio and inspect ask of anything they are to call. Answered as the bound method
# `result` would, so that nothing waits before the call. Those on the last line it lacks.
_METHOD_ATTRIBUTES = frozenset(
    "__call__ __name__ __qualname__ __self__ __func__ __doc__ __module__"
    " __await__ __wrapped__ __partialmethod__ _is_coroutine _is_coroutine_marker".split()
)
# Asked of the instance by pickle, copy and numpy, and answered by LazyResult whatever the value has.
_OWN_ATTRIBUTES = frozenset(("__reduce_ex__", "__copy__", "__deepcopy__", "__array__"))


class _LooksOnlyCallable(type):
    """
    Keeps the forwarding methods out of sight of ``Iterable``, ``Sized``, ``Hashable`` and their kind.

    These ask the value's class and then the shim's own for the method's name, along ``__mro__``. LazyResult has all the
    names whatever the value is; left in sight, ``isinstance(ar.result, Iterable)`` would be true of a number.
    """

    @property
    def __mro__(cls) -> tuple[Any, ...]:
        return (collections.abc.Callable,)


class LazyResult(metaclass=_LooksOnlyCallable):
    """
    What ``ar.result`` evaluates to: called, it waits as PEP 3148 says; used in any other way, it is the value.

    Making one neither waits nor raises. A use as value waits without limit and raises what the call raised, each time.
    Operations, copies and pickles are plain objects; changes go to the value. There is no ``await``.
    Any thread may use it. `LIMITS` lists what it cannot do.

    Parameters
    ----------
    ar : concurrent.futures.Future
        The future whose value it stands for.
    """

    __slots__ = ("__self__",)  # named as on a bound method; a name of ours could hide one of the value's

    def __init__(self, ar: Future[Any]) -> None:
        object.__setattr__(self, "__self__", ar)

    def __call__(self, timeout: float | None = None) -> Any:
        return result(_future_of(self), timeout)

    def __getattribute__(self, name: str) -> Any:
        if name in _METHOD_ATTRIBUTES:
            return getattr(_method_of(self), name)
        if name == "__class__":
            return _class_of(self, _module_name(sys._getframe(1)))
        if name == "__signature__":
            return inspect.signature(_method_of(self))
        if name in _OWN_ATTRIBUTES:
            return object.__getattribute__(self, name)
        value = _value_of(self)
        if name in _ARRAY_PROTOCOLS and not _is_number_array(value):
            raise AttributeError(f"no {name}: numpy is to use __array__")
        return getattr(value, name)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        # Unpickles without this package: an engine needs nothing of ours.
        return operator.getitem, ((_value_of(self),), 0)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        # By way of __array__ a result 2.0 would count as a float64 array, and float32 array * 2.0 become float64.
        operands = [_plain(operand) for operand in inputs]
        if "out" in options:
            options["out"] = tuple(_plain(array) for array in options["out"])
        if method == "__call__" and not options and _is_numpy(inputs[0]):
            # `array * shim` ends here, too; done again as `array * value` it lets a sparse matrix have its say.
            ufunc = _UFUNC_OPERATORS.get(ufunc.__name__, ufunc)
        return getattr(ufunc, method)(*operands, **options)


def _is_numpy(operand: Any) -> bool:
    import numpy  # this is numpy's call: nobody is made to load it

    return isinstance(operand, (numpy.ndarray, numpy.generic))


def _future_of(shim: LazyResult) -> Future[Any]:
    future: Future[Any] = object.__getattribute__(shim, "__self__")
    return future


def _method_of(shim: LazyResult) -> MethodType:
    return MethodType(result, _future_of(shim))


def _value_of(shim: LazyResult) -> Any:
    return result(_future_of(shim))


def _plain(operand: Any) -> Any:
    return _value_of(operand) if type(operand) is LazyResult else operand


_INTROSPECTION = frozenset(("asyncio", "inspect"))
_ITS_HELPERS = frozenset(("__instancecheck__", "_unwrap_partial", "_unwrap_partialmethod"))


def _class_of(shim: LazyResult, asker: str) -> type:
    """
    What ``isinstance`` is told: the value's class, but for two who mean something else.

    asyncio and inspect check what they are given as a callable: is it a coroutine, which signature has it? The answer
    is about the method, and an event loop must not stand still for it until the task ends. Nothing but the asking
    module tells them apart. IPython's display asks for each of its formats, and would show a task's error for each.
    """
    if asker.partition(".")[0] in _INTROSPECTION:
        return MethodType
    try:
        cls: type = _value_of(shim).__class__
    except Exception:
        if asker == "IPython.core.formatters":
            return LazyResult
        raise
    return cls


def _module_name(frame: FrameType) -> str:
    """The name of the module that runs in `frame`, or, if that only helps others to ask, of its caller."""
    while frame.f_back is not None and frame.f_code.co_name in _ITS_HELPERS:
        frame = frame.f_back
    return str(frame.f_globals.get("__name__"))


# numpy turns to these before __array__, though dates and fields get lost on the way, and scalars lend freed memory.
_ARRAY_PROTOCOLS = frozenset(("__array_struct__", "__array_interface__"))


def _is_number_array(value: Any) -> bool:
    return hasattr(value, "__array_function__") and getattr(getattr(value, "dtype", None), "kind", "") in "biufc"


def _as_array(value: Any, dtype: Any = None, copy: bool | None = None) -> Any:
    import numpy

    if copy is None:  # which numpy 1 does not know
        return numpy.asarray(value, dtype)
    return numpy.array(value, dtype, copy=copy)


def _as_buffer(value: Any, flags: int) -> memoryview:
    # `flags` is for the interpreter to apply to what is returned.
    if hasattr(value, "__array_struct__") and not _is_number_array(value):
        raise BufferError("numpy is to use __array__")  # to which it prefers the buffer
    return memoryview(value)


def _swapped(operation: Callable[..., Any]) -> Callable[..., Any]:
    return lambda value, other, *modulus: operation(other, value, *modulus)


_COMPARISONS = {
    "lt": "less", "le": "less_equal", "eq": "equal", "ne": "not_equal", "gt": "greater", "ge": "greater_equal",
}
_ARITHMETIC = {
    "add": "add", "sub": "subtract", "mul": "multiply", "matmul": "matmul", "truediv": "divide",
    "floordiv": "floor_divide", "mod": "remainder", "lshift": "left_shift", "rshift": "right_shift",
    "and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor", "pow": "power",
}
"""Python's name of each operator and numpy's name of the ufunc behind it."""

_UFUNC_OPERATORS: dict[str, Callable[..., Any]] = {
    ufunc: getattr(operator, f"__{name}__") for name, ufunc in {**_COMPARISONS, **_ARITHMETIC}.items()
} | {"divmod": divmod}


def _named_operators() -> Iterator[tuple[str, Callable[..., Any]]]:
    """The special methods that the operator module has under the same name, and the reflected ones."""
    for name in (*_COMPARISONS, *_ARITHMETIC, "neg", "pos", "invert", "getitem", "setitem", "delitem", "contains"):
        yield f"__{name}__", getattr(operator, f"__{name}__")
    for name in _ARITHMETIC:
        yield f"__r{name}__", _swapped(getattr(operator, f"__{name}__"))
        yield f"__i{name}__", getattr(operator, f"__i{name}__")


def _asked_of_type(name: str) -> Callable[..., Any]:
    """A special method for which there is no builtin function, looked up as the interpreter does it."""

    def ask(value: Any, *operands: Any) -> Any:
        method = getattr(type(value), name, None)
        if method is None:
            raise TypeError(f"'{type(value).__name__}' object has no {name}")
        return method(value, *operands)

    return ask


def _length_hint(value: Any) -> Any:
    hint = getattr(type(value), "__length_hint__", None)
    return NotImplemented if hint is None else hint(value)


_PROTOCOLS = ("__enter__", "__exit__", "__aenter__", "__aexit__", "__aiter__", "__anext__")

FORWARDED: dict[str, Callable[..., Any]] = {
    **dict(_named_operators()),
    **{name: _asked_of_type(name) for name in _PROTOCOLS},
    "__pow__": pow, "__rpow__": _swapped(pow), "__divmod__": divmod, "__rdivmod__": _swapped(divmod),
    "__repr__": repr, "__str__": str, "__bytes__": bytes, "__format__": format, "__fspath__": os.fspath,
    "__bool__": bool, "__hash__": hash, "__int__": int, "__float__": float, "__complex__": complex,
    "__index__": operator.index, "__abs__": abs, "__round__": round, "__trunc__": math.trunc,
    "__floor__": math.floor, "__ceil__": math.ceil,
    "__len__": len, "__length_hint__": _length_hint, "__iter__": iter, "__next__": next, "__reversed__": reversed,
    "__setattr__": setattr, "__delattr__": delattr, "__dir__": dir,
    "__copy__": copy.copy, "__deepcopy__": copy.deepcopy,
    "__array__": _as_array, "__buffer__": _as_buffer,
    "__instancecheck__": lambda cls, instance: isinstance(instance, cls),
    "__subclasscheck__": lambda cls, subclass: issubclass(subclass, cls),
}
"""Special method of LazyResult -> what is done with the value instead, and with the other operands."""


def _forwarder(name: str, operation: Callable[..., Any]) -> Callable[..., Any]:
    def forward(self: LazyResult, *operands: Any, **options: Any) -> Any:
        return operation(_value_of(self), *map(_plain, operands), **options)

    forward.__name__ = name
    forward.__qualname__ = f"LazyResult.{name}"
    return forward


for _name, _operation in FORWARDED.items():
    setattr(LazyResult, _name, _forwarder(_name, _operation))


class Limit(NamedTuple):
    """Something that comes out differently with ``x = ar.result`` than with the value."""

    value: str
    code: str
    why: str


LIMITS = (
    Limit("None", "x is None", "identity is the shim's own"),
    Limit("[1, 2]", "type(x) is list", "the type is LazyResult; isinstance(x, list) is true"),
    Limit("3", "hasattr(type(x), '__len__')", "asks the type, as runtime protocols do from Python 3.12 on"),
    Limit("[1, 2]", "match x:\n    case [first, second]: out = first", "sequence and mapping patterns ask the type"),
    Limit(
        "dataclasses.make_dataclass('P', 'n')(1)", "dataclasses.asdict(x)", "asdict, astuple and replace ask the type"
    ),
    Limit("[1, 2]", "json.dumps(x)", "C code that insists on the exact type"),
    Limit("'a'", "','.join([x])", "C code that wants a real str: join, re, write, eval, attribute names"),
    Limit("'a'", "x in 'abc'", "the same; 'a' in ar.result works"),
    Limit("(1, 2)", "'%s and %s' % x", "the same for a tuple; f-strings and format work"),
    Limit("0.5", "datetime.timedelta(seconds=x)", "the same for numbers: timedelta, Decimal, time.sleep, sqlite3"),
    Limit("slice(2)", "numpy.arange(3)[x]", "numpy takes None, True, tuples and slices as an index by exact type"),
    Limit("2", "hasattr(x, '__array__')", "numpy asks for it; any other protocol is there if the value has it"),
    Limit("'ab'", "numpy.array([x])", "numpy wants real strings and dates inside a list; array(x) works"),
    Limit("2", "numpy.result_type(numpy.float32, x)", "outside operators and ufuncs numpy takes a number for an array"),
    Limit("b'ab'", "(memoryview(x), numpy.asarray(x).dtype)", "no buffer before 3.12, one for numpy to prefer after"),
    Limit("(2,)", "known = [1]\nknown += x\nout = known", "list += x is done as list + x: a new list, and no tuples"),
    Limit("3", "callable(x)", "code that calls what can be called, and takes everything else for a value"),
    Limit("ValueError('no')", "raise x", "what is raised has to be an exception itself"),
    Limit("slice(2)", "[1, 2, 3][x]", "the same for a slice that is a result"),
    Limit(
        "int", "issubclass(x, int)", "a class that is a result: whether it is a class itself is a matter of identity"
    ),
    Limit("abs", "x(-1)", "a result that is a function: the call is result(timeout=-1)"),
    Limit("int", "x.__name__", "names, docstring and signature are the method's"),
    Limit("int", "inspect.isclass(x)", "inspect and asyncio see the method and never the value"),
)
"""What no proxy can honour. The way out is ``ar.result()`` or ``ar.r`` for all of it."""
