"""How many objects there are, without looking: counted from the log. Used on the loop only."""

from collections import Counter
from collections.abc import Iterable

from beamhall.embedded.store.watch import Change


class Counts:
    """Numbers of objects by resource, and by resource and namespace.

    Args:
        rows: (resource, namespace, number) of what is there at the beginning.
    """

    def __init__(self, rows: Iterable[tuple[str, str, int]]) -> None:
        self._by_namespace: Counter[tuple[str, str]] = Counter()
        self._by_resource: Counter[str] = Counter()
        for resource, namespace, number in rows:
            self._add(resource, namespace, number)

    def of(self, resource: str, namespace: str = "") -> int:
        """Give the number of objects of a resource, in one namespace or (empty) in all."""
        return self._by_namespace[resource, namespace] if namespace else self._by_resource[resource]

    def take(self, change: Change) -> None:
        """Count a committed change."""
        if change.type != "MODIFIED":
            self._add(change.resource, change.namespace, 1 if change.type == "ADDED" else -1)

    def _add(self, resource: str, namespace: str, number: int) -> None:
        self._by_resource[resource] += number
        self._by_namespace[resource, namespace] += number
        if not self._by_namespace[resource, namespace]:  # namespaces come and go: what is zero must not pile up
            del self._by_namespace[resource, namespace]
