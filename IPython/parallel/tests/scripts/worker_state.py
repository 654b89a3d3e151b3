"""What a script sets up before its pool and workers find: the process, logging, warnings, hooks."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
import contextvars
import csv
import decimal
import gc
import locale
import logging
import multiprocessing
import os
import resource
import signal
import socket
import sys
import tempfile
import threading
import time
import warnings
from concurrent.futures import ProcessPoolExecutor

multiprocessing.set_start_method("fork")  # which is the default up to Python 3.13

sys.setrecursionlimit(5000)
sys.setswitchinterval(0.02)
gc.disable()
gc.set_threshold(900, 11, 12)
sys.set_int_max_str_digits(700)
sys.path.insert(0, "/no/such/directory")
os.umask(0o027)
os.environ["TZ"] = "Asia/Tokyo"
time.tzset()
locale.setlocale(locale.LC_ALL, "C")
decimal.getcontext().prec = 7
csv.field_size_limit(1 << 20)
socket.setdefaulttimeout(7)
tempfile.tempdir = "a directory of the script"
resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
signal.signal(signal.SIGUSR1, signal.SIG_IGN)
VARIABLE = contextvars.ContextVar("VARIABLE")
VARIABLE.set("of the script")

logging.basicConfig(level=logging.INFO, format="%(levelname)s:%(name)s:%(message)s")
logging.addLevelName(25, "NOTICE")
warnings.simplefilter("error", UserWarning)
warnings.filterwarnings("always", "shown", RuntimeWarning)


class Alarm(Exception):
    pass


class Shouting(logging.Handler):
    def emit(self, record):
        print("!", self.format(record))


def on_alarm(number, frame):
    raise Alarm("rang")


def on_thread_error(args):
    print("in a thread:", args.exc_value, file=sys.stderr)


def one_line(message, category, file, line, text=None):
    return f"{category.__name__} in {os.path.basename(file)}: {message}\n"


signal.signal(signal.SIGALRM, on_alarm)
threading.excepthook = on_thread_error
warnings.formatwarning = one_line
logging.getLogger("app.part").addHandler(Shouting())
logging.getLogger("app").propagate = False


def settings():
    mask = os.umask(0)
    os.umask(mask)
    return (
        (sys.getrecursionlimit(), sys.getswitchinterval(), sys.get_int_max_str_digits(), sys.path[:2], sys.argv),
        (gc.isenabled(), gc.get_threshold()),
        (mask, time.tzname, locale.setlocale(locale.LC_ALL), decimal.Decimal(1) / 3, csv.field_size_limit()),
        (socket.getdefaulttimeout(), tempfile.tempdir, resource.getrlimit(resource.RLIMIT_CORE)[0]),
        (signal.getsignal(signal.SIGUSR1), VARIABLE.get(), sys.stdout.name, sys.stdout.encoding, sys.stdout.errors),
    )


def log():
    logging.info("from a worker")
    logging.debug("not shown")
    logging.getLogger("app.part").log(25, "a level of its own")


def warn():
    warnings.warn("shown", RuntimeWarning, stacklevel=1)
    try:
        warnings.warn("an error here", stacklevel=1)
    except UserWarning as error:
        return f"raised: {error}"


def alarm():
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        time.sleep(30)
    except Alarm as error:
        return str(error)


def in_thread():
    thread = threading.Thread(target=int, args=("no number",))
    thread.start()
    thread.join()


def identity(script):
    process, parent = multiprocessing.current_process(), multiprocessing.parent_process()
    name = process.name.rstrip("0123456789")
    return name, len(process._identity), parent.name, parent.pid == script, parent.is_alive(), process.pid != script


if __name__ == "__main__":
    with ProcessPoolExecutor(1) as pool:
        for here, there in zip(settings(), pool.submit(settings).result(), strict=True):
            print(there == here, there)
        for call in (log, warn, alarm, in_thread):
            print(pool.submit(call).result(), flush=True)
        print(pool.submit(identity, os.getpid()).result())
    logging.info("end")
