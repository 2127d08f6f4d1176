"""The files that an MPIJob's launcher finds in ``/etc/mpi``, and what it may do through the API: objects as plain data.

``mpirun`` reads the hostfile and starts its daemons by ``kubexec.sh``, which runs them in the workers' Pods through the
Kubernetes API (``exec``), so that no worker needs an SSH server. Which hosts there are is ``mpijob``'s to say.
"""

import functools
from collections.abc import Iterable, Sequence
from pathlib import Path

from beamhall.kernel.objects import Object

DIRECTORY = "/etc/mpi"
HOSTFILE = f"{DIRECTORY}/hostfile"
AGENT = f"{DIRECTORY}/kubexec.sh"

_VOLUME = "mpi-job-config"
_MODES = {"kubexec.sh": 0o555, "kubexec.py": 0o444, "hostfile": 0o444, "discover_hosts.sh": 0o555}


def config_map(name: str, labels: Object, hostfile: Iterable[str], discovered: Iterable[str]) -> Object:
    """Make the ConfigMap.

    Args:
        name: Its name.
        labels: Its labels.
        hostfile: The lines of the hostfile.
        discovered: What ``discover_hosts.sh`` prints: the hosts that run now, for Horovod's elastic mode.
    """
    said = "".join(f"echo {host}\n" for host in discovered)
    return {
        "metadata": {"name": name, "labels": labels},
        "data": {
            "hostfile": "".join(f"{line}\n" for line in hostfile),
            "discover_hosts.sh": f"#!/bin/sh\n{said}",
            "kubexec.sh": _script("kubexec.sh"),
            "kubexec.py": _script("kubexec.py"),
        },
    }


def service_account(name: str, labels: Object) -> Object:
    """Make the launcher's ServiceAccount."""
    return {"metadata": {"name": name, "labels": labels}}


def role(name: str, labels: Object, pods: Sequence[str]) -> Object:
    """Make the Role that lets the launcher look at Pods and run commands in those named."""
    return {
        "metadata": {"name": name, "labels": labels},
        "rules": [
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]},
            # A WebSocket is opened by GET, which older API servers take for ``get``.
            {"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["create", "get"], "resourceNames": list(pods)},
        ],
    }


def role_binding(name: str, labels: Object, account: str, namespace: str) -> Object:
    """Give that Role to a ServiceAccount."""
    return {
        "metadata": {"name": name, "labels": labels},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
    }


def mount_files(spec: Object, config: str) -> None:
    """Let all containers of a Pod's spec see the files, in place."""
    items = [{"key": key, "path": key, "mode": mode} for key, mode in _MODES.items()]
    volume = {"name": _VOLUME, "configMap": {"name": config, "items": items}}
    spec["volumes"] = [*(spec.get("volumes") or ()), volume]
    for container in spec["containers"]:
        mounts = container.get("volumeMounts") or ()
        container["volumeMounts"] = [*mounts, {"name": _VOLUME, "mountPath": DIRECTORY}]


@functools.cache
def _script(name: str) -> str:
    return (Path(__file__).parent.parent / "scripts" / name).read_text(encoding="utf-8")
