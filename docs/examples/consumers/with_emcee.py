"""emcee: walkers are evaluated on engines."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
import emcee
import numpy

from IPython.parallel import Client

view = Client().load_balanced_view()


def log_probability(x):
    return -0.5 * numpy.sum(x**2)


sampler = emcee.EnsembleSampler(8, 2, log_probability, pool=view)
sampler.run_mcmc(numpy.random.default_rng(1).normal(size=(8, 2)), 20)
print(sampler.get_chain().shape)  # (20, 8, 2)
