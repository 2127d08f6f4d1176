"""What a simulated node and the Pods on it look like: pure functions of objects and the time.

Next: ``simulation``, which writes this.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from beamhall.kernel.clock import format_time, parse_time
from beamhall.kernel.kinds import KUBERNETES_VERSION
from beamhall.kernel.objects import Object, ReadOnlyObject, annotations_of, is_being_deleted

LABEL = "beamhall.io/simulated"
"""Label of simulated nodes, and key of their taint."""

TAINT: Mapping[str, str] = {"key": LABEL, "value": "true", "effect": "NoSchedule"}
RUN = "beamhall.io/simulated-run"
EXIT_CODE = "beamhall.io/simulated-exit-code"

_DURATION = re.compile(r"(?:(?P<hours>\d+)h)?(?:(?P<minutes>\d+)m)?(?:(?P<seconds>\d+(?:\.\d+)?)s)?")


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be done with a Pod next: a status to write (None: it is to go), and in how many seconds."""

    status: Object | None
    after_s: float = 0.0


def simulated_node(
    name: str, resources: Mapping[str, str], taints: Sequence[Mapping[str, str]], now: datetime
) -> Object:
    """Make a simulated Node, ready from the start."""
    moment = format_time(now)
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "Simulated",
        "message": "this node is simulated: its Pods do nothing",
        "lastHeartbeatTime": moment,
        "lastTransitionTime": moment,
    }
    gpus = {"nvidia.com/gpu.present": "true", "nvidia.com/gpu.product": "Simulated-GPU"}
    return {
        "metadata": {
            "name": name,
            "labels": {
                LABEL: "true",
                "type": "simulated",
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64",
                **(gpus if "nvidia.com/gpu" in resources else {}),
            },
        },
        "spec": {"taints": list(taints)} if taints else {},
        "status": {
            "capacity": dict(resources),
            "allocatable": dict(resources),
            "conditions": [ready],
            "addresses": [{"type": "Hostname", "address": name}],
            "nodeInfo": {
                "machineID": "", "systemUUID": "", "bootID": "", "kernelVersion": "", "osImage": "simulated",
                "containerRuntimeVersion": "simulated://", "kubeletVersion": KUBERNETES_VERSION,
                "kubeProxyVersion": "", "operatingSystem": "linux", "architecture": "amd64",
            },
        },
    }  # fmt: skip


def next_step(pod: ReadOnlyObject, now: datetime) -> Step | None:
    """Give what is to be done next with a Pod on a simulated node; None: nothing until it changes."""
    status: Mapping[str, Any] = pod.get("status") or {}
    phase = status.get("phase")
    if is_being_deleted(pod):
        return Step(None)
    if phase in ("Succeeded", "Failed"):
        return None
    if phase != "Running":
        return Step(_running(pod, now))
    written = annotations_of(pod).get(RUN)
    if written is None:
        return None
    run_s = parse_duration(written)
    if run_s is None:
        return Step(_ended(pod, 1, now, f"the annotation {RUN} is {written!r}; write a duration, as 1h30m or 2.5s"))
    started = parse_time(str(status.get("startTime") or format_time(now)))
    left_s = (started + timedelta(seconds=run_s) - now).total_seconds()
    return Step(_ended(pod, _exit_code(pod), now), max(0.0, left_s))


def parse_duration(text: str) -> float | None:
    """Read a duration such as ``1h30m`` or ``2.5s``, in seconds; None if it is none."""
    found = _DURATION.fullmatch(text)
    if found is None or not text:
        return None
    hours, minutes, seconds = (float(found[name] or 0) for name in ("hours", "minutes", "seconds"))
    return 3600 * hours + 60 * minutes + seconds


def _exit_code(pod: ReadOnlyObject) -> int:
    text = annotations_of(pod).get(EXIT_CODE, "0")
    return int(text) if text.isdecimal() else 1


def _running(pod: ReadOnlyObject, now: datetime) -> Object:
    moment = format_time(now)
    return {
        "phase": "Running",
        "startTime": moment,
        "conditions": _conditions(pod, "True", moment),
        "containerStatuses": [_container(c, {"running": {"startedAt": moment}}) for c in _containers(pod)],
    }


def _ended(pod: ReadOnlyObject, code: int, now: datetime, message: str = "") -> Object:
    moment = format_time(now)
    started = str((pod.get("status") or {}).get("startTime") or moment)
    state = {"terminated": {
        "exitCode": code, "reason": "Error" if code else "Completed", "startedAt": started, "finishedAt": moment,
        **({"message": message} if message else {}),
    }}  # fmt: skip
    return {
        "phase": "Failed" if code else "Succeeded",
        "conditions": _conditions(pod, "False", moment),
        "containerStatuses": [_container(c, state) for c in _containers(pod)],
    }


def _containers(pod: ReadOnlyObject) -> Sequence[Mapping[str, Any]]:
    return (pod.get("spec") or {}).get("containers") or ()


def _container(container: Mapping[str, Any], state: Object) -> Object:
    is_running = "running" in state
    return {
        "name": container["name"],
        "state": state,
        "lastState": {},
        "ready": is_running,
        "started": is_running,
        "restartCount": 0,
        "image": container.get("image", ""),
        "imageID": "",
    }


def _conditions(pod: ReadOnlyObject, ready: str, moment: str) -> list[Object]:
    ours = {"Initialized": "True", "ContainersReady": ready, "Ready": ready}
    reason = {} if ready == "True" else {"reason": "PodCompleted"}
    made = [
        {"type": name, "status": status, "lastTransitionTime": moment, **(reason if name != "Initialized" else {})}
        for name, status in ours.items()
    ]
    before = (pod.get("status") or {}).get("conditions") or ()
    return [*made, *(condition for condition in before if condition.get("type") not in ours)]
