"""``serviceaccounts/NAME/token``: a token for a service account, for some audiences and some time.

Source: ``kubernetes/pkg/registry/core/serviceaccount/storage/token.go``; ``authentication.k8s.io/v1`` TokenRequest.
"""

import uuid
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from beamhall.embedded.api.builtin.causes import invalid, summary
from beamhall.embedded.api.core import Core, WriteOptions, conflict
from beamhall.embedded.api.forms import read_form
from beamhall.embedded.api.tokens import ISSUER, PRIVATE_CLAIMS, ServiceAccountTokens
from beamhall.kernel.clock import format_time
from beamhall.kernel.errors import BadRequest, Cause, Invalid
from beamhall.kernel.identity import User, service_account_name
from beamhall.kernel.kinds import NODE, POD, SECRET, SERVICE_ACCOUNT, Kind
from beamhall.kernel.objects import Object, ReadOnlyObject, name_of, uid_of

_API_VERSION = "authentication.k8s.io/v1"
_DEFAULT_S, _SHORTEST_S, _LONGEST_S = 3600, 600, 1 << 32
_LONG_LIVED_S = 365 * 24 * 3600
POD_TOKEN_S = 3607
"""What the admission of Pods asks for. Clients that read such a token once are served for longer than it says."""

_BINDABLE: Mapping[str, Kind] = {"Pod": POD, "Secret": SECRET, "Node": NODE}


class TokenRequests:
    """Answers requests for tokens.

    Args:
        core: Where accounts and what tokens are bound to are looked up.
        tokens: What makes tokens.
    """

    def __init__(self, core: Core, tokens: ServiceAccountTokens) -> None:
        self._core = core
        self._tokens = tokens

    async def create(self, user: User, where: tuple[str, str], body: Any, options: WriteOptions) -> Object:
        """Make a token.

        Args:
            user: Who asks; they may, that is known.
            where: Namespace and name of the account.
            body: A TokenRequest; of an absent one all is by default.
            options: Nothing is stored, so they make no difference.

        Raises:
            NotFound: There is no such account, or nothing to bind the token to.
            Conflict: What to bind it to is another object of that name.
            BadRequest: The body is no TokenRequest, or a token cannot be bound to this.
            Invalid: The time is too short or too long.
        """
        namespace, name = where
        account = self._core.stored(self._core.registry.find(SERVICE_ACCOUNT), namespace, name)
        form = read_form(body, _API_VERSION, "TokenRequest", "authentication_v1.TokenRequest")
        spec = dict(form.get("spec") or {})
        spec["audiences"] = list(spec.get("audiences") or (ISSUER,))
        stated_s = spec.get("expirationSeconds")
        spec["expirationSeconds"] = _DEFAULT_S if stated_s is None else stated_s
        if causes := _problems(spec):
            raise Invalid(f'TokenRequest.{_API_VERSION[:-3]} "" is invalid: {summary(causes)}', causes=causes)
        now = self._core.clock.now()
        expires = now + timedelta(seconds=spec["expirationSeconds"])
        claims = {
            "aud": spec["audiences"],
            "exp": int(expires.timestamp()),
            "iat": int(now.timestamp()),
            "iss": ISSUER,
            "jti": str(uuid.UUID(int=self._core.random.getrandbits(128), version=4)),
            PRIVATE_CLAIMS: {
                "namespace": namespace,
                **self._bound(where, spec.get("boundObjectRef")),
                "serviceaccount": {"name": name, "uid": uid_of(account)},
            },
            "nbf": int(now.timestamp()),
            "sub": service_account_name(namespace, name),
        }
        if spec["expirationSeconds"] == POD_TOKEN_S and "pod" in claims[PRIVATE_CLAIMS]:
            claims[PRIVATE_CLAIMS]["warnafter"] = claims["exp"]
            claims["exp"] = claims["iat"] + _LONG_LIVED_S
        status = {"token": self._tokens.key.sign(claims), "expirationTimestamp": format_time(expires)}
        metadata = {"name": name, "namespace": namespace, "creationTimestamp": format_time(now)}
        return {**form, "metadata": metadata, "spec": spec, "status": status}

    def _bound(self, where: tuple[str, str], reference: Mapping[str, Any] | None) -> dict[str, Any]:
        """Give the claims about the object that a token is bound to."""
        if not reference:
            return {}
        namespace, account = where
        kind = _BINDABLE.get(str(reference.get("kind") or ""))
        if kind is None or reference.get("apiVersion") not in (None, "", "v1"):
            raise BadRequest(
                f'cannot bind token for serviceaccount "{account}" to object of type '
                f"{reference.get('apiVersion') or 'v1'}, Kind={reference.get('kind')}; tokens are bound to a Pod, "
                "a Secret or a Node"
            )
        resource = self._core.registry.find(kind)
        name = str(reference.get("name") or "")
        found = self._core.stored(resource, namespace if kind.namespaced else "", name)
        uid = reference.get("uid")
        if uid and uid != uid_of(found):
            raise conflict(
                resource,
                name,
                f"the UID in the bound object reference ({uid}) does not match the UID in record. "
                "The object might have been deleted and then recreated",
            )
        claims = {kind.kind.lower(): _reference(found)}
        if kind == POD:
            if (found["spec"].get("serviceAccountName") or "default") != account:
                raise BadRequest(
                    f'cannot bind token for serviceaccount "{account}" to pod running with different '
                    "serviceaccount name."
                )
            claims |= self._node_of(found)
        return claims

    def _node_of(self, pod: ReadOnlyObject) -> dict[str, Any]:
        node = self._core.store.get(NODE.resource, "", str(pod["spec"].get("nodeName") or ""))
        return {"node": _reference(node)} if node is not None else {}


def _reference(obj: ReadOnlyObject) -> dict[str, str]:
    return {"name": name_of(obj), "uid": uid_of(obj)}


def _problems(spec: Mapping[str, Any]) -> Sequence[Cause]:
    wanted_s = spec["expirationSeconds"]
    if wanted_s < _SHORTEST_S:
        return (invalid("spec.expirationSeconds", wanted_s, "may not specify a duration less than 10 minutes"),)
    if wanted_s > _LONGEST_S:
        return (invalid("spec.expirationSeconds", wanted_s, "may not specify a duration larger than 2^32 seconds"),)
    return ()
