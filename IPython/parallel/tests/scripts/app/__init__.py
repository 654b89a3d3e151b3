"""A package to be run."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
