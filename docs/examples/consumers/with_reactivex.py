"""reactivex: an observable of the results of calls."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
import reactivex
from reactivex import operators

from IPython.parallel import Client

view = Client().load_balanced_view()


def square(n):
    return n * n


squares = reactivex.range(4).pipe(
    operators.flat_map(lambda n: reactivex.from_future(view.submit(square, n))),
    operators.sum(),
)
print(squares.run())  # 14
