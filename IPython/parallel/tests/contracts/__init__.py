"""Contract tests: what every executor promises, written once and bound to many.

A contract is a class of tests that asks its fixture `executor` for an executor and `calls` for functions to
submit. A binding inherits one contract and provides the executor::

    class TestThreadPoolSubmit(ThreadPool, SubmitContract): ...

Binding the same class to the standard library's own pools checks the contract itself: what they fail is a wrong
test, not a wrong executor. What only our views promise is a class of its own, bound to views alone.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
