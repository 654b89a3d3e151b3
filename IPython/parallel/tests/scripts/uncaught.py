"""A call's error that nobody catches."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from concurrent.futures import ProcessPoolExecutor


class Failure(Exception):
    def __str__(self):
        return f"failed with {self.args[0]}"


def deep(number):
    if number == 0:
        raise Failure("zero")
    deep(number - 1)


def call(number):
    try:
        int("no number")
    except ValueError as error:
        raise LookupError(number) from error
    finally:
        deep(number)


if __name__ == "__main__":
    with ProcessPoolExecutor(1) as pool:
        pool.submit(call, 2).result()
