"""Nobody grants what they do not have: asked of each write of a role or a binding.

Who may ``escalate`` a role may write any rules into it, and who may ``bind`` a role may give it to anybody.
Source: ``kubernetes/pkg/registry/rbac/*/policybased``.
"""

from collections.abc import Sequence

from beamhall.embedded.api.authorization import Attributes, Authorizer
from beamhall.embedded.api.core import Operation
from beamhall.embedded.api.rbac.index import RbacIndex
from beamhall.embedded.api.rbac.rules import ALL, Rule, missing_from, quoted, read_rules
from beamhall.kernel.errors import Forbidden, NotFound
from beamhall.kernel.identity import ADMIN_GROUP, User
from beamhall.kernel.kinds import CLUSTER_ROLE, CLUSTER_ROLE_BINDING, ROLE, ROLE_BINDING, Kind
from beamhall.kernel.objects import name_of, namespace_of

_GROUP = ROLE.group
_EVERYTHING = (
    Rule(frozenset((ALL,)), frozenset((ALL,)), frozenset((ALL,))),
    Rule(frozenset((ALL,)), urls=frozenset((ALL,))),
)


class Escalation:
    """An ``Admission`` that refuses to grant more than the writer has.

    Args:
        index: Who has what.
        authorizer: Who may ``escalate`` and ``bind``.
    """

    def __init__(self, index: RbacIndex, authorizer: Authorizer) -> None:
        self._index = index
        self._authorizer = authorizer

    async def admit(self, operation: Operation) -> None:
        """Let a write of a role or binding pass.

        Raises:
            Forbidden: It grants what the writer does not have.
            NotFound: It binds a role that there is not.
        """
        if operation.verb == "delete" or ADMIN_GROUP in operation.user.groups:
            return
        if operation.resource.kind in (ROLE, CLUSTER_ROLE):
            self._check_role(operation)
        elif operation.resource.kind in (ROLE_BINDING, CLUSTER_ROLE_BINDING):
            self._check_binding(operation)

    def _check_role(self, operation: Operation) -> None:
        obj, old = operation.object, operation.old or {}
        if operation.old is not None and all(obj.get(f) == old.get(f) for f in ("rules", "aggregationRule")):
            return
        if self._may(operation.user, "escalate", operation.resource.kind, (namespace_of(obj), name_of(obj))):
            return
        if obj.get("aggregationRule") and self._missing(operation, _EVERYTHING):
            raise _forbidden(operation, "must have cluster-admin privileges to use an aggregationRule")
        self._confirm(operation, read_rules(obj.get("rules")))

    def _check_binding(self, operation: Operation) -> None:
        obj, old = operation.object, operation.old or {}
        if operation.old is not None and all(obj.get(f) == old.get(f) for f in ("roleRef", "subjects")):
            return
        reference, namespace = obj.get("roleRef") or {}, namespace_of(obj)
        kind = ROLE if reference.get("kind") == ROLE.kind else CLUSTER_ROLE
        name = str(reference.get("name") or "")
        if self._may(operation.user, "bind", kind, (namespace, name)):
            return
        rules = self._index.role((namespace if kind == ROLE else "", name))
        if rules is None:
            raise NotFound(
                f'{kind.resource} "{name}" not found', details={"group": _GROUP, "kind": kind.plural, "name": name}
            )
        self._confirm(operation, rules)

    def _may(self, user: User, verb: str, kind: Kind, where: tuple[str, str]) -> bool:
        return self._authorizer.allows(user, Attributes(verb, _GROUP, kind.plural, *where))

    def _missing(self, operation: Operation, rules: Sequence[Rule]) -> Sequence[Rule]:
        held = tuple(self._index.grants(operation.user).within(namespace_of(operation.object)))
        return missing_from(held, rules)

    def _confirm(self, operation: Operation, rules: Sequence[Rule]) -> None:
        missing = self._missing(operation, rules)
        if not missing:
            return
        user = operation.user
        lines = "\n".join(sorted({str(rule) for rule in missing}))
        raise _forbidden(
            operation,
            f'user "{user.name}" (groups={quoted(user.groups)}) is attempting to grant RBAC permissions not currently '
            f"held:\n{lines}",
        )


def _forbidden(operation: Operation, why: str) -> Forbidden:
    resource, name = operation.resource, name_of(operation.object)
    return Forbidden(f"{resource.describe(name)} is forbidden: {why}", details=resource.details(name))
