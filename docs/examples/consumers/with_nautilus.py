"""nautilus: the likelihood is evaluated on engines."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
import nautilus

from IPython.parallel import Client

view = Client().load_balanced_view()
prior = nautilus.Prior()
prior.add_parameter("x", (-1, 1))
prior.add_parameter("y", (-1, 1))


def log_likelihood(at):
    return -(at["x"] ** 2 + at["y"] ** 2)


sampler = nautilus.Sampler(prior, log_likelihood, n_live=50, n_networks=0, pool=view, seed=1)
sampler.run(n_eff=50, n_like_max=300)
print(-1 < sampler.log_z < 0)  # True
