"""Who asks: the user that a request was authenticated as."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class User:
    """An authenticated caller, as authorization and audit see it.

    Attributes:
        name: The user's name; parts of the service are ``system:<part>``.
        groups: Groups that permissions are given to.
        uid: Tells users apart who have the same name one after the other; empty: not known.
        extra: What else the authentication found, such as the Pod that a token was made for.
    """

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)


ADMIN_GROUP = "system:masters"
"""Members may do everything, as in Kubernetes."""

AUTHENTICATED_GROUP = "system:authenticated"
"""Everybody who has shown who they are."""

SERVICE_ACCOUNT_PREFIX = "system:serviceaccount:"
SERVICE_ACCOUNTS_GROUP = "system:serviceaccounts"

SERVICE_ACCOUNT_DIRECTORY = "/var/run/secrets/kubernetes.io/serviceaccount"
"""Where programs in a Pod find their token, the API's certificate authority and their namespace."""


def service_account_name(namespace: str, name: str) -> str:
    """Give the user name of a service account."""
    return f"{SERVICE_ACCOUNT_PREFIX}{namespace}:{name}"


def namespace_of_account(name: str) -> str:
    """Give the namespace of the service account that a user is; empty: the user is none."""
    namespace, separator, _ = name.removeprefix(SERVICE_ACCOUNT_PREFIX).partition(":")
    return namespace if name.startswith(SERVICE_ACCOUNT_PREFIX) and separator else ""


def service_account_groups(namespace: str) -> tuple[str, ...]:
    """Give the groups of every service account of a namespace."""
    return (SERVICE_ACCOUNTS_GROUP, f"{SERVICE_ACCOUNTS_GROUP}:{namespace}", AUTHENTICATED_GROUP)
