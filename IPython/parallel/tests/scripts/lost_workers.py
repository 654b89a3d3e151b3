"""Pools whose workers are lost; those made afterwards have new ones."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
import os
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

if __name__ == "__main__":
    for _ in range(3):
        with ProcessPoolExecutor(1) as pool:
            try:
                pool.submit(os._exit, 1).result()
            except BrokenProcessPool:
                print("broken")
    with ProcessPoolExecutor(2) as pool:
        print(list(pool.map(abs, range(-3, 0))))
