"""Priorities of Pods, as their PriorityClasses give them; at most one class is the default.

Source: Kubernetes "Pod Priority and Preemption"; the Priority admission plugin, its refusals word by word.
"""

from beamhall.embedded.api.core import Operation
from beamhall.embedded.api.resources import Resource
from beamhall.embedded.store.store import Store
from beamhall.kernel.errors import Forbidden
from beamhall.kernel.kinds import POD, PRIORITY_CLASS
from beamhall.kernel.objects import Object, ReadOnlyObject, name_of

SYSTEM_PRIORITIES = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
"""Classes that every cluster has."""

_POLICY = "PreemptLowerPriority"


class PodPriority:
    """Turns a Pod's ``priorityClassName`` into its ``priority``; an ``Admission`` and an ``Observer``.

    Args:
        store: Where PriorityClasses are.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        # Kept, so that a Pod's create need not look through all classes.
        self._defaults: dict[str, ReadOnlyObject] = {}
        for found in store.list(PRIORITY_CLASS.resource).items:
            self._note(found)

    def written(self, resource: Resource, obj: ReadOnlyObject, *, is_gone: bool) -> None:
        """Notice which classes are the default."""
        if resource.kind == PRIORITY_CLASS:
            self._defaults.pop(name_of(obj), None)
            if not is_gone:
                self._note(obj)

    async def admit(self, operation: Operation) -> None:
        """Set the priority of a new Pod, and refuse a second default class.

        Raises:
            Forbidden: There is no such PriorityClass, the Pod states another priority, or there is a default already.
        """
        if operation.resource.kind == PRIORITY_CLASS and operation.verb != "delete":
            self._refuse_second_default(operation.object)
        if operation.resource.kind != POD or operation.verb != "create":
            return
        spec = operation.object.get("spec")
        if isinstance(spec, dict):
            self._set_priority(operation.object, spec)

    def _note(self, found: ReadOnlyObject) -> None:
        if found.get("globalDefault"):
            self._defaults[name_of(found)] = found

    def _refuse_second_default(self, obj: ReadOnlyObject) -> None:
        others = [name for name in self._defaults if name != name_of(obj)]
        if obj.get("globalDefault") and others:
            raise Forbidden(
                f'priorityclasses.scheduling.k8s.io "{name_of(obj)}" is forbidden: '
                f"PriorityClass {others[0]} is already marked as default. Only one default can exist"
            )

    def _set_priority(self, pod: ReadOnlyObject, spec: Object) -> None:
        value, policy = self._class_of(pod, spec)
        given = spec.get("priority")
        if given is not None and given != value:
            raise Forbidden(
                f'pods "{name_of(pod)}" is forbidden: the integer value of priority ({given}) must not be provided in '
                f"pod spec; priority admission controller computed {value} from the given PriorityClass name"
            )
        given = spec.get("preemptionPolicy")
        if given and given != policy:
            raise Forbidden(
                f'pods "{name_of(pod)}" is forbidden: the string value of PreemptionPolicy ({given}) must not be '
                f"provided in pod spec; priority admission controller computed {policy} from the given PriorityClass "
                "name"
            )
        spec["priority"], spec["preemptionPolicy"] = value, policy

    def _class_of(self, pod: ReadOnlyObject, spec: Object) -> tuple[int, str]:
        """Give the priority and policy of a Pod's class; without one, of the default, which is written into it."""
        name = spec.get("priorityClassName")
        if not name:
            if not self._defaults:
                return 0, _POLICY
            found = min(self._defaults.values(), key=lambda one: int(one.get("value") or 0))
            spec["priorityClassName"] = name_of(found)
            return int(found.get("value") or 0), found.get("preemptionPolicy") or _POLICY
        stored = self._store.get(PRIORITY_CLASS.resource, "", str(name))
        if stored is None and name in SYSTEM_PRIORITIES:
            return SYSTEM_PRIORITIES[name], _POLICY
        if stored is None:
            raise Forbidden(f'pods "{name_of(pod)}" is forbidden: no PriorityClass with name {name} was found')
        return int(stored.get("value") or 0), stored.get("preemptionPolicy") or _POLICY
