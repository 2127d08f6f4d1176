"""A training job read from its object: replicas and run policy with every default filled in.

Reading never changes the stored object: users see what they wrote. What is wrong with a job is told by ``validation``;
reading is lenient, so that a job that is wrong can still be cleaned up. ``Framework`` is what one kind must tell about
itself. Read on in ``planner``.

Source: reference "Training jobs", sections 1.1 and 1.2.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

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
        active: Those whose Pod runs.
        ready: Those whose Pod runs and is ready.
        evicted: Those whose Pod was evicted for good.
    """

    counts: Mapping[str, Counts]
    succeeded: frozenset[tuple[str, int]] = frozenset()
    active: frozenset[tuple[str, int]] = frozenset()
    ready: frozenset[tuple[str, int]] = frozenset()
    evicted: frozenset[tuple[str, int]] = frozenset()

    def is_complete(self, replica: Replica) -> bool:
        """Tell whether every replica of a type succeeded."""
        return self.counts[replica.type].succeeded >= replica.count


class Framework:
    """What is special about one kind of training job; everything else is shared. Subclasses say the differences.

    Attributes:
        kind: The kind of the job's objects.
        replicas_field: The field of the spec that holds the replicas.
        replica_types: The canonical names of the replica types, in the order in which they are looked at.
        container: The name of the container that trains.
        port_name: The name of the port that replicas find each other by.
        port: That port, where the job names none.
        default_restart_policy: The restart policy of replicas that name none.
        has_services: Whether each replica has a Service of its own name.
        child_kinds: The kinds of the objects that a job has beside Pods and the Services of its replicas.
        is_container_required: Whether each replica must have a container of that name.
        kept_types: Replica types whose Pods stay when a finished job is cleaned up.
        default_backoff_limit: ``backoffLimit`` of jobs that say nothing; None: unlimited.
        template_policy_reason: The reason of the event that a restart policy in a Pod template counts for nothing.
        operator: How the label of the controller calls it; empty: by the kind.
    """

    kind: Kind
    replicas_field: str
    replica_types: Sequence[str]
    container: str
    port_name: str
    port: int
    default_restart_policy: str = "Never"
    has_services: bool = True
    child_kinds: Sequence[Kind] = ()
    is_container_required: bool = True
    kept_types: Sequence[str] = ()
    default_backoff_limit: int | None = None
    template_policy_reason: str = "SetPodTemplateRestartPolicy"
    operator: str = ""

    def owns(self, obj: ReadOnlyObject) -> bool:
        """Tell whether an object of the kind is run by this framework: two may share a kind."""
        return True

    def default_count(self, type_: str) -> int:
        """Give the number of replicas of a type that names none."""
        return 1

    def child_name(self, job: "TrainingJob", type_: str, index: int) -> str:
        """Name the Pod and the Service of one replica."""
        return f"{job.name}-{type_.lower()}-{index}"

    def environment(self, job: "TrainingJob", type_: str, index: int, container: str) -> Sequence[Object]:
        """Give the environment variables to append to a container of one replica."""
        raise NotImplementedError

    def finish_pod(self, job: "TrainingJob", type_: str, index: int, pod: Object) -> None:
        """Change the Pod of one replica, which is complete otherwise, in place."""

    def children(self, job: "TrainingJob", observed: Observed) -> Sequence[tuple[Kind, Object]]:
        """Give the objects that the job has beside Pods and the Services of its replicas; owners are added."""
        return ()

    def is_due(self, job: "TrainingJob", type_: str, observed: Observed) -> bool:
        """Tell whether the Pods of a type may be made now."""
        return True

    def is_replaced(self, job: "TrainingJob", type_: str) -> bool:
        """Tell whether failed Pods of a type are made anew although their restart policy is ``Never``."""
        return False

    def gang_size(self, job: "TrainingJob") -> int:
        """Give how many Pods start together or not at all."""
        return job.n_replicas

    def is_master(self, job: "TrainingJob", type_: str, index: int) -> bool:
        """Tell whether a replica is the one whose log and metrics stand for the job's."""
        raise NotImplementedError

    def is_succeeded(self, job: "TrainingJob", observed: Observed) -> bool:
        """Tell whether the job has reached its end well."""
        raise NotImplementedError

    def is_running(self, job: "TrainingJob", observed: Observed) -> bool:
        """Tell whether the deciding replicas run."""
        raise NotImplementedError

    def failure(self, job: "TrainingJob", observed: Observed) -> str:
        """Say why the job failed for good, empty if it has not; ``counts.failed`` has only what is not restarted."""
        raise NotImplementedError

    def failure_reason(self, job: "TrainingJob", observed: Observed) -> str:
        """Give the reason of a failure without the kind's name; empty: ``Failed``."""
        return ""

    def validate(self, job: "TrainingJob") -> Sequence[Cause]:
        """Say what is wrong with the job beyond what every kind asks for."""
        return ()

    def check_update(self, obj: ReadOnlyObject, old: ReadOnlyObject) -> Sequence[Cause]:
        """Say what must not be changed beyond what every kind forbids."""
        return ()

    def say_created(self, job: "TrainingJob") -> str:
        """Word the condition Created."""
        return f"{self.kind.kind} {job.name} is created."

    def say_running(self, job: "TrainingJob") -> str:
        """Word the condition Running."""
        return f"{self.kind.kind} {job.namespace}/{job.name} is running."

    def say_succeeded(self, job: "TrainingJob") -> str:
        """Word the condition Succeeded."""
        return f"{self.kind.kind} {job.namespace}/{job.name} successfully completed."

    def say_restarting(self, job: "TrainingJob", type_: str, n: int) -> str:
        """Word the condition Restarting, for ``n`` failed replicas of a type."""
        name = f"{job.namespace}/{job.name}"
        return f"{self.kind.kind} {name} is restarting because {n} {type_} replica(s) failed."


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
        return self.framework.child_name(self, type_, index)

    def host(self, type_: str, index: int) -> str:
        """Name the host of one replica as its peers resolve it, without a cluster domain."""
        return f"{self.child_name(type_, index)}.{self.namespace}.svc"

    def port(self, type_: str) -> int:
        """Give the port that replicas of a type listen on for their peers."""
        container = main_container(self.framework, self.replicas[type_].template["spec"]["containers"]) or {}
        for port in container.get("ports") or ():
            if port.get("name") == self.framework.port_name:
                return int(port["containerPort"])
        return self.framework.port

    def labels(self, type_: str = "", index: int | None = None) -> dict[str, str]:
        """Give the labels that select the job's children, or those of one type, or of one replica."""
        operator = self.framework.operator or f"{self.framework.kind.kind.lower()}-controller"
        labels = {OPERATOR_LABEL: operator, JOB_LABEL: self.name}
        if type_:
            labels[TYPE_LABEL] = type_.lower()
        if index is not None:
            labels[INDEX_LABEL] = str(index)
        return labels


