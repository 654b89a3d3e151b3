"""What an IPython user sees: magics, reprs, progress."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
