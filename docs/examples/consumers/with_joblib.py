"""joblib: ipyparallel's backend, with a view."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
import joblib
from ipyparallel import register_joblib_backend

from IPython.parallel import Client

view = Client().load_balanced_view()
register_joblib_backend()


def square(n):
    return n * n


with joblib.parallel_config(backend="ipyparallel", view=view):
    print(joblib.Parallel(n_jobs=-1)(joblib.delayed(square)(n) for n in range(4)))  # [0, 1, 4, 9]
