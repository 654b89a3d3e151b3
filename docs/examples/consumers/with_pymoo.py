"""pymoo: a generation is evaluated on engines."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.problem import ElementwiseProblem
from pymoo.optimize import minimize
from pymoo.parallelization.starmap import StarmapParallelization

from IPython.parallel import Client

view = Client().load_balanced_view()


class Distances(ElementwiseProblem):
    def _evaluate(self, x, out, *args, **kwargs):
        out["F"] = [(x**2).sum(), ((x - 1) ** 2).sum()]


problem = Distances(n_var=2, n_obj=2, xl=-2, xu=2, elementwise_runner=StarmapParallelization(view.starmap))
print(minimize(problem, NSGA2(pop_size=10), ("n_gen", 3), seed=1).F.shape[1])  # 2
