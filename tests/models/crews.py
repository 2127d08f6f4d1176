"""A toy kind with a planner: a Crew wants so many Pods, replaces failed ones, and counts the ready ones."""

from typing import Any

from beamhall.kernel.kinds import POD, Kind
from beamhall.kernel.objects import (
    Key,
    Object,
    ReadOnlyObject,
    is_being_deleted,
    key_of,
    name_of,
    namespace_of,
    owner_reference,
    uid_of,
)
from beamhall.kernel.plan import Action, Create, Delete, Emit, Patch, Plan, View
from beamhall.kernel.planner import Planner

CREW = Kind("example.org", "v1", "Crew", "crews")


def crew(name: str, replicas: int, namespace: str = "a") -> Object:
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {"replicas": replicas}}


def plan_crew(obj: ReadOnlyObject, view: View) -> Plan:
    if is_being_deleted(obj):
        return Plan(why="it is being deleted")
    wanted = [f"{name_of(obj)}-{i}" for i in range(obj["spec"]["replicas"])]
    pods = {name_of(pod): pod for pod in view.controlled_by(POD, uid_of(obj))}
    actions: list[Action] = []
    for name in wanted:
        if name not in pods:
            metadata = {
                "name": name,
                "namespace": namespace_of(obj),
                "ownerReferences": [owner_reference(CREW, obj)],
            }
            actions.append(Create(POD, {"metadata": metadata, "spec": {}}))
    for name, pod in pods.items():
        if name not in wanted or _phase(pod) == "Failed":
            actions.append(Delete(key_of(POD, pod), uid=uid_of(pod)))
    ready = sum(_phase(pod) == "Running" for pod in pods.values())
    status: dict[str, Any] = {"ready": ready, "pods": sorted(pods)}
    actions.append(Patch(Key(CREW, namespace_of(obj), name_of(obj)), {"status": status}, "status", uid=uid_of(obj)))
    if len(actions) > 1:
        actions.append(Emit(CREW, obj, "Changed", f"{len(actions) - 1} Pods to change"))
    return Plan(actions, why=f"{len(pods)} of {len(wanted)} Pods are there")


CREWS = Planner("crews", CREW, plan_crew, (POD,))


def _phase(pod: ReadOnlyObject) -> str:
    return str((pod.get("status") or {}).get("phase") or "")
