"""MPIJob of ``kubeflow.org/v1``: a launcher runs ``mpirun``, which starts a daemon in each worker's Pod.

The launcher's log and end are the job's. Workers sleep, and their daemons come through the API (``mpifiles``).
``mpijobv2beta1`` is the other version of the kind, which changes names and options. Launcher and workers start
together: the launcher's remote shell waits for each worker, so that a job is admitted whole.

Source: reference "Training jobs", sections 1.1, 1.4 to 1.6; kubeflow/training-operator v1.9, ``pkg/controller.v1/mpi``.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from beamhall.kernel.errors import Cause
from beamhall.kernel.kinds import CONFIG_MAP, MPI_JOB, ROLE, ROLE_BINDING, SERVICE_ACCOUNT, Kind
from beamhall.kernel.objects import Object, ReadOnlyObject
from beamhall.training.frameworks import mpifiles
from beamhall.training.frameworks.loopback import choose_ports_on_loopback
from beamhall.training.frameworks.ranked import variable
from beamhall.training.job import Framework, Observed, TrainingJob, main_container

LAUNCHER = "Launcher"
WORKER = "Worker"


class MPIJob(Framework):
    """The framework of MPIJob objects of version v1.

    Args:
        is_on_loopback: Whether Pods have addresses on the loopback network, as those of the embedded cluster do.
    """

    kind = MPI_JOB
    replicas_field = "mpiReplicaSpecs"
    replica_types = (LAUNCHER, WORKER)
    container = "mpi"
    is_container_required = False
    port_name = "mpi-port"
    port = 9999
    has_services = False
    child_kinds: Sequence[Kind] = (CONFIG_MAP, SERVICE_ACCOUNT, ROLE, ROLE_BINDING)
    kept_types = (LAUNCHER,)
    template_policy_reason = "SettedPodTemplateRestartPolicy"

    def __init__(self, *, is_on_loopback: bool = False) -> None:
        self.is_on_loopback = is_on_loopback

    def owns(self, obj: ReadOnlyObject) -> bool:
        """Tell whether the job was written in this version: only the other one has an implementation to choose."""
        return "mpiImplementation" not in (obj.get("spec") or {})

    def default_count(self, type_: str) -> int:
        """Give 1 launcher, and no workers."""
        return 1 if type_ == LAUNCHER else 0

    def child_name(self, job: TrainingJob, type_: str, index: int) -> str:
        """Name a Pod; the one launcher has no number."""
        return f"{job.name}-launcher" if type_ == LAUNCHER else super().child_name(job, type_, index)

    def environment(self, job: TrainingJob, type_: str, index: int, container: str) -> Sequence[Object]:
        """Tell the launcher's ``mpirun`` of the hosts and how to reach them, and all how the network is."""
        containers: Sequence[Object] = job.replicas[type_].template["spec"]["containers"]
        written = next((c for c in containers if (c.get("name") or "") == container), {})
        loopback = _variables(mpifiles.open_mpi_on_loopback(written) if self.is_on_loopback else {})
        if type_ != LAUNCHER:
            return loopback
        gpus = [] if _asks_for_gpus(job, LAUNCHER) else _without_gpus()
        return [*self.launcher_variables(job), *loopback, *gpus]

    def launcher_variables(self, job: TrainingJob) -> Sequence[Object]:
        """Give the variables that ``mpirun`` reads, for Open MPI 4 and 5 and for Intel MPI."""
        return [*open_mpi_variables(), *intel_variables()]

    def finish_pod(self, job: TrainingJob, type_: str, index: int, pod: Object) -> None:
        """Give every Pod the files, the launcher its account, and the workers something to do meanwhile."""
        mpifiles.mount_files(pod["spec"], f"{job.name}-config", self.hostfiles(job))
        if self.is_on_loopback:
            choose_ports_on_loopback(pod)
            mpifiles.keep_session_in_memory(pod["spec"])
        if type_ == LAUNCHER:
            pod["spec"]["serviceAccountName"] = self.account(job)
            return
        mpifiles.idle_unless_told(main_container(self, pod["spec"]["containers"]))

    def account(self, job: TrainingJob) -> str:
        """Name the launcher's ServiceAccount."""
        return f"{job.name}-launcher"

    def children(self, job: TrainingJob, observed: Observed) -> Sequence[tuple[Kind, Object]]:
        """Give the files, and the launcher's account with what it may do."""
        labels = job.labels()
        name = f"{job.name}-launcher"
        account = self.account(job)
        running = sorted(index for type_, index in observed.active if type_ == WORKER)
        discovered = [self.discovered(job, WORKER, index) for index in running]
        if self.launcher_computes(job):
            discovered.insert(0, self.discovered(job, LAUNCHER, 0))
        pods = [job.child_name(type_, index) for type_, index in self.hosts(job)]
        config = mpifiles.config_map(f"{job.name}-config", labels, self.hostfiles(job), discovered)
        own = [(SERVICE_ACCOUNT, mpifiles.service_account(name, labels))] if account == name else []
        return [
            (CONFIG_MAP, config),
            *own,
            (ROLE, mpifiles.role(name, labels, pods)),
            (ROLE_BINDING, mpifiles.role_binding(name, labels, account, job.namespace)),
        ]

    def hosts(self, job: TrainingJob) -> Sequence[tuple[str, int]]:
        """Give the replicas that processes run in, in the hostfile's order."""
        first = [(LAUNCHER, 0)] if self.launcher_computes(job) else []
        return first + [(WORKER, index) for index in range(_n_workers(job))]

    def hostfiles(self, job: TrainingJob) -> Mapping[str, Sequence[str]]:
        """Give the lines of each hostfile, by its name."""
        return {"hostfile": [f"{job.child_name(type_, index)} slots={slots(job)}" for type_, index in self.hosts(job)]}

    def discovered(self, job: TrainingJob, type_: str, index: int) -> str:
        """Give what ``discover_hosts.sh`` prints of a replica."""
        return f"{job.child_name(type_, index)}:{slots(job)}"

    def launcher_computes(self, job: TrainingJob) -> bool:
        """Tell whether the launcher is one of the hosts: in this version one that asks for GPUs is."""
        return _asks_for_gpus(job, LAUNCHER)

    def is_master(self, job: TrainingJob, type_: str, index: int) -> bool:
        """The launcher."""
        return type_ == LAUNCHER

    def is_succeeded(self, job: TrainingJob, observed: Observed) -> bool:
        """Follow the launcher."""
        return observed.counts[LAUNCHER].succeeded > 0

    def is_running(self, job: TrainingJob, observed: Observed) -> bool:
        """Run when the launcher and all workers do."""
        workers = observed.counts.get(WORKER)
        return observed.counts[LAUNCHER].active > 0 and (workers is None or workers.active >= _n_workers(job))

    def failure(self, job: TrainingJob, observed: Observed) -> str:
        """Fail with the launcher, and with evicted workers; other workers are the launcher's affair."""
        if observed.counts[LAUNCHER].failed:
            return f"MPIJob {job.namespace}/{job.name} has failed"
        n_evicted = sum(type_ == WORKER for type_, _ in observed.evicted)
        return f"{n_evicted}/{_n_workers(job)} workers are evicted" if n_evicted else ""

    def failure_reason(self, job: TrainingJob, observed: Observed) -> str:
        """Give the reason of a failure: Evicted has one of its own."""
        return "Evicted" if observed.evicted else ""

    def say_created(self, job: TrainingJob) -> str:
        """Word the condition Created."""
        return f"MPIJob {job.namespace}/{job.name} is created."

    def validate(self, job: TrainingJob) -> Sequence[Cause]:
        """Ask for exactly one launcher."""
        launcher = job.replicas.get(LAUNCHER)
        path = f"spec.{self.replicas_field}"
        if launcher is None:
            message = "MPIReplicaSpec is not valid: Launcher ReplicaSpec must be present"
            return (Cause("FieldValueRequired", message, f"{path}[{LAUNCHER}]"),)
        if launcher.count != 1:
            message = "MPIReplicaSpec is not valid: There must be only 1 launcher replica"
            return (Cause("FieldValueInvalid", message, f"{path}[{LAUNCHER}].replicas"),)
        return ()

    def check_update(self, obj: ReadOnlyObject, old: ReadOnlyObject) -> Sequence[Cause]:
        """Keep a job in the version that it was written in: the other one's fields would be lost on the way."""
        if self.owns(old):
            return ()
        message = "the job was written as kubeflow.org/v2beta1 and can be changed in that version only"
        return () if not self.owns(obj) else (Cause("FieldValueForbidden", message, "apiVersion"),)


