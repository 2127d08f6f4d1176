"""Admission that is always on: what a write gets from other objects before it is validated, and what refuses it.

Next: ``limits`` (LimitRange), ``quota`` (ResourceQuota), which is asked last, once it is settled what is asked for.
"""

from collections.abc import Sequence

from beamhall.embedded.api.core import Admission, Operation
from beamhall.embedded.api.limits import LimitRanger
from beamhall.embedded.api.storage import StorageAdmission
from beamhall.embedded.store.store import Store
from beamhall.kernel.errors import Forbidden
from beamhall.kernel.kinds import POD, PRIORITY_CLASS

SYSTEM_PRIORITIES = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
"""Classes that every cluster has."""


class PodPriority:
    """Turns a Pod's ``priorityClassName`` into its ``priority``.

    Args:
        store: Where PriorityClasses are.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def admit(self, operation: Operation) -> None:
        """Set the priority of a new Pod.

        Raises:
            Forbidden: There is no such PriorityClass.
        """
        if operation.resource.kind != POD or operation.verb != "create":
            return
        spec = operation.object.get("spec")
        if not isinstance(spec, dict):
            return
        name = spec.get("priorityClassName")
        if not name:
            spec.setdefault("priority", 0)
            spec.setdefault("preemptionPolicy", "PreemptLowerPriority")
            return
        if name in SYSTEM_PRIORITIES:
            spec["priority"] = SYSTEM_PRIORITIES[name]
            return
        found = self._store.get(PRIORITY_CLASS.resource, "", str(name))
        if found is None:
            raise Forbidden(
                f'pods "{operation.object["metadata"]["name"]}" is forbidden: '
                f"no PriorityClass with name {name} was found"
            )
        spec["priority"] = int(found.get("value") or 0)
        spec.setdefault("preemptionPolicy", found.get("preemptionPolicy") or "PreemptLowerPriority")


def standard_admissions(store: Store) -> Sequence[Admission]:
    """Give what is always asked before a write, in order."""
    return (PodPriority(store), StorageAdmission(store), LimitRanger(store))
