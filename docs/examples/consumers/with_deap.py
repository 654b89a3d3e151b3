"""DEAP: each generation is evaluated on engines."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
import random

from deap import algorithms, base, creator, tools

from IPython.parallel import Client

view = Client().load_balanced_view()
creator.create("Best", base.Fitness, weights=(1.0,))
creator.create("Bits", list, fitness=creator.Best)
toolbox = base.Toolbox()
toolbox.register("map", view.map)
toolbox.register("evaluate", lambda bits: (sum(bits),))
toolbox.register("mate", tools.cxTwoPoint)
toolbox.register("mutate", tools.mutFlipBit, indpb=0.1)
toolbox.register("select", tools.selTournament, tournsize=3)
random.seed(1)
population = [creator.Bits(random.choices((0, 1), k=8)) for _ in range(30)]
population, _ = algorithms.eaSimple(population, toolbox, cxpb=0.5, mutpb=0.2, ngen=10, verbose=False)
print(max(map(sum, population)))  # 8
