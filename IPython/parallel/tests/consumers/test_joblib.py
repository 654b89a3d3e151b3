"""joblib: ipyparallel's own backend is still registered, and takes a view."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

from typing import Any

import ipyparallel
import pytest
from ipyparallel import LoadBalancedView

from IPython.parallel.tests.consumers import needed
from IPython.parallel.tests.contracts import calls

joblib = needed("joblib")

# ipyparallel's backend is one of an older kind.
pytestmark = pytest.mark.filterwarnings("ignore:.*apply_async.* is deprecated:DeprecationWarning")


@pytest.fixture(params=["balanced view", "view of one engine"])
def backend_view(request: pytest.FixtureRequest, client: ipyparallel.Client) -> Any:
    ipyparallel.register_joblib_backend()
    return client.load_balanced_view() if request.param == "balanced view" else client[client.ids[0]]


def run(view: Any, function: Any, arguments: Any) -> list[Any]:
    with joblib.parallel_config(backend="ipyparallel", view=view):
        return joblib.Parallel(n_jobs=2)(joblib.delayed(function)(each) for each in arguments)


def test_parallel(backend_view: Any) -> None:
    assert run(backend_view, abs, range(-5, 0)) == [5, 4, 3, 2, 1]


def test_closures(backend_view: Any) -> None:
    offset = 10
    assert run(backend_view, lambda n: n + offset, range(5)) == [10, 11, 12, 13, 14]


def test_errors_keep_their_type(backend_view: Any) -> None:
    with pytest.raises(calls.CustomError) as caught:
        run(backend_view, calls.raise_error, [calls.CustomError("broken", 3)])
    assert caught.value.code == 3


def test_the_view_goes_on_after_an_error(backend_view: Any) -> None:
    with pytest.raises(ZeroDivisionError):
        run(backend_view, calls.reciprocal, [1, 0])
    assert run(backend_view, calls.reciprocal, [1, 2]) == [1, 0.5]


def test_as_many_jobs_as_engines(view: LoadBalancedView) -> None:
    ipyparallel.register_joblib_backend()
    with joblib.parallel_config(backend="ipyparallel", view=view):
        assert joblib.effective_n_jobs(-1) == len(view)


def test_scikit_learn(view: LoadBalancedView) -> None:
    datasets = needed("sklearn.datasets")
    model_selection = needed("sklearn.model_selection")
    tree = needed("sklearn.tree")
    ipyparallel.register_joblib_backend()
    flowers, kinds = datasets.load_iris(return_X_y=True)
    search = model_selection.GridSearchCV(tree.DecisionTreeClassifier(random_state=1), {"max_depth": [1, 3]}, n_jobs=2)
    with joblib.parallel_config(backend="ipyparallel", view=view):
        search.fit(flowers, kinds)
    assert search.best_params_ == {"max_depth": 3}
