"""What a launcher of MPI finds in ``/etc/mpi`` and in its variables, and what it may do through the API: plain data.

``mpirun`` reads the hostfile and starts its daemons by ``kubexec.sh``, which runs them in the workers' Pods through the
Kubernetes API (``exec``), so that no worker needs an SSH server. Which hosts there are is said by ``mpijob``, and for
TrainJobs by ``trainjobs.mpi``.
"""

import functools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from beamhall.kernel.objects import Object, ReadOnlyObject

DIRECTORY = "/etc/mpi"
HOSTFILE = f"{DIRECTORY}/hostfile"
OPEN_MPI_HOSTS = "openmpi-hostfile"
"""The name of Open MPI's own hostfile, where ``hostfile`` is in another implementation's form."""

AGENT = f"{DIRECTORY}/kubexec.sh"

SCRIPT_MODES = {"kubexec.sh": 0o555, "kubexec.py": 0o444}
"""The files of the remote shell, and who may read and run them."""

OPEN_MPI: Mapping[str, str] = {
    "OMPI_MCA_plm_rsh_agent": AGENT,
    "OMPI_MCA_orte_default_hostfile": HOSTFILE,
    "PRTE_MCA_plm_ssh_agent": AGENT,
    "PRTE_MCA_prte_default_hostfile": HOSTFILE,
    # Pods here run as whoever runs the service, where an image would name a user of its own.
    **{f"{prefix}_ALLOW_RUN_AS_ROOT{suffix}": "1" for prefix in ("OMPI", "PRTE") for suffix in ("", "_CONFIRM")},
}
"""The variables of Open MPI: up to version 4, and from version 5, whose launcher is PRRTE."""

OPEN_MPI_HOSTFILE = ("OMPI_MCA_orte_default_hostfile", "PRTE_MCA_prte_default_hostfile")
"""Those of its variables that name the hostfile."""

_SESSION = "/etc/mpi-session"  # beside DIRECTORY: for that, the agent makes room where making a directory costs nothing
SESSION_VOLUME: Mapping[str, Any] = {"name": "mpi-session", "emptyDir": {"medium": "Memory"}}
SESSION_MOUNT: Mapping[str, Any] = {"name": "mpi-session", "mountPath": _SESSION}
"""Where Open MPI's processes keep what they share. They make and remove many small files there, the last of them when
all is done and only that is waited for: on a disk that takes longer than many a program."""

_ON_LOOPBACK: Mapping[str, str] = {
    "OMPI_MCA_oob_tcp_if_include": "lo",
    "PRTE_MCA_prte_if_include": "lo",
    "OMPI_MCA_btl_tcp_if_include": "lo",
    "OMPI_MCA_btl_tcp_port_min_v4": "0",  # else it counts from 1024 in each Pod, and peers meet the wrong one
}
_CHOICES_ON_LOOPBACK: Mapping[str, str] = {
    "OMPI_MCA_pml": "ob1",  # which it comes to anyway, when it has looked for other networks for 0.2 s in each process
    "OMPI_MCA_mpi_yield_when_idle": "1",  # ranks of other Pods want the processors, which each believes to be its own
    # Of the first, each daemon tries 60 times to connect to displays; none of them tells what is needed here.
    "HWLOC_PLUGINS_BLACKLIST": "hwloc_gl.so,hwloc_opencl.so,hwloc_xml_libxml.so",
    "KUBEXEC_SCHEME": "http",  # to an API on this machine; a handshake would be a tenth of a small job's time
    "OMPI_MCA_orte_tmpdir_base": _SESSION,
    "PRTE_MCA_prte_tmpdir_base": _SESSION,
}

_VOLUME = "mpi-job-config"
_MODES = {**SCRIPT_MODES, "hostfile": 0o444, "discover_hosts.sh": 0o555, OPEN_MPI_HOSTS: 0o444}
_IDLE = ("sleep", "365d")
_SERVER = "sshd"


