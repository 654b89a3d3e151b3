"""The way to the engines: where the inside of ipyparallel's client is known, and nowhere else."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
