"""Claims in use stay: a deleted claim goes once no Pod that runs or may still run uses it.

Source: Kubernetes "Storage Object in Use Protection".
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from beamhall.kernel.kinds import PERSISTENT_VOLUME_CLAIM, POD
from beamhall.kernel.objects import (
    Key,
    ReadOnlyObject,
    is_being_deleted,
    key_of,
    metadata_of,
    name_of,
    namespace_of,
    uid_of,
)
from beamhall.kernel.plan import Patch, Plan, View

CLAIM_PROTECTION = "kubernetes.io/pvc-protection"


def plan_protection(claim: ReadOnlyObject, view: View) -> Plan:
    """Let go of a claim that is being deleted and that nobody uses."""
    finalizers = list(metadata_of(claim).get("finalizers") or ())
    if not is_being_deleted(claim) or CLAIM_PROTECTION not in finalizers:
        return Plan()
    users = [name_of(pod) for pod in view.list(POD, namespace_of(claim)) if name_of(claim) in _claims_of(pod)]
    if users:
        return Plan(why=f"is used by {', '.join(users[:3])}")
    rest = [finalizer for finalizer in finalizers if finalizer != CLAIM_PROTECTION]
    key = key_of(PERSISTENT_VOLUME_CLAIM, claim)
    revision = str(metadata_of(claim).get("resourceVersion") or "")
    patch = Patch(key, {"metadata": {"finalizers": rest}}, uid=uid_of(claim), revision=revision)
    return Plan([patch], why="no Pod uses it")


def used_claims(pod: ReadOnlyObject, _: View) -> Iterable[Key]:
    """Give the claims that a Pod names: its end may free them."""
    return [Key(PERSISTENT_VOLUME_CLAIM, namespace_of(pod), name) for name in _names(pod)]


def _claims_of(pod: ReadOnlyObject) -> set[str]:
    """Give the claims that a Pod uses; one that has ended uses none."""
    if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return set()
    return set(_names(pod))


def _names(pod: ReadOnlyObject) -> Iterator[str]:
    spec: Mapping[str, Any] = pod.get("spec") or {}
    for volume in spec.get("volumes") or ():
        if (claim := volume.get("persistentVolumeClaim")) is not None:
            yield str(claim.get("claimName") or "")
        elif volume.get("ephemeral") is not None:
            yield f"{name_of(pod)}-{volume.get('name')}"
