"""proxystore: its executor, which takes arguments and results past the cluster's own connections."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from IPython.parallel.tests.consumers import needed
from IPython.parallel.tests.contracts import calls
from IPython.parallel.tests.contracts.harness import PATIENCE

store_executor = needed("proxystore.store.executor")
connectors = needed("proxystore.connectors.file")
stores = needed("proxystore.store")
proxies = needed("proxystore.proxy")


@pytest.fixture
def proxying(executor: Any, tmp_path: Path) -> Iterator[Any]:
    # Engines outlive a store, and know it by its name.
    store = stores.Store(f"store-{uuid.uuid4().hex}", connectors.FileConnector(str(tmp_path / "store")))
    with store_executor.StoreExecutor(executor, store, store_executor.ProxyAlways()) as made:
        yield made


def test_submit(proxying: Any) -> None:
    result = proxying.submit(calls.add, "a" * 10, "b").result(PATIENCE)
    assert isinstance(result, proxies.Proxy)
    assert result == "a" * 10 + "b"


def test_map(proxying: Any) -> None:
    assert [int(value) for value in proxying.map(calls.add, [1, 2, 3], [10, 20, 30])] == [11, 22, 33]


def test_closures(proxying: Any) -> None:
    offset = 10
    assert proxying.submit(lambda n: n + offset, 1).result(PATIENCE) == 11


def test_errors_keep_their_type(proxying: Any) -> None:
    with pytest.raises(ZeroDivisionError):
        proxying.submit(calls.reciprocal, 0).result(PATIENCE)


def test_leaving_it_shuts_the_executor_down(executor: Any, tmp_path: Path) -> None:
    store = stores.Store(f"store-{uuid.uuid4().hex}", connectors.FileConnector(str(tmp_path / "store")))
    with store_executor.StoreExecutor(executor, store):
        pass
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(calls.add, 1, 2)
