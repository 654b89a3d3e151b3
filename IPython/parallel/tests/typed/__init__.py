"""Code for type checkers, not for the interpreter."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
