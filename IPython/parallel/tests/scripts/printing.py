"""Calls that print, on one worker so that there is an order."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
import sys
from concurrent.futures import ProcessPoolExecutor


def tell(number):
    print("working on", number)
    print("out\nof", number, sep=" ")
    print("warning about", number, file=sys.stderr)
    return number


if __name__ == "__main__":
    print("begin")
    with ProcessPoolExecutor(1) as pool:
        print(sum(pool.map(tell, range(5))))
    print("end")
