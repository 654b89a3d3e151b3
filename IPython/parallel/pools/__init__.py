"""Classes in the shape of the standard library's pools, whose workers are engines."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
