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
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from beamhall.client.protocol import Client
from beamhall.embedded.agent.devices import GPU, Devices
from beamhall.embedded.agent.limits.bounds import Bounds
from beamhall.embedded.agent.limits.machine import Pressure
from beamhall.embedded.agent.settings import AgentSettings
from beamhall.kernel.clock import Clock, format_micro_time, format_time
from beamhall.kernel.errors import AlreadyExists, ApiError, NotFound
from beamhall.kernel.kinds import KUBERNETES_VERSION, LEASE, NAMESPACE, NODE
from beamhall.kernel.objects import Object, ReadOnlyObject, uid_of

_LEASES = "kube-node-lease"
_NO_PRESSURE = Pressure()
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


def read_machine(directory: Path, bounds: Bounds) -> Machine:
    """Read what this machine has, as far as the control groups around its Pods let them use it.

    Args:
        directory: On the disk that counts.
        bounds: What is set around the Pods.
    """
    cpus, memory_bytes = len(os.sched_getaffinity(0)), os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Machine(
        cpus=cpus if bounds.cpus is None else max(1, min(cpus, math.floor(bounds.cpus))),
        memory_bytes=memory_bytes if bounds.memory_bytes is None else min(memory_bytes, bounds.memory_bytes),
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


def conditions_of(moment: str, before: Mapping[str, str], pressure: Pressure = _NO_PRESSURE) -> list[Object]:
    """Make the Node's conditions: a node that can say so is ready.

    Args:
        moment: The time, as the wire has it.
        before: Since when each condition has its status, by ``type=status``.
        pressure: What the machine runs out of.
    """
    memory = ("False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available")
    disk = ("False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure")
    if pressure.memory:
        memory = (
            "True",
            "KubeletHasInsufficientMemory",
            f"kubelet has insufficient memory available: {pressure.memory}",
        )
    if pressure.disk:
        disk = ("True", "KubeletHasDiskPressure", f"kubelet has disk pressure: {pressure.disk}")
    wanted = (
        ("MemoryPressure", *memory),
        ("DiskPressure", *disk),
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
        look: Tells what the machine runs out of; called in a thread.
    """

    client: Client
    clock: Clock
    settings: AgentSettings
    node: Object
    look: Callable[[], Pressure] = Pressure
    _pressed: tuple[bool, bool] = (False, False)

    async def register(self) -> Object:
        """Write the Node, as ready, keeping what users added to it."""
        pressure = await asyncio.to_thread(self.look)
        name = self.node["metadata"]["name"]
        try:
            there = await self.client.create(NODE, {k: v for k, v in self.node.items() if k != "status"})
        except AlreadyExists:
            patch = {"metadata": {"labels": self.node["metadata"]["labels"]}}
            there = await self.client.patch(NODE, name, "", patch)
        status = self.node["status"] | {"conditions": self._conditions(there, pressure)}
        for resource in ("capacity", "allocatable"):  # a resource that is no longer there must go
            gone = dict.fromkeys((there.get("status") or {}).get(resource) or {})
            status[resource] = gone | status[resource]
        node = await self.client.patch(NODE, name, "", {"status": status}, subresource="status")
        self._pressed = (bool(pressure.memory), bool(pressure.disk))
        return node

    def _conditions(self, there: ReadOnlyObject, pressure: Pressure) -> list[Object]:
        before = {
            f"{c['type']}={c['status']}": str(c.get("lastTransitionTime") or "")
            for c in (there.get("status") or {}).get("conditions") or ()
        }
        return conditions_of(format_time(self.clock.now()), before, pressure)

    async def beat(self) -> None:
        """Renew the Lease for ever, and report pressure that comes or goes; what fails is tried with the next beat."""
        while True:
            with contextlib.suppress(ApiError):
                await self._renew()
                await self.report_pressure()
            await asyncio.sleep(self.settings.heartbeat_s)

    async def report_pressure(self) -> None:
        """Look what the machine runs out of, and write it if that is not what was written."""
        pressure = await asyncio.to_thread(self.look)
        pressed = (bool(pressure.memory), bool(pressure.disk))
        if pressed == self._pressed:
            return
        name = self.node["metadata"]["name"]
        conditions = self._conditions(await self.client.get(NODE, name), pressure)
        await self.client.patch(NODE, name, "", {"status": {"conditions": conditions}}, subresource="status")
        self._pressed = pressed

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
            try:
                await self._create_lease(name, spec)
            except NotFound:  # somebody has deleted the Node; while this runs, there is one
                await self.register()
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
