"""Calls that fork: their children print, end, are terminated, and make pools of their own."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
import multiprocessing
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor


def double(number):
    return 2 * number


def pool(number):
    with multiprocessing.Pool(2) as pool:
        return pool.map(double, range(number))


def fork(status):
    child = os.fork()
    if child == 0:
        print("from a child")
        sys.stdout.flush()
        os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def process(seconds):
    child = multiprocessing.Process(target=time.sleep, args=(seconds,))
    child.start()
    child.terminate()
    child.join()
    return child.exitcode


def printing(_):
    child = multiprocessing.Process(target=print, args=("from a process",), kwargs={"flush": True})
    child.start()
    child.join()


if __name__ == "__main__":
    with ProcessPoolExecutor(1) as executor:
        for call, argument in ((pool, 4), (fork, 3), (process, 60), (printing, None)):
            print(executor.submit(call, argument).result(), flush=True)
