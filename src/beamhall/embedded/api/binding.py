"""What binding a Pod to a node changes in it: its node, and the condition that says so, in one write.

Pure. Source: ``k8s.io/kubernetes/pkg/registry/core/pod/storage``, the ``binding`` subresource.
"""

from datetime import datetime
from typing import Any

from beamhall.embedded.api.core import Change, conflict
from beamhall.embedded.api.resources import Resource
from beamhall.kernel.clock import Clock, format_time
from beamhall.kernel.errors import BadRequest
from beamhall.kernel.objects import Object, is_being_deleted, name_of

_CONDITION = "PodScheduled"


def read_binding(body: Any) -> tuple[str, str]:
    """Give the node that a Binding names, and the uid of the Pod that it means (empty: whichever there is).

    Raises:
        BadRequest: The body is no Binding.
    """
    target = body.get("target") if isinstance(body, dict) else None
    node = target.get("name") if isinstance(target, dict) else None
    if not isinstance(node, str) or not node:
        raise BadRequest("a Binding must name its node in target.name")
    metadata = body.get("metadata")
    uid = metadata.get("uid") if isinstance(metadata, dict) else None
    return node, uid if isinstance(uid, str) else ""


def binding_of(resource: Resource, node: str, uid: str, clock: Clock) -> Change:
    """Make the change that gives a Pod its node.

    Args:
        resource: Pods.
        node: Name of the node.
        uid: The Pod that is meant; empty: whichever has the name.
        clock: The time.
    """

    def change(pod: Object) -> Object:
        name, spec = name_of(pod), pod["spec"]
        if uid and uid != pod["metadata"].get("uid"):
            raise conflict(resource, name, f"Precondition failed: UID in precondition: {uid}")
        if spec.get("nodeName"):
            raise conflict(resource, name, f"pod {name} is already assigned to node {spec['nodeName']!r}")
        if is_being_deleted(pod):
            raise conflict(resource, name, f"pod {name} is being deleted, cannot be assigned to a host")
        if spec.get("schedulingGates"):
            raise conflict(resource, name, f"pod {name} has non-empty .spec.schedulingGates")
        spec["nodeName"] = node
        pod["status"] = {**(pod.get("status") or {}), "conditions": _with_scheduled(pod, clock.now())}
        return pod

    return change


def _with_scheduled(pod: Object, now: datetime) -> list[Object]:
    """Give the Pod's conditions with ``PodScheduled`` as true; what was said while it waited goes."""
    scheduled = {"type": _CONDITION, "status": "True", "lastTransitionTime": format_time(now)}
    conditions = list((pod.get("status") or {}).get("conditions") or ())
    places = [place for place, condition in enumerate(conditions) if condition.get("type") == _CONDITION]
    if not places:
        return [*conditions, scheduled]
    conditions[places[0]] = scheduled
    return conditions
