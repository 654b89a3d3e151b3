"""What the package's program does."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.


def cube(number):
    return number**3
