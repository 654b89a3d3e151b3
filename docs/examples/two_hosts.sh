#!/usr/bin/env bash
# A cluster of two hosts: the controller and an engine on `head`, another engine on `node`, a program on `head`.
# The hosts are network namespaces with a cable between them, so that one machine is enough to try it (Linux, root).
# On real hosts, leave out "Two hosts" and let `on HOST` be `ssh HOST`.
# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
set -euo pipefail
program=$(dirname "${BASH_SOURCE[0]}")/where.py
head=${HEAD_HOST:-head} node=${NODE_HOST:-node}

# Both see the same files, as hosts of a cluster mostly do: engines find the controller by a file of the profile.
export IPYTHONDIR=$(mktemp -d)

finish() {
    for host in "$head" "$node"; do
        ip netns pids "$host" 2>/dev/null | xargs --no-run-if-empty kill -KILL
        ip netns delete "$host" 2>/dev/null || true
    done
    rm -rf "$IPYTHONDIR"
}
trap finish EXIT

# -- Two hosts
ip netns add "$head"
ip netns add "$node"
ip link add cable netns "$head" type veth peer name cable netns "$node"
for host in "$head 10.213.78.1" "$node 10.213.78.2"; do
    set -- $host
    ip -n "$1" address add "$2/24" dev cable
    ip -n "$1" link set cable up
    ip -n "$1" link set lo up
done
on() { ip netns exec "$1" unshare --uts sh -c 'hostname "$0" && exec "$@"' "$@"; }

# -- A cluster: a controller that other hosts can reach, and an engine on each
python -W ignore -m IPython profile create --parallel campus --log-level=ERROR
on "$head" ipcontroller --profile=campus --ip=10.213.78.1 --location=10.213.78.1 &>"$IPYTHONDIR/controller.log" &
until [ -s "$IPYTHONDIR/profile_campus/security/ipcontroller-engine.json" ]; do sleep 0.2; done
on "$head" ipengine --profile=campus &>"$IPYTHONDIR/engine-head.log" &
on "$node" ipengine --profile=campus &>"$IPYTHONDIR/engine-node.log" &
disown -a  # they end with the hosts, see above, and bash need not tell
wait_for_engines='import ipyparallel; ipyparallel.Client(profile="campus").wait_for_engines(2, timeout=60, interactive=False)'
on "$head" python -c "$wait_for_engines"

# -- The program
on "$head" python -m IPython.parallel --profile campus "$program"
