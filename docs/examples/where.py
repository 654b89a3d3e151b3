"""Which host did what? A process-pool program whose calls say where they ran, and fail there."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
import math
import socket
from collections import Counter
from concurrent.futures import ProcessPoolExecutor


def search(start: int) -> tuple[str, int]:
    """How many primes there are among the next thousand numbers, and the host that counted them."""
    numbers = range(start, start + 1000)
    return socket.gethostname(), sum(all(n % i for i in range(2, math.isqrt(n) + 1)) for n in numbers)


if __name__ == "__main__":
    hosts: Counter[str] = Counter()
    primes = 0
    with ProcessPoolExecutor() as pool:
        for host, found in pool.map(search, range(10_000_001, 10_200_001, 1000)):
            hosts[host] += 1
            primes += found
        print(f"{primes} primes, found in {hosts.total()} calls on {' and '.join(sorted(hosts))}")
        try:
            pool.submit(search, -1000).result()
        except ValueError as error:
            print(f"{error}{error.__cause__}".splitlines()[1])
