"""Who may do what: one question, asked before every verb.

Now members of the administrators' group may do everything and others nothing; roles and bindings come as another
``Authorizer``. This module knows neither the store nor HTTP.
"""

from dataclasses import dataclass
from typing import Protocol

from beamhall.kernel.errors import Forbidden
from beamhall.kernel.identity import ADMIN_GROUP, User


@dataclass(frozen=True, slots=True)
class Attributes:
    """What somebody wants to do.

    Attributes:
        verb: ``get list watch create update patch delete deletecollection``, or any other word.
        group: API group, empty for the core group.
        resource: Plural of the resource.
        namespace: Empty for cluster-scoped objects and for all namespaces.
        name: Empty for collections.
        subresource: Such as ``status`` or ``log``; empty for the object itself.
    """

    verb: str
    group: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""
    subresource: str = ""


class Authorizer(Protocol):
    """Answers whether a user may do something."""

    def allows(self, user: User, attributes: Attributes) -> bool:
        """Tell whether the user may do this."""
        ...


class AdminsOnly:
    """Lets members of ``ADMIN_GROUP`` do everything, and others nothing."""

    def allows(self, user: User, attributes: Attributes) -> bool:
        """Tell whether the user is an administrator."""
        return ADMIN_GROUP in user.groups


def require(authorizer: Authorizer, user: User, attributes: Attributes) -> None:
    """Let pass what is allowed.

    Raises:
        Forbidden: The user may not do this; the message says who may not do what.
    """
    if authorizer.allows(user, attributes):
        return
    resource = f"{attributes.resource}/{attributes.subresource}" if attributes.subresource else attributes.resource
    what = f'{attributes.resource} "{attributes.name}"' if attributes.name else attributes.resource
    where = f' in the namespace "{attributes.namespace}"' if attributes.namespace else " at the cluster scope"
    raise Forbidden(
        f'{what} is forbidden: User "{user.name}" cannot {attributes.verb} resource "{resource}" '
        f'in API group "{attributes.group}"{where}',
        details={"group": attributes.group, "kind": attributes.resource, "name": attributes.name},
    )
