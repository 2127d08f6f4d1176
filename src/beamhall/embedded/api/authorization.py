"""Who may do what: one question, asked before every verb, and the words of a refusal.

The one that answers it is ``rbac.authorizer``. This module knows neither the store nor HTTP.
Source: ``k8s.io/apiserver/pkg/endpoints/handlers/responsewriters`` (the words).
"""

from dataclasses import dataclass
from typing import Protocol

from beamhall.kernel.errors import Forbidden
from beamhall.kernel.identity import User


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
        path: What is asked for where it is no resource, such as ``/version``; empty otherwise.
    """

    verb: str
    group: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    path: str = ""


class Authorizer(Protocol):
    """Answers whether a user may do something."""

    def allows(self, user: User, attributes: Attributes) -> bool:
        """Tell whether the user may do this."""
        ...

    def why_not(self, user: User, attributes: Attributes) -> str:
        """Say what stands in the way, beyond that nothing allows it; empty: nothing more is known."""
        ...


def require(authorizer: Authorizer, user: User, attributes: Attributes) -> None:
    """Let pass what is allowed.

    Raises:
        Forbidden: The user may not do this; the message says who may not do what.
    """
    if authorizer.allows(user, attributes):
        return
    why = authorizer.why_not(user, attributes)
    raise Forbidden(
        _refusal(user, attributes) + (f": {why}" if why else ""),
        details={} if attributes.path else _details(attributes),
    )


def _details(attributes: Attributes) -> dict[str, str]:
    details = {"name": attributes.name, "group": attributes.group, "kind": attributes.resource}
    return {name: value for name, value in details.items() if value}


def _refusal(user: User, wanted: Attributes) -> str:
    if wanted.path:
        return f'forbidden: User "{user.name}" cannot {wanted.verb} path "{wanted.path}"'
    about = f"{wanted.resource}.{wanted.group}" if wanted.group else wanted.resource
    if wanted.name:
        about += f' "{wanted.name}"'
    resource = f"{wanted.resource}/{wanted.subresource}" if wanted.subresource else wanted.resource
    where = f' in the namespace "{wanted.namespace}"' if wanted.namespace else " at the cluster scope"
    return (
        f'{about} is forbidden: User "{user.name}" cannot {wanted.verb} resource "{resource}" '
        f'in API group "{wanted.group}"{where}'
    )
