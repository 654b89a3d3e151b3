"""graphql-core: resolvers that wait for calls on engines."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import asyncio
from typing import Any

from IPython.parallel.tests.consumers import needed
from IPython.parallel.tests.contracts import calls
from IPython.parallel.tests.contracts.harness import PATIENCE

graphql = needed("graphql")

SCHEMA = "type Query { sum(a: Int!, b: Int!): Int  fail: Int }"


def answer(query: str, executor: Any) -> Any:
    async def sum_(info: Any, a: int, b: int) -> int:
        return await asyncio.wrap_future(executor.submit(calls.add, a, b))

    def fail(info: Any) -> Any:
        return executor.submit(calls.raise_error, calls.CustomError("broken", 3))

    async def main() -> Any:
        resolvers = {"sum": sum_, "fail": fail}
        return await asyncio.wait_for(graphql.graphql(graphql.build_schema(SCHEMA), query, resolvers), PATIENCE)

    return asyncio.run(main())


def test_fields_that_are_computed_at_the_same_time(executor: Any) -> None:
    assert answer("{ x: sum(a: 1, b: 2) y: sum(a: 3, b: 4) }", executor).data == {"x": 3, "y": 7}


def test_an_error_is_the_fields_own(executor: Any) -> None:
    """Of a resolver that gives the future itself, which can be awaited."""
    result = answer("{ fail }", executor)
    assert result.data == {"fail": None}
    assert isinstance(result.errors[0].original_error, calls.CustomError)
