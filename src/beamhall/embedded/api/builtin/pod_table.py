"""How a Pod stands, in a few words: the STATUS, READY and RESTARTS that ``kubectl get pods`` shows.

Source: what kube-apiserver prints for Pods (``pkg/printers/internalversion``): container states in the reverse order
of the containers, init containers first.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from beamhall.embedded.api.builtin.durations import age
from beamhall.kernel.clock import parse_time
from beamhall.kernel.objects import ReadOnlyObject, is_being_deleted, metadata_of, name_of

NONE = "<none>"


def pod_cells(pod: ReadOnlyObject, now: datetime) -> list[Any]:
    """Give the cells: name, ready, status, restarts, age, IP, node, nominated node, readiness gates."""
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    stand = _stand(pod)
    restarts = str(stand.restarts)
    if stand.restarts and stand.last_restart:
        restarts += f" ({age(stand.last_restart, now)} ago)"
    addresses = [entry.get("ip") for entry in status.get("podIPs") or ()] or [status.get("podIP")]
    return [
        name_of(pod),
        f"{stand.ready}/{stand.total}",
        stand.reason,
        restarts,
        age(metadata_of(pod).get("creationTimestamp"), now),
        addresses[0] or NONE,
        spec.get("nodeName") or NONE,
        status.get("nominatedNodeName") or NONE,
        _gates(spec, status),
    ]


class _Stand(NamedTuple):
    reason: str
    ready: int
    total: int
    restarts: int
    last_restart: str


def _stand(pod: ReadOnlyObject) -> _Stand:
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    sidecars = {c.get("name") for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"}
    inits: Sequence[ReadOnlyObject] = status.get("initContainerStatuses") or ()
    of_sidecars = [s for s in inits if s.get("name") in sidecars]
    mains: Sequence[ReadOnlyObject] = status.get("containerStatuses") or ()
    total = len(spec.get("containers") or ()) + len(sidecars)
    ready = sum(1 for s in of_sidecars if s.get("started") and s.get("ready"))
    waiting_for = _init_reason(inits, sidecars, len(spec.get("initContainers") or ()))
    if waiting_for and not _is_true(status, "Initialized"):
        return _Stand(_overruled(pod, waiting_for), ready, total, *_restarts(inits))
    reason = _main_reason(status, mains) or waiting_for or _phase_reason(status)
    ready += sum(1 for s in mains if _is_running(s) and s.get("ready"))
    return _Stand(_overruled(pod, reason), ready, total, *_restarts([*of_sidecars, *mains]))


def _phase_reason(status: ReadOnlyObject) -> str:
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "SchedulingGated":
            return "SchedulingGated"
    return str(status.get("reason") or status.get("phase") or "Unknown")


def _init_reason(inits: Sequence[ReadOnlyObject], sidecars: set[Any], total: int) -> str:
    """Say what the first unfinished init container does; empty if all have finished."""
    for number, container in enumerate(inits):
        state = container.get("state") or {}
        ended = state.get("terminated")
        if ended is not None and not ended.get("exitCode"):
            continue
        if container.get("name") in sidecars and container.get("started"):
            continue
        waiting = (state.get("waiting") or {}).get("reason")
        if ended is not None:
            return "Init:" + _ending(ended)
        if waiting and waiting != "PodInitializing":
            return f"Init:{waiting}"
        return f"Init:{number}/{total}"
    return ""


def _main_reason(status: ReadOnlyObject, mains: Sequence[ReadOnlyObject]) -> str:
    """Say what the first container that does not simply run does; empty if all run or none has a state."""
    reason = ""
    for container in mains:
        state = container.get("state") or {}
        said = (state.get("waiting") or {}).get("reason")
        if not said and state.get("terminated") is not None:
            said = _ending(state["terminated"])
        if said:
            reason = said
            break
    if reason == "Completed" and any(_is_running(s) and s.get("ready") for s in mains):
        return "Running" if _is_true(status, "Ready") else "NotReady"
    return reason


def _ending(ended: ReadOnlyObject) -> str:
    if ended.get("reason"):
        return str(ended["reason"])
    return f"Signal:{ended['signal']}" if ended.get("signal") else f"ExitCode:{ended.get('exitCode', 0)}"


def _overruled(pod: ReadOnlyObject, reason: str) -> str:
    """Say what deletion makes of the reason."""
    status = pod.get("status") or {}
    if is_being_deleted(pod):
        if status.get("reason") == "NodeLost":
            return "Unknown"
        if status.get("phase") not in ("Succeeded", "Failed"):
            return "Terminating"
    return reason


def _restarts(containers: Sequence[ReadOnlyObject]) -> tuple[int, str]:
    """Give how often containers were started again, and when one last ended before that."""
    count = sum(int(s.get("restartCount") or 0) for s in containers)
    return count, max(_last_endings(containers), key=parse_time, default="")


def _last_endings(containers: Sequence[ReadOnlyObject]) -> Iterator[str]:
    for container in containers:
        ended = (container.get("lastState") or {}).get("terminated") or {}
        if ended.get("finishedAt"):
            yield ended["finishedAt"]


def _is_running(container: ReadOnlyObject) -> bool:
    return (container.get("state") or {}).get("running") is not None


def _is_true(status: ReadOnlyObject, condition: str) -> bool:
    return any(c.get("type") == condition and c.get("status") == "True" for c in status.get("conditions") or ())


def _gates(spec: ReadOnlyObject, status: ReadOnlyObject) -> str:
    gates = spec.get("readinessGates") or ()
    if not gates:
        return NONE
    return f"{sum(_is_true(status, gate.get('conditionType', '')) for gate in gates)}/{len(gates)}"