def main_container(framework: Framework, containers: Sequence[Any]) -> Any:
    """Give the container that trains: the one of the framework's name, else the first; None if there is none."""
    return next((c for c in containers if c.get("name") == framework.container), containers[0] if containers else None)


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
    return TrainingJob(obj, framework, replicas, _read_run_policy(spec, framework.default_backoff_limit), spec)


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
    container = main_container(framework, containers)
    if container is None:
        return
    ports = container["ports"] = container.get("ports") or []
    if not any(port.get("name") == framework.port_name for port in ports):
        ports.append({"name": framework.port_name, "containerPort": framework.port})


def _read_run_policy(spec: Mapping[str, Any], backoff_limit: int | None) -> RunPolicy:
    policy: Mapping[str, Any] = spec.get("runPolicy") or {}
    return RunPolicy(
        # MPIJob of v1 may say it at the top too, as it did before there was a run policy.
        clean_pod_policy=policy.get("cleanPodPolicy") or spec.get("cleanPodPolicy") or "None",
        ttl_s=policy.get("ttlSecondsAfterFinished"),
        active_deadline_s=policy.get("activeDeadlineSeconds"),
        backoff_limit=backoff_limit if policy.get("backoffLimit") is None else policy["backoffLimit"],
        suspend=bool(policy.get("suspend")),
        managed_by=policy.get("managedBy") or "",
        scheduling=policy.get("schedulingPolicy") or {},
    )
