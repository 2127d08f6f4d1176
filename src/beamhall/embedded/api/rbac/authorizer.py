"""The authorizer that every request is put to. Next: ``index``."""

from collections.abc import Sequence

from beamhall.embedded.api.authorization import Attributes
from beamhall.embedded.api.rbac.index import RbacIndex
from beamhall.embedded.api.rbac.rules import Rule
from beamhall.kernel.identity import ADMIN_GROUP, User


class RbacAuthorizer:
    """Allows what a rule that the user has allows; members of ``ADMIN_GROUP`` may do everything.

    Args:
        index: The rules of every user.
    """

    def __init__(self, index: RbacIndex) -> None:
        self._index = index

    def allows(self, user: User, attributes: Attributes) -> bool:
        """Tell whether the user may do this."""
        if ADMIN_GROUP in user.groups:
            return True
        return any(rule.allows(attributes) for rule in self._index.grants(user).within(attributes.namespace))

    def why_not(self, user: User, attributes: Attributes) -> str:
        """Say what stands in the way beyond that no rule allows it: a bound role that is not there."""
        missing = self._index.grants(user).missing
        names = [*missing.get("", ()), *(missing.get(attributes.namespace, ()) if attributes.namespace else ())]
        said = [
            f'{"role" if namespace else "clusterrole"}.rbac.authorization.k8s.io "{name}" not found'
            for namespace, name in names
        ]
        if not said:
            return ""
        return f"RBAC: {said[0]}" if len(said) == 1 else f"RBAC: [{', '.join(said)}]"

    def rules(self, user: User, namespace: str) -> Sequence[Rule]:
        """Give the rules that a user has in a namespace."""
        return tuple(self._index.grants(user).within(namespace))
