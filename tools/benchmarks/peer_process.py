"""The process of one contestant: starts its executor, then measures what it is asked to, until the pipe is closed.

    peer_process.py NAME WORKERS FILE_DESCRIPTOR
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import sys
from multiprocessing.connection import Connection
from typing import Any

from contestants import EVERYBODY
from measures import MEASURES, SPREAD


def main(name: str, workers: int, descriptor: int) -> None:
    orders: Connection[Any, Any] = Connection(descriptor)
    contestant = EVERYBODY[name]
    with contestant.start(workers) as executor:
        executor.submit(abs, -1).result()
        orders.send("ready")
        while (order := _next(orders)) is not None:
            measure, size = order
            run = SPREAD.run if measure == "scaling" else MEASURES[measure].run
            orders.send(run(executor, workers, contestant.share, **size))


def _next(orders: Connection[Any, Any]) -> Any:
    try:
        return orders.recv()
    except EOFError:
        return None


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
