"""What controllers ask of Pods, and how they make them of a template.

Child names are deterministic, so that a plan made twice makes nothing twice: ``<owner>-<five letters>`` looks like a
generated name of Kubernetes, but the letters are a hash of the owner's uid and of which child it is.

Source: Kubernetes "Pod Lifecycle"; ``k8s.io/kubernetes/pkg/api/v1/pod`` (available, ready).
"""

import copy
import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from beamhall.kernel.clock import parse_time
from beamhall.kernel.conditions import conditions_of, find_condition, is_true
from beamhall.kernel.kinds import POD, Kind
from beamhall.kernel.names import MAX_LABEL, generate_name
from beamhall.kernel.objects import (
    Object,
    ReadOnlyObject,
    is_being_deleted,
    name_of,
    namespace_of,
    owner_reference,
    uid_of,
)

FINISHED = ("Succeeded", "Failed")


def phase_of(pod: ReadOnlyObject) -> str:
    """Give a Pod's phase; Pending while it has none."""
    return (pod.get("status") or {}).get("phase") or "Pending"


def is_active(pod: ReadOnlyObject) -> bool:
    """Tell whether a Pod runs, or will: it has not ended, and nobody asked for its end."""
    return phase_of(pod) not in FINISHED and not is_being_deleted(pod)


def is_ready(pod: ReadOnlyObject) -> bool:
    """Tell whether a Pod is ready."""
    return is_true(pod, "Ready")


def seconds_to_available(pod: ReadOnlyObject, min_ready_s: int, now: datetime) -> float | None:
    """Give how long a Pod must still be ready to count as available: 0 for one that is; None for one not ready."""
    condition = find_condition(conditions_of(pod), "Ready")
    if condition is None or condition.get("status") != "True":
        return None
    if not min_ready_s or not condition.get("lastTransitionTime"):
        return 0.0
    due = parse_time(condition["lastTransitionTime"]) + timedelta(seconds=min_ready_s)
    return max(0.0, (due - now).total_seconds())


def is_available(pod: ReadOnlyObject, min_ready_s: int, now: datetime) -> bool:
    """Tell whether a Pod has been ready for long enough."""
    return seconds_to_available(pod, min_ready_s, now) == 0.0


def soonest_available_s(pods: Iterable[ReadOnlyObject], min_ready_s: int, now: datetime) -> float | None:
    """Give when the next ready Pod becomes available; None if there is nothing to wait for."""
    waits = (seconds_to_available(pod, min_ready_s, now) for pod in pods)
    return min((wait_s for wait_s in waits if wait_s), default=None)


def restarts_of(pod: ReadOnlyObject) -> int:
    """Give how often containers of a Pod were restarted, all together."""
    status: Mapping[str, Any] = pod.get("status") or {}
    containers = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    return sum(int(container.get("restartCount") or 0) for container in containers)


def child_name(owner: ReadOnlyObject, which: str, middle: str = "") -> str:
    """Name a child: ``<owner>-<letters>``, or with a middle ``<owner>-<middle>-<letters>``; at most 63 characters.

    Args:
        owner: Its uid goes into the letters.
        which: Tells the owner's children apart.
        middle: Something that people shall see in the name.
    """
    digest = int.from_bytes(hashlib.sha256(f"{uid_of(owner)}/{which}".encode()).digest()[:8], "big")

    def choose(letters: str) -> str:
        nonlocal digest
        digest, place = divmod(digest, len(letters))
        return letters[place]

    tail = f"-{middle}-" if middle else "-"
    return generate_name(name_of(owner)[: MAX_LABEL - 5 - len(tail)] + tail, choose)


def pod_from_template(kind: Kind, owner: ReadOnlyObject, template: Mapping[str, Any], name: str) -> Object:
    """Make a Pod of a template, controlled by an owner of this kind."""
    template = copy.deepcopy(dict(template))
    written = template.get("metadata") or {}
    metadata = {field: written[field] for field in ("labels", "annotations", "finalizers") if written.get(field)}
    metadata |= {"name": name, "namespace": namespace_of(owner), "ownerReferences": [owner_reference(kind, owner)]}
    return {
        "apiVersion": POD.api_version,
        "kind": POD.kind,
        "metadata": metadata,
        "spec": template.get("spec") or {},
    }
