"""The definition (CRD) of JobSet, and the schema of its spec, which training runtimes hold as a template.

Defaults that upstream's admission webhook fills in stand in the schema, but for those inside the template of a Job,
which ``jobs`` fills in when it makes one.

Source: kubernetes-sigs/jobset v0.10, ``api/jobset/v1alpha2/jobset_types.go`` and ``pkg/webhooks``, for names, types,
defaults and columns.
"""

from typing import Any

from beamhall.kernel.kinds import JOB_SET
from beamhall.kernel.objects import Object
from beamhall.training.schemas import (
    Schema,
    array,
    conditions,
    flag,
    integer,
    mapping,
    open_mapping,
    pod_template,
    template_metadata,
    text,
    texts,
)

_REPLICATED_JOBS = 100


def job_set_definition() -> Object:
    """Make the CustomResourceDefinition of JobSet."""
    spec = job_set_spec_schema(with_defaults=True)
    schema = mapping(
        {
            "apiVersion": text(),
            "kind": text(),
            "metadata": {"type": "object"},
            "spec": spec,
            "status": _status_schema(),
        },
        "JobSet is a set of Jobs that run as one.",
    )
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": JOB_SET.resource,
            # Groups below x-k8s.io are protected: the API server wants to see who approved the definition.
            "annotations": {"api-approved.kubernetes.io": "https://github.com/kubernetes/enhancements/issues/3503"},
        },
        "spec": {
            "group": JOB_SET.group,
            "names": {"kind": JOB_SET.kind, "listKind": "JobSetList", "plural": JOB_SET.plural, "singular": "jobset"},
            "scope": "Namespaced",
            "versions": [
                {
                    "name": JOB_SET.version,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema},
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": _columns(),
                }
            ],
        },
    }


def job_set_spec_schema(*, with_defaults: bool) -> Schema:
    """Make the schema of a JobSet's spec.

    Args:
        with_defaults: Whether what is left out is filled in. A template is kept as it was written.
    """

    def default(value: Any) -> dict[str, Any]:
        return {"default": value} if with_defaults else {}

    network = {
        "enableDNSHostnames": flag("Whether Pods have host names of their own.", **default(True)),
        "publishNotReadyAddresses": flag("Whether Pods that are not ready have one too.", **default(True)),
        "subdomain": text("The Service that has the names; the JobSet's name if left out."),
    }
    success = {
        "operator": text("Whether All or Any of the Jobs must succeed.", enum=["All", "Any"]),
        "targetReplicatedJobs": texts("Which Jobs are looked at; all if left out."),
    }
    order = text("AnyOrder, or InOrder: each when the one before is ready.", enum=["AnyOrder", "InOrder"])
    properties = {
        "replicatedJobs": array(
            _replicated_job(default), "The Jobs of the set.", key="name", most=_REPLICATED_JOBS
        ),
        "network": mapping(network, "How Pods find each other.") | default({}),
        "successPolicy": mapping(success, "When the set has succeeded.", ("operator",)) | default({"operator": "All"}),
        "failurePolicy": _failure_policy(default),
        "startupPolicy": mapping({"startupPolicyOrder": order}, "In which order Jobs start.", ("startupPolicyOrder",))
        | default({"startupPolicyOrder": "AnyOrder"}),
        "suspend": flag("Whether all Jobs are suspended."),
        "coordinator": mapping(
            {
                "replicatedJob": text("Which Job has the coordinator."),
                "jobIndex": integer("Which replica of it."),
                "podIndex": integer("Which Pod of that."),
            },
            "The Pod whose address all others learn by a label.",
            ("replicatedJob",),
        ),
        "managedBy": text("Who runs this JobSet; jobset.sigs.k8s.io/jobset-controller if left out."),
        "ttlSecondsAfterFinished": integer("Delete the JobSet so many seconds after it finished.", minimum=0),
        "volumeClaimPolicies": array(_volume_claim_policy(), "Volume claims that the Pods share.", most=50),
    }  # fmt: skip
    return mapping(properties, "What the JobSet shall run.")


