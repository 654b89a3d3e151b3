"""The programs of a local cluster's processes, each given to its Python with ``-c``: without any import of ours."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

# The controller makes its schedulers and heartbeat with multiprocessing. Where that would start a server to fork them
# from, as of Python 3.14, each imports ipyparallel anew, and the server leaves a directory behind when it is killed.
# It ends when one of them has ended: clients are not connected to all of them, so what goes on without heartbeats, or
# without half of the way to the engines, would leave them waiting. `init_signal` is what it does when all have started.
# As it makes its Hub it sleeps for a quarter of a second, for nothing that is still there, while engines wait for it.
CONTROLLER = """
import multiprocessing
if multiprocessing.get_start_method() == "forkserver":
    multiprocessing.set_start_method("fork", force=True)
import os, signal, threading, time
from multiprocessing.connection import wait
from ipyparallel.controller.app import IPController
class Controller(IPController):
    def init_hub(self):
        sleep, time.sleep = time.sleep, lambda seconds: None
        try:
            super().init_hub()
        finally:
            time.sleep = sleep
    def init_signal(self):
        super().init_signal()
        parts = [part.sentinel for part in multiprocessing.active_children()]
        threading.Thread(target=end_with_the_first, args=[parts], daemon=True).start()
def end_with_the_first(parts):
    if wait(parts):
        os.kill(os.getpid(), signal.SIGTERM)
Controller.launch_instance()
"""

# Beside each engine its nanny watches it, and tells the Hub at once when it ends. Stock starts a Python for that, which
# imports what the engine has imported, while the engine waits: a quarter of the time a cluster takes to start. Here it
# is forked from the engine before that does anything, and waits to be told whom to watch; or never is, and ends.
# At its first message an engine imports numpy, if there is one: better while it waits for that.
# As with `-m`, the directory that an engine starts in is on its path, wherever calls go from there; but it is not where
# the engine's own modules are looked for, or one of the user's that is called as one of those would be taken for it.
ENGINE = """
import os, sys
if adds_directory := sys.path[:1] == [""]:
    del sys.path[0]
import pickle, threading, traceback
from ipyparallel.engine import app, nanny
from ipyparallel.serialize.canning import can
class Engine(app.IPEngine):
    async def complete_registration(self, *args, **kwargs):
        await super().complete_registration(*args, **kwargs)
        if nannys_orders is not None:
            nannys_orders.close()  # if it was not asked for, it ends
        self.loop.add_callback(can, None)
nannys_orders = nannys_answer = None
def fork_nanny():
    orders, tell = os.pipe()
    said, answer = os.pipe()
    if os.fork():
        os.close(orders)
        os.close(answer)
        return open(tell, "wb"), open(said, "rb")
    os.setsid()
    os.dup2(orders, 0)
    os.dup2(answer, 1)
    os.closerange(3, 1024)
    sys.stdin, sys.stdout = open(0), open(1, "w", buffering=1)
    try:
        nanny.main()
    except EOFError:
        pass
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)
def start_nanny(**about):
    url = ""
    try:
        with nannys_orders:
            pickle.dump(dict(about, pid=os.getpid()), nannys_orders)
        url = nannys_answer.readline().decode().strip()
    except BrokenPipeError:
        pass
    return (url, nannys_answer) if url else nanny.start_nanny(**about)
if adds_directory:
    sys.path.insert(0, os.getcwd())
if sys.platform == "linux" and threading.active_count() == 1 and hasattr(app, "start_nanny"):
    nannys_orders, nannys_answer = fork_nanny()
    app.start_nanny = start_nanny
Engine.launch_instance()
"""

# The guard outlives us by an instant: however we end, kill -9 included, it ends the cluster. It reads the leaders of
# the process groups from its standard input and acts when that closes, or when it has a new parent (a forked child of
# ours may hold the pipe open) and has read all. On Linux it finds those, too, of which it was not told yet: they have
# the directory in their environment. It imports nothing slow and sits in a session of its own, out of reach of Ctrl-C.
GUARD = """
import os, select, signal, sys
parent, directory = int(sys.argv[1]), sys.argv[2]
groups, unread = [], b""
while True:
    alone = os.getppid() != parent
    if not select.select([0], [], [], 0 if alone else 0.5)[0]:
        if alone:
            break
        continue
    data = os.read(0, 4096)
    if not data:
        break
    *lines, unread = (unread + data).split(b"\\n")
    if b"stopped" in lines:
        groups = []
        break
    groups += map(int, lines)
for group in groups:
    try:
        os.killpg(group, signal.SIGKILL)
    except OSError:
        pass
def is_ours(pid):
    try:
        with open("/proc/%s/environ" % pid, "rb") as environment, open("/proc/%s/cmdline" % pid, "rb") as command:
            return os.fsencode(directory) in environment.read() and b"launch_" b"instance()" in command.read()
    except OSError:
        return False
for pid in filter(str.isdigit, os.listdir("/proc") if os.path.isdir("/proc") else ()):
    if is_ours(pid):
        try:
            os.kill(int(pid), signal.SIGKILL)
        except OSError:
            pass
import shutil, time
for _ in range(20):  # what was killed may have made a file in its last instant
    shutil.rmtree(directory, ignore_errors=True)
    if not os.path.exists(directory):
        break
    time.sleep(0.05)
"""
