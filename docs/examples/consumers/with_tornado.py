"""tornado: handlers leave work to engines."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from tornado.ioloop import IOLoop

from IPython.parallel import Client

view = Client().load_balanced_view()


def square(n):
    return n * n


async def main():
    print(await IOLoop.current().run_in_executor(view, square, 7))  # 49


IOLoop().run_sync(main)
