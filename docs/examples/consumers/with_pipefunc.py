"""pipefunc: pipelines map over engines."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from pipefunc import Pipeline, pipefunc

from IPython.parallel import Client

view = Client().load_balanced_view()


@pipefunc(output_name="squares", mapspec="n[i] -> squares[i]")
def square(n):
    return n * n


@pipefunc(output_name="total")
def total(squares):
    return int(sum(squares))


results = Pipeline([square, total]).map({"n": [0, 1, 2, 3]}, executor=view, storage="dict", show_progress=False)
print(results["total"].output)  # 14
