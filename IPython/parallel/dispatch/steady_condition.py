"""A condition that Ctrl-C cannot leave locked."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import threading
from operator import attrgetter


class SteadyCondition(threading.Condition):
    """A `threading.Condition` of which ``with`` takes and returns the lock without running a line of Python.

    Between two lines Ctrl-C may come. In the methods of `threading.Condition` it comes when the lock is taken and
    ``with`` does not know, or when ``with`` is over and it is not returned yet: whoever needs it next waits for ever.
    """

    __enter__ = property(attrgetter("_lock.__enter__"))
    __exit__ = property(attrgetter("_lock.__exit__"))
