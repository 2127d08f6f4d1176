"""The scheduler: which unbound Pods go to which node now, groups whole or not at all, and why the others wait.

One pass looks at everything: the most urgent and then the oldest first. A Pod or group that does not fit is passed
over and holds nothing, so a small later one may go first; nobody waits with resources in hand. A Pod's message changes
only when its words do, not its figures: otherwise every start and end of a Pod would rewrite all those that wait.

Source: Kubernetes "Scheduling, Preemption and Eviction" (the parts that are served); scheduler-plugins, coscheduling.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from typing import Any

from beamhall.embedded.workloads.nodes import Node, explain, obstacle, read_nodes
from beamhall.embedded.workloads.resources import Amounts, add, requests_of
from beamhall.kernel.clock import parse_time
from beamhall.kernel.conditions import conditions_of, find_condition, make_condition, with_condition
from beamhall.kernel.kinds import NODE, POD, POD_GROUP
from beamhall.kernel.objects import (
    ReadOnlyObject,
    is_being_deleted,
    key_of,
    labels_of,
    metadata_of,
    name_of,
    namespace_of,
    uid_of,
)
from beamhall.kernel.plan import Action, Bind, Emit, Patch, Plan, View

POD_GROUP_LABEL = "scheduling.x-k8s.io/pod-group"
SCHEDULER_NAME = "default-scheduler"

_COMPLETION_S = 3.0  # in which a group's Pods may arrive one by one before they are told that they are too few

_FIGURES = re.compile(r"\d+(\.\d+)?([KMGTPE]i|[mkMGTPE])?\b")


@dataclass(slots=True)
class _Group:
    """A PodGroup and its members; ``n_bound`` of them have a node already."""

    name: str
    object: ReadOnlyObject | None
    n_bound: int = 0
    n_there: int = 0

    @property
    def n_wanted(self) -> int:
        """How many members must have a node before any starts."""
        spec: Mapping[str, Any] = (self.object or {}).get("spec") or {}
        return int(spec.get("minMember") or 1)


@dataclass(slots=True)
class _Unit:
    """What is placed together: one Pod, or the waiting members of a group."""

    pods: list[ReadOnlyObject]
    group: _Group | None = None

    @property
    def rank(self) -> tuple[int, str, str, str]:
        """Where it stands in the queue: higher priority, then earlier creation, then name."""
        priority = max(int((pod.get("spec") or {}).get("priority") or 0) for pod in self.pods)
        first = self.group.object if self.group is not None and self.group.object is not None else self.pods[0]
        created = str(metadata_of(first).get("creationTimestamp") or "")
        return (-priority, created, namespace_of(self.pods[0]), name_of(self.pods[0]))


@dataclass(slots=True)
class _Pass:
    """One look at the whole cluster."""

    view: View
    nodes: Sequence[Node]
    actions: list[Action] = field(default_factory=list)
    again_s: list[float] = field(default_factory=list)
    # Free amounts only shrink within a pass but for what a group gives back, which it had taken itself: what did not
    # fit once does not fit again. This is what makes ten thousand waiting Pods of a few shapes cheap.
    hopeless: dict[Any, str] = field(default_factory=dict)
    obstacles: dict[Any, dict[str, str]] = field(default_factory=dict)


def plan_scheduling(_: ReadOnlyObject, view: View) -> Plan:
    """Place what can be placed, and tell the others why not."""
    pods = view.list(POD)
    waiting = [pod for pod in pods if _is_waiting(pod)]
    if not waiting:
        return Plan()
    run = _Pass(view, read_nodes(view.list(NODE), pods))
    for unit in sorted(_units(waiting, pods, view), key=lambda unit: unit.rank):
        if unit.group is None:
            _place_pod(run, unit.pods[0])
        else:
            _place_group(run, unit, unit.group)
    n_bound = sum(isinstance(action, Bind) for action in run.actions)
    why = f"{n_bound} of {len(waiting)} waiting Pods are placed"
    return Plan(run.actions, min(run.again_s, default=None), why)


def _is_waiting(pod: ReadOnlyObject) -> bool:
    spec: Mapping[str, Any] = pod.get("spec") or {}
    return (
        not spec.get("nodeName")
        and not spec.get("schedulingGates")
        and (spec.get("schedulerName") or SCHEDULER_NAME) == SCHEDULER_NAME
        and (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")
        and not is_being_deleted(pod)
    )


def _units(waiting: Iterable[ReadOnlyObject], pods: Iterable[ReadOnlyObject], view: View) -> list[_Unit]:
    singles: list[_Unit] = []
    grouped: dict[tuple[str, str], _Unit] = {}
    for pod in waiting:
        name = labels_of(pod).get(POD_GROUP_LABEL)
        if not name:
            singles.append(_Unit([pod]))
            continue
        key = (namespace_of(pod), name)
        if key not in grouped:
            grouped[key] = _Unit([], _Group(name, view.get(POD_GROUP, name, key[0])))
        grouped[key].pods.append(pod)
    for pod in pods if grouped else ():
        unit = grouped.get((namespace_of(pod), labels_of(pod).get(POD_GROUP_LABEL) or ""))
        if unit is not None and unit.group is not None and not is_being_deleted(pod):
            unit.group.n_there += 1
            unit.group.n_bound += bool((pod.get("spec") or {}).get("nodeName"))
    return [*singles, *grouped.values()]


def _place_pod(run: _Pass, pod: ReadOnlyObject) -> None:
    asked = requests_of(pod)
    node = _find_node(run, pod, asked)
    if node is not None:
        node.take(asked)
        _bind(run, pod, node)
        return
    shape = _shape(pod, asked)
    if not run.hopeless[shape]:
        run.hopeless[shape] = explain(run.nodes, _obstacles(run, pod), asked, "this Pod")
    _refuse(run, pod, run.hopeless[shape])


def _place_group(run: _Pass, unit: _Unit, group: _Group) -> None:
    """Place as many members as fit, if with those that have a node they are enough; otherwise none."""
    if group.object is None or group.n_there < group.n_wanted:
        _wait_for_members(run, unit, group)
        return
    known = dict(run.hopeless)
    placed = _take_places(run, unit.pods)
    if group.n_bound + len(placed) < group.n_wanted:
        for _, node, asked in placed:
            node.give_back(asked)
        run.hopeless = known
        _refuse_group(run, unit, group, _explain_group(run, unit, group))
        return
    for pod, node, _ in placed:
        _bind(run, pod, node)
    _set_phase(run, group, "Scheduled")
    names = {name_of(pod) for pod, _, _ in placed}
    for pod in unit.pods:
        if name_of(pod) not in names:
            _refuse(run, pod, explain(run.nodes, _obstacles(run, pod), requests_of(pod), "this Pod"))


def _wait_for_members(run: _Pass, unit: _Unit, group: _Group) -> None:
    """Say what a group lacks, but not while its objects may still be on their way."""
    age_s = min((run.view.now - parse_time(metadata_of(pod)["creationTimestamp"])).total_seconds() for pod in unit.pods)
    if age_s < _COMPLETION_S:
        run.again_s.append(_COMPLETION_S - age_s)
    elif group.object is None:
        for pod in unit.pods:
            _refuse(run, pod, f"waits for its group: there is no PodGroup {group.name} in its namespace")
    else:
        lack = f"it needs {group.n_wanted} Pods at once, {group.n_there} are there"
        _refuse_group(run, unit, group, f"waits for its group {group.name}: {lack}")


def _take_places(run: _Pass, pods: Iterable[ReadOnlyObject]) -> list[tuple[ReadOnlyObject, Node, Amounts]]:
    placed: list[tuple[ReadOnlyObject, Node, Amounts]] = []
    for pod in pods:
        asked = requests_of(pod)
        if (node := _find_node(run, pod, asked)) is not None:
            node.take(asked)
            placed.append((pod, node, asked))
    return placed


def _explain_group(run: _Pass, unit: _Unit, group: _Group) -> str:
    start = f"waits for its group {group.name}, which needs {group.n_wanted} Pods at once: "
    for pod in unit.pods:
        asked, obstacles = requests_of(pod), _obstacles(run, pod)
        if not any(node.could_have_room(asked) for node in run.nodes if node.name not in obstacles):
            return start + explain(run.nodes, obstacles, asked, f"its Pod {name_of(pod)}")
    asked = add(requests_of(pod) for pod in unit.pods[: max(group.n_wanted - group.n_bound, 1)])
    return start + explain(run.nodes, _obstacles(run, unit.pods[0]), asked, "the group")


def _refuse_group(run: _Pass, unit: _Unit, group: _Group, message: str) -> None:
    spec: Mapping[str, Any] = (group.object or {}).get("spec") or {}
    timeout_s = spec.get("scheduleTimeoutSeconds")
    created = metadata_of(group.object or {}).get("creationTimestamp")
    if timeout_s is not None and created:
        left_s = (parse_time(created) + timedelta(seconds=timeout_s) - run.view.now).total_seconds()
        if left_s > 0:
            run.again_s.append(left_s)
        else:
            message += f"; it waits longer than its scheduleTimeoutSeconds of {timeout_s}"
    for pod in unit.pods:
        _refuse(run, pod, message)
    if group.n_bound < group.n_wanted:
        _set_phase(run, group, "Pending")


def _set_phase(run: _Pass, group: _Group, phase: str) -> None:
    """Show in ``kubectl get podgroups`` how a group is."""
    assert group.object is not None
    if ((group.object.get("status") or {}).get("phase") or "") != phase:
        patch = {"status": {"phase": phase}}
        key = key_of(POD_GROUP, group.object)
        run.actions.append(Patch(key, patch, subresource="status", uid=uid_of(group.object)))


def _find_node(run: _Pass, pod: ReadOnlyObject, asked: Amounts) -> Node | None:
    shape = _shape(pod, asked)
    if shape in run.hopeless:
        return None
    obstacles = _obstacles(run, pod)
    for node in run.nodes:
        if node.has_room(asked) and node.name not in obstacles:
            return node
    run.hopeless[shape] = ""
    return None


def _shape(pod: ReadOnlyObject, asked: Amounts) -> Any:
    return (_terms(pod), tuple(sorted(asked.items())))


def _terms(pod: ReadOnlyObject) -> str:
    """Give what but resources decides where a Pod may go, as something to look up by."""
    spec: Mapping[str, Any] = pod.get("spec") or {}
    return repr((spec.get("nodeSelector"), spec.get("tolerations")))


def _obstacles(run: _Pass, pod: ReadOnlyObject) -> Mapping[str, str]:
    terms = _terms(pod)
    if terms not in run.obstacles:
        spec: Mapping[str, Any] = pod.get("spec") or {}
        found = {node.name: obstacle(node.object, spec) for node in run.nodes}
        run.obstacles[terms] = {name: text for name, text in found.items() if text}
    return run.obstacles[terms]


def _bind(run: _Pass, pod: ReadOnlyObject, node: Node) -> None:
    run.actions.append(Bind(key_of(POD, pod), node.name, uid_of(pod)))
    run.actions.append(
        Emit(POD, pod, "Scheduled", f"Successfully assigned {namespace_of(pod)}/{name_of(pod)} to {node.name}")
    )


def _refuse(run: _Pass, pod: ReadOnlyObject, message: str) -> None:
    before = find_condition(conditions_of(pod), "PodScheduled") or {}
    if before.get("status") == "False" and _words(str(before.get("message"))) == _words(message):
        return
    condition = make_condition("PodScheduled", "False", "Unschedulable", message, run.view.now)
    conditions = with_condition(conditions_of(pod), condition)
    patch = {"status": {"conditions": conditions}}
    run.actions.append(Patch(key_of(POD, pod), patch, subresource="status", uid=uid_of(pod)))
    run.actions.append(Emit(POD, pod, "FailedScheduling", message, "Warning"))


@lru_cache(maxsize=1024)
def _words(message: str) -> str:
    """Give a message without its figures, which change whenever any Pod starts or ends."""
    return _FIGURES.sub("#", message)
