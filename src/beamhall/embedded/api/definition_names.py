"""Names of custom kinds: whoever comes second with a name of its group is not served by it, and its conditions say so.

A definition becomes ``Established`` when all its names are accepted, and stays so. Source: ``apiextensions.k8s.io/v1``;
``k8s.io/apiextensions-apiserver/pkg/controller/status/naming_controller.go``.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from beamhall.embedded.api.core import Operation
from beamhall.embedded.api.crds import Refused, establish
from beamhall.embedded.store.store import Store
from beamhall.kernel.clock import Clock, format_time
from beamhall.kernel.kinds import CUSTOM_RESOURCE_DEFINITION
from beamhall.kernel.objects import Object, ReadOnlyObject, name_of


class DefinitionNames:
    """Brings a definition's status in line with its spec and with the names of others.

    Args:
        store: Where definitions are.
        clock: The time.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def admit(self, operation: Operation) -> None:
        """Accept the names of a definition that is made or changed, as far as they are free."""
        if operation.resource.kind != CUSTOM_RESOURCE_DEFINITION or operation.verb == "delete":
            return
        definition = operation.object
        group = _spec(definition).get("group")
        others = [
            (other.get("status") or {}).get("acceptedNames") or {}
            for other in self._store.list(CUSTOM_RESOURCE_DEFINITION.resource).items
            if _spec(other).get("group") == group and name_of(other) != name_of(definition)
        ]
        establish(definition, refused_names(_spec(definition).get("names"), others), format_time(self._clock.now()))


def refused_names(names: Any, others: Sequence[Mapping[str, Any]]) -> Sequence[Refused]:
    """Give which of a definition's names others of its group have, with the reason of the wire."""
    if not isinstance(names, Mapping):
        return ()
    resources, kinds = set(), set()
    for other in others:
        resources |= {other.get("plural"), other.get("singular"), *(other.get("shortNames") or ())}
        kinds |= {other.get("kind"), other.get("listKind")}
    found: list[Refused] = []
    for field, reason, taken in (
        ("plural", "PluralConflict", resources),
        ("singular", "SingularConflict", resources),
        ("shortNames", "ShortNamesConflict", resources),
        ("kind", "KindConflict", kinds),
        ("listKind", "ListKindConflict", kinds),
    ):
        value = names.get(field)
        given = value if isinstance(value, list) else [value]
        found.extend(Refused(field, reason, f'"{name}" is already in use') for name in given if name and name in taken)
    return found


def is_waiting(definition: ReadOnlyObject) -> bool:
    """Tell whether a definition waits for names that others have."""
    conditions: Sequence[Object] = (definition.get("status") or {}).get("conditions") or ()
    return any(c.get("type") == "NamesAccepted" and c.get("status") != "True" for c in conditions)


def _spec(definition: ReadOnlyObject) -> Mapping[str, Any]:
    spec = definition.get("spec")
    return spec if isinstance(spec, Mapping) else {}
