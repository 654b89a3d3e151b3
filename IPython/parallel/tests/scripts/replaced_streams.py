"""Workers whose initializer puts other streams in the place of theirs, and calls that pass the streams on."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor


def be_silent():
    sys.stdout = open(os.devnull, "w")


def say(number):
    print("said", number)
    print("warned", number, file=sys.stderr)
    return number


def pass_on(number):
    os.write(sys.stdout.fileno(), f"written {number}\n".encode())
    subprocess.run([sys.executable, "-c", f"print('started', {number})"], stdout=sys.stdout, check=True)
    return number


if __name__ == "__main__":
    with ProcessPoolExecutor(1, initializer=be_silent) as pool:
        for number in range(3):
            assert pool.submit(say, number).result() == number
    with ProcessPoolExecutor(1, initializer=be_silent) as silent, ProcessPoolExecutor(1) as loud:
        for number in range(3, 6):
            assert silent.submit(say, number).result() == number
            assert loud.submit(say, 10 * number).result() == 10 * number
        assert loud.submit(pass_on, 6).result() == 6
