"""What IPython 0.13 to 3.x called things is found: ipyparallel's own objects, loaded only when asked for."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import importlib
import pickle
import subprocess
import sys
import threading
from types import ModuleType

import ipyparallel
import ipyparallel.apps.iploggerapp
import ipyparallel.client.view
import ipyparallel.cluster.app
import ipyparallel.cluster.launcher
import ipyparallel.controller.task_scheduler
import pytest

import IPython.parallel
from IPython.parallel.legacy import imports as legacy_imports
from IPython.parallel.legacy.names import GONE, MODULES, MOVED, PUBLIC

# Below IPython.parallel in 3.x, and what it is now, where that has another path.
OTHER_PATHS = {
    "apps.ipclusterapp": "cluster.app",
    "apps.ipcontrollerapp": "controller.app",
    "apps.ipengineapp": "engine.app",
    "apps.launcher": "cluster.launcher",
}
SAME_PATHS = [
    *("error", "util", "logger", "client", "controller", "engine", "cluster"),
    *(f"client.{name}" for name in ("client", "view", "asyncresult", "remotefunction", "map", "magics")),
    *(
        f"controller.{name}"
        for name in ("dependency", "dictdb", "sqlitedb", "hub", "heartmonitor", "scheduler")
    ),
    *("apps.baseapp", "apps.iploggerapp", "apps.logwatcher"),
]


def run(code: str) -> str:
    """Run code in a fresh interpreter and return what it prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


class TestModules:
    @pytest.mark.parametrize("path", SAME_PATHS)
    def test_is_the_very_module(self, path: str) -> None:
        assert importlib.import_module(f"IPython.parallel.{path}") is importlib.import_module(
            f"ipyparallel.{path}"
        )

    @pytest.mark.parametrize(("old", "new"), OTHER_PATHS.items())
    def test_is_the_very_module_elsewhere(self, old: str, new: str) -> None:
        assert importlib.import_module(f"IPython.parallel.{old}") is importlib.import_module(
            f"ipyparallel.{new}"
        )

    @pytest.mark.parametrize("path", [*SAME_PATHS, *OTHER_PATHS])
    def test_keeps_its_own_name_and_spec(self, path: str) -> None:
        module = importlib.import_module(f"IPython.parallel.{path}")
        assert module.__name__.startswith("ipyparallel.")
        assert module.__spec__ is not None
        assert module.__spec__.name == module.__name__
        assert module.__spec__.loader is module.__loader__

    def test_every_module_of_the_table_is_there(self) -> None:
        windows_only = {"apps.winhpcjob"}
        for old in MODULES.keys() - windows_only:
            assert isinstance(importlib.import_module(f"IPython.parallel.{old}"), ModuleType)

    def test_attributes_of_parents(self) -> None:
        import IPython.parallel.apps.launcher as launcher
        import IPython.parallel.client.view as view

        assert view is ipyparallel.client.view
        assert IPython.parallel.client.view is view
        assert launcher is ipyparallel.cluster.launcher

    def test_stand_ins_of_ipyparallel_are_left_alone(self) -> None:
        code = (
            "import warnings; warnings.simplefilter('ignore'); import ipyparallel.apps.launcher as standin;"
            "import IPython.parallel.apps.launcher; import ipyparallel.apps.launcher as again;"
            "print(standin is again)"
        )
        assert run(code) == "True"

    def test_importing_the_package_gives_attributes_as_it_did(self) -> None:
        code = (
            "from IPython import parallel; import ipyparallel;"
            "print(parallel.error is ipyparallel.error, parallel.util is ipyparallel.util);"
            "print(parallel.client.view.View)"
        )
        assert run(code) == "True True\n<class 'ipyparallel.client.view.View'>"

    def test_except_means_the_same_class(self) -> None:
        from IPython.parallel.error import CompositeError, RemoteError

        with pytest.raises(RemoteError):
            raise ipyparallel.CompositeError("", [])
        assert CompositeError is ipyparallel.CompositeError

    def test_no_module_of_that_name(self) -> None:
        for name in ("nonesuch", "client.nonesuch", "apps.nonesuch", "error.nonesuch"):
            with pytest.raises(ModuleNotFoundError, match="No module named"):
                importlib.import_module(f"IPython.parallel.{name}")

    def test_own_modules_are_found_as_ever(self) -> None:
        assert importlib.import_module("IPython.parallel.errors").__name__ == "IPython.parallel.errors"

    def test_threads_may_import_at_once(self) -> None:
        code = (
            "import threading, importlib, IPython.parallel; found = []; together = threading.Barrier(8)\n"
            "def look():\n"
            "    together.wait()\n"
            "    found.append(importlib.import_module('IPython.parallel.controller.hub'))\n"
            "threads = [threading.Thread(target=look) for _ in range(8)]\n"
            "[thread.start() for thread in threads]; [thread.join() for thread in threads]\n"
            "import ipyparallel.controller.hub as hub; print(len(found), {each is hub for each in found})"
        )
        assert run(code) == "8 {True}"


