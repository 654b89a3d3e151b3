"""A module of the script `module_changes`, which is imported once and then changed."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
print("imported")

VERBOSE = False
OPTIONS = {"level": 0}
NAMES = []
UNSET = object()
TABLE = {}
count = 0


class Config:
    level = 0


class State:
    def __init__(self):
        self.steps = 0


state = State()


def register(name):
    def keep(function):
        TABLE[name] = function
        return function

    return keep


def tell(options=OPTIONS, unset=UNSET):
    return VERBOSE, options, NAMES, Config.level, state.steps, unset is UNSET, sorted(TABLE)


def increase():
    global count
    count += 1
    return count
