"""A JobSet read from its object, with every default filled in.

Reading never changes the stored object, and is lenient: what is wrong with a JobSet is told by ``validation``. Read on
in ``planner``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from beamhall.kernel.objects import ReadOnlyObject, name_of, namespace_of, uid_of

OUR_MANAGER = "jobset.sigs.k8s.io/jobset-controller"


@dataclass(frozen=True, slots=True)
class Dependency:
    """What must have come of another replicated Job before one starts: ``Ready`` or ``Complete``."""

    name: str
    status: str


@dataclass(frozen=True, slots=True)
class ReplicatedJob:
    """Jobs made of one template.

    Attributes:
        name: Its name.
        replicas: How many Jobs.
        template: The template of a Job, as written. Shared: do not change.
        depends_on: What they wait for.
    """

    name: str
    replicas: int
    template: ReadOnlyObject
    depends_on: Sequence[Dependency] = ()


@dataclass(frozen=True, slots=True)
class JobSet:
    """A JobSet as its planner sees it.

    Attributes:
        object: The object it was read from.
        replicated: Its Jobs, in the order in which they are stated.
        suspend: Whether all are suspended.
        in_order: Whether each starts when the one before is ready.
        subdomain: The Service that has its Pods' names; empty: they have none.
    """

    object: ReadOnlyObject
    replicated: Sequence[ReplicatedJob]
    suspend: bool
    in_order: bool
    subdomain: str

    @property
    def name(self) -> str:
        """Its name."""
        return name_of(self.object)

    @property
    def namespace(self) -> str:
        """Its namespace."""
        return namespace_of(self.object)

    @property
    def uid(self) -> str:
        """Its uid."""
        return uid_of(self.object)

    @property
    def spec(self) -> Mapping[str, Any]:
        """Its spec, as written."""
        return self.object.get("spec") or {}

    @property
    def status(self) -> Mapping[str, Any]:
        """Its status, as stored."""
        return self.object.get("status") or {}

    @property
    def is_ours(self) -> bool:
        """Whether this controller runs it."""
        return (self.spec.get("managedBy") or OUR_MANAGER) == OUR_MANAGER

    @property
    def n_jobs(self) -> int:
        """How many Jobs it wants."""
        return sum(replicated.replicas for replicated in self.replicated)

    def job_name(self, replicated: str, index: int) -> str:
        """Name a Job."""
        return f"{self.name}-{replicated}-{index}"

    def find(self, name: str) -> ReplicatedJob | None:
        """Give a replicated Job."""
        return next((replicated for replicated in self.replicated if replicated.name == name), None)


def read_job_set(obj: ReadOnlyObject) -> JobSet:
    """Read a JobSet."""
    spec: Mapping[str, Any] = obj.get("spec") or {}
    network: Mapping[str, Any] = spec.get("network") or {}
    has_names = network.get("enableDNSHostnames") is not False
    return JobSet(
        object=obj,
        replicated=[_read_replicated(written) for written in spec.get("replicatedJobs") or ()],
        suspend=bool(spec.get("suspend")),
        in_order=(spec.get("startupPolicy") or {}).get("startupPolicyOrder") == "InOrder",
        subdomain=str(network.get("subdomain") or name_of(obj)) if has_names else "",
    )


def _read_replicated(written: Mapping[str, Any]) -> ReplicatedJob:
    replicas = written.get("replicas")
    return ReplicatedJob(
        name=str(written.get("name") or ""),
        replicas=1 if replicas is None else int(replicas),
        template=written.get("template") or {},
        depends_on=[
            Dependency(str(one.get("name") or ""), str(one.get("status") or ""))
            for one in written.get("dependsOn") or ()
        ],
    )
