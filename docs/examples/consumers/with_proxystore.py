"""proxystore: arguments and results travel past the cluster, here through files."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
import tempfile

from proxystore.connectors.file import FileConnector
from proxystore.store import Store
from proxystore.store.executor import ProxyAlways, StoreExecutor

from IPython.parallel import Client

view = Client().load_balanced_view()


def square(n):
    return n * n


store = Store(f"squares-{id(view)}", FileConnector(tempfile.mkdtemp()))
with StoreExecutor(view, store, should_proxy=ProxyAlways()) as executor:
    print(int(executor.submit(square, 7).result()))  # 49
