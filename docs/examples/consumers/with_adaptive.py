"""adaptive: as many points at a time as there are engines."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
import adaptive

from IPython.parallel import Client

view = Client().load_balanced_view()


def peak(x):
    return x + 0.01 / (0.0001 + x**2)


learner = adaptive.Learner1D(peak, bounds=(-1, 1))
adaptive.BlockingRunner(learner, executor=view, npoints_goal=30)
print(learner.npoints >= 30)  # True
