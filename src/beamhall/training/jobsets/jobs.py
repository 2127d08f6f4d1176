"""What a JobSet makes: its Jobs, the Service that has their Pods' names, and volume claims that they share.

Names follow from the JobSet's and from which Job it is, so a plan made twice makes nothing twice. When to make them is
decided in ``planner``.

Source: kubernetes-sigs/jobset v0.10, ``pkg/controllers/jobset_controller.go`` and ``volume_claim_policy.go``; labels:
``api/jobset/v1alpha2/jobset_types.go``.
"""

import copy
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from beamhall.kernel.kinds import JOB, JOB_SET, PERSISTENT_VOLUME_CLAIM, SERVICE
from beamhall.kernel.objects import Object, ReadOnlyObject, annotations_of, labels_of, owner_reference
from beamhall.training.jobsets.spec import JobSet, ReplicatedJob

SET_LABEL = "jobset.sigs.k8s.io/jobset-name"
REPLICATED_LABEL = "jobset.sigs.k8s.io/replicatedjob-name"
ATTEMPT_LABEL = "jobset.sigs.k8s.io/restart-attempt"
INDEX_LABEL = "jobset.sigs.k8s.io/job-index"
JOB_ATTEMPT = "beamhall.io/job-restart-attempt"
"""On a Job: how often it alone had been restarted when it was made."""

_COORDINATOR = "jobset.sigs.k8s.io/coordinator"
_CARRIED_OVER = (
    "alpha.jobset.sigs.k8s.io/exclusive-topology",
    "alpha.jobset.sigs.k8s.io/node-selector",
)
_MAPS = ("labels", "annotations")


def build_job(job_set: JobSet, replicated: ReplicatedJob, index: int, attempts: tuple[int, int]) -> Object:
    """Make a Job.

    Args:
        job_set: The set.
        replicated: Which of its templates.
        index: Which replica of it.
        attempts: How often the whole set, and this Job alone, were restarted so far.
    """
    template = copy.deepcopy(dict(replicated.template))
    written: Mapping[str, Any] = template.get("metadata") or {}
    spec: dict[str, Any] = template.get("spec") or {}
    pod = spec["template"] = spec.get("template") or {}
    pod_spec = pod["spec"] = pod.get("spec") or {}
    spec.setdefault("completionMode", "Indexed")
    spec["suspend"] = job_set.suspend
    pod_spec.setdefault("restartPolicy", "OnFailure")
    if job_set.subdomain:
        pod_spec["subdomain"] = job_set.subdomain
    _add_claims(job_set, pod_spec)
    marks = _marks(job_set, replicated, index, attempts[0])
    carried = {key: value for key, value in annotations_of(job_set.object).items() if key in _CARRIED_OVER}
    pod_metadata = dict(pod.get("metadata") or {})
    pod["metadata"] = pod_metadata | {
        "labels": {**(pod_metadata.get("labels") or {}), **marks},
        "annotations": {**(pod_metadata.get("annotations") or {}), **marks, **carried},
    }
    own = {JOB_ATTEMPT: str(attempts[1])} if attempts[1] else {}
    return {
        "apiVersion": JOB.api_version,
        "kind": JOB.kind,
        "metadata": {
            "name": job_set.job_name(replicated.name, index),
            "namespace": job_set.namespace,
            "labels": {**(written.get("labels") or {}), **marks},
            "annotations": {**(written.get("annotations") or {}), **marks, **carried, **own},
            "ownerReferences": [owner_reference(JOB_SET, job_set.object)],
        },
        "spec": spec,
    }


def resume_patch(job: ReadOnlyObject, replicated: ReplicatedJob) -> dict[str, Any]:
    """Give the patch that lets a suspended Job go on, with what of its Pods' template was changed meanwhile."""
    template = (replicated.template.get("spec") or {}).get("template") or {}
    new: Mapping[str, Any] = template.get("spec") or {}
    old: Mapping[str, Any] = ((job["spec"].get("template") or {}).get("spec")) or {}
    pod_spec: dict[str, Any] = {}
    if new.get("nodeSelector"):
        pod_spec["nodeSelector"] = dict(new["nodeSelector"])
    for field in ("tolerations", "schedulingGates"):
        if added := [item for item in new.get(field) or () if item not in (old.get(field) or ())]:
            pod_spec[field] = [*(old.get(field) or ()), *added]
    metadata = {field: dict(found) for field in _MAPS if (found := (template.get("metadata") or {}).get(field))}
    changed = ({"metadata": metadata} if metadata else {}) | ({"spec": pod_spec} if pod_spec else {})
    return {"spec": {"suspend": False} | ({"template": changed} if changed else {})}


