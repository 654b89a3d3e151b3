"""tqdm: a bar over what comes back."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from tqdm.auto import tqdm

from IPython.parallel import Client

view = Client().load_balanced_view()


def square(n):
    return n * n


print(list(tqdm(view.map(square, range(4)))))  # [0, 1, 4, 9]
