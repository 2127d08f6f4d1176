"""The definitions (CRDs) of training jobs, made from our own declarations.

Every field of upstream's spec and status outside the Pod template is here with upstream's type. The Pod template's
inside is left open but for what every Pod needs, since the API server checks Pods when they are made, and a full copy
of the Pod's schema (600 KB a kind upstream) would only repeat that.

Source: kubeflow/training-operator v1.9, ``manifests/base/crds/kubeflow.org_tfjobs.yaml``, for names and types.
"""

from collections.abc import Mapping
from typing import Any

from beamhall.kernel.kinds import TF_JOB, Kind
from beamhall.kernel.objects import Object

Schema = dict[str, Any]

QUANTITY_PATTERN = (
    r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))"
    r"(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$"
)


def tf_job_definition() -> Object:
    """Make the CustomResourceDefinition of TFJob."""
    spec = _object(
        {
            "tfReplicaSpecs": {
                "type": "object",
                "description": "Replicas by type: Chief or Master, Worker, PS, Evaluator.",
                "additionalProperties": replica_schema(),
            },
            "runPolicy": run_policy_schema(),
            "successPolicy": _text("When the job has succeeded without a chief: empty (worker 0 did) or AllWorkers."),
            "enableDynamicWorker": {"type": "boolean", "description": "Workers may come and go while the job runs."},
        },
        "What the job shall run.",
        required=("tfReplicaSpecs",),
    )
    return job_definition(TF_JOB, "tfjob", spec)


def job_definition(kind: Kind, singular: str, spec: Schema) -> Object:
    """Make the CustomResourceDefinition of a training job.

    Args:
        kind: The kind.
        singular: Its lower-case name, as in ``kubectl get tfjob``.
        spec: The schema of its spec.
    """
    schema = _object(
        {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": job_status_schema(),
        },
        f"{kind.kind} is a training job of one or more Pods that work together.",
    )
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": kind.resource},
        "spec": {
            "group": kind.group,
            "names": {"kind": kind.kind, "listKind": f"{kind.kind}List", "plural": kind.plural, "singular": singular},
            "scope": "Namespaced",
            "versions": [
                {
                    "name": kind.version,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema},
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [
                        {"name": "State", "type": "string", "jsonPath": ".status.conditions[-1:].type"},
                        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
                    ],
                }
            ],
        },
    }


def replica_schema() -> Schema:
    """Make the schema of one replica type."""
    return _object(
        {
            "replicas": _integer("How many Pods; 1 if left out.", "int32"),
            "restartPolicy": _text(
                "Always, OnFailure, Never or ExitCode (exit codes of 128 and more are tried again)."
            ),
            "template": pod_template_schema(),
        },
        "Pods of one type.",
    )


def pod_template_schema() -> Schema:
    """Make the schema of a Pod template: open, but its containers are a list of objects with names."""
    texts = {"type": "array", "items": {"type": "string"}}
    container = {
        **_object({"name": {"type": "string"}, "image": {"type": "string"}, "command": texts, "args": texts}, ""),
        "required": ["name"],
        "x-kubernetes-preserve-unknown-fields": True,
    }
    containers = {"type": "array", "items": container}
    spec = {
        **_object({"containers": containers, "initContainers": containers}, "The Pod's spec, as of core/v1."),
        "required": ["containers"],
        "x-kubernetes-preserve-unknown-fields": True,
    }
    names = {"type": "object", "additionalProperties": {"type": "string"}}
    metadata = _object(
        {"annotations": names, "labels": names, "finalizers": texts, "name": _text(""), "namespace": _text("")}, ""
    )
    return _object({"metadata": metadata, "spec": spec}, "The Pod to make for each replica.")


def run_policy_schema() -> Schema:
    """Make the schema of a run policy."""
    quantity = {"anyOf": [{"type": "integer"}, {"type": "string"}], "pattern": QUANTITY_PATTERN}
    scheduling = _object(
        {
            "minAvailable": _integer("How many Pods must be placed together; all if left out.", "int32"),
            "minResources": {"type": "object", "additionalProperties": quantity | {"x-kubernetes-int-or-string": True}},
            "priorityClass": _text("The group's priority."),
            "queue": {
                "type": "string",
                "x-kubernetes-validations": [
                    {"rule": "self == oldSelf", "message": "spec.runPolicy.schedulingPolicy.queue is immutable"}
                ],
            },
            "scheduleTimeoutSeconds": _integer("How long the Pods may wait to be placed together.", "int32"),
        },
        "How the job's Pods are placed together.",
    )
    return _object(
        {
            "activeDeadlineSeconds": _integer("Fail the job so many seconds after its startTime.", "int64"),
            "backoffLimit": _integer("How many restarts before the job fails; unlimited if left out.", "int32"),
            "cleanPodPolicy": _text(
                "Which Pods to delete when the job is finished: All, Running or None (the default)."
            ),
            "managedBy": _text("Who runs this job: kubeflow.org/training-operator, or kueue.x-k8s.io/multikueue."),
            "schedulingPolicy": scheduling,
            "suspend": {"type": "boolean", "default": False, "description": "Take the Pods away until this is false."},
            "ttlSecondsAfterFinished": _integer("Delete the job so many seconds after it finished.", "int32"),
        },
        "How the job runs, the same for every kind.",
    )


def job_status_schema() -> Schema:
    """Make the schema of a training job's status."""
    time = {"type": "string", "format": "date-time"}
    condition = _object(
        {
            "type": _text("Created, Running, Restarting, Succeeded, Failed or Suspended."),
            "status": _text("True, False or Unknown."),
            "reason": _text("Why, in one word."),
            "message": _text("Why, for people."),
            "lastUpdateTime": time,
            "lastTransitionTime": time,
        },
        "One thing that is known about the job.",
        required=("status", "type"),
    )
    replica = _object(
        {
            "active": _integer("Pods that run.", "int32"),
            "succeeded": _integer("Pods that succeeded.", "int32"),
            "failed": _integer("Pods that failed.", "int32"),
            "selector": _text("The label selector of these Pods."),
            "labelSelector": {**_label_selector(), "description": "Deprecated: use selector."},
        },
        "How the Pods of one type are.",
    )
    return _object(
        {
            "conditions": {"type": "array", "items": condition},
            "replicaStatuses": {"type": "object", "additionalProperties": replica},
            "startTime": time,
            "completionTime": time,
            "lastReconcileTime": time,
        },
        "How the job is.",
    )


def _label_selector() -> Schema:
    texts = {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "atomic"}
    expression = _object({"key": _text(""), "operator": _text(""), "values": texts}, "", required=("key", "operator"))
    return {
        **_object(
            {
                "matchExpressions": {"type": "array", "items": expression, "x-kubernetes-list-type": "atomic"},
                "matchLabels": {"type": "object", "additionalProperties": {"type": "string"}},
            },
            "",
        ),
        "x-kubernetes-map-type": "atomic",
    }


def _object(properties: Mapping[str, Any], description: str, required: tuple[str, ...] = ()) -> Schema:
    schema: Schema = {"type": "object", "properties": dict(properties)}
    if required:
        schema["required"] = list(required)
    return schema | ({"description": description} if description else {})


def _text(description: str) -> Schema:
    return {"type": "string"} | ({"description": description} if description else {})


def _integer(description: str, format_: str) -> Schema:
    return {"type": "integer", "format": format_, "description": description}
