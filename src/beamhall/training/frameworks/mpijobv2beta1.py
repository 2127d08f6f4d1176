"""MPIJob of ``kubeflow.org/v2beta1``, mpi-operator's: what differs from v1.

Hosts have names of their own in a headless Service, the launcher may compute too or wait for the workers, it is tried
again as a Job's Pod is, and Intel MPI and MPICH may be asked for. Daemons come through the API as in v1, not by SSH:
``sshAuthMountPath`` is taken and means nothing.

Source: reference "Training jobs", section 1.9; kubeflow/mpi-operator v0.6, ``pkg/controller`` and
``pkg/apis/kubeflow/validation``.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from beamhall.kernel.errors import Cause
from beamhall.kernel.kinds import MPI_JOB_V2BETA1, SERVICE, Kind
from beamhall.kernel.objects import Object, ReadOnlyObject
from beamhall.training.frameworks import mpifiles
from beamhall.training.frameworks.mpijob import (
    LAUNCHER,
    WORKER,
    MPIJob,
    intel_variables,
    open_mpi_variables,
    slots,
)
from beamhall.training.frameworks.ranked import variable
from beamhall.training.job import INDEX_LABEL, ROLE_LABEL, Observed, TrainingJob

IMPLEMENTATIONS = ("OpenMPI", "Intel", "MPICH")
CREATION_POLICIES = ("AtStartup", "WaitForWorkersReady")

_JOB_BACKOFF_LIMIT = 6
_RESTART_POLICIES = ("Never", "OnFailure")


class MPIJobV2Beta1(MPIJob):
    """The framework of MPIJob objects of version v2beta1."""

    kind = MPI_JOB_V2BETA1
    default_backoff_limit = _JOB_BACKOFF_LIMIT
    child_kinds: Sequence[Kind] = (*MPIJob.child_kinds, SERVICE)
    operator = "mpi-operator"

    def owns(self, obj: ReadOnlyObject) -> bool:
        """Tell whether the job was written in this version, whose definition fills in an implementation."""
        return not super().owns(obj)

    def launcher_variables(self, job: TrainingJob) -> Sequence[Object]:
        """Give the variables that the asked-for implementation reads."""
        implementation = job.spec.get("mpiImplementation")
        if implementation == "OpenMPI":
            return _open_mpi_variables(job, mpifiles.HOSTFILE)
        own = intel_variables() if implementation == "Intel" else _mpich_variables()
        if not self.is_on_loopback:
            return own
        # On one machine it is the machine's mpirun that runs, whatever the image would have.
        return [*own, *_open_mpi_variables(job, f"{mpifiles.DIRECTORY}/{mpifiles.OPEN_MPI_HOSTS}")]

    def environment(self, job: TrainingJob, type_: str, index: int, container: str) -> Sequence[Object]:
        """Tell each Pod its part, and the launcher what v1's is told."""
        return [variable("K_MPI_JOB_ROLE", type_.lower()), *super().environment(job, type_, index, container)]

    def finish_pod(self, job: TrainingJob, type_: str, index: int, pod: Object) -> None:
        """Give every Pod its name in the job's Service, and the labels of mpi-operator."""
        super().finish_pod(job, type_, index, pod)
        pod["spec"] |= {"hostname": pod["metadata"]["name"], "subdomain": job.name}
        labels = pod["metadata"]["labels"]
        labels[ROLE_LABEL] = type_.lower()
        if type_ == WORKER and self.launcher_computes(job):
            labels[INDEX_LABEL] = str(index + 1)

    def account(self, job: TrainingJob) -> str:
        """Name the launcher's ServiceAccount: the template's, where it names one."""
        return job.replicas[LAUNCHER].template["spec"].get("serviceAccountName") or super().account(job)

    def children(self, job: TrainingJob, observed: Observed) -> Sequence[tuple[Kind, Object]]:
        """Give v1's, and the Service that gives each Pod its name."""
        spec = {"clusterIP": "None", "selector": job.labels(), "publishNotReadyAddresses": True}
        service = {"metadata": {"name": job.name, "labels": job.labels()}, "spec": spec}
        return [(SERVICE, service), *super().children(job, observed)]

    def hostfiles(self, job: TrainingJob) -> Mapping[str, Sequence[str]]:
        """Give the hostfile in the implementation's form, and on one machine also in that of Open MPI."""
        hosts = [_host(job, type_, index) for type_, index in self.hosts(job)]
        of_open_mpi = [f"{host} slots={slots(job)}" for host in hosts]
        if job.spec.get("mpiImplementation") == "OpenMPI":
            return {"hostfile": of_open_mpi}
        others = {mpifiles.OPEN_MPI_HOSTS: of_open_mpi} if self.is_on_loopback else {}
        return {"hostfile": [f"{host}:{slots(job)}" for host in hosts], **others}

    def discovered(self, job: TrainingJob, type_: str, index: int) -> str:
        """Give what ``discover_hosts.sh`` prints of a replica."""
        return _host(job, type_, index)

    def launcher_computes(self, job: TrainingJob) -> bool:
        """Tell whether the launcher is one of the hosts, which the job says."""
        return bool(job.spec.get("runLauncherAsWorker"))

    def gang_size(self, job: TrainingJob) -> int:
        """Leave out a launcher that is made only when the workers are ready: they would wait for each other."""
        return job.n_replicas - (1 if _waits(job) else 0)

    def is_due(self, job: TrainingJob, type_: str, observed: Observed) -> bool:
        """Make the launcher when all workers are ready, where the job says so."""
        if type_ == WORKER or not _waits(job):
            return True
        return all(place in observed.ready for place in self.hosts(job) if place[0] == WORKER)

    def is_replaced(self, job: TrainingJob, type_: str) -> bool:
        """Try the launcher again up to ``backoffLimit``, as a Job does."""
        return type_ == LAUNCHER

    def validate(self, job: TrainingJob) -> Sequence[Cause]:
        """Apply mpi-operator's rules."""
        path = f"spec.{self.replicas_field}"
        launcher = job.replicas.get(LAUNCHER)
        if launcher is None:
            return (Cause("FieldValueRequired", "must have Launcher replica spec", f"{path}[{LAUNCHER}]"),)
        causes = list(_check_policies(job, path))
        if launcher.count != 1:
            causes.append(Cause("FieldValueInvalid", "must be 1", f"{path}[{LAUNCHER}].replicas"))
        if WORKER in job.replicas and job.replicas[WORKER].count < 1:
            message = "must be greater than or equal to 1"
            causes.append(Cause("FieldValueInvalid", message, f"{path}[{WORKER}].replicas"))
        if slots(job) < 0:
            causes.append(Cause("FieldValueInvalid", "must be greater than or equal to 0", "spec.slotsPerWorker"))
        return causes

    def check_update(self, obj: ReadOnlyObject, old: ReadOnlyObject) -> Sequence[Cause]:
        """Keep a job in the version that it was written in: this one's defaults would change what v1 says."""
        if self.owns(old):
            return ()
        message = "the job was written as kubeflow.org/v1 and can be changed in that version only"
        return (Cause("FieldValueForbidden", message, "apiVersion"),)


