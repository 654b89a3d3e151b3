"""more-executors: calls on engines are retried, throttled and limited in time."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from more_executors import RetryExecutor

from IPython.parallel import Client

view = Client().load_balanced_view()


def square(n):
    return n * n


with RetryExecutor(view, max_attempts=3).with_throttle(2).with_timeout(30) as executor:
    print([executor.submit(square, n).result() for n in range(4)])  # [0, 1, 4, 9]
