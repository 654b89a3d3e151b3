"""asyncio: calls in a coroutine run on engines."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
import asyncio

from IPython.parallel import Client

view = Client().load_balanced_view()


def square(n):
    return n * n


async def main():
    loop = asyncio.get_running_loop()
    print(await loop.run_in_executor(view, square, 7))  # 49
    print(await asyncio.gather(*(view.submit(square, n) for n in range(4))))  # [0, 1, 4, 9]


asyncio.run(main())
