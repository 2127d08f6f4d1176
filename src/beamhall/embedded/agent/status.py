"""How a Pod is reported: the status that a kubelet would write, as a pure function of the object and of facts.

Nothing is decided here (``lifecycle`` does) and nothing is written (``reporting`` does).
Source: Kubernetes ``kubelet_pods.go`` (phase) and ``status/generate.go`` (conditions), described in "Pod Lifecycle".
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from beamhall.embedded.agent.facts import (
    Attempt,
    ContainerFacts,
    PodFacts,
    containers,
    has_ended,
    init_containers,
    is_sidecar,
    phase_of,
    spec_of,
)
from beamhall.embedded.agent.lifecycle import Pace, ending_of, is_initialized, outcome, restart_at, standing
from beamhall.embedded.agent.probing import Failure, Health, initial_health, probes_of
from beamhall.kernel.clock import format_time
from beamhall.kernel.objects import Object, ReadOnlyObject, name_of, namespace_of, uid_of

Container = Mapping[str, Any]
_DISRUPTIONS = ("Evicted", "Terminated")


def pod_status(pod: ReadOnlyObject, facts: PodFacts, now: datetime, pace: Pace, host_ip: str) -> Object:
    """Make the status that the API should have, without the fields that are not the agent's to write.

    Args:
        pod: The object as last seen; its status gives the transition times that are kept.
        facts: What is on this machine.
        now: The time of transitions that are new.
        pace: The back-off, for the states of waiting containers.
        host_ip: Address of the node.
    """
    phase, reason, message = _phase(pod, facts, now, pace)
    inits = [container_status(pod, c, facts, now, pace) for c in init_containers(pod)]
    mains = [container_status(pod, c, facts, now, pace) for c in containers(pod)]
    status: Object = {
        "phase": phase,
        "reason": reason or None,
        "message": message or None,
        "hostIP": host_ip,
        "hostIPs": [{"ip": host_ip}],
        "conditions": _conditions(pod, facts, phase, [*_sidecars(pod, inits), *mains], now),
        "containerStatuses": mains,
    }
    if facts.address:
        status |= {"podIP": facts.address, "podIPs": [{"ip": facts.address}]}
    if facts.started_at is not None:
        status["startTime"] = format_time(facts.started_at)
    if inits:
        status["initContainerStatuses"] = inits
    return status


def container_status(pod: ReadOnlyObject, container: Container, facts: PodFacts, now: datetime, pace: Pace) -> Object:
    """Make one entry of ``containerStatuses``."""
    name = container["name"]
    known = facts.of(name)
    last = known.last
    state = _state(pod, container, facts, now, pace)
    is_init = any(other["name"] == name for other in init_containers(pod))
    is_started = "running" in state and known.health.is_started
    succeeded = last is not None and last.exit is not None and last.exit.code == 0
    before = _before_last(pod, known, is_waiting="waiting" in state)
    status: Object = {
        "name": name,
        "state": state,
        "lastState": {"terminated": _terminated(pod, name, before)} if before is not None else {},
        "ready": succeeded if is_init and not is_sidecar(container) else is_started and known.health.is_ready,
        "started": is_started,
        "restartCount": last.number if last is not None else 0,
        "image": container.get("image", ""),
        "imageID": known.image_id or _reported_image_id(pod, name),
    }
    if last is not None:
        status["containerID"] = container_id(uid_of(pod), name, last.number)
    return status


def _sidecars(pod: ReadOnlyObject, inits: Sequence[Object]) -> Sequence[Object]:
    kept = {c["name"] for c in init_containers(pod) if is_sidecar(c)}
    return [status for status in inits if status["name"] in kept]


def reported_health(pod: ReadOnlyObject, container: Container, attempt: int, *, is_unwell: bool) -> Health:
    """Give the health of a run that went on while nobody looked, as it was reported before.

    What was reported of another run says nothing; such a one starts anew, but its postStart hook is not called again.

    Args:
        pod: The object as last seen.
        container: The container.
        attempt: Number of the run.
        is_unwell: Whether its end had begun, because a probe or a hook failed.
    """
    name = str(container["name"])
    health = initial_health(probes_of(container), has_hook=False)
    if is_unwell:
        return replace(health, failure=Failure("failed a probe or a hook"))
    reported = _reported(pod, name)
    if reported.get("containerID") != container_id(uid_of(pod), name, attempt):
        return health
    return replace(
        health,
        is_started=health.is_started or bool(reported.get("started")),
        is_ready=health.is_ready or bool(reported.get("ready")),
    )


def _reported(pod: ReadOnlyObject, name: str) -> ReadOnlyObject:
    status = pod.get("status") or {}
    every = (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ()))
    return next((entry for entry in every if entry.get("name") == name), {})


def _reported_image_id(pod: ReadOnlyObject, name: str) -> str:
    """Give what was reported before: a container that was taken over runs without its environment being looked up."""
    return str(_reported(pod, name).get("imageID") or "")


def container_id(uid: str, name: str, attempt: int) -> str:
    """Give the ``containerID`` of a run."""
    return f"beamhall://{uid}.{name}.{attempt}"


def merge_conditions(current: Sequence[ReadOnlyObject], ours: Sequence[ReadOnlyObject]) -> list[ReadOnlyObject]:
    """Put our conditions beside those of others, whose ones are kept as they are."""
    mine = {condition["type"] for condition in ours}
    return [*ours, *(c for c in current if c.get("type") not in mine)]


def _phase(pod: ReadOnlyObject, facts: PodFacts, now: datetime, pace: Pace) -> tuple[str, str, str]:
    """Give phase, reason and message. A final phase comes only when nothing runs any more, and never changes."""
    status = pod.get("status") or {}
    if has_ended(pod):
        return phase_of(pod), str(status.get("reason") or ""), str(status.get("message") or "")
    ending = ending_of(pod, facts, now, pace)
    if not facts.running():
        if ending is not None:
            if ending.reason:
                return "Failed", ending.reason, ending.message
            return outcome(pod, facts) or _phase_of_a_deleted(pod, facts), "", ""
        ended = outcome(pod, facts)
        if ended is not None:
            return ended, "", ""
    elif outcome(pod, facts) is not None:
        return phase_of(pod) or "Running", "", ""
    return _phase_under_way(pod, facts), "", ""


def _phase_of_a_deleted(pod: ReadOnlyObject, facts: PodFacts) -> str:
    """Give the final phase of a Pod that was ended although it was to go on: only clean exits count as success."""
    lasts = [facts.of(c["name"]).last for c in containers(pod)]
    clean = all(last is not None and last.exit is not None and last.exit.code == 0 for last in lasts)
    return "Succeeded" if clean else "Failed"


def _phase_under_way(pod: ReadOnlyObject, facts: PodFacts) -> str:
    if not is_initialized(pod, facts):
        return "Pending"
    known = [facts.of(c["name"]) for c in containers(pod)]
    never_ran = any(k.last is None or (k.last.number == 0 and not k.health.is_hooked) for k in known)
    return "Pending" if never_ran else "Running"


def _state(pod: ReadOnlyObject, container: Container, facts: PodFacts, now: datetime, pace: Pace) -> Object:
    name = container["name"]
    known = facts.of(name)
    last = known.last
    if last is not None and last.exit is None and known.health.is_hooked:
        return {"running": {"startedAt": format_time(last.started_at)}}
    if last is not None and last.exit is None:
        return {"waiting": {"reason": "ContainerCreating"}}
    if ending_of(pod, facts, now, pace) is not None and last is not None:
        return {"terminated": _terminated(pod, name, last)}
    stands = standing(pod, container, known)
    if last is not None and stands != "restarting":
        return {"terminated": _terminated(pod, name, last)}
    if known.trouble is not None and known.preparation != "making":
        return {"waiting": {"reason": known.trouble.reason, "message": known.trouble.message}}
    if last is not None:
        due = restart_at(known, pace.restart)
        delay_s = pace.restart.delay_s(known.quick_ends - 1)
        if due is None or delay_s == 0 or has_ended(pod):
            return {"terminated": _terminated(pod, name, last)}
        return {"waiting": {"reason": "CrashLoopBackOff", "message": back_off_message(pod, name, delay_s)}}
    reason = "PodInitializing" if init_containers(pod) else "ContainerCreating"
    held = None if facts.volumes_ready else facts.volumes_trouble
    return {"waiting": {"reason": reason, "message": held.message} if held is not None else {"reason": reason}}


def back_off_message(pod: ReadOnlyObject, name: str, delay_s: float) -> str:
    """Say that a container waits for its restart, in Kubernetes' words."""
    minutes, seconds = divmod(round(delay_s), 60)
    text = f"{minutes}m{seconds}s" if minutes else f"{seconds}s"
    whose = f"{name_of(pod)}_{namespace_of(pod)}({uid_of(pod)})"
    return f"back-off {text} restarting failed container={name} pod={whose}"


