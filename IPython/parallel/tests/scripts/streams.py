"""Calls that use their standard streams as more than something to print to."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
import io
import logging
import sys
from concurrent.futures import ProcessPoolExecutor


def set_up():
    logging.basicConfig(level=logging.INFO, format="%(message)s", force=True)


def write_bytes(data):
    sys.stdout.buffer.write(data)
    return sys.stdout.buffer.writable()


def wrap(text):
    wrapped = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8", line_buffering=True)
    wrapped.write(text)
    wrapped.detach()


def describe():
    sys.stdout.reconfigure(line_buffering=True)
    return sys.stdout.name, sys.stderr.name, sys.stdout.mode, sys.stdout.isatty(), sys.stdout.readable()


def log(text):
    logging.info(text)


if __name__ == "__main__":
    with ProcessPoolExecutor(1, initializer=set_up) as pool:
        print(pool.submit(write_bytes, b"\xff\x00 no text\n").result(), flush=True)
        print(pool.submit(wrap, "\u00e4\n").result(), flush=True)
        print(pool.submit(describe).result(), flush=True)
        for number in range(3):
            pool.submit(log, f"record {number}").result()
