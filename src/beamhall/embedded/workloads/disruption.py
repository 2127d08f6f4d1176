"""Stopping a Pod for a reason that is not its own, saying why first: a Job's podFailurePolicy may ask for it.

Source: Kubernetes "Pod disruption conditions".
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from beamhall.kernel.conditions import conditions_of, make_condition, with_condition
from beamhall.kernel.kinds import POD
from beamhall.kernel.objects import ReadOnlyObject, key_of, metadata_of, uid_of
from beamhall.kernel.plan import Action, Delete, Patch

Reason = Literal["PreemptionByScheduler", "DeletionByTaintManager", "DeletionByPodGC"]


def announce(pod: ReadOnlyObject, reason: Reason, message: str, now: datetime) -> Action:
    """Write the condition that says that a Pod is about to be stopped.

    Its status is its node's agent's: on anything newer than what was looked at, all is planned again.
    """
    condition = make_condition("DisruptionTarget", "True", reason, message, now)
    patch = {"status": {"conditions": with_condition(conditions_of(pod), condition)}}
    revision = str(metadata_of(pod).get("resourceVersion") or "")
    return Patch(key_of(POD, pod), patch, subresource="status", uid=uid_of(pod), revision=revision)


def stop(pods: Sequence[ReadOnlyObject], *, grace_period_s: int | None = None) -> Sequence[Action]:
    """Delete Pods, within their own grace periods unless another is given."""
    return [Delete(key_of(POD, pod), uid=uid_of(pod), grace_period_s=grace_period_s) for pod in pods]
