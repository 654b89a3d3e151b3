"""What a pool looks like, and what it refuses."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
import concurrent.futures
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from concurrent.futures.process import ProcessPoolExecutor as SameProcessPoolExecutor


class Counting(ProcessPoolExecutor):
    submitted = 0

    def submit(self, *args, **kwargs):
        self.submitted += 1
        return super().submit(*args, **kwargs)


def attempt(function, *args, **kwargs):
    try:
        function(*args, **kwargs)
    except Exception as error:
        print(type(error).__name__, error)


def broken():
    raise ValueError("not today")


if __name__ == "__main__":
    print(ProcessPoolExecutor, SameProcessPoolExecutor is ProcessPoolExecutor)
    print(issubclass(ProcessPoolExecutor, Executor), concurrent.futures.ProcessPoolExecutor is ProcessPoolExecutor)
    attempt(ProcessPoolExecutor, 0)
    attempt(ProcessPoolExecutor, max_workers=-1)
    attempt(ProcessPoolExecutor, "2")
    attempt(ProcessPoolExecutor, initializer=5)
    attempt(ProcessPoolExecutor, max_tasks_per_child=0)
    attempt(ProcessPoolExecutor, max_tasks_per_child="1")
    with Counting(2) as pool:
        print(isinstance(pool, ProcessPoolExecutor), isinstance(pool, Executor), pool._max_workers)
        future = pool.submit(pow, 2, 5)
        print(isinstance(future, Future), future.result(), list(pool.map(abs, [-1, 2])), pool.submitted)
        attempt(pool.map, abs, [1], chunksize=0)
        attempt(pool.submit)
    attempt(pool.submit, abs, 1)
    attempt(pool.map, abs, [1])
    unused = ProcessPoolExecutor()
    unused.shutdown()
    unused.shutdown(wait=False, cancel_futures=True)
    attempt(unused.submit, abs, 1)
    pool = ProcessPoolExecutor(1, initializer=broken)
    print(isinstance(pool.submit(abs, 1).exception(), BrokenProcessPool))
    pool.shutdown()
