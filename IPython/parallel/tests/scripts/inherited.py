"""Locks, queues and memory of multiprocessing, by initializer and as globals, as only children have them."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
import logging
import logging.handlers
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import shared_memory

multiprocessing.set_start_method("fork")  # which is the default up to Python 3.13

counter = multiprocessing.Value("i", 0)
numbers = multiprocessing.Array("d", 3)
event = multiprocessing.Event()
places = multiprocessing.Semaphore(2)


def set_up(shared_queue, shared_lock, records):
    global queue, lock
    queue, lock = shared_queue, shared_lock
    logging.getLogger().addHandler(logging.handlers.QueueHandler(records))


def work(number, memory):
    with counter.get_lock():
        counter.value += number
    with lock, places:
        numbers[number % 3] += 1
    queue.put(number)
    event.set()
    block = shared_memory.SharedMemory(memory)
    block.buf[number] = number
    block.close()
    logging.warning("worked")
    return hash("a text")


def with_lock(lock):
    return lock


if __name__ == "__main__":
    queue, records = multiprocessing.Queue(), multiprocessing.Queue()
    block = shared_memory.SharedMemory(create=True, size=16)
    with ProcessPoolExecutor(2, initializer=set_up, initargs=(queue, multiprocessing.Lock(), records)) as pool:
        print(len(set(pool.map(work, range(6), [block.name] * 6))))
        print(sorted(queue.get(timeout=30) for _ in range(6)))
        print({records.get(timeout=30).getMessage() for _ in range(6)})
        try:
            pool.submit(with_lock, multiprocessing.Lock()).result()
        except RuntimeError as error:
            print(error)
    print(counter.value, list(numbers), event.is_set(), bytes(block.buf[:6]))
    block.close()
    block.unlink()
