"""Calls that write past ``sys.stdout``: by file descriptor, from C, in a program they start."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
import ctypes
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor


def write(number):
    os.write(1, f"written {number}\n".encode())
    os.write(2, f"warned {number}\n".encode())
    libc = ctypes.CDLL(None)
    libc.puts(f"put {number}".encode())
    libc.fflush(None)
    subprocess.run([sys.executable, "-c", f"import sys; print({number}); print({number}, file=sys.stderr)"], check=True)
    return number


if __name__ == "__main__":
    with ProcessPoolExecutor(1) as pool:
        assert list(pool.map(write, range(3))) == [0, 1, 2]
