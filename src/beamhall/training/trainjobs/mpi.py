"""MPI's policy: a launcher starts processes in the nodes that a hostfile names.

Source: reference "Trainer v2"; kubeflow/trainer v2.3, ``pkg/runtime/framework/plugins/mpi/mpi.go``.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from beamhall.kernel.kinds import CONFIG_MAP, TRAIN_JOB
from beamhall.kernel.objects import Object, ReadOnlyObject, name_of, namespace_of, owner_reference
from beamhall.training.trainjobs.containers import (
    add_mounts,
    add_volumes,
    container_of,
    job_of,
    pod_of,
    set_variables,
    value,
)
from beamhall.training.trainjobs.policies import Training
from beamhall.training.trainjobs.runtime import LAUNCHER, NODE, Runtime

_DIRECTORY = "/etc/mpi"
_FILE = "hostfile"
_VOLUME = "mpi-hostfile"
_SLOTS = "OMPI_MCA_orte_set_default_slots"


def apply_mpi(training: Training) -> None:
    """Count the nodes, and tell the launcher where they are."""
    policy: Mapping[str, Any] = training.policy.get("mpi") or {}
    node, launcher = training.find(NODE), training.find(LAUNCHER)
    asked = training.trainer.get("numNodes")
    n_nodes = int(asked if asked is not None else training.policy.get("numNodes") or 1)
    if node is not None:
        count = max(n_nodes - 1, 1) if policy.get("runLauncherAsNode") else n_nodes
        job_of(node).update(parallelism=count, completions=count)
    if launcher is None:
        return
    job_of(launcher).update(parallelism=1, completions=1)
    items = [{"key": _FILE, "path": _FILE, "mode": 0o444}]
    volume = {"name": _VOLUME, "configMap": {"name": hostfile_name(training.name), "items": items}}
    add_volumes(pod_of(launcher), [volume])
    variables = [
        value("OMPI_MCA_orte_default_hostfile", f"{_DIRECTORY}/{_FILE}"),
        value("OMPI_MCA_orte_keep_fqdn_hostnames", "true"),
        value(_SLOTS, _slots(training)),
        value("OMPI_MCA_plm_rsh_args", "-o ConnectionAttempts=10"),
    ]
    for name in (NODE, LAUNCHER):
        if (container := container_of(launcher, name)) is not None:
            add_mounts(container, [{"name": _VOLUME, "mountPath": _DIRECTORY}])
            set_variables(container, variables)


def _slots(training: Training) -> int:
    asked = training.trainer.get("numProcPerNode")
    if asked is not None:
        return int(asked)
    stated = int((training.policy.get("mpi") or {}).get("numProcPerNode") or 1)
    return training.n_gpus if stated == 1 and training.n_gpus > 1 else stated


def hostfile_name(train_job: str) -> str:
    """Name the ConfigMap that has the hostfile."""
    return f"{train_job}-mpi-hostfile"


def build_hostfile(train_job: ReadOnlyObject, runtime: Runtime, job_set: ReadOnlyObject) -> Object:
    """Make the ConfigMap with the hostfile: a line for each node, with its slots."""
    lines = "".join(f"{line}\n" for line in _lines(runtime, job_set))
    return {
        "apiVersion": CONFIG_MAP.api_version,
        "kind": CONFIG_MAP.kind,
        "metadata": {
            "name": hostfile_name(name_of(train_job)),
            "namespace": namespace_of(train_job),
            "ownerReferences": [owner_reference(TRAIN_JOB, train_job)],
        },
        "data": {_FILE: lines},
    }


def _lines(runtime: Runtime, job_set: ReadOnlyObject) -> Iterator[str]:
    is_node = {NODE, LAUNCHER} if (runtime.policy.get("mpi") or {}).get("runLauncherAsNode") else {NODE}
    name = name_of(job_set)
    subdomain = (job_set["spec"].get("network") or {}).get("subdomain") or name
    jobs = [job for job in job_set["spec"]["replicatedJobs"] if job.get("name") in is_node]
    slots = next((s for job in job_set["spec"]["replicatedJobs"] if (s := _stated_slots(job))), "1")
    for job in jobs:
        for index in range(int(job_of(job).get("parallelism") or 1)):
            yield f"{name}-{job['name']}-0-{index}.{subdomain} slots={slots}"


def _stated_slots(job: Object) -> str:
    for name in (NODE, LAUNCHER):
        for variable in (container_of(job, name) or {}).get("env") or ():
            if variable.get("name") == _SLOTS:
                return str(variable.get("value"))
    return ""
