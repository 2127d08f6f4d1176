"""Which kinds are served now: the built-in ones, and custom ones as their definitions come and go.

One owner (``collector``, after a write of a CustomResourceDefinition is durable) calls ``serve`` and ``withdraw``;
everything else only reads. Must not know the store or HTTP. Next: ``discovery``, which writes this down for clients.
"""

from collections.abc import Iterable, Sequence

from beamhall.embedded.api.resources import Resource
from beamhall.kernel.errors import NotFound
from beamhall.kernel.kinds import Kind


class Registry:
    """The served resources, by address.

    Attributes:
        generation: Grows by one with each change, for those who keep something made from the registry.

    Args:
        resources: What is always served.
    """

    def __init__(self, resources: Iterable[Resource] = ()) -> None:
        self.generation = 0
        self._by_address: dict[tuple[str, str, str], Resource] = {}
        self._by_kind: dict[Kind, Resource] = {}
        self._custom: dict[str, tuple[Resource, ...]] = {}
        for resource in resources:
            self._add(resource)

    def find(self, kind: Kind) -> Resource:
        """Give what is served of a kind.

        Raises:
            NotFound: The kind, or this version of it, is not served.
        """
        resource = self._by_kind.get(kind)
        if resource is None:
            resource = self._by_address.get((kind.group, kind.version, kind.plural))
        if resource is None:
            raise not_served(kind.group, kind.version, kind.plural)
        return resource

    def at(self, group: str, version: str, plural: str) -> Resource:
        """Give what is served at a path.

        Raises:
            NotFound: Nothing is.
        """
        resource = self._by_address.get((group, version, plural))
        if resource is None:
            raise not_served(group, version, plural)
        return resource

    def all(self) -> Sequence[Resource]:
        """Give every served version of every resource, in the order in which they came."""
        return tuple(self._by_address.values())

    def stored(self) -> Sequence[Resource]:
        """Give one version of each resource: that in which it is stored, or another if that one is not served."""
        found: dict[str, Resource] = {}
        for resource in self._by_address.values():
            if resource.name not in found or resource.stored_api_version == resource.kind.api_version:
                found[resource.name] = resource
        return tuple(found.values())

    def stored_as(self, name: str) -> Resource | None:
        """Give the stored version of a resource by its version-less name, None if it is not served."""
        return next((r for r in self._by_address.values() if r.name == name), None)

    def of_kind(self, api_version: str, kind: str) -> Resource | None:
        """Find what an object's ``apiVersion`` and ``kind`` mean; any served version of the group will do."""
        group = api_version.partition("/")[0] if "/" in api_version else ""
        return next((r for r in self._by_address.values() if r.kind.kind == kind and r.kind.group == group), None)

    def serve(self, definition: str, resources: Sequence[Resource]) -> None:
        """Serve the versions of a custom resource, in place of what its definition said before.

        Args:
            definition: Name of the CustomResourceDefinition.
            resources: One for each served version.
        """
        self._remove(self._custom.pop(definition, ()))
        self._custom[definition] = tuple(resources)
        for resource in resources:
            self._add(resource)
        self.generation += 1

    def withdraw(self, definition: str) -> None:
        """Serve the custom resource no longer."""
        self._remove(self._custom.pop(definition, ()))
        self.generation += 1

    def _add(self, resource: Resource) -> None:
        kind = resource.kind
        self._by_address[kind.group, kind.version, kind.plural] = resource
        self._by_kind[kind] = resource

    def _remove(self, resources: Iterable[Resource]) -> None:
        for resource in resources:
            kind = resource.kind
            self._by_address.pop((kind.group, kind.version, kind.plural), None)
            self._by_kind.pop(kind, None)


def not_served(group: str, version: str, plural: str) -> NotFound:
    """Make the error for a resource that is not served, in words that say what to look at."""
    where = f"{group}/{version}" if group else version
    return NotFound(
        f'the server could not find the requested resource: "{plural}" is not served in {where}; '
        "`kubectl api-resources` lists what is, and a custom kind needs its CustomResourceDefinition first",
        details={"group": group, "kind": plural} if group else {"kind": plural},
    )
