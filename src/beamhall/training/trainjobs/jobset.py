"""From a TrainJob and its runtime to the JobSet that runs: the same two always give the same one.

In this order: the runtime's template, the TrainJob's patches, the ML policy, and at last what the TrainJob itself says
of its initializers and its trainer. When to make it is decided in ``planner``.

Source: reference "Trainer v2"; kubeflow/trainer v2.3, ``pkg/runtime/framework/plugins/jobset/builder.go``.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from beamhall.kernel.kinds import JOB_SET, TRAIN_JOB
from beamhall.kernel.objects import Object, ReadOnlyObject, name_of, namespace_of, owner_reference
from beamhall.kernel.quantities import canonical_quantity
from beamhall.training.trainjobs.containers import container_of, job_of, pod_of, set_variables, value
from beamhall.training.trainjobs.mpi import apply_mpi
from beamhall.training.trainjobs.patches import patched, patches_of
from beamhall.training.trainjobs.policies import POLICIES, Training
from beamhall.training.trainjobs.runtime import (
    DATASET_INITIALIZER,
    MODEL_INITIALIZER,
    NODE,
    TRAINER,
    Runtime,
    step_of,
)

_POLICIES = {**POLICIES, "mpi": apply_mpi}
_MUTABLE_POD_FIELDS = ("nodeSelector", "tolerations", "schedulingGates")
_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
_MAPS = ("labels", "annotations")


def build_job_set(
    train_job: ReadOnlyObject, runtime: Runtime, *, reports: bool = False, is_on_loopback: bool = False
) -> Object:
    """Make the JobSet of a TrainJob.

    Args:
        train_job: The TrainJob.
        runtime: Its runtime.
        reports: Whether the trainer is told where to tell of its progress.
        is_on_loopback: Whether Pods have addresses on the loopback network.

    Raises:
        BadRequest: A patch cannot be merged.
        ValueError: An amount of a resource is no quantity.
    """
    spec: Mapping[str, Any] = train_job.get("spec") or {}
    template = copy.deepcopy({key: part for key, part in runtime.job_set.items() if key != "replicatedJobs"})
    replicated = patched(train_job, runtime.job_set.get("replicatedJobs") or ())
    training = Training(
        name=name_of(train_job),
        trainer=spec.get("trainer") or {},
        runtime_name=str((spec.get("runtimeRef") or {}).get("name") or ""),
        subdomain=str((runtime.job_set.get("network") or {}).get("subdomain") or name_of(train_job)),
        policy=runtime.policy,
        replicated=replicated,
        runtime_command=_node_command(replicated),
        is_on_loopback=is_on_loopback,
    )
    _apply_initializers(training, spec.get("initializer") or {})
    _apply_trainer(training)
    for field, apply in _POLICIES.items():
        if runtime.policy.get(field) is not None:
            apply(training)
    if reports:
        _tell_where_to_report(training, namespace_of(train_job))
    metadata: dict[str, Any] = {"name": training.name, "namespace": namespace_of(train_job)}
    metadata |= {field: found for field in _MAPS if (found := _propagated(train_job, runtime, field))}
    metadata["ownerReferences"] = [owner_reference(TRAIN_JOB, train_job)]
    return {
        "apiVersion": JOB_SET.api_version,
        "kind": JOB_SET.kind,
        "metadata": metadata,
        "spec": template | {"replicatedJobs": training.replicated, "suspend": bool(spec.get("suspend"))},
    }


def _node_command(replicated: Sequence[Object]) -> Sequence[str]:
    """Give the command that the runtime has for the container that trains."""
    nodes = [node for job in replicated if step_of(job) == TRAINER and (node := container_of(job, NODE)) is not None]
    return tuple(nodes[0].get("command") or ()) if nodes else ()


def mutable_patch(current: ReadOnlyObject, wanted: ReadOnlyObject) -> dict[str, Any]:
    """Give the patch that brings a JobSet to what its TrainJob says now: what may change while it is suspended."""
    by_name = {job["name"]: job for job in wanted["spec"]["replicatedJobs"]}
    changed = copy.deepcopy(list(current["spec"].get("replicatedJobs") or ()))
    for job in changed:
        if job["name"] in by_name:
            _take_over(job, by_name[job["name"]])
    spec: dict[str, Any] = {}
    if changed != current["spec"].get("replicatedJobs"):
        spec["replicatedJobs"] = changed
    if bool(current["spec"].get("suspend")) != wanted["spec"]["suspend"]:
        spec["suspend"] = wanted["spec"]["suspend"]
    return {"spec": spec} if spec else {}


def _take_over(job: Object, wanted: Object) -> None:
    new, old = job_of(wanted).get("template") or {}, job_of(job)["template"]
    metadata = {field: dict(found) for field in _MAPS if (found := (new.get("metadata") or {}).get(field))}
    kept = {key: part for key, part in (old.get("metadata") or {}).items() if key not in _MAPS}
    if metadata or kept:
        old["metadata"] = kept | metadata
    else:
        old.pop("metadata", None)
    for field in _MUTABLE_POD_FIELDS:
        if (found := pod_of(wanted).get(field)) is not None:
            pod_of(job)[field] = found
        else:
            pod_of(job).pop(field, None)


def _propagated(train_job: ReadOnlyObject, runtime: Runtime, field: str) -> dict[str, str]:
    found = dict(runtime.metadata.get(field) or {})
    for metadata, _ in patches_of(train_job):
        found |= metadata.get(field) or {}
    return found


def _apply_initializers(training: Training, initializer: Mapping[str, Any]) -> None:
    for step, field in ((DATASET_INITIALIZER, "dataset"), (MODEL_INITIALIZER, "model")):
        for job in training.replicated:
            if step_of(job) != step:
                continue
            job["replicas"] = 1
            container, asked = container_of(job, step), initializer.get(field)
            if container is None or asked is None:
                continue
            if asked.get("storageUri") is not None:
                set_variables(container, [value("STORAGE_URI", asked["storageUri"])])
            set_variables(container, asked.get("env") or ())
            if secret := asked.get("secretRef"):
                container["envFrom"] = [*(container.get("envFrom") or ()), {"secretRef": dict(secret)}]


def _apply_trainer(training: Training) -> None:
    """Put into the step that trains what the TrainJob says of it, and let it have as many Pods as there are nodes."""
    for job in training.replicated:
        if step_of(job) != TRAINER:
            continue
        job["replicas"] = 1
        if training.policy.get("mpi") is None:
            job_of(job).update(parallelism=training.n_nodes, completions=training.n_nodes)
        if (node := container_of(job, NODE)) is not None:
            _change_node(node, training.trainer)


def _tell_where_to_report(training: Training, namespace: str) -> None:
    """Let the trainer tell of its progress: where, and by which of the files that every Pod has of its account."""
    path = f"{TRAIN_JOB.path}/namespaces/{namespace}/trainjobs/{training.name}/status"
    variables = [
        value("KUBEFLOW_TRAINER_SERVER_URL", f"https://$(KUBERNETES_SERVICE_HOST):$(KUBERNETES_SERVICE_PORT){path}"),
        value("KUBEFLOW_TRAINER_SERVER_CA_CERT", f"{_ACCOUNT}/ca.crt"),
        value("KUBEFLOW_TRAINER_SERVER_TOKEN", f"{_ACCOUNT}/token"),
    ]
    for container in pod_of(training.step)["containers"] if training.step is not None else ():
        set_variables(container, variables)


def _change_node(node: Object, trainer: Mapping[str, Any]) -> None:
    for field in ("image", "command", "args"):
        if trainer.get(field) is not None:
            node[field] = copy.deepcopy(trainer[field])
    if resources := trainer.get("resourcesPerNode"):
        node["resources"] = {
            what: {name: canonical_quantity(amount) for name, amount in resources[what].items()}
            for what in ("limits", "requests")
            if resources.get(what)
        }
    set_variables(node, trainer.get("env") or ())
