"""pyABC: its sampler for executors."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
import random
import tempfile

import pyabc

from IPython.parallel import Client

view = Client().load_balanced_view()


def model(parameter):
    return {"data": parameter["mean"] + 0.1 * random.random()}


prior = pyabc.Distribution(mean=pyabc.RV("uniform", 0, 4))
sampler = pyabc.sampler.ConcurrentFutureSampler(view, client_max_jobs=2 * view.size)
inference = pyabc.ABCSMC(model, prior, lambda x, y: abs(x["data"] - y["data"]), population_size=10, sampler=sampler)
inference.new(f"sqlite:///{tempfile.mkdtemp()}/history.db", {"data": 2.0})
print(inference.run(max_nr_populations=2).n_populations)  # 2
