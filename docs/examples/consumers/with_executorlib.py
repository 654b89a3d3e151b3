"""executorlib: its calls wait for calls on engines."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from executorlib import SingleNodeExecutor

from IPython.parallel import Client

view = Client().load_balanced_view()


def square(n):
    return n * n


if __name__ == "__main__":
    with SingleNodeExecutor(max_workers=1) as executor:
        print(executor.submit(sum, [view.submit(square, 3), view.submit(square, 4)]).result())  # 25
