"""What a script sets in its modules before the pool is found by workers, who import nothing anew."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import changed_module

multiprocessing.set_start_method("fork")  # which is the default up to Python 3.13


@changed_module.register("double")
def double(number):
    return 2 * number


def apply(name, number):
    return changed_module.TABLE[name](number), changed_module.ADDED


if __name__ == "__main__":
    changed_module.VERBOSE = True
    changed_module.ADDED = "added"
    changed_module.OPTIONS["level"] = 3
    changed_module.NAMES.append("a name")
    changed_module.Config.level = 2
    changed_module.state.steps = 5
    changed_module.increase()
    for _ in range(2):
        with ProcessPoolExecutor(1) as pool:
            print(pool.submit(changed_module.tell).result())
            print(pool.submit(apply, "double", 4).result())
            print([pool.submit(changed_module.increase).result() for _ in range(2)])
    print(changed_module.count)
