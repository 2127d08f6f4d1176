"""MPI's policy: a launcher starts processes in the nodes that a hostfile names.

It reaches them as an MPIJob's does, through the API in the place of SSH (``frameworks.mpifiles``): it has an account
that may run commands in the Pods of its own JobSet. Their names are made up, so that the launcher finds them by their
host names, and what it may do follows the Pods that there are.

Source: reference "Trainer v2"; kubeflow/trainer v2.3, ``pkg/runtime/framework/plugins/mpi/mpi.go``.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from beamhall.kernel.kinds import CONFIG_MAP, ROLE, ROLE_BINDING, SERVICE_ACCOUNT, TRAIN_JOB, Kind
from beamhall.kernel.objects import (
    Object,
    ReadOnlyObject,
    is_being_deleted,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
)
from beamhall.kernel.selectors import Selector, selector_from_labels
from beamhall.training.frameworks import mpifiles
from beamhall.training.frameworks.loopback import choose_ports_on_loopback
from beamhall.training.jobsets.jobs import REPLICATED_LABEL, SET_LABEL
from beamhall.training.trainjobs.containers import (
    add_mounts,
    add_volumes,
    container_of,
    job_of,
    pod_of,
    pod_template_of,
    set_variables,
    value,
)
from beamhall.training.trainjobs.policies import Training
from beamhall.training.trainjobs.runtime import LAUNCHER, NODE, Runtime

ACCESS_KINDS = (SERVICE_ACCOUNT, ROLE, ROLE_BINDING)
"""The kinds of the objects that let a launcher reach its nodes."""

_FILE = "hostfile"
_SELECTOR_FILE = "selector"
_MODES = {_FILE: 0o444, _SELECTOR_FILE: 0o444, **mpifiles.SCRIPT_MODES}
_VOLUME = "mpi-hostfile"
_SLOTS = "OMPI_MCA_orte_set_default_slots"


def apply_mpi(training: Training) -> None:
    """Count the nodes, and tell the launcher where they are and how to reach them."""
    policy: Mapping[str, Any] = training.policy.get("mpi") or {}
    node, launcher = training.find(NODE), training.find(LAUNCHER)
    asked = training.trainer.get("numNodes")
    n_nodes = int(asked if asked is not None else training.policy.get("numNodes") or 1)
    if node is not None:
        count = max(n_nodes - 1, 1) if policy.get("runLauncherAsNode") else n_nodes
        job_of(node).update(parallelism=count, completions=count)
        if (container := container_of(node, NODE)) is not None:
            mpifiles.idle_unless_told(container)
        _prepare(training, node)
    if launcher is not None:
        job_of(launcher).update(parallelism=1, completions=1)
        _prepare(training, launcher)
        _tell_launcher(training, launcher)


def _prepare(training: Training, job: Object) -> None:
    """Mount the files, since daemons in nodes look for them too, and tell all how the network is."""
    items = [{"key": key, "path": key, "mode": mode} for key, mode in _MODES.items()]
    add_volumes(pod_of(job), [{"name": _VOLUME, "configMap": {"name": hostfile_name(training.name), "items": items}}])
    containers = [container for name in (NODE, LAUNCHER) if (container := container_of(job, name)) is not None]
    for container in containers:
        add_mounts(container, [{"name": _VOLUME, "mountPath": mpifiles.DIRECTORY}])
    if not training.is_on_loopback:
        return
    choose_ports_on_loopback(pod_template_of(job))
    add_volumes(pod_of(job), [mpifiles.SESSION_VOLUME])
    for container in containers:
        add_mounts(container, [mpifiles.SESSION_MOUNT])
        set_variables(container, [value(*item) for item in mpifiles.open_mpi_on_loopback(container).items()])


def _tell_launcher(training: Training, launcher: Object) -> None:
    """Give a launcher its account and its variables."""
    pod = pod_of(launcher)
    pod["serviceAccountName"] = pod.get("serviceAccountName") or _access_name(training.name)
    variables = {
        **mpifiles.OPEN_MPI,
        "OMPI_MCA_orte_keep_fqdn_hostnames": "true",
        "PRTE_MCA_prte_keep_fqdn_hostnames": "true",
        _SLOTS: _slots(training),
        "OMPI_MCA_plm_rsh_args": "-o ConnectionAttempts=10",
    }
    for name in (NODE, LAUNCHER):
        if (container := container_of(launcher, name)) is not None:
            set_variables(container, [value(*item) for item in variables.items()])


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
    """Make the ConfigMap with the hostfile, a line for each node with its slots, and what the remote shell needs."""
    lines = "".join(f"{line}\n" for line in _lines(runtime, job_set))
    return {
        "apiVersion": CONFIG_MAP.api_version,
        "kind": CONFIG_MAP.kind,
        "metadata": {
            "name": hostfile_name(name_of(train_job)),
            "namespace": namespace_of(train_job),
            "ownerReferences": [owner_reference(TRAIN_JOB, train_job)],
        },
        "data": {_FILE: lines, _SELECTOR_FILE: f"{SET_LABEL}={name_of(job_set)}\n", **mpifiles.scripts()},
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


def has_launcher(job_set: ReadOnlyObject) -> bool:
    """Tell whether a JobSet has a launcher of MPI."""
    return _launcher_of(job_set) is not None


def _launcher_of(job_set: ReadOnlyObject) -> Mapping[str, Any] | None:
    """Give the spec of the launcher's Pod."""
    for job in job_set["spec"].get("replicatedJobs") or ():
        pod: Mapping[str, Any] = ((job.get("template") or {}).get("spec") or {}).get("template", {}).get("spec") or {}
        if job.get("name") == LAUNCHER and any(volume.get("name") == _VOLUME for volume in pod.get("volumes") or ()):
            return pod
    return None


def selector_of_nodes(job_set: str) -> Selector:
    """Give what selects the Pods of a JobSet."""
    return selector_from_labels({SET_LABEL: job_set})


def build_access(job_set: ReadOnlyObject, pods: Sequence[ReadOnlyObject]) -> Sequence[tuple[Kind, Object]]:
    """Make what lets the launcher of a JobSet run commands in its nodes, and in nothing else; owners are added.

    Args:
        job_set: The JobSet, which has a launcher.
        pods: Its Pods.
    """
    name, labels = _access_name(name_of(job_set)), {SET_LABEL: name_of(job_set)}
    account = str((_launcher_of(job_set) or {}).get("serviceAccountName") or name)
    names = [
        name_of(pod)
        for pod in pods
        if labels_of(pod).get(REPLICATED_LABEL) in (NODE, LAUNCHER) and not is_being_deleted(pod)
    ]
    own = [(SERVICE_ACCOUNT, mpifiles.service_account(name, labels))] if account == name else []
    return [
        *own,
        (ROLE, mpifiles.role(name, labels, names)),
        (ROLE_BINDING, mpifiles.role_binding(name, labels, account, namespace_of(job_set))),
    ]


def _access_name(train_job: str) -> str:
    return f"{train_job}-mpi-launcher"
