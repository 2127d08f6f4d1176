"""Values that the API server fills in for Jobs, CronJobs, Deployments, ReplicaSets and StatefulSets.

Source: Kubernetes API reference, apps/v1 and batch/v1 (defaults of each field).
"""

from collections.abc import Mapping
from typing import Any

from beamhall.embedded.api.builtin.parts import part_of, set_defaults
from beamhall.embedded.api.builtin.pod_defaults import default_pod_spec, normalize_quantities
from beamhall.kernel.objects import Object, ReadOnlyObject, metadata_of, name_of, uid_of

_QUARTER = "25%"
_NO_LIMIT = 2**31 - 1
_JOB_LABELS = (
    "batch.kubernetes.io/controller-uid",
    "batch.kubernetes.io/job-name",
    "controller-uid",
    "job-name",
)


def default_deployment(obj: Object) -> None:
    """Fill in a Deployment."""
    spec = part_of(obj, "spec")
    set_defaults(spec, {"replicas": 1, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600})
    strategy = part_of(spec, "strategy")
    set_defaults(strategy, {"type": "RollingUpdate"})
    if strategy["type"] == "RollingUpdate":
        set_defaults(part_of(strategy, "rollingUpdate"), {"maxUnavailable": _QUARTER, "maxSurge": _QUARTER})
    _default_template(spec)


def default_replica_set(obj: Object) -> None:
    """Fill in a ReplicaSet."""
    spec = part_of(obj, "spec")
    set_defaults(spec, {"replicas": 1})
    _default_template(spec)


def default_stateful_set(obj: Object) -> None:
    """Fill in a StatefulSet."""
    spec = part_of(obj, "spec")
    set_defaults(spec, {"replicas": 1, "revisionHistoryLimit": 10, "podManagementPolicy": "OrderedReady"})
    strategy = part_of(spec, "updateStrategy")
    set_defaults(strategy, {"type": "RollingUpdate"})
    if strategy["type"] == "RollingUpdate":
        set_defaults(part_of(strategy, "rollingUpdate"), {"partition": 0})
    retention = part_of(spec, "persistentVolumeClaimRetentionPolicy")
    set_defaults(retention, {"whenDeleted": "Retain", "whenScaled": "Retain"})
    for claim in spec.get("volumeClaimTemplates") or ():
        if isinstance(claim, dict):
            set_defaults(claim, {"apiVersion": "v1", "kind": "PersistentVolumeClaim"})
            set_defaults(part_of(claim, "spec"), {"volumeMode": "Filesystem"})
            normalize_quantities(claim["spec"].get("resources"))
            set_defaults(part_of(claim, "status"), {"phase": "Pending"})
    _default_template(spec)


def default_job(obj: Object) -> None:
    """Fill in a Job."""
    spec = part_of(obj, "spec")
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = 1
    per_index = spec.get("backoffLimitPerIndex") is not None
    set_defaults(
        spec,
        {
            "parallelism": 1,
            "backoffLimit": _NO_LIMIT if per_index else 6,
            "completionMode": "NonIndexed",
            "suspend": False,
            "manualSelector": False,
            "podReplacementPolicy": "Failed" if spec.get("podFailurePolicy") else "TerminatingOrFailed",
        },
    )
    policy = spec.get("podFailurePolicy")
    for rule in (policy.get("rules") or ()) if isinstance(policy, dict) else ():
        for condition in (rule.get("onPodConditions") or ()) if isinstance(rule, dict) else ():
            set_defaults(condition, {"status": "True"})
    _default_template(spec)


def default_cron_job(obj: Object) -> None:
    """Fill in a CronJob; what its Jobs leave out is filled in when they are made."""
    spec = part_of(obj, "spec")
    set_defaults(
        spec,
        {
            "concurrencyPolicy": "Allow",
            "suspend": False,
            "successfulJobsHistoryLimit": 3,
            "failedJobsHistoryLimit": 1,
        },
    )
    template = spec.get("jobTemplate")
    if isinstance(template, dict) and isinstance(template.get("spec"), dict):
        _default_template(template["spec"])


def _default_template(spec: Mapping[str, Any]) -> None:
    template = spec.get("template")
    if isinstance(template, dict) and isinstance(template.get("spec"), dict):
        default_pod_spec(template["spec"])


def prepare_job(obj: Object) -> None:
    """Generate the selector and the labels that tie a Job to its Pods, from its uid."""
    obj["status"] = {}
    spec = part_of(obj, "spec")
    if spec.get("manualSelector"):
        return
    uid, name = uid_of(obj), name_of(obj)
    if isinstance(template := spec.get("template"), dict):
        labels = part_of(template, "metadata", "labels")
        labels |= dict(zip(_JOB_LABELS, (uid, name, uid, name), strict=True))
    selector = part_of(spec, "selector", "matchLabels")
    selector["batch.kubernetes.io/controller-uid"] = uid


def keep_job_labels(spec: Mapping[str, Any], old_spec: ReadOnlyObject) -> None:
    """Carry over the generated labels of a Job's template, which a writer of a whole new Job leaves out."""
    if not isinstance(spec.get("template"), dict):
        return
    old_labels = metadata_of(old_spec.get("template") or {}).get("labels") or {}
    kept = {label: old_labels[label] for label in _JOB_LABELS if label in old_labels}
    if kept:
        labels = part_of(spec["template"], "metadata", "labels")
        labels |= {label: value for label, value in kept.items() if label not in labels}


def prepare_counted(obj: Object) -> None:
    """Begin the status of what has replicas."""
    obj["status"] = {"replicas": 0}