def open_mpi_on_loopback(container: ReadOnlyObject) -> dict[str, str]:
    """Give what Open MPI is told besides where Pods have addresses on the loopback network.

    It tells peers the addresses of interfaces, so there all of it goes over 127.0.0.1. What the container's own
    variables choose otherwise, and can, stays so.
    """
    written = {variable.get("name") for variable in container.get("env") or ()}
    return {**_ON_LOOPBACK, **{name: value for name, value in _CHOICES_ON_LOOPBACK.items() if name not in written}}


def config_map(name: str, labels: Object, hostfiles: Mapping[str, Iterable[str]], discovered: Iterable[str]) -> Object:
    """Make the ConfigMap.

    Args:
        name: Its name.
        labels: Its labels.
        hostfiles: The lines of each hostfile, by its name.
        discovered: What ``discover_hosts.sh`` prints: the hosts that run now, for Horovod's elastic mode.
    """
    said = "".join(f"echo {host}\n" for host in discovered)
    return {
        "metadata": {"name": name, "labels": labels},
        "data": {
            **{file: "".join(f"{line}\n" for line in lines) for file, lines in hostfiles.items()},
            "discover_hosts.sh": f"#!/bin/sh\n{said}",
            **scripts(),
        },
    }


def service_account(name: str, labels: Object) -> Object:
    """Make the launcher's ServiceAccount."""
    return {"metadata": {"name": name, "labels": labels}}


def role(name: str, labels: Object, pods: Sequence[str]) -> Object:
    """Make the Role that lets the launcher look at Pods and run commands in those named."""
    rules: list[Object] = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}]
    if pods:  # a rule without names would be for every Pod
        # A WebSocket is opened by GET, which older API servers take for ``get``.
        execs = {"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["create", "get"]}
        rules.append({**execs, "resourceNames": list(pods)})
    return {"metadata": {"name": name, "labels": labels}, "rules": rules}


def role_binding(name: str, labels: Object, account: str, namespace: str) -> Object:
    """Give that Role to a ServiceAccount."""
    return {
        "metadata": {"name": name, "labels": labels},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
    }


def mount_files(spec: Object, config: str, hostfiles: Iterable[str] = ("hostfile",)) -> None:
    """Let all containers of a Pod's spec see the files of a ConfigMap, in place."""
    names = (*SCRIPT_MODES, "discover_hosts.sh", *hostfiles)
    items = [{"key": key, "path": key, "mode": _MODES[key]} for key in names]
    volume = {"name": _VOLUME, "configMap": {"name": config, "items": items}}
    spec["volumes"] = [*(spec.get("volumes") or ()), volume]
    for container in spec["containers"]:
        mounts = container.get("volumeMounts") or ()
        container["volumeMounts"] = [*mounts, {"name": _VOLUME, "mountPath": DIRECTORY}]


def keep_session_in_memory(spec: Object) -> None:
    """Give all containers of a Pod's spec a place in memory for their processes' session, in place."""
    spec["volumes"] = [*(spec.get("volumes") or ()), dict(SESSION_VOLUME)]
    for container in spec["containers"]:
        container["volumeMounts"] = [*(container.get("volumeMounts") or ()), dict(SESSION_MOUNT)]


def idle_unless_told(container: Object) -> None:
    """Let a worker sleep that has no command, or an SSH server's, in place.

    Daemons come through the API, so there is nothing for an SSH server to do, and nothing to ask it for.
    """
    words = [*(container.get("command") or ()), *(container.get("args") or ())]
    if not words or words[0].rpartition("/")[2] == _SERVER:
        container["command"], container["args"] = list(_IDLE[:1]), list(_IDLE[1:])
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            container.pop(probe, None)


def scripts() -> dict[str, str]:
    """Give the texts of the files of the remote shell, by name."""
    return {name: _script(name) for name in SCRIPT_MODES}


@functools.cache
def _script(name: str) -> str:
    return (Path(__file__).parent.parent / "scripts" / name).read_text(encoding="utf-8")
