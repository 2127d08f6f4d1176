"""Questions that are created, answered at once, and not stored: who is this, what may they do.

Source: ``authorization.k8s.io/v1`` and ``authentication.k8s.io/v1``.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from beamhall.embedded.api.authorization import Attributes, require
from beamhall.embedded.api.builtin.causes import invalid, summary
from beamhall.embedded.api.core import Core
from beamhall.embedded.api.forms import read_form
from beamhall.embedded.api.rbac.authorizer import RbacAuthorizer
from beamhall.embedded.api.tokens import ISSUER, ServiceAccountTokens, Verified
from beamhall.kernel.errors import BadRequest, Cause, Invalid, MethodNotAllowed
from beamhall.kernel.identity import User
from beamhall.kernel.kinds import Kind
from beamhall.kernel.objects import Object

_AUTHORIZATION, _AUTHENTICATION = "authorization.k8s.io", "authentication.k8s.io"
_QUESTIONS = (
    Kind(_AUTHORIZATION, "v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews", namespaced=False),
    Kind(_AUTHORIZATION, "v1", "SelfSubjectRulesReview", "selfsubjectrulesreviews", namespaced=False),
    Kind(_AUTHORIZATION, "v1", "SubjectAccessReview", "subjectaccessreviews", namespaced=False),
    Kind(_AUTHORIZATION, "v1", "LocalSubjectAccessReview", "localsubjectaccessreviews"),
    Kind(_AUTHENTICATION, "v1", "SelfSubjectReview", "selfsubjectreviews", namespaced=False),
    Kind(_AUTHENTICATION, "v1", "TokenReview", "tokenreviews", namespaced=False),
)
REVIEWS: Mapping[tuple[str, str], Mapping[str, Kind]] = {
    (group, "v1"): {kind.plural: kind for kind in _QUESTIONS if kind.group == group}
    for group in (_AUTHORIZATION, _AUTHENTICATION)
}
"""The questions by group and version, then by plural."""

Authenticate = Callable[[str], User | None]
"""From a bearer token to whose it is, None if it is nobody's."""


