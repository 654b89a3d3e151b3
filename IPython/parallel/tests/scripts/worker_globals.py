"""Globals that are bound anew here and there: a worker keeps those that it had when it was started."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

multiprocessing.set_start_method("fork")  # which is the default up to Python 3.13

count = 0
factor = 1
seen = {}


def scaled(number):
    return number * factor


def counted(number):
    global count
    count += 1
    seen[number] = count
    return count, dict(seen)


if __name__ == "__main__":
    factor = 5
    with ProcessPoolExecutor(1) as pool:
        for number in range(3):
            print(pool.submit(scaled, 1).result(), pool.submit(counted, number).result())
            factor, count = factor + 1, count + 10
    print(count, factor, seen)
    with ProcessPoolExecutor(1) as pool:
        print(pool.submit(scaled, 1).result(), pool.submit(counted, 9).result())
