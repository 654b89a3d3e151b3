"""tqdm.contrib.concurrent: a program for the command line."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from tqdm.contrib.concurrent import process_map


def square(n):
    return n * n


if __name__ == "__main__":
    print(process_map(square, range(4)))  # [0, 1, 4, 9]