class TestNames:
    def test_all_names_of_3_x_are_public(self) -> None:
        assert len(PUBLIC) == len(set(PUBLIC)) >= 35
        assert set(PUBLIC) <= set(IPython.parallel.__all__)
        for name in PUBLIC:
            assert getattr(IPython.parallel, name) is getattr(ipyparallel, name)

    def test_star(self) -> None:
        code = (
            "from IPython.parallel import *; import ipyparallel;"
            "print(require is ipyparallel.require, CompositeError is ipyparallel.CompositeError)"
        )
        assert run(code) == "True True"

    @pytest.mark.parametrize("old", MOVED)
    def test_moved(self, old: str) -> None:
        module, name = MOVED[old]
        path, _, old_name = f"IPython.parallel.{old}".rpartition(".")
        namespace: dict[str, object] = {}
        exec(f"from {path} import {old_name} as found", namespace)
        assert namespace["found"] is getattr(importlib.import_module(module), name)

    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    def test_old_pickles_load(self, protocol: int) -> None:
        old = pickle.dumps(ipyparallel.error.RemoteError, 0).replace(b"ipyparallel", b"IPython.parallel")
        assert pickle.loads(old) is ipyparallel.error.RemoteError
        assert pickle.loads(pickle.dumps(IPython.parallel.Reference("x"), protocol)).name == "x"


class TestGone:
    @pytest.mark.parametrize("old", GONE)
    def test_import_says_what_replaced_it(self, old: str) -> None:
        path, _, name = f"IPython.parallel.{old}".rpartition(".")
        with pytest.raises(ImportError) as caught:
            exec(f"from {path} import {name}")
        assert str(caught.value) == f"IPython.parallel.{old} is gone: {GONE[old]}"
        assert caught.value.name == f"IPython.parallel.{old}"

    def test_import_of_a_module(self) -> None:
        with pytest.raises(ImportError, match="use ipyparallel.engine.app.IPEngine"):
            importlib.import_module("IPython.parallel.factory")

    def test_below_a_module_that_is_gone(self) -> None:
        with pytest.raises(ImportError, match="use ipyparallel.engine.app.IPEngine"):
            exec("from IPython.parallel.engine.engine import EngineFactory")

    def test_attribute(self) -> None:
        assert not hasattr(IPython.parallel, "min_pyzmq")
        with pytest.raises(AttributeError, match="it is gone; the requirements of ipyparallel"):
            IPython.parallel.min_pyzmq  # noqa: B018 (access is what is tested)

    def test_no_such_attribute(self) -> None:
        hub = importlib.import_module("IPython.parallel.controller.hub")
        for module in (IPython.parallel, hub):
            with pytest.raises(AttributeError, match="has no attribute 'nonesuch'"):
                module.nonesuch  # noqa: B018 (access is what is tested)
            with pytest.raises(ImportError, match="cannot import name 'nonesuch'"):
                exec(f"from {module.__name__} import nonesuch")

    def test_nothing_listed_as_gone_exists(self) -> None:
        for old in GONE:
            path, _, name = old.rpartition(".")
            today = legacy_imports.todays_module(path) or "ipyparallel"
            if today != "ipyparallel" and "IPython.parallel.apps" != path:
                assert name not in vars(importlib.import_module(today))


