"""Questions of clients about themselves: who am I, what may I do. They are created, answered, and not stored.

Source: ``authorization.k8s.io/v1`` and ``authentication.k8s.io/v1``.
"""

from collections.abc import Mapping
from typing import Any

from beamhall.embedded.api.authorization import Attributes, Authorizer
from beamhall.kernel.errors import BadRequest, NotFound
from beamhall.kernel.identity import User
from beamhall.kernel.objects import Object


def review(plural: str, body: Any, user: User, authorizer: Authorizer) -> Object:
    """Answer a question.

    Args:
        plural: Which question.
        body: What the client sent.
        user: Who asks.
        authorizer: Knows who may do what.

    Raises:
        BadRequest: The question cannot be understood.
        NotFound: There is no such question.
    """
    asked = body if isinstance(body, dict) else {}
    spec = asked.get("spec") or {}
    if not isinstance(spec, dict):
        raise BadRequest("spec must be an object")
    if plural == "selfsubjectreviews":
        info = {"username": user.name, "groups": list(user.groups)}
        return {
            "kind": "SelfSubjectReview",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {},
            "status": {"userInfo": info},
        }
    if plural == "selfsubjectaccessreviews":
        return {
            "kind": "SelfSubjectAccessReview",
            "apiVersion": "authorization.k8s.io/v1",
            "metadata": {},
            "spec": spec,
            "status": _access(spec, user, authorizer),
        }
    if plural == "selfsubjectrulesreviews":
        return {
            "kind": "SelfSubjectRulesReview",
            "apiVersion": "authorization.k8s.io/v1",
            "metadata": {},
            "spec": spec,
            "status": _rules(str(spec.get("namespace") or ""), user, authorizer),
        }
    raise NotFound(f"the server could not find the requested resource: {plural}")


def _access(spec: Mapping[str, Any], user: User, authorizer: Authorizer) -> Object:
    wanted = spec.get("resourceAttributes") or spec.get("nonResourceAttributes")
    if not isinstance(wanted, dict):
        raise BadRequest("spec.resourceAttributes or spec.nonResourceAttributes must be given")
    names = ("verb", "group", "resource", "namespace", "name", "subresource")
    attributes = Attributes(**{name: str(wanted.get(name) or "") for name in names})
    return {"allowed": authorizer.allows(user, attributes)}


def _rules(namespace: str, user: User, authorizer: Authorizer) -> Object:
    may_all = authorizer.allows(user, Attributes("*", "*", "*", namespace))
    everything = [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}] if may_all else []
    paths = [{"verbs": ["*"], "nonResourceURLs": ["*"]}] if may_all else []
    return {"resourceRules": everything, "nonResourceRules": paths, "incomplete": False}
