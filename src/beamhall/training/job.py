"""A training job read from its object: replicas and run policy with every default filled in.

Reading never changes the stored object: users see what they wrote. What is wrong with a job is told by ``validation``;
reading is lenient, so that a job that is wrong can still be cleaned up. ``Framework`` is what one kind must tell about
itself. Read on in ``planner``.

Source: reference "Training jobs", sections 1.1 and 1.2.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from beamhall.kernel.errors import Cause
from beamhall.kernel.kinds import Kind
from beamhall.kernel.objects import Object, ReadOnlyObject, name_of, namespace_of, uid_of

OPERATOR_LABEL = "training.kubeflow.org/operator-name"
JOB_LABEL = "training.kubeflow.org/job-name"
TYPE_LABEL = "training.kubeflow.org/replica-type"
INDEX_LABEL = "training.kubeflow.org/replica-index"
ROLE_LABEL = "training.kubeflow.org/job-role"

OUR_MANAGER = "kubeflow.org/training-operator"


@dataclass(frozen=True, slots=True)
class Replica:
    """One replica type of a job.

    Attributes:
        type: Canonical name, such as ``Worker``.
        count: Wanted number of Pods.
        restart_policy: ``Always``, ``OnFailure``, ``Never`` or ``ExitCode``.
        template: The Pod template, normalised: the framework's container has the framework's port. Shared: do not
            change.
    """

    type: str
    count: int
    restart_policy: str
    template: ReadOnlyObject


@dataclass(frozen=True, slots=True)
class RunPolicy:
    """How a job runs, for every framework; seconds are whole seconds, None means unlimited.

    Attributes:
        clean_pod_policy: ``All``, ``Running`` or ``None`` (the text).
        scheduling: The ``schedulingPolicy`` as written.
    """

    clean_pod_policy: str = "None"
    ttl_s: int | None = None
    active_deadline_s: int | None = None
    backoff_limit: int | None = None
    suspend: bool = False
    managed_by: str = ""
    scheduling: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Counts:
    """How the Pods of one replica type are. Pods that are being deleted count only if they succeeded."""

    active: int = 0
    succeeded: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Observed:
    """How the Pods of a job are.

    Attributes:
        counts: By canonical replica type; every type of the job is there.
        succeeded: The replicas, as (type, index), whose Pod succeeded.
    """

    counts: Mapping[str, Counts]
    succeeded: frozenset[tuple[str, int]] = frozenset()

    def is_complete(self, replica: Replica) -> bool:
        """Tell whether every replica of a type succeeded."""
        return self.counts[replica.type].succeeded >= replica.count


class Framework(Protocol):
    """What is special about one kind of training job. Everything else is shared."""

    @property
    def kind(self) -> Kind:
        """The kind of the job's objects."""
        ...

    @property
    def replicas_field(self) -> str:
        """The field of the spec that holds the replicas."""
        ...

    @property
    def replica_types(self) -> Sequence[str]:
        """The canonical names of the replica types, in the order in which they are looked at."""
        ...

    @property
    def container(self) -> str:
        """The name of the container that trains."""
        ...

    @property
    def port_name(self) -> str:
        """The name of the port that replicas find each other by."""
        ...

    @property
    def port(self) -> int:
        """That port, where the job names none."""
        ...

    @property
    def default_restart_policy(self) -> str:
        """The restart policy of replicas that name none."""
        ...

    def default_count(self, type_: str) -> int:
        """Give the number of replicas of a type that names none."""
        ...

    def environment(self, job: "TrainingJob", type_: str, index: int, container: str) -> Sequence[Object]:
        """Give the environment variables to append to a container of one replica."""
        ...

    def is_master(self, job: "TrainingJob", type_: str, index: int) -> bool:
        """Tell whether a replica is the one whose log and metrics stand for the job's."""
        ...

    def is_succeeded(self, job: "TrainingJob", observed: Observed) -> bool:
        """Tell whether the job has reached its end well."""
        ...

    def is_running(self, job: "TrainingJob", observed: Observed) -> bool:
        """Tell whether the deciding replicas run."""
        ...

    def failure(self, job: "TrainingJob", observed: Observed) -> str:
        """Say why the job failed for good, empty if it has not; ``counts.failed`` has only what is not restarted."""
        ...

    def validate(self, job: "TrainingJob") -> Sequence[Cause]:
        """Say what is wrong with the job beyond what every kind asks for."""
        ...


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """A job as planners see it.

    Attributes:
        object: The object it was read from.
        replicas: By canonical type, in the framework's order.
        spec: The spec as written, for what only the framework knows.
    """

    object: ReadOnlyObject
    framework: Framework
    replicas: Mapping[str, Replica]
    run_policy: RunPolicy
    spec: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The job's name."""
        return name_of(self.object)

    @property
    def namespace(self) -> str:
        """The job's namespace."""
        return namespace_of(self.object)

    @property
    def uid(self) -> str:
        """The job's uid."""
        return uid_of(self.object)

    @property
    def n_replicas(self) -> int:
        """How many Pods the job wants at once."""
        return sum(replica.count for replica in self.replicas.values())

    def child_name(self, type_: str, index: int) -> str:
        """Name the Pod and the Service of one replica."""
        return f"{self.name}-{type_.lower()}-{index}"

    def host(self, type_: str, index: int) -> str:
        """Name the host of one replica as its peers resolve it, without a cluster domain."""
        return f"{self.child_name(type_, index)}.{self.namespace}.svc"

    def port(self, type_: str) -> int:
        """Give the port that replicas of a type listen on for their peers."""
        containers = self.replicas[type_].template["spec"]["containers"]
        for container in containers:
            if container.get("name") == self.framework.container:
                for port in container.get("ports") or ():
                    if port.get("name") == self.framework.port_name:
                        return int(port["containerPort"])
        return self.framework.port

    def labels(self, type_: str = "", index: int | None = None) -> dict[str, str]:
        """Give the labels that select the job's children, or those of one type, or of one replica."""
        labels = {OPERATOR_LABEL: f"{self.framework.kind.kind.lower()}-controller", JOB_LABEL: self.name}
        if type_:
            labels[TYPE_LABEL] = type_.lower()
        if index is not None:
            labels[INDEX_LABEL] = str(index)
        return labels


