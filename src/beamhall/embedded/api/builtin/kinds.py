"""The built-in kinds that are served, and what discovery says of each beyond its address.

Next: ``definitions`` (their fields), ``defaults``, ``validation``, ``tables``.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from beamhall.kernel import kinds
from beamhall.kernel.kinds import Kind


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """One built-in kind, as discovery shows it.

    Attributes:
        kind: Its address.
        definition: Name of its definition (``definitions``), such as ``core_v1.Pod``.
        short_names: What kubectl also accepts, such as ``po``.
        categories: Groups of kinds that kubectl accepts, such as ``all``.
        has_status: Whether there is a ``/status`` subresource.
        has_generation: Whether a change of the spec raises ``metadata.generation``.
    """

    kind: Kind
    definition: str
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    has_status: bool = False
    has_generation: bool = False

    @property
    def singular(self) -> str:
        """The singular name, which kubectl accepts as well."""
        return self.kind.kind.lower()


_ALL = ("all",)
BUILT_INS: Mapping[str, BuiltIn] = {
    built_in.kind.resource: built_in
    for built_in in (
        BuiltIn(kinds.NAMESPACE, "core_v1.Namespace", ("ns",), has_status=True),
        BuiltIn(kinds.NODE, "core_v1.Node", ("no",), has_status=True),
        BuiltIn(kinds.POD, "core_v1.Pod", ("po",), _ALL, has_status=True, has_generation=True),
        BuiltIn(kinds.SERVICE, "core_v1.Service", ("svc",), _ALL, has_status=True),
        BuiltIn(kinds.ENDPOINTS, "core_v1.Endpoints", ("ep",)),
        BuiltIn(kinds.CONFIG_MAP, "core_v1.ConfigMap", ("cm",)),
        BuiltIn(kinds.SECRET, "core_v1.Secret"),
        BuiltIn(kinds.PERSISTENT_VOLUME_CLAIM, "core_v1.PersistentVolumeClaim", ("pvc",), has_status=True),
        BuiltIn(kinds.PERSISTENT_VOLUME, "core_v1.PersistentVolume", ("pv",), has_status=True),
        BuiltIn(kinds.EVENT, "core_v1.Event", ("ev",)),
        BuiltIn(kinds.SERVICE_ACCOUNT, "core_v1.ServiceAccount", ("sa",)),
        BuiltIn(kinds.RESOURCE_QUOTA, "core_v1.ResourceQuota", ("quota",), has_status=True),
        BuiltIn(kinds.LIMIT_RANGE, "core_v1.LimitRange", ("limits",)),
        BuiltIn(kinds.DEPLOYMENT, "apps_v1.Deployment", ("deploy",), _ALL, has_status=True, has_generation=True),
        BuiltIn(kinds.REPLICA_SET, "apps_v1.ReplicaSet", ("rs",), _ALL, has_status=True, has_generation=True),
        BuiltIn(kinds.STATEFUL_SET, "apps_v1.StatefulSet", ("sts",), _ALL, has_status=True, has_generation=True),
        BuiltIn(kinds.CONTROLLER_REVISION, "apps_v1.ControllerRevision"),
        BuiltIn(kinds.JOB, "batch_v1.Job", (), _ALL, has_status=True, has_generation=True),
        BuiltIn(kinds.CRON_JOB, "batch_v1.CronJob", ("cj",), _ALL, has_status=True, has_generation=True),
        BuiltIn(kinds.LEASE, "coordination_v1.Lease"),
        BuiltIn(kinds.ENDPOINT_SLICE, "discovery_v1.EndpointSlice", has_generation=True),
        BuiltIn(kinds.ROLE, "rbac_v1.Role"),
        BuiltIn(kinds.ROLE_BINDING, "rbac_v1.RoleBinding"),
        BuiltIn(kinds.CLUSTER_ROLE, "rbac_v1.ClusterRole"),
        BuiltIn(kinds.CLUSTER_ROLE_BINDING, "rbac_v1.ClusterRoleBinding"),
        BuiltIn(kinds.PRIORITY_CLASS, "scheduling_v1.PriorityClass", ("pc",), has_generation=True),
        BuiltIn(kinds.STORAGE_CLASS, "storage_v1.StorageClass", ("sc",)),
        BuiltIn(
            kinds.CUSTOM_RESOURCE_DEFINITION,
            "apiextensions_v1.CustomResourceDefinition",
            ("crd", "crds"),
            ("api-extensions",),
            has_status=True,
            has_generation=True,
        ),
    )
}
"""The built-in kinds by ``Kind.resource``."""


def built_in(kind: Kind) -> BuiltIn | None:
    """Give what is known of a kind, or None if it is not built in (or not in this version)."""
    found = BUILT_INS.get(kind.resource)
    return found if found is not None and found.kind == kind else None
