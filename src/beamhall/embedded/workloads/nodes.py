"""Nodes as the scheduler sees them in one pass: what is free, who may come, and in words why somebody may not.

Amounts shrink as Pods are placed in the pass, and come back when a group's placement is taken back. Read on in
``scheduling``.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from beamhall.embedded.workloads.resources import Amounts, add, allocatable_of, requests_of, say
from beamhall.kernel.conditions import conditions_of, find_condition
from beamhall.kernel.objects import ReadOnlyObject, labels_of, name_of

_REPELS = ("NoSchedule", "NoExecute")


@dataclass(slots=True)
class Node:
    """One node in a pass: ``total`` never changes, ``free`` does."""

    object: ReadOnlyObject
    name: str
    total: dict[str, int]
    free: dict[str, int]

    def has_room(self, asked: Amounts) -> bool:
        """Tell whether what is free is enough."""
        return all(self.free.get(name, 0) >= value for name, value in asked.items() if value)

    def could_have_room(self, asked: Amounts) -> bool:
        """Tell whether it would be enough if no Pod were here."""
        return all(self.total.get(name, 0) >= value for name, value in asked.items() if value)

    def take(self, asked: Amounts) -> None:
        """Count a Pod that comes."""
        for name, value in asked.items():
            self.free[name] = self.free.get(name, 0) - value

    def give_back(self, asked: Amounts) -> None:
        """Count a Pod that does not come after all."""
        for name, value in asked.items():
            self.free[name] += value


def read_nodes(nodes: Iterable[ReadOnlyObject], pods: Iterable[ReadOnlyObject]) -> Sequence[Node]:
    """Read nodes, with what the Pods that are bound and not finished leave of them."""
    read = {name_of(node): Node(node, name_of(node), allocatable_of(node), allocatable_of(node)) for node in nodes}
    for pod in pods:
        node = read.get((pod.get("spec") or {}).get("nodeName") or "")
        if node is not None and (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed"):
            node.take(requests_of(pod))
    return list(read.values())


def obstacle(node: ReadOnlyObject, spec: Mapping[str, Any]) -> str:
    """Say what but resources keeps Pods of this spec off a node, empty if nothing does."""
    tolerations = spec.get("tolerations") or ()
    node_spec: Mapping[str, Any] = node.get("spec") or {}
    ready = find_condition(conditions_of(node), "Ready")
    if ready is not None and ready.get("status") != "True":
        return "is not ready"
    if node_spec.get("unschedulable"):
        cordon = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
        if not _is_tolerated(cordon, tolerations):
            return "takes no new Pods (it is cordoned)"
    for taint in node_spec.get("taints") or ():
        if taint.get("effect") in _REPELS and not _is_tolerated(taint, tolerations):
            return f"has the taint {_say_taint(taint)}, which the Pod does not tolerate"
    labels = labels_of(node)
    for key, value in (spec.get("nodeSelector") or {}).items():
        if labels.get(key) != value:
            return f"has no label {key}={value}, which the Pod's nodeSelector asks for"
    return ""


def explain(nodes: Sequence[Node], obstacles: Mapping[str, str], asked: Amounts, who: str) -> str:
    """Say why no node takes what is asked, and whether waiting can help.

    Args:
        nodes: All nodes.
        obstacles: By node name, what but resources keeps it off; nodes without an obstacle are not in it.
        asked: What is asked for.
        who: Who asks: ``this Pod``; ``the group``, whose Pods may go to different nodes.
    """
    start = f"0/{len(nodes)} nodes are available"
    open_nodes = [node for node in nodes if node.name not in obstacles]
    if not nodes:
        return "no node is there yet"
    if not open_nodes:
        kinds = dict.fromkeys(obstacles.values())
        return f"{start}: " + "; ".join(f"node {next(n for n in obstacles if obstacles[n] == k)} {k}" for k in kinds)
    total = add(node.total for node in open_nodes)
    free = add(node.free for node in open_nodes)
    if who != "the group":
        total, free = ({k: max(a.get(k, 0) for a in found) for k in asked} for found in _by_node(open_nodes))
    place = f"node {open_nodes[0].name} has" if len(open_nodes) == 1 else "the nodes have"
    for name, value in sorted(asked.items()):
        if value > total.get(name, 0):
            has = say(name, total[name]) if total.get(name) else f"no {name}"
            return f"{start}: {place} {has} in all, {who} asks for {say(name, value)}, so it can never start here"
    for name, value in sorted(asked.items()):
        if value > free.get(name, 0):
            has, rest = say(name, total.get(name, 0)), say(name, max(free.get(name, 0), 0)).split(" ")[0]
            return f"{start}: {place} {has} of which {rest} are free, {who} asks for {say(name, value)}"
    return f"{start}: what is free lies on different nodes, and {who} does not fit into the pieces"


def _by_node(nodes: Sequence[Node]) -> tuple[list[dict[str, int]], list[dict[str, int]]]:
    return [node.total for node in nodes], [node.free for node in nodes]


def _is_tolerated(taint: Mapping[str, Any], tolerations: Iterable[Mapping[str, Any]]) -> bool:
    return any(
        toleration.get("effect") in (None, "", taint.get("effect"))
        and (
            (toleration.get("operator") == "Exists" and toleration.get("key") in (None, "", taint.get("key")))
            or (
                toleration.get("operator") in (None, "", "Equal")
                and toleration.get("key") == taint.get("key")
                and (toleration.get("value") or "") == (taint.get("value") or "")
            )
        )
        for toleration in tolerations
    )


def _say_taint(taint: Mapping[str, Any]) -> str:
    value = f"={taint['value']}" if taint.get("value") else ""
    return f"{taint.get('key')}{value}:{taint.get('effect')}"
