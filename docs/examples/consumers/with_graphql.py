"""graphql-core: resolvers give futures, which are awaited together."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
import asyncio

from graphql import build_schema, graphql

from IPython.parallel import Client

view = Client().load_balanced_view()
schema = build_schema("type Query { square(n: Int!): Int }")


def square(info, n):
    return view.submit(pow, n, 2)


print(asyncio.run(graphql(schema, "{ a: square(n: 3) b: square(n: 4) }", {"square": square})).data)  # {'a': 9, 'b': 16}
