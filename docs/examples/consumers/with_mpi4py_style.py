"""A program in the way of mpi4py.futures, for the command line."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from concurrent.futures import ProcessPoolExecutor


def line(row):
    return sum(abs(complex(column, row)) < 10 for column in range(-10, 11))


if __name__ == "__main__":
    with ProcessPoolExecutor() as executor:
        print(sum(executor.map(line, range(-10, 11), chunksize=4)))  # 305
