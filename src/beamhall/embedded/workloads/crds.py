"""The definition (CRD) of PodGroup, by which Pods are started together or not at all.

Source: kubernetes-sigs/scheduler-plugins, ``manifests/coscheduling/crd.yaml``, for names, types and columns.
"""

from typing import Any

from beamhall.kernel.kinds import POD_GROUP
from beamhall.kernel.objects import Object

_QUANTITY = (
    r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))"
    r"(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$"
)


def pod_group_definition() -> Object:
    """Make the CustomResourceDefinition of PodGroup."""
    count = {"type": "integer", "format": "int32"}
    quantity = {"anyOf": [{"type": "integer"}, {"type": "string"}], "pattern": _QUANTITY}
    resources = {"type": "object", "additionalProperties": quantity | {"x-kubernetes-int-or-string": True}}
    spec = {
        "minMember": count | {"description": "How many Pods must find a place before any of them starts."},
        "minResources": resources | {"description": "What those Pods need together."},
        "scheduleTimeoutSeconds": count | {"description": "How long they may wait before they are reported."},
    }
    status = {
        "phase": {"type": "string", "description": "Pending, Scheduling, Scheduled, Running, Finished or Failed."},
        "occupiedBy": {"type": "string"},
        "running": count,
        "succeeded": count,
        "failed": count,
        "scheduleStartTime": {"type": "string", "format": "date-time"},
    }
    schema = {
        "type": "object",
        "description": "PodGroup is a set of Pods that start together.",
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": {"type": "object", "properties": spec},
            "status": {"type": "object", "properties": status},
        },
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": POD_GROUP.resource,
            # Groups below x-k8s.io are protected: the API server wants to see who approved the definition.
            "annotations": {
                "api-approved.kubernetes.io": "https://github.com/kubernetes-sigs/scheduler-plugins/pull/50"
            },
        },
        "spec": {
            "group": POD_GROUP.group,
            "names": {
                "kind": POD_GROUP.kind,
                "listKind": "PodGroupList",
                "plural": POD_GROUP.plural,
                "singular": "podgroup",
                "shortNames": ["pg", "pgs"],
            },
            "scope": "Namespaced",
            "versions": [
                {
                    "name": POD_GROUP.version,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema},
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": _columns(),
                }
            ],
        },
    }


def _columns() -> list[dict[str, Any]]:
    return [
        {"name": "Phase", "type": "string", "jsonPath": ".status.phase"},
        {"name": "MinMember", "type": "integer", "jsonPath": ".spec.minMember"},
        {"name": "Running", "type": "string", "jsonPath": ".status.running"},
        {"name": "Succeeded", "type": "string", "jsonPath": ".status.succeeded"},
        {"name": "Failed", "type": "string", "jsonPath": ".status.failed"},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]
