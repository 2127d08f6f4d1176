"""Which rules each user has now: the stored roles and bindings, read once and kept up to date by their writes.

An observer of writes, so it is right the moment a write is acknowledged. Next: ``authorizer``.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from beamhall.embedded.api.rbac.rules import Rule, read_rules, subjects_of
from beamhall.embedded.api.resources import Resource
from beamhall.embedded.store.store import Store
from beamhall.kernel.identity import User
from beamhall.kernel.kinds import CLUSTER_ROLE, CLUSTER_ROLE_BINDING, ROLE, ROLE_BINDING
from beamhall.kernel.objects import ReadOnlyObject, name_of, namespace_of

_ROLES = (ROLE.resource, CLUSTER_ROLE.resource)
_BINDINGS = (ROLE_BINDING.resource, CLUSTER_ROLE_BINDING.resource)
_KEPT_USERS = 1024

RoleName = tuple[str, str]
"""Namespace (empty: a ClusterRole) and name."""


@dataclass(frozen=True, slots=True)
class _Binding:
    namespace: str
    role: RoleName
    subjects: frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Grants:
    """What a user may do.

    Attributes:
        rules: By namespace; under the empty one, those that hold everywhere.
        missing: Roles that are bound to the user in each namespace but are not there.
    """

    rules: Mapping[str, Sequence[Rule]]
    missing: Mapping[str, Sequence[RoleName]]

    def within(self, namespace: str) -> Iterator[Rule]:
        """Give the rules that hold in a namespace; empty: at the cluster's scope."""
        yield from self.rules.get("", ())
        if namespace:
            yield from self.rules.get(namespace, ())


class RbacIndex:
    """Roles and bindings in memory.

    Args:
        store: Where they are read from, once.
    """

    def __init__(self, store: Store) -> None:
        self._roles: dict[RoleName, tuple[Rule, ...]] = {}
        self._bindings: dict[tuple[str, str], _Binding] = {}
        self._by_subject: dict[tuple[str, str], dict[tuple[str, str], _Binding]] = {}
        self._grants: dict[tuple[str, tuple[str, ...]], Grants] = {}
        for resource in (*_ROLES, *_BINDINGS):
            for obj in store.list(resource).items:
                self._take_in(resource, obj, is_gone=False)

    def written(self, resource: Resource, obj: ReadOnlyObject, *, is_gone: bool) -> None:
        """Take in a durable write."""
        self._take_in(resource.name, obj, is_gone=is_gone)

    def _take_in(self, resource: str, obj: ReadOnlyObject, *, is_gone: bool) -> None:
        where = (namespace_of(obj), name_of(obj))
        if resource in _ROLES:
            if is_gone:
                self._roles.pop(where, None)
            else:
                self._roles[where] = read_rules(obj.get("rules"))
        elif resource in _BINDINGS:
            self._set_binding(where, None if is_gone else _binding_of(obj))
        else:
            return
        self._grants.clear()

    def _set_binding(self, where: tuple[str, str], binding: _Binding | None) -> None:
        before = self._bindings.pop(where, None)
        for subject in before.subjects if before else ():
            self._by_subject[subject].pop(where)
            if not self._by_subject[subject]:
                del self._by_subject[subject]
        if binding is not None:
            self._bindings[where] = binding
            for subject in binding.subjects:
                self._by_subject.setdefault(subject, {})[where] = binding

    def role(self, name: RoleName) -> tuple[Rule, ...] | None:
        """Give the rules of a role, None if there is no such role."""
        return self._roles.get(name)

    def grants(self, user: User) -> Grants:
        """Give what a user may do now."""
        key = (user.name, user.groups)
        found = self._grants.get(key)
        if found is None:
            if len(self._grants) >= _KEPT_USERS:
                del self._grants[next(iter(self._grants))]
            found = self._grants[key] = self._collect(user)
        return found

    def _collect(self, user: User) -> Grants:
        bindings: dict[tuple[str, str], _Binding] = {}
        for subject in (("User", user.name), *(("Group", group) for group in user.groups)):
            bindings |= self._by_subject.get(subject, {})
        rules: dict[str, dict[Rule, None]] = {}
        missing: dict[str, list[RoleName]] = {}
        for binding in bindings.values():
            role = self._roles.get(binding.role)
            if role is None:
                missing.setdefault(binding.namespace, []).append(binding.role)
            else:
                rules.setdefault(binding.namespace, {}).update(dict.fromkeys(role))
        return Grants({namespace: tuple(held) for namespace, held in rules.items()}, missing)


def _binding_of(obj: ReadOnlyObject) -> _Binding:
    namespace, reference = namespace_of(obj), obj.get("roleRef") or {}
    where = namespace if reference.get("kind") == ROLE.kind else ""
    return _Binding(namespace, (where, str(reference.get("name") or "")), frozenset(subjects_of(obj)))