class Reviews:
    """Answers the questions.

    Attributes:
        authenticators: Who else knows tokens, beside those of service accounts; ``app`` adds them.

    Args:
        core: The authorizer that is asked whether the question may be put.
        authorizer: Who may do what.
        tokens: Of service accounts.
    """

    def __init__(self, core: Core, authorizer: RbacAuthorizer, tokens: ServiceAccountTokens) -> None:
        self.authenticators: list[Authenticate] = []
        self._core = core
        self._authorizer = authorizer
        self._tokens = tokens
        self._answers: Mapping[str, Callable[[Object, User, str], Object]] = {
            "SelfSubjectAccessReview": self._self_access,
            "SelfSubjectRulesReview": self._self_rules,
            "SubjectAccessReview": self._access,
            "LocalSubjectAccessReview": self._local_access,
            "SelfSubjectReview": _whoami,
            "TokenReview": self._token,
        }

    def answer(self, kind: Kind, namespace: str, body: Any, user: User) -> Object:
        """Answer a question.

        Args:
            kind: Which question.
            namespace: Where it is asked, for those that have a namespace.
            body: What the client sent.
            user: Who asks.

        Raises:
            Forbidden: They may not ask this.
            BadRequest: The question cannot be understood.
            Invalid: It leaves open what is asked, or says two things.
        """
        require(self._core.authorizer, user, Attributes("create", kind.group, kind.plural, namespace))
        if kind.namespaced and not namespace:
            raise MethodNotAllowed("the server does not allow this method on the requested resource")
        module = kind.group.partition(".")[0]
        form = read_form(body, kind.api_version, kind.kind, f"{module}_v1.{kind.kind}")
        return self._answers[kind.kind](form, user, namespace)

    def _self_access(self, form: Object, user: User, namespace: str) -> Object:
        return _answered(form, self._decide(form, user))

    def _access(self, form: Object, user: User, namespace: str) -> Object:
        spec = form.get("spec") or {}
        name, groups = str(spec.get("user") or ""), tuple(spec.get("groups") or ())
        if not name and not groups:
            raise _invalid(form, [invalid("spec.user", "", "at least one of user or group must be specified")])
        return _answered(form, self._decide(form, User(name, groups, str(spec.get("uid") or ""))))

    def _local_access(self, form: Object, user: User, namespace: str) -> Object:
        wanted = (form.get("spec") or {}).get("resourceAttributes") or {}
        stated = wanted.get("namespace") or ""
        if stated != namespace:
            raise BadRequest(f"spec.resourceAttributes.namespace must match namespace: {namespace}")
        if (form.get("spec") or {}).get("nonResourceAttributes"):
            path = "spec.nonResourceAttributes"
            raise _invalid(form, [invalid(path, {}, "disallowed on this kind of request")])
        return self._access(form, user, namespace)

    def _decide(self, form: Object, user: User) -> Object:
        attributes = _attributes(form)
        if self._authorizer.allows(user, attributes):
            return {"allowed": True}
        why = self._authorizer.why_not(user, attributes)
        return {"allowed": False} | ({"reason": why} if why else {})

    def _self_rules(self, form: Object, user: User, namespace: str) -> Object:
        asked = str((form.get("spec") or {}).get("namespace") or "")
        if not asked:
            raise BadRequest("no namespace on request")
        rules = [rule.as_object() for rule in self._authorizer.rules(user, asked)]
        return _answered(form, {
            "resourceRules": [rule for rule in rules if "nonResourceURLs" not in rule],
            "nonResourceRules": [rule for rule in rules if "nonResourceURLs" in rule],
            "incomplete": False,
        })  # fmt: skip

    def _token(self, form: Object, user: User, namespace: str) -> Object:
        spec = form.get("spec") or {}
        token, audiences = str(spec.get("token") or ""), tuple(spec.get("audiences") or (ISSUER,))
        if not token:
            raise BadRequest("token is required for TokenReview in authentication")
        found = self._tokens.verify(token, audiences) or self._verified_elsewhere(token, audiences)
        if found is None:
            return _answered(form, {"authenticated": False, "user": {}, "error": "invalid bearer token"})
        status = {"authenticated": True, "user": user_info(found.user), "audiences": list(found.audiences)}
        return _answered(form, status)

    def _verified_elsewhere(self, token: str, audiences: Sequence[str]) -> Verified | None:
        if ISSUER not in audiences:  # other tokens are for the API only
            return None
        users = (authenticate(token) for authenticate in self.authenticators)
        return next((Verified(user, (ISSUER,)) for user in users if user is not None), None)


def user_info(user: User) -> Object:
    """Write a user as ``UserInfo``."""
    info: Object = {"username": user.name}
    if user.uid:
        info["uid"] = user.uid
    if user.groups:
        info["groups"] = list(user.groups)
    if user.extra:
        info["extra"] = {key: list(values) for key, values in user.extra.items()}
    return info


def _whoami(form: Object, user: User, namespace: str) -> Object:
    return _answered(form, {"userInfo": user_info(user)})


def _answered(form: Object, status: Object) -> Object:
    return {**form, "metadata": form.get("metadata") or {}, "status": status}


def _attributes(form: Object) -> Attributes:
    spec = form.get("spec") or {}
    resource, other = spec.get("resourceAttributes") or {}, spec.get("nonResourceAttributes") or {}
    if resource and other:
        path, why = "spec.nonResourceAttributes", "cannot be specified in combination with resourceAttributes"
        raise _invalid(form, [invalid(path, other, why)])
    if not resource and not other:
        why = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        raise _invalid(form, [invalid("spec.resourceAttributes", None, why)])
    if other:
        return Attributes(str(other.get("verb") or ""), path=str(other.get("path") or ""))
    names = ("verb", "group", "resource", "namespace", "name", "subresource")
    return Attributes(**{name: str(resource.get(name) or "") for name in names})


def _invalid(form: Object, causes: Sequence[Cause]) -> Invalid:
    group = str(form["apiVersion"]).partition("/")[0]
    return Invalid(f'{form["kind"]}.{group} "" is invalid: {summary(causes)}', causes=causes)
