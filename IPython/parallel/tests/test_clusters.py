"""The page on clusters: its configurations are what ipyparallel's launchers take, and its two hosts work together."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ipyparallel import Cluster
from ipyparallel.cluster import launcher as launchers
from traitlets.config import Config

from IPython.parallel.tests.source_tree import find_source_tree
from IPython.parallel.tests.test_docs import examples
from IPython.parallel.tests.test_network_faults import why_not

EVERY_LAUNCHER = {"slurm", "pbs", "sge", "lsf", "htcondor", "ssh", "mpi"}
# What a batch script must say, of what the page configures.
IN_SCRIPT = {
    "slurm": ["--partition=general", "--account=physics", "--time=2:00:00", "--ntasks=6"],
    "pbs": ["#PBS -q general", "#PBS -t 1-6"],
    "sge": ["#$ -q all.q", "#$ -t 1-6"],
    "lsf": ["#BSUB -q normal", "#BSUB -J ipengine[1-6]"],
    "htcondor": ["request_memory      = 4GB", "queue 6"],
}

PROGRAM = """
from concurrent.futures import ProcessPoolExecutor

with ProcessPoolExecutor() as pool:
    print(pool.submit(pow, 2, 10).result())
"""


def configurations() -> Iterator[Config]:
    """Those of the page, each loaded as ipcluster would load it."""
    for code in examples(find_source_tree() / "docs" / "source" / "clusters.rst"):
        if "get_config()" in code:
            config = Config()
            exec(compile(code, "ipcluster_config.py", "exec"), {"get_config": lambda config=config: config})
            yield config


def launcher_of(config: Config, directory: Path) -> Any:
    """The launcher of engines that the configuration chooses, made with it."""
    cluster = Cluster(config=config, profile_dir=str(directory), shutdown_atexit=False)
    chosen = cluster.engine_launcher_class
    return chosen(config=config, parent=cluster, work_dir=str(directory), profile_dir=str(directory))


def test_page_has_every_launcher() -> None:
    assert {config.Cluster.engine_launcher_class for config in configurations()} == EVERY_LAUNCHER


def test_what_is_configured_can_be_configured(tmp_path: Path) -> None:
    for config in configurations():
        launcher = launcher_of(config, tmp_path)
        mine = {cls.__name__: cls for cls in type(launcher).__mro__} | {"Cluster": Cluster}
        for section, settings in config.items():
            cls = mine[section]  # else it would be ignored without a word
            for name, value in settings.items():
                assert name in cls.class_traits(config=True), f"{section}.{name}"
                assert section == "Cluster" or getattr(launcher, name) == value


def test_batch_scripts_say_what_is_configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for config in configurations():
        kind = config.Cluster.engine_launcher_class
        launcher = launcher_of(config, tmp_path)
        if isinstance(launcher, launchers.BatchSystemLauncher):
            launcher.program = launcher.engine_cmd if kind != "htcondor" else ["ipengine"]
            launcher.write_batch_script(6)
            script = Path(launcher.batch_file).read_text(encoding="utf-8")
            assert [line for line in IN_SCRIPT[kind] if line not in script] == [], script


@pytest.mark.timeout(300)
def test_commands_of_the_page_start_use_and_stop_a_cluster(tmp_path: Path) -> None:
    source = find_source_tree()
    page = (source / "docs" / "source" / "clusters.rst").read_text(encoding="utf-8")
    commands = re.findall(r"^    (ip(?:ython|cluster) .*|python .*)$", page, re.MULTILINE)
    assert [command.split()[0] for command in commands] == ["ipython", "ipcluster", "python", "ipcluster"]
    (tmp_path / "program.py").write_text(PROGRAM, encoding="utf-8")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"IPYTHONDIR": str(tmp_path / "ipython"), "PATH": path}
    said = {}
    try:
        for command in commands[:-1]:
            here = command.replace("-n 64", "-n 2").replace("--profile campus", "--profile campus --timeout 60")
            said[command] = in_shell(here, tmp_path, environment)
    finally:
        in_shell(commands[-1], tmp_path, environment)
    assert said[commands[2]] == "1024\n"
    assert list((tmp_path / "ipython" / "profile_campus" / "security").glob("cluster-*.json")) == []


def in_shell(command: str, directory: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        command, shell=True, cwd=directory, env=environment,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.timeout(180)
def test_two_hosts_work_together() -> None:
    if reason := why_not():
        pytest.skip(reason)
    source = find_source_tree()
    hosts = {"HEAD_HOST": f"head{os.getpid()}", "NODE_HOST": f"node{os.getpid()}"}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", str(source / "docs" / "examples" / "two_hosts.sh")],
        env=os.environ | hosts | {"PATH": path}, stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    # What the page shows, but for names and times.
    shown = (source / "docs" / "source" / "two_hosts.txt").read_text(encoding="utf-8")
    said = done.stdout + done.stderr
    for host, name in (("head", hosts["HEAD_HOST"]), ("node", hosts["NODE_HOST"])):
        said = said.replace(name, host)
    assert without_chance(said) == without_chance(shown)


def without_chance(text: str) -> str:
    """The text without times, and without which of the two engines ran a call."""
    return re.sub(r"\d+\.\d+", "T", re.sub(r"engine \d on (?:head|node)", "engine N on HOST", text)).strip()
