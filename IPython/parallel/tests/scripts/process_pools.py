"""multiprocessing's pools under their several names, and those that are threads."""

import multiprocessing
import multiprocessing as mp
import multiprocessing.dummy
import os
import time
from multiprocessing import Pool, get_context
from multiprocessing.pool import Pool as PoolClass
from multiprocessing.pool import ThreadPool

offset = 0


def set_offset(value):
    global offset
    offset = value


def shifted(x):
    return x + offset


def elsewhere(pid):
    return os.getpid() != pid


def fail(x):
    raise KeyError(x)


class Named(PoolClass):
    name = "named"


def under_each_name():
    here = os.getpid()
    pools = [Pool(1), mp.Pool(processes=1), PoolClass(1), get_context("spawn").Pool(1), Named(1)]
    for pool in pools:
        with pool:
            print(type(pool).__name__, isinstance(pool, multiprocessing.pool.Pool), pool.apply(elsewhere, (here,)))
    for pool in (ThreadPool(1), multiprocessing.dummy.Pool(1)):
        with pool:
            print(type(pool).__name__, isinstance(pool, PoolClass), pool.apply(elsewhere, (here,)))
    print(issubclass(Named, PoolClass), issubclass(ThreadPool, PoolClass), issubclass(Named, ThreadPool))


def main():
    under_each_name()
    with Pool(2, set_offset, (10,)) as pool:
        print(pool.map(shifted, range(5)), pool.starmap(divmod, [(7, 2), (9, 4)]))
        print(pool.map(shifted, range(5), 2), pool.starmap(divmod, [(7, 2), (9, 4), (5, 3)], chunksize=2))
        print(list(pool.imap(shifted, range(5), 2)), sorted(pool.imap_unordered(shifted, range(5), chunksize=3)))
        print(list(pool.imap(shifted, range(5))), sorted(pool.imap_unordered(shifted, range(5))))
        try:
            pool.map(fail, "a")
        except KeyError as error:
            print("KeyError", error)
    collected = []
    pool = Pool()
    for n in range(10):
        pool.apply_async(shifted, (n,), callback=collected.append)
    pool.close()
    pool.join()
    print(sorted(collected))
    # Nobody waits for it: the pool ends with the program.
    abandoned = Pool(1)
    abandoned.apply_async(time.sleep, (3600,))


if __name__ == "__main__":
    main()
