"""scipy: the `map` of a view, wherever it takes workers."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from scipy import optimize

from IPython.parallel import Client

view = Client().load_balanced_view()


def distance(x):
    return (x[0] - 1) ** 2 + (x[1] - 2) ** 2


bounds = [(0, 4), (0, 4)]
found = optimize.differential_evolution(distance, bounds, workers=view.map, updating="deferred", maxiter=5)
print(found.x.round(3).tolist())  # [1.0, 2.0]
