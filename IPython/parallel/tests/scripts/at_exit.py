"""Work that nobody waits for is done before the interpreter ends."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
import atexit
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor


def slowly(number):
    time.sleep(0.05)
    return number


def in_thread(pool):
    time.sleep(0.1)
    print("the thread is done")


if __name__ == "__main__":
    atexit.register(print, "last words")
    pool = ProcessPoolExecutor(1)
    results = []
    for number in range(4):
        pool.submit(slowly, number).add_done_callback(lambda future: results.append(future.result()))
    atexit.register(lambda: print(sorted(results)))
    threading.Thread(target=in_thread, args=(pool,)).start()
    sys.exit(6)
