"""A package that is run with -m."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
import sys
from concurrent.futures import ProcessPoolExecutor

from .work import cube

if __name__ == "__main__":
    with ProcessPoolExecutor(2) as pool:
        print(__package__, __spec__.name, sys.argv[1:], list(pool.map(cube, range(4))))