def _check_policies(job: TrainingJob, path: str) -> Iterator[Cause]:
    written: Mapping[str, Any] = job.spec.get("mpiReplicaSpecs") or {}
    for key, replica in written.items():
        policy = (replica or {}).get("restartPolicy")
        if policy and policy not in _RESTART_POLICIES:
            message = f"Unsupported value: {policy!r}: supported values: {', '.join(_RESTART_POLICIES)}"
            yield Cause("FieldValueNotSupported", message, f"{path}[{key}].restartPolicy")


def _open_mpi_variables(job: TrainingJob, hostfile: str) -> Sequence[Object]:
    return [
        *open_mpi_variables(hostfile),
        variable("OMPI_MCA_orte_keep_fqdn_hostnames", "true"),
        variable("PRTE_MCA_prte_keep_fqdn_hostnames", "true"),
        variable("OMPI_MCA_orte_set_default_slots", slots(job)),
    ]


def _mpich_variables() -> Sequence[Object]:
    return [
        variable("HYDRA_LAUNCHER", "rsh"),
        variable("HYDRA_LAUNCHER_EXEC", mpifiles.AGENT),
        variable("HYDRA_HOST_FILE", mpifiles.HOSTFILE),
    ]


def _waits(job: TrainingJob) -> bool:
    return job.spec.get("launcherCreationPolicy") == "WaitForWorkersReady"


def _host(job: TrainingJob, type_: str, index: int) -> str:
    return f"{job.child_name(type_, index)}.{job.name}.{job.namespace}.svc"
