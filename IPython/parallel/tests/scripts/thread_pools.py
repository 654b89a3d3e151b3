"""Thread pools of the program, of asyncio and of a library; prints where calls ran."""

import asyncio
import concurrent.futures
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.thread import ThreadPoolExecutor as SameClass

from tqdm.contrib.concurrent import thread_map


def where(pid, nested=False):
    if nested:
        with ThreadPoolExecutor(1) as pool:
            return "nested " + pool.submit(where, os.getpid()).result()
    return "here" if os.getpid() == pid else "elsewhere"


class Mine(ThreadPoolExecutor):
    pass


async def in_asyncio(pid):
    loop = asyncio.get_running_loop()
    print("asyncio:", await asyncio.to_thread(where, pid), await loop.run_in_executor(None, where, pid))
    with ThreadPoolExecutor() as pool:
        print("given to asyncio:", await loop.run_in_executor(pool, where, pid))
    loop.set_default_executor(ThreadPoolExecutor(1))
    print("set for asyncio:", await loop.run_in_executor(None, where, pid))


def main():
    pid = os.getpid()
    for cls in (ThreadPoolExecutor, SameClass, concurrent.futures.ThreadPoolExecutor, Mine):
        with cls(max_workers=2, thread_name_prefix="name") as pool:
            print(cls.__name__, isinstance(pool, ThreadPoolExecutor), list(pool.map(where, [pid, pid])))
    with ThreadPoolExecutor() as pool:
        print(pool.submit(where, pid, nested=True).result())
    asyncio.run(in_asyncio(pid))
    print("library:", thread_map(where, [pid], file=sys.stderr))


if __name__ == "__main__":
    main()
