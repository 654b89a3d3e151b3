"""nevergrad: several points are asked and told at a time."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
import nevergrad

from IPython.parallel import Client

view = Client().load_balanced_view()


def distance(x):
    return float(sum((x - 0.5) ** 2))


optimizer = nevergrad.optimizers.TwoPointsDE(parametrization=2, budget=60, num_workers=view.size)
found = optimizer.minimize(distance, executor=view, batch_mode=False)
print(distance(found.value) < 1)  # True