class TestLaziness:
    def test_importing_the_package_loads_none(self) -> None:
        code = (
            "import sys, IPython.parallel\n"
            "for name, module in list(sys.modules.items()):\n"
            "    if name.startswith('IPython.parallel') and module.__name__ != name:\n"
            "        print(name)\n"
            "    if name.startswith(('ipyparallel.apps', 'ipyparallel.engine', 'ipyparallel.controller')):\n"
            "        print(name)\n"
            "    if name in ('IPython.parallel.notebook.magics', 'IPython.parallel.notebook.progress', 'tqdm.auto'):\n"
            "        print(name)\n"
        )
        plain = (
            "import sys, ipyparallel\n"
            "print(*(name for name in sys.modules if name.startswith('ipyparallel.')))"
        )
        already = run(plain).split()
        assert [name for name in run(code).split() if name not in already] == []

    def test_engines_side_of_a_module_loads_when_asked_for(self) -> None:
        code = (
            "import sys, IPython.parallel; before = 'ipyparallel.apps.logwatcher' in sys.modules;"
            "import IPython.parallel.apps.logwatcher;"
            "print(before, 'ipyparallel.apps.logwatcher' in sys.modules)"
        )
        assert run(code) == "False True"


class TestRunning:
    @pytest.mark.parametrize(
        ("module", "what"),
        [
            ("cluster", "Start an IPython cluster"),
            ("controller", "Start the IPython controller"),
            ("engine", "Start an IPython engine"),
            ("apps.ipclusterapp", "Start an IPython cluster"),
            ("logger", "Start an IPython logger"),
        ],
    )
    def test_dash_m(self, module: str, what: str) -> None:
        command = [
            sys.executable,
            "-W",
            "error::RuntimeWarning",
            "-m",
            f"IPython.parallel.{module}",
            "--help",
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stdout.startswith(what)) == (0, True), done.stderr


class TestInstalling:
    def test_once_is_enough(self) -> None:
        def count() -> int:
            return sum(isinstance(finder, legacy_imports.LegacyFinder) for finder in sys.meta_path)

        before = count()
        legacy_imports.install()
        assert (before, count()) == (1, 1)

    def test_reload_and_uninstall(self) -> None:
        code = (
            "import importlib, sys, IPython.parallel, ipyparallel\n"
            "importlib.reload(IPython.parallel)\n"
            "IPython.parallel.uninstall()\n"
            "import IPython.parallel.error, IPython.parallel.util\n"
            "print(IPython.parallel.error is ipyparallel.error)\n"
            "for name in [name for name in sys.modules if name.startswith('IPython.parallel')]:\n"
            "    del sys.modules[name]\n"
            "import IPython.parallel.client.view\n"
            "print(IPython.parallel.client.view is ipyparallel.client.view)\n"
            "print(sum(type(finder).__name__ == 'LegacyFinder' for finder in sys.meta_path))"
        )
        assert run(code).split() == ["True", "True", "1"]

    def test_reloading_an_old_name_reloads_the_module(self) -> None:
        code = (
            "import importlib, IPython.parallel.apps.logwatcher as old, ipyparallel.apps.logwatcher as new\n"
            "print(importlib.reload(old) is new)"
        )
        assert run(code) == "True"


def test_spin_era_calls_are_there(client: ipyparallel.Client) -> None:
    view = client[:]
    with pytest.warns(DeprecationWarning):
        client.spin()
    with pytest.warns(DeprecationWarning):
        client.spin_thread()
    with pytest.warns(DeprecationWarning):
        client.stop_spin_thread()
    with pytest.warns(DeprecationWarning):
        view.spin()
    result = view.apply_async(threading.active_count)
    assert (result.r, result.result_dict) == (result.result(), dict(zip(client.ids, result.get())))
