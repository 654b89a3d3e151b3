"""Work that lives in a module next to the script."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from concurrent.futures import ProcessPoolExecutor

import helper

if __name__ == "__main__":
    with ProcessPoolExecutor(2) as pool:
        print(list(pool.map(helper.doubled, [1, "ab", 2.5])))
        print(isinstance(pool.submit(helper.complain, "no").exception(), helper.Complaint))
        print(pool.submit(helper.Box(3).open).result())
