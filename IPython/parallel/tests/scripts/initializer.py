"""An initializer that sets a global, arguments for it, and a worker limit."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
import sys
from concurrent.futures import ProcessPoolExecutor

factor = 1


def prepare(value, offset=0):
    global factor
    factor = value + offset


def scaled(number):
    return number * factor


if __name__ == "__main__":
    factor = int(sys.argv[1])
    with ProcessPoolExecutor(max_workers=2, initializer=prepare, initargs=(10, 1)) as pool:
        print(list(pool.map(scaled, range(5))))
        print(pool.submit(scaled, number=7).result())
    print(factor)
