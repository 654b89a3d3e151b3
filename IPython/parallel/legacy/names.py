"""What IPython 0.13 to 3.x called the parts of IPython.parallel, and where they are today: tables and
nothing else.

Old paths are written without their common beginning, ``IPython.parallel.``. How they are imported:
`imports`.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

__all__ = ["GONE", "MODULES", "MOVED", "PUBLIC"]

# What `from IPython.parallel import *` gave in 3.x. All of it is at the top of ipyparallel, under the
# same name.
PUBLIC: tuple[str, ...] = (
    *("AsyncHubResult", "AsyncMapResult", "AsyncResult", "Client", "DirectView", "LoadBalancedView"),
    *("Dependency", "Reference", "depend", "dependent", "interactive", "require"),
    *("ParallelFunction", "RemoteFunction", "bind_kernel", "parallel", "remote"),
    *("CompositeError", "DependencyTimeout", "EngineError", "IPythonError", "ImpossibleDependency"),
    *("InvalidDependency", "KernelError", "MultipleInstanceError", "NoEnginesRegistered", "RemoteError"),
    *("TaskAborted", "TaskRejectError", "TaskTimeout", "TimeoutError", "UnmetDependency"),
    *("collect_exceptions", "unwrap_exception", "wrap_exception"),
)

# Old module -> today's. The longest beginning counts, and what follows it stays: `client.view` ->
# `ipyparallel.client.view`. Of `apps` only the parts are mapped: ipyparallel's own modules of these
# names warn, and hold less.
MODULES: dict[str, str] = {
    "apps.baseapp": "ipyparallel.apps.baseapp",
    "apps.ipclusterapp": "ipyparallel.cluster.app",
    "apps.ipcontrollerapp": "ipyparallel.controller.app",
    "apps.ipengineapp": "ipyparallel.engine.app",
    "apps.iploggerapp": "ipyparallel.apps.iploggerapp",
    "apps.launcher": "ipyparallel.cluster.launcher",
    "apps.logwatcher": "ipyparallel.apps.logwatcher",
    "apps.winhpcjob": "ipyparallel.cluster._winhpcjob",
    "client": "ipyparallel.client",
    "cluster": "ipyparallel.cluster",
    "controller": "ipyparallel.controller",
    "engine": "ipyparallel.engine",
    "error": "ipyparallel.error",
    "logger": "ipyparallel.logger",
    "util": "ipyparallel.util",
}

# Names that left their module: old name -> today's module and name.
MOVED: dict[str, tuple[str, str]] = {
    "apps.ipclusterapp.IPClusterApp": ("ipyparallel.cluster.app", "IPCluster"),
    "apps.ipclusterapp.find_launcher_class": ("ipyparallel.cluster.launcher", "find_launcher_class"),
    "apps.ipclusterapp.launch_new_instance": ("ipyparallel.cluster.app", "main"),
    "apps.ipcontrollerapp.IPControllerApp": ("ipyparallel.controller.app", "IPController"),
    "apps.ipcontrollerapp.launch_new_instance": ("ipyparallel.controller.app", "main"),
    "apps.ipengineapp.IPEngineApp": ("ipyparallel.engine.app", "IPEngine"),
    "controller.scheduler.Job": ("ipyparallel.controller.task_scheduler", "Job"),
    "controller.scheduler.TaskScheduler": ("ipyparallel.controller.task_scheduler", "TaskScheduler"),
    "controller.scheduler.leastload": ("ipyparallel.controller.task_scheduler", "leastload"),
    "controller.scheduler.lru": ("ipyparallel.controller.task_scheduler", "lru"),
    "controller.scheduler.plainrandom": ("ipyparallel.controller.task_scheduler", "plainrandom"),
    "controller.scheduler.twobin": ("ipyparallel.controller.task_scheduler", "twobin"),
    "controller.scheduler.weighted": ("ipyparallel.controller.task_scheduler", "weighted"),
}

_MPI_AT_START = "engines initialize MPI themselves when started by ipcluster start --engines=mpi"
_LAUNCHER_MIXIN = "the launchers of ipyparallel.cluster.launcher hold these settings themselves"
_NOTHING_TO_SPIN = "messages are received on a thread of the client's own; drop the decorator"

# Modules and names without a successor of the same shape: what to write instead.
GONE: dict[str, str] = {
    "apps.baseapp.ParallelCrashHandler": "applications log their errors; there is no crash handler",
    "apps.ipengineapp.MPI": _MPI_AT_START,
    "apps.ipengineapp.mpi4py_init": _MPI_AT_START,
    "apps.ipengineapp.pytrilinos_init": _MPI_AT_START,
    "apps.launcher.BatchClusterAppMixin": _LAUNCHER_MIXIN,
    "apps.launcher.ClusterAppMixin": _LAUNCHER_MIXIN,
    "apps.launcher.ControllerMixin": _LAUNCHER_MIXIN,
    "apps.launcher.EngineMixin": _LAUNCHER_MIXIN,
    "apps.launcher.IPClusterLauncher": "use ipyparallel.Cluster, which starts and stops clusters",
    "apps.launcher.SSHClusterLauncher": "use ipyparallel.Cluster(engines='ssh')",
    "apps.launcher.find_job_cmd": "set the command in WindowsHPCLauncher.job_cmd",
    "apps.win32support": "subprocess does on Windows what it did",
    "check_for_zmq": "the requirements of ipyparallel see to the version of pyzmq",
    "client.asyncresult._total_seconds": "use datetime.timedelta.total_seconds()",
    "client.client.spin_first": _NOTHING_TO_SPIN,
    "client.map.arrayModules": "ipyparallel.client.map.Map finds arrays by themselves",
    "client.view.spin_after": _NOTHING_TO_SPIN,
    "controller.dictdb.NODATA": "catch ipyparallel.controller.dictdb.NoData",
    "controller.hub.HubFactory": "use ipyparallel.controller.app.IPController",
    "engine.engine": "use ipyparallel.engine.app.IPEngine, which is what EngineFactory was",
    "factory": "use ipyparallel.engine.app.IPEngine or ipyparallel.controller.app.IPController",
    "min_pyzmq": "the requirements of ipyparallel see to the version of pyzmq",
    "scripts": "use the commands ipcluster, ipcontroller and ipengine",
    "util.generate_exec_key": "use jupyter_client.session.new_id_bytes()",
}
