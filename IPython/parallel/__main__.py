"""``python -m IPython.parallel script.py``: see `command_line`."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from IPython.parallel.command_line import main

main()
