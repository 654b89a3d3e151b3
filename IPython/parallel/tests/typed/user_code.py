"""What users write, as a type checker is to see it. Never run: `test_types` has mypy read it, all its checks on.

An error that mypy is to find carries the comment that lets it pass; a comment that nothing needs is an error, too.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
import asyncio
import concurrent.futures
from collections.abc import Iterator
from typing import Any, assert_type

from IPython.parallel import (
    AsyncMapResult,
    AsyncResult,
    Client,
    Cluster,
    DirectView,
    LoadBalancedView,
    ProcessPoolExecutor,
    timeline,
    wait_interactive,
)
from IPython.parallel.timelines.timeline import Timeline


def half(number: int, *, twice: bool = False) -> float:
    return number / (4 if twice else 2)


def takes_any_executor(executor: concurrent.futures.Executor) -> concurrent.futures.Future[float]:
    return executor.submit(half, 3)


def takes_any_future(future: concurrent.futures.Future[float]) -> float:
    return future.result()


def views(client: Client) -> None:
    assert_type(client.load_balanced_view(), LoadBalancedView)
    assert_type(client[:], DirectView)
    assert_type(client[0], DirectView)
    takes_any_executor(client.load_balanced_view())
    takes_any_executor(client[0])
    takes_any_executor(client.executor())
    with client.load_balanced_view() as view:
        assert_type(view, LoadBalancedView)
    view.shutdown(wait=False, cancel_futures=True)
    view.shutdown(hub=True)
    view.sumbit(half, 1)  # type: ignore[attr-defined]


def submitting(view: LoadBalancedView, several: DirectView) -> None:
    future = view.submit(half, 1, twice=True)
    assert_type(future, AsyncResult[float])
    assert_type(future.result(timeout=3), float)
    assert_type(future.exception(), BaseException | None)
    assert_type(future.cancel(), bool)
    future.add_done_callback(lambda done: print(done.result()))
    future.add_done_callback(takes_any_future)
    assert_type(takes_any_future(future), float)
    assert_type(several.submit(half, 1), AsyncResult[Any])
    view.submit(half, "1")  # type: ignore[arg-type]
    view.submit(half)  # type: ignore[call-arg]
    view.submit(half, 1, thrice=True)  # type: ignore[call-arg]
    future.result[0]  # type: ignore[index]
    print(future.engine_id, future.stdout)


def mapping(view: LoadBalancedView, several: DirectView) -> None:
    mapped = view.map(half, range(3), timeout=1)
    assert_type(mapped, AsyncMapResult[float])
    assert_type(next(mapped), float)
    assert_type(list(mapped), list[float])
    assert_type(mapped.result(), list[float])
    assert_type(view.map(half, range(3), buffersize=2), Iterator[float])
    assert_type(view.map(half, range(3), block=True), list[float])
    assert_type(several.map(half, range(3)), AsyncMapResult[float])
    view.map(half, range(3), chunksize="1")  # type: ignore[call-overload]


async def waiting(view: LoadBalancedView) -> None:
    futures = [view.submit(half, number) for number in range(3)]
    done, not_done = concurrent.futures.wait(futures, timeout=3)
    assert_type(done, set[concurrent.futures.Future[float]])
    for future in concurrent.futures.as_completed(futures):
        assert_type(future.result(), float)
    assert_type(await futures[0], float)
    assert_type(await asyncio.wrap_future(futures[0]), float)
    assert_type(await asyncio.get_running_loop().run_in_executor(view, half, 1), float)
    assert_type(await asyncio.gather(*futures), list[float])
    wait_interactive(futures, timeout=3)
    assert_type(timeline(futures), Timeline)


def clusters_and_pools() -> None:
    with Cluster(n=4) as client:
        assert_type(client, Client)
    with ProcessPoolExecutor(max_workers=2) as pool:
        assert_type(pool.submit(half, 1), concurrent.futures.Future[float])
        assert_type(pool.map(half, range(3)), Iterator[float])
