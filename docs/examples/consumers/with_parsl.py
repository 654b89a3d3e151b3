"""parsl: apps wait for calls on engines."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
import parsl

from IPython.parallel import Client

view = Client().load_balanced_view()


def square(n):
    return n * n


@parsl.python_app
def add(a, b):
    return a + b


with parsl.load(parsl.Config(executors=[parsl.ThreadPoolExecutor()], initialize_logging=False)):
    print(add(view.submit(square, 3), view.submit(square, 4)).result())  # 25
