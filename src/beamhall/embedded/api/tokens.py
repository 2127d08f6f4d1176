"""Tokens of service accounts: what they say, and whether what they say still holds.

A token is good while its account exists, and the Pod or Secret that it was made for: so each use looks at the store,
while the signature of a token is checked once. Next: ``token_requests`` (how tokens are asked for), ``signing``.
Source: Kubernetes "Managing Service Accounts"; ``kubernetes/pkg/serviceaccount``.
"""

import base64
import binascii
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from beamhall.embedded.api.signing import SigningKey
from beamhall.embedded.store.store import Store
from beamhall.kernel.clock import Clock, parse_time
from beamhall.kernel.identity import User, service_account_groups, service_account_name
from beamhall.kernel.kinds import NODE, POD, SECRET, SERVICE_ACCOUNT, Kind
from beamhall.kernel.objects import Object, ReadOnlyObject, metadata_of, name_of, namespace_of, uid_of

ISSUER = "https://kubernetes.default.svc.cluster.local"
"""Who issues the tokens, and the audience of those that are for the API: the same name in every cluster."""

LEGACY_ISSUER = "kubernetes/serviceaccount"
PRIVATE_CLAIMS = "kubernetes.io"
_LEGACY = f"{LEGACY_ISSUER}/"
_BOUND: Mapping[str, Kind] = {"pod": POD, "secret": SECRET, "node": NODE}
_KEPT = 2048
_LEEWAY_S = 60.0  # an account or a Pod that is being deleted still needs its token to end in good order


@dataclass(frozen=True, slots=True)
class Verified:
    """What a good token says.

    Attributes:
        user: Whose it is.
        audiences: Whom it is meant for.
    """

    user: User
    audiences: tuple[str, ...]


class ServiceAccountTokens:
    """Makes and checks the tokens.

    Attributes:
        key: What signs them.

    Args:
        store: Where accounts, Pods and Secrets are.
        clock: The time.
        key: What signs them.
    """

    def __init__(self, store: Store, clock: Clock, key: SigningKey) -> None:
        self.key = key
        self._store = store
        self._clock = clock
        self._read: dict[str, dict[str, Any] | None] = {}

    def user_of(self, token: str) -> User | None:
        """Give whose token this is, None if it is none that is good here and now."""
        verified = self.verify(token, (ISSUER,))
        return verified.user if verified else None

    def verify(self, token: str, audiences: Collection[str]) -> Verified | None:
        """Check a token.

        Args:
            token: Any text.
            audiences: Of these, one must be among the token's.
        """
        claims = self._claims(token)
        if claims is None:
            return None
        if claims.get("iss") == LEGACY_ISSUER:
            user = self._legacy_user(claims, token)
            return Verified(user, (ISSUER,)) if user and ISSUER in audiences else None
        meant = tuple(item for item in claims.get("aud") or () if item in audiences)
        now = self._clock.now().timestamp()
        if claims.get("iss") != ISSUER or not meant or not claims["nbf"] <= now < claims["exp"]:
            return None
        user = self._user(claims)
        return Verified(user, meant) if user else None

    def _claims(self, token: str) -> dict[str, Any] | None:
        """Give the claims of a token that we signed. The last tokens are remembered, since each is used many times."""
        if token.count(".") != 2:
            return None
        if token not in self._read:
            claims = self.key.read(token)
            if claims is None:  # not remembered: anybody can make up any number of them
                return None
            if len(self._read) >= _KEPT:
                del self._read[next(iter(self._read))]
            self._read[token] = claims
        return self._read[token]

    def _user(self, claims: Mapping[str, Any]) -> User | None:
        private = claims.get(PRIVATE_CLAIMS) or {}
        namespace = str(private.get("namespace") or "")
        account = private.get("serviceaccount") or {}
        if not self._is_there(SERVICE_ACCOUNT, namespace, account):
            return None
        extra = {"authentication.kubernetes.io/credential-id": (f"JTI={claims.get('jti')}",)}
        for claim, kind in _BOUND.items():
            bound = private.get(claim)
            if bound is None:
                continue
            # The node of a Pod is told, not asked for: the Pod outlives what its node's object goes through.
            if not (claim == "node" and "pod" in private) and not self._is_there(kind, namespace, bound):
                return None
            if claim != "secret":
                for field in ("name", "uid"):
                    extra[f"authentication.kubernetes.io/{claim}-{field}"] = (str(bound.get(field) or ""),)
        name = str(account["name"])
        return User(
            service_account_name(namespace, name), service_account_groups(namespace), str(account["uid"]), extra
        )

    def _is_there(self, kind: Kind, namespace: str, reference: Mapping[str, Any]) -> bool:
        found = self._store.get(kind.resource, namespace if kind.namespaced else "", str(reference.get("name") or ""))
        if found is None or uid_of(found) != reference.get("uid"):
            return False
        deleted = metadata_of(found).get("deletionTimestamp")
        return not deleted or (self._clock.now() - parse_time(str(deleted))).total_seconds() < _LEEWAY_S

    # Tokens in Secrets

    def legacy_token(self, account: ReadOnlyObject, secret: str) -> str:
        """Make the token that stands in a Secret: it does not expire, but is good only while the Secret holds it."""
        namespace, name = namespace_of(account), name_of(account)
        return self.key.sign({
            "iss": LEGACY_ISSUER,
            "sub": service_account_name(namespace, name),
            f"{_LEGACY}namespace": namespace,
            f"{_LEGACY}secret.name": secret,
            f"{_LEGACY}service-account.name": name,
            f"{_LEGACY}service-account.uid": uid_of(account),
        })  # fmt: skip

    def _legacy_user(self, claims: Mapping[str, Any], token: str) -> User | None:
        namespace, name = str(claims.get(f"{_LEGACY}namespace")), str(claims.get(f"{_LEGACY}service-account.name"))
        uid = str(claims.get(f"{_LEGACY}service-account.uid"))
        secret = self._store.get(SECRET.resource, namespace, str(claims.get(f"{_LEGACY}secret.name")))
        if secret is None or _token_in(secret) != token:
            return None
        if not self._is_there(SERVICE_ACCOUNT, namespace, {"name": name, "uid": uid}):
            return None
        return User(service_account_name(namespace, name), service_account_groups(namespace), uid)


def moment_of(timestamp: float) -> datetime:
    """Give the moment of a claim."""
    return datetime.fromtimestamp(timestamp, UTC)


def _token_in(secret: Object) -> str:
    try:
        return base64.b64decode((secret.get("data") or {}).get("token") or "").decode()
    except (binascii.Error, ValueError):
        return ""