def _before_last(pod: ReadOnlyObject, known: ContainerFacts, *, is_waiting: bool) -> Attempt | None:
    """Give the run that ``lastState`` tells of: the last one while waiting for the next, else the one before it."""
    ended = [attempt for attempt in known.attempts if attempt.exit is not None]
    if is_waiting:
        return ended[-1] if ended else None
    earlier = [attempt for attempt in ended if known.last is not None and attempt.number < known.last.number]
    return earlier[-1] if earlier else None


def _terminated(pod: ReadOnlyObject, name: str, attempt: Attempt) -> Object:
    assert attempt.exit is not None
    end = attempt.exit
    terminated: Object = {
        "exitCode": end.code,
        "reason": end.reason or ("Completed" if end.code == 0 else "Error"),
        "startedAt": format_time(attempt.started_at),
        "finishedAt": format_time(end.at),
        "containerID": container_id(uid_of(pod), name, attempt.number),
    }
    if end.message:
        terminated["message"] = end.message
    return terminated


def _conditions(
    pod: ReadOnlyObject, facts: PodFacts, phase: str, mains: Sequence[Object], now: datetime
) -> list[ReadOnlyObject]:
    unready = [status["name"] for status in mains if not status["ready"]]
    current = (pod.get("status") or {}).get("conditions") or ()
    scheduled = [dict(c) for c in current if c.get("type") == "PodScheduled"]
    ready = _ready(phase, unready)
    wanted = [
        {"type": "PodReadyToStartContainers"} | _flag(facts.volumes_ready and phase in ("Pending", "Running")),
        {"type": "Initialized"} | _initialized(pod, facts, phase),
        {"type": "Ready"} | (_gates(pod, current) if ready["status"] == "True" else ready),
        {"type": "ContainersReady"} | ready,
        *(scheduled or [{"type": "PodScheduled", "status": "True"}]),
        *_disruption(facts),
    ]
    return merge_conditions(current, [_with_transition(condition, current, now) for condition in wanted])


