"""As whom a request is done: who sent it, or whom its ``Impersonate-*`` headers name, where the sender may.

Source: Kubernetes "User impersonation"; ``k8s.io/apiserver/pkg/endpoints/filters/impersonation.go``.
"""

from collections.abc import Iterator, Sequence
from urllib.parse import unquote

from beamhall.embedded.api.authorization import Attributes, Authorizer, require
from beamhall.kernel.errors import BadRequest, Unauthorized
from beamhall.kernel.identity import (
    AUTHENTICATED_GROUP,
    SERVICE_ACCOUNT_PREFIX,
    User,
    service_account_groups,
)

PREFIX = b"impersonate-"
_EXTRA = "impersonate-extra-"
_ANONYMOUS, _UNAUTHENTICATED = "system:anonymous", "system:unauthenticated"


def acting_user(user: User | None, headers: Sequence[tuple[bytes, bytes]], authorizer: Authorizer) -> User:
    """Give the user that a request is to be done as.

    Args:
        user: Who sent it; None: nobody that is known.
        headers: The request's headers that begin with ``PREFIX``, names in lower case.
        authorizer: Knows whom they may impersonate.

    Raises:
        Unauthorized: Nobody that is known sent it.
        Forbidden: They may not be this user, or not a member of this group.
        BadRequest: The headers name no user.
    """
    if user is None:
        raise Unauthorized("Unauthorized: give the service's token as `Authorization: Bearer TOKEN`")
    if not headers:
        return user
    wanted = _read(headers)
    for attributes in _questions(wanted):
        require(authorizer, user, attributes)
    groups = wanted.groups
    namespace, name = _account_in(wanted.name)
    if not groups and name:
        groups = service_account_groups(namespace)
    if wanted.name != _ANONYMOUS and not {AUTHENTICATED_GROUP, _UNAUTHENTICATED} & set(groups):
        groups = (*groups, AUTHENTICATED_GROUP)
    return User(wanted.name, groups, wanted.uid, wanted.extra)


def _read(headers: Sequence[tuple[bytes, bytes]]) -> User:
    name, uid, groups = "", "", []
    extra: dict[str, tuple[str, ...]] = {}
    for raw_header, raw_value in headers:
        header, value = raw_header.decode("latin-1"), raw_value.decode("utf-8", "replace")
        if header == "impersonate-user":
            name = value
        elif header == "impersonate-group":
            groups.append(value)
        elif header == "impersonate-uid":
            uid = value
        elif header.startswith(_EXTRA):
            key = unquote(header.removeprefix(_EXTRA)).lower()
            extra[key] = (*extra.get(key, ()), value)
    if not name:
        raise BadRequest("requested impersonation of groups, a uid or extra without impersonating a user")
    return User(name, tuple(groups), uid, extra)


def _questions(wanted: User) -> Iterator[Attributes]:
    namespace, name = _account_in(wanted.name)
    if name:
        yield Attributes("impersonate", "", "serviceaccounts", namespace, name)
    else:
        yield Attributes("impersonate", "", "users", "", wanted.name)
    for group in wanted.groups:
        yield Attributes("impersonate", "", "groups", "", group)
    if wanted.uid:
        yield Attributes("impersonate", "authentication.k8s.io", "uids", "", wanted.uid)
    for key, values in wanted.extra.items():
        for value in values:
            yield Attributes("impersonate", "authentication.k8s.io", "userextras", "", value, key)


def _account_in(name: str) -> tuple[str, str]:
    """Give namespace and name of the service account that a user name means; empty if it is another user's."""
    namespace, colon, account = name.removeprefix(SERVICE_ACCOUNT_PREFIX).partition(":")
    is_account = name.startswith(SERVICE_ACCOUNT_PREFIX) and colon and namespace and account
    return (namespace, account) if is_account else ("", "")
