"""What IPython.parallel 0.13 to 3.x had: names, module paths, results."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
