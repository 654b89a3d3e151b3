"""The ways a program may end."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
import atexit
import os
import sys
import threading


def deep(depth):
    if depth == 0:
        raise RuntimeError("deep down")
    deep(depth - 1)


def chained():
    try:
        deep(2)
    except RuntimeError as error:
        raise KeyError("and further up") from error


def own_hook(kind, error, traceback):
    print("hook", kind.__name__, traceback.tb_frame.f_code.co_name, traceback.tb_next.tb_frame.f_code.co_name)
    sys.exit(7)


def hooked():
    sys.excepthook = own_hook
    deep(1)


def forked():
    child = os.fork()
    if child == 0:
        sys.exit(5)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def exit_at_exit():
    atexit.register(sys.exit, 5)
    sys.exit(3)


WAYS = {
    "falls_off": lambda: None,
    "exit_none": sys.exit,
    "exit_number": lambda: sys.exit(3),
    "exit_large": lambda: sys.exit(256 + 4),
    "exit_text": lambda: sys.exit("some text"),
    "exit_at_exit": exit_at_exit,
    "os_exit": lambda: os._exit(9),
    "uncaught": lambda: deep(3),
    "chained": chained,
    "group": lambda: (_ for _ in ()).throw(ExceptionGroup("several", [ValueError(1), KeyError(2)])),
    "interrupt": lambda: (_ for _ in ()).throw(KeyboardInterrupt),
    "syntax": lambda: exec("a b"),
    "hooked": hooked,
    "in_thread": lambda: threading.Thread(target=deep, args=(1,), name="failing").start(),
    "forked": forked,
}

if __name__ == "__main__":
    WAYS[sys.argv[1]]()