def slots(job: TrainingJob) -> int:
    """Give how many processes each host may run."""
    value = job.spec.get("slotsPerWorker")
    return 1 if value is None else int(value)


def open_mpi_variables(hostfile: str = mpifiles.HOSTFILE) -> Sequence[Object]:
    """Give the variables of Open MPI."""
    return _variables({**mpifiles.OPEN_MPI, **dict.fromkeys(mpifiles.OPEN_MPI_HOSTFILE, hostfile)})


def _variables(values: Mapping[str, str]) -> Sequence[Object]:
    return [variable(name, value) for name, value in values.items()]


def intel_variables() -> Sequence[Object]:
    """Give the variables of Intel MPI."""
    return [
        variable("I_MPI_HYDRA_BOOTSTRAP", "rsh"),
        variable("I_MPI_HYDRA_BOOTSTRAP_EXEC", mpifiles.AGENT),
        variable("I_MPI_HYDRA_HOST_FILE", mpifiles.HOSTFILE),
    ]


def _n_workers(job: TrainingJob) -> int:
    return job.replicas[WORKER].count if WORKER in job.replicas else 0


def _asks_for_gpus(job: TrainingJob, type_: str) -> bool:
    containers: Sequence[Mapping[str, Any]] = job.replicas[type_].template["spec"]["containers"]
    limits = [name for c in containers for name in (c.get("resources") or {}).get("limits") or ()]
    return any("gpu" in name for name in limits)


def _without_gpus() -> Sequence[Object]:
    """Hide the GPUs of the node from a launcher that asked for none."""
    return [variable("NVIDIA_VISIBLE_DEVICES", ""), variable("NVIDIA_DRIVER_CAPABILITIES", "")]
