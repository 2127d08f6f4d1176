"""Who asks: the user that a request was authenticated as."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class User:
    """An authenticated caller, as authorization and audit see it.

    Attributes:
        name: The user's name; parts of the service are ``system:<part>``.
        groups: Groups that permissions are given to.
    """

    name: str
    groups: tuple[str, ...] = ()


ADMIN_GROUP = "system:masters"
"""Members may do everything, as in Kubernetes."""
