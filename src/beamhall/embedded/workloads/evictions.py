"""Pods leave nodes whose ``NoExecute`` taints they do not tolerate, or no longer.

How long a Pod may stay counts from the taint's ``timeAdded``. kubectl writes none, so it is written here when the taint
is first seen; that makes the time the same after a restart. A node that is not ready or cannot be reached gives its
Pods five minutes, unless they say otherwise.

Source: Kubernetes "Taint based Evictions"; the taint eviction controller's event and condition.
"""

from collections.abc import Sequence
from datetime import datetime

from beamhall.embedded.workloads.disruption import announce, stop
from beamhall.embedded.workloads.taints import Taint, is_tolerated, stay_s
from beamhall.kernel.clock import format_time, parse_time
from beamhall.kernel.kinds import NODE, POD
from beamhall.kernel.objects import (
    ReadOnlyObject,
    is_being_deleted,
    key_of,
    metadata_of,
    name_of,
    namespace_of,
    uid_of,
)
from beamhall.kernel.plan import Action, Emit, Patch, Plan, View

TROUBLE = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
TROUBLE_STAY_S = 300.0
"""What Pods without a toleration of their own get on a node in trouble; a kube-apiserver adds it at admission."""


def plan_evictions(_: ReadOnlyObject, view: View) -> Plan:
    """Stop the Pods whose time on a tainted node is over, and come again for the next."""
    tainted = {name_of(node): found for node in view.list(NODE) if (found := _no_execute(node))}
    if not tainted:
        return Plan()
    stamps = [_stamp(view.get(NODE, name), view.now) for name in tainted]
    actions: list[Action] = [stamp for stamp in stamps if stamp is not None]
    leaving: list[ReadOnlyObject] = []
    again_s: list[float] = []
    for pod in view.list(POD):
        taints = tainted.get((pod.get("spec") or {}).get("nodeName") or "")
        if taints is None or is_being_deleted(pod) or (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
            continue
        left_s = _left_s(pod, taints, view.now)
        if left_s is not None and left_s > 0:
            again_s.append(left_s)
        elif left_s is not None:
            leaving.append(pod)
    message = "Taint manager: deleting due to NoExecute taint"
    actions += [announce(pod, "DeletionByTaintManager", message, view.now) for pod in leaving]
    for pod in leaving:
        said = f"Marking for deletion Pod {namespace_of(pod)}/{name_of(pod)}"
        actions.append(Emit(POD, pod, "TaintManagerEviction", said))
    actions += stop(leaving)
    return Plan(actions, min(again_s, default=None), f"{len(leaving)} Pods leave tainted nodes")


def _all(node: ReadOnlyObject) -> Sequence[Taint]:
    return (node.get("spec") or {}).get("taints") or ()


def _no_execute(node: ReadOnlyObject) -> Sequence[Taint]:
    return [taint for taint in _all(node) if taint.get("effect") == "NoExecute"]


def _is_stamped(taint: Taint) -> bool:
    return taint.get("effect") != "NoExecute" or _since(taint) is not None


def _since(taint: Taint) -> datetime | None:
    try:
        return parse_time(str(taint["timeAdded"]))
    except (KeyError, ValueError):
        return None


def _stamp(node: ReadOnlyObject | None, now: datetime) -> Action | None:
    """Write since when taints are there, where nobody has."""
    if node is None or all(map(_is_stamped, _all(node))):
        return None
    taints = [taint if _is_stamped(taint) else {**taint, "timeAdded": format_time(now)} for taint in _all(node)]
    revision = str(metadata_of(node).get("resourceVersion") or "")
    return Patch(key_of(NODE, node), {"spec": {"taints": taints}}, uid=uid_of(node), revision=revision)


def _left_s(pod: ReadOnlyObject, taints: Sequence[Taint], now: datetime) -> float | None:
    """Give how many seconds a Pod may still stay; None: for as long as the taints do not change."""
    tolerations = (pod.get("spec") or {}).get("tolerations") or ()
    left: list[float] = []
    for taint in taints:
        is_trouble = taint.get("key") in TROUBLE and not is_tolerated(taint, tolerations)
        may_stay_s = TROUBLE_STAY_S if is_trouble else stay_s(taint, tolerations)
        if may_stay_s is not None:
            left.append(may_stay_s - (now - (_since(taint) or now)).total_seconds())
    return min(left, default=None)
