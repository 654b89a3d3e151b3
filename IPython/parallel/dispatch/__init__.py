"""From the buffer to settled futures: decides what goes where; knows nothing of ipyparallel."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
