"""dask: a view computes its graphs."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
import dask

from IPython.parallel import Client

view = Client().load_balanced_view()


@dask.delayed
def square(n):
    return n * n


total = dask.delayed(sum)([square(n) for n in range(4)])
print(total.compute(scheduler=view))  # 14
