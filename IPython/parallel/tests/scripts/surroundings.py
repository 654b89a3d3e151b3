"""What a program sees of the interpreter it runs in."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
import sys

own_names = {name: repr(value) for name, value in list(vars().items()) if name not in ("sys", "__builtins__")}
import asyncio
import builtins
import gc
import locale
import logging
import os
import signal
import threading
import warnings

if __name__ == "__main__":
    own_names.update(__loader__=type(__loader__).__name__, __spec__=getattr(__spec__, "name", None))
    print(sorted(own_names.items(), key=str), __builtins__ is builtins, sys.modules["__main__"].__dict__ is globals())
    print(sys.argv, sys.path, sys.flags, sys.warnoptions)
    print(warnings.filters)
    print([getattr(signal.getsignal(number), "__name__", None) for number in sorted(signal.valid_signals())])
    print(sys.displayhook, sys.excepthook.__name__, threading.excepthook, sys.unraisablehook, sys.stdin.mode)
    print(sys.stdout is sys.__stdout__, sys.stderr is sys.__stderr__, sys.stdout.encoding, sys.stdout.line_buffering)
    print(logging.root.handlers, logging.root.level, logging.getLoggerClass())
    print(sorted(dir(builtins)), locale.setlocale(locale.LC_ALL), gc.get_threshold(), sys.getrecursionlimit())
    print(sorted(os.environ.items()), os.getcwd(), threading.current_thread().name)
    print(type(asyncio.get_event_loop_policy()).__name__)
    print("read", sys.stdin.read())
    warnings.warn("shown in __main__", DeprecationWarning)
    warnings.warn("not shown", ResourceWarning)