def _replicated_job(default: Any) -> Schema:
    depends_on = mapping(
        {
            "name": text("A Job that is stated before."),
            "status": text("Ready or Complete.", enum=["Ready", "Complete"]),
        },
        "What must have come of another Job first.",
        ("name", "status"),
    )
    properties = {
        "name": text("Its name, a part of the Jobs' names."),
        "groupName": text("The group that it belongs to.", **default("default")),
        "replicas": integer("How many Jobs.", **default(1)),
        "dependsOn": array(depends_on, "What these Jobs wait for.", key="name", most=10),
        "template": job_template_schema(),
    }
    return mapping(properties, "Jobs made of one template.", ("name", "template"))


def job_template_schema() -> Schema:
    """Make the schema of the template of a Job, which is open but for its Pods' containers."""
    template = pod_template("The Pods to make.")
    count = integer()
    job = open_mapping("The Job's spec, as of batch/v1.", (), template=template, parallelism=count, completions=count)
    return mapping({"metadata": template_metadata(), "spec": job}, "The Job to make for each replica.")


def _failure_policy(default: Any) -> Schema:
    rule = mapping(
        {
            "name": text("Its name."),
            "action": text(
                "What to do.",
                enum=[
                    "FailJobSet",
                    "RestartJobSet",
                    "RestartJobSetAndIgnoreMaxRestarts",
                    "RestartJob",
                    "RestartJobAndIgnoreMaxRestarts",
                ],
            ),
            "onJobFailureReasons": texts("Reasons of a Job's failure that it is for; all if left out."),
            "onJobFailureMessagePatterns": texts("Patterns of a Job's message that it is for; all if left out."),
            "targetReplicatedJobs": texts("Jobs that it is for; all if left out."),
        },
        "What to do when a Job failed in one way.",
        ("action",),
    )
    strategies = ["Recreate", "BlockingRecreate", "InPlaceRestart"]
    return mapping(
        {
            "maxRestarts": integer("How often the set is restarted before it fails.", **default(0)),
            "restartStrategy": text("How Jobs are made anew.", enum=strategies, **default("Recreate")),
            "rules": array(rule, "The first that applies decides.", most=20),
        },
        "What to do when a Job fails.",
    )  # fmt: skip


def _volume_claim_policy() -> Schema:
    template = open_mapping("A PersistentVolumeClaim, without its name's end.", (), metadata=template_metadata())
    retention = mapping({"whenDeleted": text("Delete or Retain.", enum=["Delete", "Retain"])}, "What becomes of them.")
    return mapping({"templates": array(template, "The claims."), "retentionPolicy": retention}, "Claims of one sort.")


def _status_schema() -> Schema:
    count = integer(minimum=0)
    counts = ("ready", "succeeded", "failed", "active", "suspended")
    status = mapping(
        {
            "name": text(),
            **dict.fromkeys(counts, count),
            "jobRestarts": array(count),
            "jobRestartsCountTowardsMax": array(count),
        },
        "How the Jobs of one template are.",
        ("active", "failed", "name", "ready", "succeeded", "suspended"),
    )
    return mapping(
        {
            "conditions": conditions(),
            "restarts": integer("How often the set was restarted."),
            "restartsCountTowardsMax": integer("How many of these count."),
            "terminalState": text("Completed or Failed, when it is."),
            "replicatedJobsStatus": array(status, "How the Jobs are.", key="name"),
            "previousInPlaceRestartAttempt": integer(),
            "currentInPlaceRestartAttempt": integer(),
        },
        "How the JobSet is.",
    )


def _columns() -> list[dict[str, Any]]:
    return [
        {"name": "TerminalState", "type": "string", "jsonPath": ".status.terminalState"},
        {"name": "Restarts", "type": "string", "jsonPath": ".status.restarts"},
        {"name": "Completed", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Completed")].status'},
        {"name": "Suspended", "type": "string", "jsonPath": ".spec.suspend"},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]
