"""The Pods and Services that a training job consists of.

Pure builders: same job, same children. Which of them to make, and when, is decided in ``planner``.

Source: reference "Training jobs", section 1.5.
"""

import copy

from beamhall.kernel.kinds import POD, SERVICE
from beamhall.kernel.objects import Object, ReadOnlyObject, owner_reference
from beamhall.training.job import ROLE_LABEL, TrainingJob, main_container


def build_pod(job: TrainingJob, type_: str, index: int) -> Object:
    """Make the Pod of one replica: the user's template, our labels, the framework's environment."""
    replica = job.replicas[type_]
    template = copy.deepcopy(dict(replica.template))
    written: ReadOnlyObject = template.get("metadata") or {}
    role = {ROLE_LABEL: "master"} if job.framework.is_master(job, type_, index) else {}
    metadata: Object = {
        "name": job.child_name(type_, index),
        "namespace": job.namespace,
        "labels": {**(written.get("labels") or {}), **job.labels(type_, index), **role},
        "ownerReferences": [owner_reference(job.framework.kind, job.object)],
    }
    for field in ("annotations", "finalizers"):
        if written.get(field):
            metadata[field] = written[field]
    spec: Object = template["spec"]
    spec["restartPolicy"] = "Never" if replica.restart_policy == "ExitCode" else replica.restart_policy
    for container in spec["containers"]:
        # Appended: where a name is there twice, the last one wins, and that must be ours.
        added = job.framework.environment(job, type_, index, container.get("name") or "")
        if added:
            container["env"] = [*(container.get("env") or ()), *added]
    pod = {"apiVersion": POD.api_version, "kind": POD.kind, "metadata": metadata, "spec": spec}
    job.framework.finish_pod(job, type_, index, pod)
    return pod


def build_service(job: TrainingJob, type_: str, index: int) -> Object:
    """Make the headless Service that gives one replica its name."""
    labels = job.labels(type_, index)
    containers = job.replicas[type_].template["spec"]["containers"]
    container = main_container(job.framework, containers)
    ports = [
        {"name": port.get("name") or f"port-{port['containerPort']}", "port": port["containerPort"]}
        for port in container.get("ports") or ()
    ]
    return {
        "apiVersion": SERVICE.api_version,
        "kind": SERVICE.kind,
        "metadata": {
            "name": job.child_name(type_, index),
            "namespace": job.namespace,
            "labels": labels,
            "ownerReferences": [owner_reference(job.framework.kind, job.object)],
        },
        "spec": {"clusterIP": "None", "selector": labels, "ports": ports},
    }
