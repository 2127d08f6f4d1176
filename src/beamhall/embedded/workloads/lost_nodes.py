"""Nodes whose agent is no longer heard of: they become ``Unknown`` and are tainted, until their Lease is renewed.

This service's own node is never lost: while anybody plans, its agent runs. A node without a Lease (made by hand, or
simulated) has no agent that could fall silent. What becomes of its Pods is decided by ``evictions``.

Source: Kubernetes "Node Heartbeats"; the node life cycle controller's conditions and taints.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from beamhall.kernel.clock import format_time, parse_time
from beamhall.kernel.conditions import conditions_of, find_condition
from beamhall.kernel.kinds import LEASE, NODE
from beamhall.kernel.objects import ReadOnlyObject, key_of, metadata_of, name_of, uid_of
from beamhall.kernel.plan import Action, Emit, Patch, Plan, View

LEASES = "kube-node-lease"
UNREACHABLE = "node.kubernetes.io/unreachable"
_LOST = "NodeStatusUnknown"


def plan_lost_nodes(view: View, own_node: str) -> Plan:
    """Mark nodes that have fallen silent, and unmark those that are heard again."""
    actions: list[Action] = []
    again_s: list[float] = []
    for node in view.list(NODE):
        lease = view.get(LEASE, name_of(node), LEASES)
        if lease is None or name_of(node) == own_node:
            continue
        left_s = _left_s(lease, view.now)
        if left_s > 0:
            again_s.append(left_s)
            actions += _heard(node, view.now)
        else:
            actions += _lost(node, view.now)
    return Plan(actions, min(again_s, default=None), "nodes that are silent or heard again")


def _left_s(lease: ReadOnlyObject, now: datetime) -> float:
    spec: Mapping[str, Any] = lease.get("spec") or {}
    if not spec.get("renewTime"):
        return 0.0
    until = parse_time(str(spec["renewTime"])) + timedelta(seconds=float(spec.get("leaseDurationSeconds") or 40))
    return (until - now).total_seconds()


def _lost(node: ReadOnlyObject, now: datetime) -> Sequence[Action]:
    ready = find_condition(conditions_of(node), "Ready") or {}
    if ready.get("reason") == _LOST and _has_taint(node):
        return ()
    taints = [taint for taint in _taints(node) if taint.get("key") != UNREACHABLE]
    added = [{"key": UNREACHABLE, "effect": e, "timeAdded": format_time(now)} for e in ("NoSchedule", "NoExecute")]
    message = "Kubelet stopped posting node status."
    return (
        *_write(node, "Unknown", (_LOST, message), [*taints, *added], now),
        Emit(NODE, node, "NodeNotReady", f"Node {name_of(node)} status is now: NodeNotReady"),
    )


def _heard(node: ReadOnlyObject, now: datetime) -> Sequence[Action]:
    if not _has_taint(node):
        return ()
    taints = [taint for taint in _taints(node) if taint.get("key") != UNREACHABLE]
    return _write(node, "True", ("KubeletReady", "kubelet is posting ready status"), taints, now)


def _write(
    node: ReadOnlyObject, status: str, why: tuple[str, str], taints: Sequence[Mapping[str, Any]], now: datetime
) -> Sequence[Action]:
    """Write the condition ``Ready``, where it is not what the agent itself says, and the taints."""
    key, uid = key_of(NODE, node), uid_of(node)
    conditions = [
        {**condition, "status": status, "reason": why[0], "message": why[1], "lastTransitionTime": format_time(now)}
        if condition.get("type") == "Ready" and condition.get("status") != status
        else condition
        for condition in conditions_of(node)
    ]
    revision = str(metadata_of(node).get("resourceVersion") or "")
    return (
        Patch(key, {"spec": {"taints": taints or None}}, uid=uid, revision=revision),
        Patch(key, {"status": {"conditions": conditions}}, subresource="status", uid=uid),
    )


def _taints(node: ReadOnlyObject) -> Sequence[Mapping[str, Any]]:
    return (node.get("spec") or {}).get("taints") or ()


def _has_taint(node: ReadOnlyObject) -> bool:
    return any(taint.get("key") == UNREACHABLE for taint in _taints(node))
