"""Workers that end after some calls: the next ones are initialized again, and know nothing of the last."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

count = None


def set_up():
    global count
    count = 0
    print("set up", flush=True)


def counted(_):
    global count
    count += 1
    return count


if __name__ == "__main__":
    spawning = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawning, set_up, max_tasks_per_child=2) as pool:
        print([pool.submit(counted, number).result() for number in range(5)])
    for count in (0, 1.5):
        try:
            ProcessPoolExecutor(max_tasks_per_child=count)
        except (TypeError, ValueError) as error:
            print(error)
    try:
        ProcessPoolExecutor(mp_context=multiprocessing.get_context("fork"), max_tasks_per_child=1)
    except ValueError as error:
        print(error)
