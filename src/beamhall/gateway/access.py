"""Who may pass the front door: token, cookie, Host and Origin.

A browser is the one client that others can make speak for its user, so two questions are asked before any credential is
looked at. *Host*: was the request meant for this server (DNS rebinding makes a browser call us under a foreign name)?
*Origin*: did a page of ours make it (a foreign page can make a browser post with our cookie)? Only then the credential.
"""

import hashlib
import hmac
import ipaddress
from collections.abc import Callable, Collection
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from beamhall.kernel.errors import Forbidden, Unauthorized
from beamhall.kernel.identity import ADMIN_GROUP, AUTHENTICATED_GROUP, User

OWNER = User("owner", (ADMIN_GROUP, AUTHENTICATED_GROUP))
"""Whoever holds the token that was made at first start."""

Authenticate = Callable[[str], User | None]
"""From a bearer token to the user whose it is, None if it is nobody's."""


def nobody(_: str) -> User | None:
    """Know no tokens but the owner's."""
    return None


@dataclass(frozen=True, slots=True)
class AccessRules:
    """What a request must carry to pass.

    Attributes:
        token: The secret made at first start.
        host_names: Names, besides ``localhost`` and addresses, under which this server may be called.
        authenticate: Knows the tokens of others than the owner.
    """

    token: str
    host_names: Collection[str] = ()
    authenticate: Authenticate = nobody

    @property
    def session(self) -> str:
        """The cookie's value: derived, so that a stolen cookie does not give the token away."""
        return hmac.new(self.token.encode(), b"beamhall session", hashlib.sha256).hexdigest()

    def check_target(self, headers: Headers) -> None:
        """Check Host and Origin.

        Raises:
            Forbidden: The request was meant for another server, or another site's page made it.
        """
        host = headers.get("host", "")
        name = _host_name(host)
        if not self._is_ours(name):
            raise Forbidden(
                f"host {name!r} is not a name of this server; call it by localhost or its address, "
                "or allow the name with --host-name or BEAMHALL_HOST_NAMES"
            )
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            raise Forbidden(f"a page of {origin!r} may not call this server")

    def user_of(self, headers: Headers, cookie_name: str) -> User:
        """Give the user whose credential the request carries.

        Raises:
            Unauthorized: There is none, or it is wrong.
        """
        scheme, _, credential = headers.get("authorization", "").partition(" ")
        if scheme:
            user = self._bearer(credential.strip()) if scheme.lower() == "bearer" else None
            if user is not None:
                return user
            raise Unauthorized(
                "the token is wrong, has expired, or was taken back; `beamhall kubeconfig` prints a kubeconfig with a "
                "right one"
            )
        session = _cookie(headers.get("cookie", ""), cookie_name)
        if session and hmac.compare_digest(session.encode(), self.session.encode()):
            return OWNER
        raise Unauthorized(
            "no credentials; send `Authorization: Bearer TOKEN`, or open the login URL that `beamhall up` printed"
        )

    def _bearer(self, token: str) -> User | None:
        return OWNER if self.is_token(token) else self.authenticate(token)

    def is_token(self, candidate: str) -> bool:
        """Tell whether this is the token, taking the same time whatever the answer."""
        return hmac.compare_digest(candidate.encode(), self.token.encode())

    def _is_ours(self, name: str) -> bool:
        if name == "localhost" or name.endswith(".localhost") or name in self.host_names:
            return True
        try:
            # A name that is an address was resolved by nobody, so nobody can have rebound it.
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def _host_name(host: str) -> str:
    """Give the name in a Host header, without port and brackets."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _cookie(header: str, name: str) -> str:
    try:
        morsel = SimpleCookie(header).get(name)
    except CookieError:
        return ""
    return morsel.value if morsel else ""
