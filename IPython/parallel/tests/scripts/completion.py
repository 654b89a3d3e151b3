"""as_completed, wait, callbacks, timeouts and cancelling."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
import time
from concurrent.futures import (
    ALL_COMPLETED,
    FIRST_EXCEPTION,
    ProcessPoolExecutor,
    as_completed,
    wait,
)


def power(base, exponent=2):
    return base**exponent


def fail(reason):
    raise LookupError(reason)


if __name__ == "__main__":
    with ProcessPoolExecutor(2) as pool:
        futures = {pool.submit(power, n, exponent=3): n for n in range(20)}
        print(sorted((futures[future], future.result()) for future in as_completed(futures)))
        done, pending = wait(futures, return_when=ALL_COMPLETED)
        print(len(done), len(pending))
        broken = pool.submit(fail, "nothing there")
        done, pending = wait([broken], return_when=FIRST_EXCEPTION)
        print(repr(broken.exception()), broken.done(), broken.cancelled(), broken.running())
        seen = []
        last = pool.submit(power, 5)
        last.add_done_callback(lambda future: seen.append(future.result()))
        try:
            pool.submit(time.sleep, 0.5).result(timeout=0.01)
        except TimeoutError as error:
            print(type(error))
        print(list(pool.map(power, range(4), [1, 2, 3], chunksize=2)))
    print(seen, last.result())
