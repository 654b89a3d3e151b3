"""Children of the program that make pools, and one that leaves a pool of its parent's."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
import multiprocessing
import os
import time
import warnings
from concurrent.futures import ProcessPoolExecutor

# Python 3.12 and later say of any process with threads that a fork of it may come to nothing.
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)


def make_pool():
    with ProcessPoolExecutor(1) as pool:
        print("child", pool.submit(pow, 2, 3).result(), flush=True)


if __name__ == "__main__":
    child = multiprocessing.get_context("fork").Process(target=make_pool)
    child.start()
    child.join()
    print(child.exitcode, flush=True)
    try:
        with ProcessPoolExecutor(1) as pool:
            print(pool.submit(pow, 2, 4).result(), flush=True)
            pool.submit(time.sleep, 0.2)
            pid = os.fork()
            if pid == 0:
                raise EOFError
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
    except EOFError:
        os._exit(7)
    make_pool()
