"""The interpreter's options, as a worker has them."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor


def flags():
    return __debug__, tuple(sys.flags), sys.warnoptions, sys._xoptions, sys.dont_write_bytecode


def warn():
    warnings.warn("once for all", stacklevel=1)


if __name__ == "__main__":
    with ProcessPoolExecutor(1) as pool:
        print(pool.submit(flags).result())
        try:
            pool.submit(warn).result()
        except UserWarning as error:
            print("raised:", error)
