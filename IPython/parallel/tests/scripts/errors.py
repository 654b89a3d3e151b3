"""Exceptions of the script's own, some with peculiar ways to be pickled."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from concurrent.futures import ProcessPoolExecutor


class Plain(Exception):
    pass


class WithFields(Exception):
    def __init__(self, code, detail):
        super().__init__(code, detail)
        self.code = code
        self.detail = detail


class Rebuilt(ValueError):
    def __init__(self, *, reason):
        super().__init__(f"because {reason}")
        self.reason = reason

    def __reduce__(self):
        return _rebuild, (self.reason,)


class OwnText(KeyError):
    def __str__(self):
        return "my own words"


def _rebuild(reason):
    return Rebuilt(reason=reason)


ERRORS = [
    Plain("a", 1),
    WithFields(404, {"page": "gone"}),
    Rebuilt(reason="so"),
    OwnText("key"),
    OSError(2, "missing", "a file"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad byte"),
    ExceptionGroup("several", [Plain("b"), TypeError("c")]),
    StopIteration("early"),
]


def raise_number(index):
    raise ERRORS[index]



if __name__ == "__main__":
    with ProcessPoolExecutor(2) as pool:
        for future in [pool.submit(raise_number, index) for index in range(len(ERRORS))]:
            error = future.exception()
            print(type(error).__name__, isinstance(error, Plain), str(error), error.args)
        try:
            pool.submit(raise_number, 1).result()
        except WithFields as error:
            print(error.code, error.detail)
        try:
            for square in pool.map(raise_number, [2]):
                print("not reached")
        except Rebuilt as error:
            print(error, error.reason)
        pool.submit(raise_number, 0).result()
