"""dynesty: points are proposed on engines, as many at a time as there are."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
import dynesty
import numpy

from IPython.parallel import Client

view = Client().load_balanced_view()


def log_likelihood(x):
    return -0.5 * numpy.sum(x**2)


def prior_transform(u):
    return 4 * u - 2


sampler = dynesty.NestedSampler(log_likelihood, prior_transform, 2, nlive=40, pool=view)
sampler.run_nested(maxiter=60, print_progress=False)
print(sampler.results.logl.max() > -1)  # True