def _disruption(facts: PodFacts) -> Sequence[Object]:
    """Say that this node, not the Pod's own doing, ends it, for those who count a Pod's failures. Source: KEP-3329."""
    ending = facts.ending
    if ending is None or ending.reason not in _DISRUPTIONS:
        return ()
    message = ending.message
    return [{"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet", "message": message}]


def _flag(holds: bool) -> Object:  # noqa: FBT001  a truth value is what it is about
    return {"status": "True" if holds else "False"}


def _initialized(pod: ReadOnlyObject, facts: PodFacts, phase: str) -> Object:
    if phase == "Succeeded":
        return {"status": "True", "reason": "PodCompleted"}
    if any(facts.of(c["name"]).last is not None for c in containers(pod)):
        return {"status": "True"}  # it stays so while a sidecar starts again
    incomplete = [
        c["name"]
        for c in init_containers(pod)
        if facts.of(c["name"]).last is None
        or not (
            facts.of(c["name"]).health.is_started
            if is_sidecar(c)
            else standing(pod, c, facts.of(c["name"])) == "succeeded"
        )
    ]
    if not incomplete:
        return {"status": "True"}
    message = f"containers with incomplete status: [{' '.join(incomplete)}]"
    return {"status": "False", "reason": "ContainersNotInitialized", "message": message}


def _ready(phase: str, unready: Sequence[str]) -> Object:
    if phase == "Succeeded":
        return {"status": "False", "reason": "PodCompleted"}
    if phase == "Failed":
        return {"status": "False", "reason": "PodFailed"}
    if not unready:
        return {"status": "True"}
    message = f"containers with unready status: [{' '.join(unready)}]"
    return {"status": "False", "reason": "ContainersNotReady", "message": message}


def _gates(pod: ReadOnlyObject, current: Sequence[ReadOnlyObject]) -> Object:
    """Tell whether the conditions of others hold that the Pod's readiness waits for. Source: KEP-580."""
    there = {c.get("type"): c.get("status") for c in current}
    problems = []
    for gate in spec_of(pod).get("readinessGates") or ():
        type_ = gate.get("conditionType")
        if type_ not in there:
            problems.append(f'corresponding condition of pod readiness gate "{type_}" does not exist.')
        elif there[type_] != "True":
            problems.append(f'the status of pod readiness gate "{type_}" is not "True", but {there[type_]}')
    if not problems:
        return {"status": "True"}
    return {"status": "False", "reason": "ReadinessGatesNotReady", "message": ", ".join(problems)}


def _with_transition(condition: Object, current: Sequence[ReadOnlyObject], now: datetime) -> Object:
    """Keep the transition time of a condition whose status is the same as before."""
    for before in current:
        if before.get("type") == condition["type"] and before.get("status") == condition["status"]:
            since = before.get("lastTransitionTime") or format_time(now)
            return condition | {"lastTransitionTime": since}
    return condition | {"lastTransitionTime": format_time(now)}
