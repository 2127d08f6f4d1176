"""What the definitions (CRDs) of all training jobs have in common, made from our own declarations.

Every field of upstream's spec and status outside the Pod template is here with upstream's type. The Pod template's
inside is left open but for what every Pod needs, since the API server checks Pods when they are made, and a full copy
of the Pod's schema (600 KB a kind upstream) would only repeat that. What differs by kind stands in ``definitions``.

Source: kubeflow/training-operator v1.9, ``manifests/base/crds``, for names and types.
"""

from collections.abc import Sequence

from beamhall.kernel.kinds import Kind
from beamhall.kernel.objects import Object
from beamhall.training.progress import FIELD
from beamhall.training.schemas import (
    TIME,
    Schema,
    flag,
    integer,
    mapping,
    pod_template,
    text,
    texts,
    texts_by_name,
    trainer_status_schema,
)

QUANTITY_PATTERN = (
    r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))"
    r"(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$"
)


def job_definition(kind: Kind, spec: Schema, *, scaled: str = "", others: Sequence[Object] = ()) -> Object:
    """Make the CustomResourceDefinition of a training job.

    Args:
        kind: The kind, whose version is the one that is stored.
        spec: The schema of its spec.
        scaled: The field of the replicas whose Workers ``kubectl scale`` scales; empty: it does not.
        others: Further versions, as ``job_version`` makes them.
    """
    names = {"kind": kind.kind, "listKind": f"{kind.kind}List", "plural": kind.plural, "singular": kind.kind.lower()}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": kind.resource},
        "spec": {
            "group": kind.group,
            "names": names,
            "scope": "Namespaced",
            "versions": [job_version(kind, spec, scaled=scaled) | {"storage": True}, *others],
        },
    }


def job_version(kind: Kind, spec: Schema, *, scaled: str = "") -> Object:
    """Make one version of a definition, one that is not stored. See ``job_definition``."""
    schema = mapping(
        {
            "apiVersion": text(),
            "kind": text(),
            "metadata": {"type": "object"},
            "spec": spec,
            "status": job_status_schema(),
        },
        f"{kind.kind} is a training job of one or more Pods that work together.",
    )
    scale = {
        "specReplicasPath": f".spec.{scaled}.Worker.replicas",
        "statusReplicasPath": ".status.replicaStatuses.Worker.active",
        "labelSelectorPath": ".status.replicaStatuses.Worker.selector",
    }
    return {
        "name": kind.version,
        "served": True,
        "storage": False,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}} | ({"scale": scale} if scaled else {}),
        "additionalPrinterColumns": [
            {"name": "State", "type": "string", "jsonPath": ".status.conditions[-1:].type"},
            {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        ],
    }


def replica_schema() -> Schema:
    """Make the schema of one replica type."""
    return mapping(
        {
            "replicas": integer("How many Pods; 1 if left out."),
            "restartPolicy": text("Always, OnFailure, Never or ExitCode (exit codes of 128 and more are tried again)."),
            "template": pod_template("The Pod to make for each replica.", ("containers",)),
        },
        "Pods of one type.",
    )


def run_policy_schema() -> Schema:
    """Make the schema of a run policy."""
    quantity = {"anyOf": [{"type": "integer"}, {"type": "string"}], "pattern": QUANTITY_PATTERN}
    scheduling = mapping(
        {
            "minAvailable": integer("How many Pods must be placed together; all if left out."),
            "minResources": {"type": "object", "additionalProperties": quantity | {"x-kubernetes-int-or-string": True}},
            "priorityClass": text("The group's priority."),
            "queue": {
                "type": "string",
                "x-kubernetes-validations": [
                    {"rule": "self == oldSelf", "message": "spec.runPolicy.schedulingPolicy.queue is immutable"}
                ],
            },
            "scheduleTimeoutSeconds": integer("How long the Pods may wait to be placed together."),
        },
        "How the job's Pods are placed together.",
    )
    return mapping(
        {
            "activeDeadlineSeconds": integer("Fail the job so many seconds after its startTime.", "int64"),
            "backoffLimit": integer("How many restarts before the job fails; unlimited if left out."),
            "cleanPodPolicy": text(
                "Which Pods to delete when the job is finished: All, Running or None (the default)."
            ),
            "managedBy": text("Who runs this job: kubeflow.org/training-operator, or kueue.x-k8s.io/multikueue."),
            "schedulingPolicy": scheduling,
            "suspend": flag("Take the Pods away until this is false.", default=False),
            "ttlSecondsAfterFinished": integer("Delete the job so many seconds after it finished."),
        },
        "How the job runs, the same for every kind.",
    )


def job_status_schema() -> Schema:
    """Make the schema of a training job's status."""
    condition = mapping(
        {
            "type": text("Created, Running, Restarting, Succeeded, Failed or Suspended."),
            "status": text("True, False or Unknown."),
            "reason": text("Why, in one word."),
            "message": text("Why, for people."),
            "lastUpdateTime": TIME,
            "lastTransitionTime": TIME,
        },
        "One thing that is known about the job.",
        required=("status", "type"),
    )
    replica = mapping(
        {
            "active": integer("Pods that run."),
            "succeeded": integer("Pods that succeeded."),
            "failed": integer("Pods that failed."),
            "selector": text("The label selector of these Pods."),
            "labelSelector": {**_label_selector(), "description": "Deprecated: use selector."},
        },
        "How the Pods of one type are.",
    )
    return mapping(
        {
            "conditions": {"type": "array", "items": condition},
            "replicaStatuses": {"type": "object", "additionalProperties": replica},
            "startTime": TIME,
            "completionTime": TIME,
            "lastReconcileTime": TIME,
            FIELD: trainer_status_schema(),
        },
        "How the job is.",
    )


def _label_selector() -> Schema:
    expression = mapping({"key": text(), "operator": text(), "values": texts()}, required=("key", "operator"))
    return {
        **mapping(
            {
                "matchExpressions": {"type": "array", "items": expression, "x-kubernetes-list-type": "atomic"},
                "matchLabels": texts_by_name(),
            },
        ),
        "x-kubernetes-map-type": "atomic",
    }
