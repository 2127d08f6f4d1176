"""Nodes, Pods and groups by keyword arguments."""

from collections.abc import Mapping
from typing import Any

from beamhall.kernel.kinds import NODE, POD, POD_GROUP, Kind
from beamhall.kernel.objects import Object


def node(
    name: str = "n",
    *,
    cpu: str = "2",
    memory: str = "4Gi",
    gpu: int = 0,
    labels: Mapping[str, str] | None = None,
    **spec: Any,
) -> tuple[Kind, Object]:
    """Make a node."""
    allocatable = {"cpu": cpu, "memory": memory, "pods": "110"} | ({"nvidia.com/gpu": str(gpu)} if gpu else {})
    labels = {"kubernetes.io/hostname": name, **(labels or {})}
    status = {"allocatable": allocatable, "conditions": [{"type": "Ready", "status": "True"}]}
    return NODE, {"metadata": {"name": name, "labels": labels}, "spec": spec, "status": status}


def pod(
    name: str = "p",
    *,
    cpu: str | None = None,
    gpu: int = 0,
    group: str = "",
    on: str = "",
    phase: str = "Pending",
    labels: Mapping[str, str] | None = None,
    **spec: Any,
) -> tuple[Kind, Object]:
    """Make a Pod; with ``on`` it has a node."""
    limits = {"nvidia.com/gpu": gpu} if gpu else {}
    requests = {"cpu": cpu} if cpu else {}
    container = {"name": "c", "image": "i", "resources": {"requests": requests, "limits": limits}}
    labels = {**(labels or {}), **({"scheduling.x-k8s.io/pod-group": group} if group else {})}
    return POD, {
        "metadata": {"name": name, "namespace": "ns", "labels": labels},
        "spec": {"containers": [container], **({"nodeName": on} if on else {}), **spec},
        "status": {"phase": phase},
    }


def pod_group(name: str = "g", *, members: int, timeout_s: int | None = None, **spec: Any) -> tuple[Kind, Object]:
    """Make a PodGroup."""
    spec = {**spec, "minMember": members} | ({"scheduleTimeoutSeconds": timeout_s} if timeout_s is not None else {})
    return POD_GROUP, {"metadata": {"name": name, "namespace": "ns"}, "spec": spec}