def build_service(job_set: JobSet) -> Object:
    """Make the headless Service that has the names of the set's Pods."""
    network: Mapping[str, Any] = job_set.spec.get("network") or {}
    return {
        "apiVersion": SERVICE.api_version,
        "kind": SERVICE.kind,
        "metadata": {
            "name": job_set.subdomain,
            "namespace": job_set.namespace,
            "ownerReferences": [owner_reference(JOB_SET, job_set.object)],
        },
        "spec": {
            "clusterIP": "None",
            "selector": {SET_LABEL: job_set.name},
            "publishNotReadyAddresses": network.get("publishNotReadyAddresses") is not False,
        },
    }


def build_claims(job_set: JobSet) -> Iterator[Object]:
    """Make the volume claims that the set's Pods share."""
    for policy in job_set.spec.get("volumeClaimPolicies") or ():
        for template in policy.get("templates") or ():
            metadata: dict[str, Any] = {
                "name": _claim_name(job_set, template),
                "namespace": job_set.namespace,
                "labels": {**labels_of(template), SET_LABEL: job_set.name},
                "annotations": dict(annotations_of(template)),
            }
            if ((policy.get("retentionPolicy") or {}).get("whenDeleted") or "Delete") == "Delete":
                metadata["ownerReferences"] = [owner_reference(JOB_SET, job_set.object)]
            yield {
                "apiVersion": PERSISTENT_VOLUME_CLAIM.api_version,
                "kind": PERSISTENT_VOLUME_CLAIM.kind,
                "metadata": metadata,
                "spec": copy.deepcopy(dict(template.get("spec") or {})),
            }


def _claim_name(job_set: JobSet, template: ReadOnlyObject) -> str:
    return f"{(template.get('metadata') or {}).get('name')}-{job_set.name}"


def _add_claims(job_set: JobSet, pod_spec: dict[str, Any]) -> None:
    """Give the Pods a volume for each shared claim that one of their containers mounts."""
    containers = [*(pod_spec.get("initContainers") or ()), *(pod_spec.get("containers") or ())]
    mounted = {mount.get("name") for container in containers for mount in container.get("volumeMounts") or ()}
    volumes = list(pod_spec.get("volumes") or ())
    for policy in job_set.spec.get("volumeClaimPolicies") or ():
        for template in policy.get("templates") or ():
            name = (template.get("metadata") or {}).get("name")
            if name in mounted and not any(volume.get("name") == name for volume in volumes):
                claim = {"claimName": _claim_name(job_set, template)}
                volumes.append({"name": name, "persistentVolumeClaim": claim})
    if volumes:
        pod_spec["volumes"] = volumes


def _marks(job_set: JobSet, replicated: ReplicatedJob, index: int, attempt: int) -> dict[str, str]:
    """Give what a Job and its Pods are labelled and annotated with."""
    name = job_set.job_name(replicated.name, index)
    before = 0
    for other in job_set.replicated:
        if other.name == replicated.name:
            break
        before += other.replicas
    marks = {
        SET_LABEL: job_set.name,
        "jobset.sigs.k8s.io/jobset-uid": job_set.uid,
        REPLICATED_LABEL: replicated.name,
        ATTEMPT_LABEL: str(attempt),
        "jobset.sigs.k8s.io/replicatedjob-replicas": str(replicated.replicas),
        "jobset.sigs.k8s.io/global-replicas": str(job_set.n_jobs),
        INDEX_LABEL: str(index),
        "jobset.sigs.k8s.io/job-key": _digest(f"{job_set.namespace}/{name}"),
        "jobset.sigs.k8s.io/job-global-index": str(before + index),
    }
    if coordinator := job_set.spec.get("coordinator"):
        which = job_set.job_name(coordinator.get("replicatedJob"), coordinator.get("jobIndex") or 0)
        marks[_COORDINATOR] = f"{which}-{coordinator.get('podIndex') or 0}.{job_set.subdomain}"
    return marks


def _digest(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
