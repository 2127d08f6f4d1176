"""The Node object of this machine and the Lease that says that it is alive.

What the machine has is read from the kernel once; the Node is written at the start and only when something changed.
Between heartbeats nothing runs. Must not know Pods. Next: ``agent``.
"""

import asyncio
import contextlib
import math
import os
import platform
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from beamhall.client.protocol import Client
from beamhall.embedded.agent.devices import GPU, Devices
from beamhall.embedded.agent.settings import AgentSettings
from beamhall.kernel.clock import Clock, format_micro_time, format_time
from beamhall.kernel.errors import AlreadyExists, ApiError, NotFound
from beamhall.kernel.kinds import KUBERNETES_VERSION, LEASE, NAMESPACE, NODE
from beamhall.kernel.objects import Object, uid_of

_LEASES = "kube-node-lease"
HOST_IP = "127.0.0.1"
"""Address of the node: Pods have theirs in the same loopback network."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What a machine has.

    Attributes:
        cpus: Processors that this process may use.
        memory_bytes: Memory that this process may use.
        disk_bytes: Size of the disk that the data directory is on.
        boot_id: Changes with every boot.
        machine_id: Names the installation.
    """

    cpus: int
    memory_bytes: int
    disk_bytes: int
    boot_id: str
    machine_id: str


def read_machine(directory: Path) -> Machine:
    """Read what this machine has; limits of a cgroup around the service count."""
    return Machine(
        cpus=len(os.sched_getaffinity(0)),
        memory_bytes=_memory_bytes(),
        disk_bytes=shutil.disk_usage(directory).total,
        boot_id=_text("/proc/sys/kernel/random/boot_id"),
        machine_id=_text("/etc/machine-id"),
    )


def allocatable_of(machine: Machine, devices: Devices, max_pods: int) -> Mapping[str, str]:
    """Give what Pods may ask for."""
    resources = {
        "cpu": str(machine.cpus),
        "memory": f"{machine.memory_bytes // 1024}Ki",
        "ephemeral-storage": f"{machine.disk_bytes // 1024}Ki",
        "pods": str(max_pods),
    }
    return resources | ({GPU: str(devices.capacity)} if devices.capacity else {})


def node_object(name: str, machine: Machine, devices: Devices, max_pods: int) -> Object:
    """Make the Node, without its conditions."""
    resources = dict(allocatable_of(machine, devices, max_pods))
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    system = platform.system().lower()
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": system,
        "kubernetes.io/arch": architecture,
        "beta.kubernetes.io/os": system,
        "beta.kubernetes.io/arch": architecture,
        "node-role.kubernetes.io/control-plane": "",
    }
    if devices.gpus:
        labels |= {
            "nvidia.com/gpu.present": "true",
            "nvidia.com/gpu.product": devices.gpus[0].product.replace(" ", "-"),
        }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": {},
        "status": {
            "capacity": resources,
            "allocatable": resources,
            "addresses": [{"type": "InternalIP", "address": HOST_IP}, {"type": "Hostname", "address": name}],
            "nodeInfo": {
                "machineID": machine.machine_id,
                "systemUUID": machine.machine_id,
                "bootID": machine.boot_id,
                "kernelVersion": platform.release(),
                "osImage": _os_name(),
                "containerRuntimeVersion": "beamhall://0.1.0",
                "kubeletVersion": KUBERNETES_VERSION,
                "kubeProxyVersion": "",
                "operatingSystem": system,
                "architecture": architecture,
            },
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 0}},
        },
    }


def conditions_of(moment: str, before: Mapping[str, str]) -> list[Object]:
    """Make the Node's conditions: a node that can say so is ready.

    Args:
        moment: The time, as the wire has it.
        before: Since when each condition has its status, by ``type=status``.
    """
    wanted = (
        ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
    )
    return [
        {
            "type": type_,
            "status": status,
            "reason": reason,
            "message": message,
            "lastHeartbeatTime": moment,
            "lastTransitionTime": before.get(f"{type_}={status}", moment),
        }
        for type_, status, reason, message in wanted
    ]


@dataclass(slots=True)
class NodeReporter:
    """Keeps the Node and its Lease.

    Attributes:
        client: Where they are written.
        clock: Gives the times.
        settings: The agent's.
        node: The Node as it is to be, without conditions.
    """

    client: Client
    clock: Clock
    settings: AgentSettings
    node: Object

    async def register(self) -> Object:
        """Write the Node, as ready, keeping what users added to it."""
        name = self.node["metadata"]["name"]
        try:
            there = await self.client.create(NODE, {k: v for k, v in self.node.items() if k != "status"})
        except AlreadyExists:
            patch = {"metadata": {"labels": self.node["metadata"]["labels"]}}
            there = await self.client.patch(NODE, name, "", patch)
        before = {
            f"{c['type']}={c['status']}": str(c.get("lastTransitionTime") or "")
            for c in (there.get("status") or {}).get("conditions") or ()
        }
        conditions = conditions_of(format_time(self.clock.now()), before)
        status = self.node["status"] | {"conditions": conditions}
        for resource in ("capacity", "allocatable"):  # a resource that is no longer there must go
            gone = dict.fromkeys((there.get("status") or {}).get(resource) or {})
            status[resource] = gone | status[resource]
        return await self.client.patch(NODE, name, "", {"status": status}, subresource="status")

    async def beat(self) -> None:
        """Renew the Lease for ever; what fails is tried again with the next beat."""
        while True:
            with contextlib.suppress(ApiError):
                await self._renew()
            await asyncio.sleep(self.settings.heartbeat_s)

    async def _renew(self) -> None:
        name = self.node["metadata"]["name"]
        spec: dict[str, Any] = {
            "holderIdentity": name,
            "leaseDurationSeconds": math.ceil(4 * self.settings.heartbeat_s),
            "renewTime": format_micro_time(self.clock.now()),
        }
        try:
            await self.client.patch(LEASE, name, _LEASES, {"spec": spec})
        except NotFound:
            await self._create_lease(name, spec)

    async def _create_lease(self, name: str, spec: Mapping[str, Any]) -> None:
        with contextlib.suppress(AlreadyExists):
            await self.client.create(
                NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": _LEASES}}
            )
        node = await self.client.get(NODE, name)
        owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": uid_of(node)}
        lease = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": name, "namespace": _LEASES, "ownerReferences": [owner]},
            "spec": spec,
        }
        await self.client.create(LEASE, lease)


def _memory_bytes() -> int:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _text("/sys/fs/cgroup/memory.max")
    return min(total, int(limit)) if limit.isdigit() else total


def _os_name() -> str:
    for line in _text("/etc/os-release").splitlines():
        key, _, value = line.partition("=")
        if key == "PRETTY_NAME":
            return value.strip('"')
    return platform.platform()


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return ""
