"""What `with_helper.py` imports."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.


class Complaint(Exception):
    pass


class Box:
    def __init__(self, content):
        self.content = content

    def open(self):
        return self.content


def doubled(value):
    return value * 2


def complain(about):
    raise Complaint(about)
