"""virtualizarr: a program for the command line."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import xarray
from obspec_utils.registry import ObjectStoreRegistry
from obstore.store import LocalStore
from virtualizarr import open_virtual_mfdataset
from virtualizarr.parsers import ZarrParser

if __name__ == "__main__":
    directory = Path(tempfile.mkdtemp())
    for time in range(3):
        data = xarray.Dataset({"a": (("time", "x"), [[1.0, 2.0, 3.0, 4.0]])}, coords={"time": [time]})
        data.to_zarr(directory / f"{time}.zarr", zarr_format=3, consolidated=False)
    whole = open_virtual_mfdataset(
        [f"file://{directory}/{time}.zarr" for time in range(3)],
        registry=ObjectStoreRegistry({"file://": LocalStore()}),
        parser=ZarrParser(),
        parallel=ProcessPoolExecutor,
        combine="nested",
        concat_dim="time",
        loadable_variables=["time"],
    )
    print(dict(whole.sizes))  # {'time': 3, 'x': 4}