def canonical_type(framework: Framework, written: str) -> str | None:
    """Give the canonical name of a replica type, written in any case; None if there is no such type."""
    return next((t for t in framework.replica_types if t.lower() == written.lower()), None)


def read_job(framework: Framework, obj: ReadOnlyObject) -> TrainingJob:
    """Read a job, filling in defaults. Types that the framework does not know are left out."""
    spec: Mapping[str, Any] = obj.get("spec") or {}
    written = {
        canonical_type(framework, key): value for key, value in (spec.get(framework.replicas_field) or {}).items()
    }
    replicas = {t: _read_replica(framework, t, written[t] or {}) for t in framework.replica_types if t in written}
    return TrainingJob(obj, framework, replicas, _read_run_policy(spec), spec)


def _read_replica(framework: Framework, type_: str, written: Mapping[str, Any]) -> Replica:
    count = written.get("replicas")
    template = copy.deepcopy(dict(written.get("template") or {}))
    _add_port(framework, template)
    return Replica(
        type=type_,
        count=framework.default_count(type_) if count is None else int(count),
        restart_policy=written.get("restartPolicy") or framework.default_restart_policy,
        template=template,
    )


def _add_port(framework: Framework, template: Object) -> None:
    """Give the framework's container (the first one if none has its name) the framework's port."""
    spec = template["spec"] = template.get("spec") or {}
    containers = spec["containers"] = spec.get("containers") or []
    if not containers:
        return
    container = next((c for c in containers if c.get("name") == framework.container), containers[0])
    ports = container["ports"] = container.get("ports") or []
    if not any(port.get("name") == framework.port_name for port in ports):
        ports.append({"name": framework.port_name, "containerPort": framework.port})


def _read_run_policy(spec: Mapping[str, Any]) -> RunPolicy:
    policy: Mapping[str, Any] = spec.get("runPolicy") or {}
    return RunPolicy(
        clean_pod_policy=policy.get("cleanPodPolicy") or "None",
        ttl_s=policy.get("ttlSecondsAfterFinished"),
        active_deadline_s=policy.get("activeDeadlineSeconds"),
        backoff_limit=policy.get("backoffLimit"),
        suspend=bool(policy.get("suspend")),
        managed_by=policy.get("managedBy") or "",
        scheduling=policy.get("schedulingPolicy") or {},
    )
