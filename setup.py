"""Build and installation of IPython.parallel, an overlay on an installed IPython."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from pathlib import Path
from tempfile import TemporaryDirectory

from setuptools import find_namespace_packages, setup

HERE = Path(__file__).parent

# Whatever lies in build/lib goes into the wheel: in a build/ kept between builds, deleted modules come back.
# Each build therefore has a directory of its own, and leaves nothing in the source tree.
build_directory = TemporaryDirectory(prefix="ipython-parallel-build-")

setup(
    name="ipython-parallel-futures",
    version="0.1.0",
    description="concurrent.futures on an IPython cluster: views are executors, results are futures",
    long_description=(HERE / "README.rst").read_text(encoding="utf-8"),
    long_description_content_type="text/x-rst",
    author="IPython Development Team",
    license_expression="BSD-3-Clause",
    license_files=["COPYING.rst"],
    keywords=["concurrent.futures", "executor", "future", "parallel", "cluster", "ipyparallel"],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Framework :: IPython",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Programming Language :: Python :: 3.14",
        "Topic :: System :: Distributed Computing",
        "Typing :: Typed",
    ],
    python_requires=">=3.11",
    # A namespace package: `IPython/` itself belongs to ipython, so no `IPython/__init__.py` may ever be shipped.
    # `find_packages` would find nothing and make an empty wheel without a word.
    packages=find_namespace_packages(include=["IPython.parallel*"], exclude=["*.__pycache__", "*.__pycache__.*"]),
    package_data={"IPython.parallel": ["py.typed", "declared.pyi"]},
    include_package_data=False,
    # No console scripts: ipcluster, ipcontroller and ipengine belong to ipyparallel and would go with our uninstall.
    install_requires=[
        "cloudpickle>=3.1",
        "decorator>=5",
        "ipyparallel>=9.2,<10",
        "ipython>=9",
        "psutil>=5.9",
        "pyzmq>=26",
        "six>=1.16",
        "tqdm>=4.66",
        "traitlets>=5.9",
    ],
    extras_require={
        "test": [
            "hypothesis",
            "ipykernel",
            "jupyter-client",
            "nbclient",
            "nbformat",
            "numpy",
            "pip>=23.1",
            "pytest>=8",
            "pytest-timeout",
            "setuptools>=77",
            "tornado",
        ],
        # What takes executors, futures or a parallel map: each has tests with the real package.
        "test-consumers": [
            "adaptive",
            "arro3-core",
            "dask[array]",
            "deap",
            "dynesty",
            "emcee",
            "executorlib",
            "graphql-core",
            "joblib",
            "lmfit",
            "more-executors",
            "nautilus-sampler",
            "nevergrad",
            "numpy",
            "parsl",
            "pipefunc",
            "proxystore",
            "pyabc",
            "pymoo",
            "reactivex",
            "scikit-learn",
            "scipy",
            "uvloop",
            "virtualizarr",
            "zarr",
        ],
        # Whom `tools/benchmarks` compares with, beside the standard library and stock ipyparallel.
        "benchmarks": ["distributed", "loky", "mpi4py", "numpy", "ray"],
        "docs": ["sphinx>=7.4"],
        "lint": ["mypy>=1.18", "ruff>=0.12"],
        "fuzz": ["atheris"],
        "upstream": ["pytest>=8", "pytest-asyncio", "pytest-timeout", "testpath"],
    },
    options={
        "build": {"build_base": build_directory.name},
        "egg_info": {"egg_base": build_directory.name},
    },
)
