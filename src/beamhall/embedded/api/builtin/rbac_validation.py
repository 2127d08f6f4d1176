"""What roles and bindings may be, and their defaults.

Source: ``kubernetes/pkg/apis/rbac/validation``, ``kubernetes/pkg/apis/rbac/v1/defaults.go``.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from beamhall.embedded.api.builtin.causes import invalid, matching, required, unsupported
from beamhall.kernel import names
from beamhall.kernel.errors import Cause
from beamhall.kernel.kinds import CLUSTER_ROLE, ROLE
from beamhall.kernel.objects import Object, ReadOnlyObject, namespace_of
from beamhall.kernel.selectors import selector_from_object

_GROUP = ROLE.group
_GROUP_OF_SUBJECT = {"ServiceAccount": "", "User": _GROUP, "Group": _GROUP}


def default_binding(obj: Object) -> None:
    """Fill in the API groups of a binding's role and subjects, in place."""
    if isinstance(reference := obj.get("roleRef"), dict):
        reference["apiGroup"] = reference.get("apiGroup") or _GROUP
    for subject in obj.get("subjects") or ():
        if isinstance(subject, dict) and (group := _GROUP_OF_SUBJECT.get(str(subject.get("kind")))):
            subject["apiGroup"] = subject.get("apiGroup") or group


def validate_role(obj: ReadOnlyObject) -> Iterator[Cause]:
    """Check a Role."""
    for number, rule in enumerate(obj.get("rules") or ()):
        yield from _validate_rule(rule, f"rules[{number}]", is_namespaced=True)


def validate_cluster_role(obj: ReadOnlyObject) -> Iterator[Cause]:
    """Check a ClusterRole."""
    for number, rule in enumerate(obj.get("rules") or ()):
        yield from _validate_rule(rule, f"rules[{number}]", is_namespaced=False)
    aggregation = obj.get("aggregationRule")
    if aggregation is None:
        return
    path = "aggregationRule.clusterRoleSelectors"
    selectors = aggregation.get("clusterRoleSelectors") or ()
    if not selectors:
        yield required(path, "at least one clusterRoleSelector required if aggregationRule is non-nil")
    for number, selector in enumerate(selectors):
        try:
            selector_from_object(selector)
        except (ValueError, KeyError) as error:
            yield invalid(f"{path}[{number}]", selector, str(error))


def _validate_rule(rule: Mapping[str, Any], path: str, *, is_namespaced: bool) -> Iterator[Cause]:
    if not rule.get("verbs"):
        yield required(f"{path}.verbs", "verbs must contain at least one value")
    if urls := rule.get("nonResourceURLs"):
        if is_namespaced:
            yield invalid(f"{path}.nonResourceURLs", urls, "namespaced rules cannot apply to non-resource URLs")
        if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
            yield invalid(
                f"{path}.nonResourceURLs", urls, "rules cannot apply to both regular resources and non-resource URLs"
            )
        return
    if not rule.get("apiGroups"):
        yield required(f"{path}.apiGroups", "resource rules must supply at least one api group")
    if not rule.get("resources"):
        yield required(f"{path}.resources", "resource rules must supply at least one resource")


def validate_binding(obj: ReadOnlyObject) -> Iterator[Cause]:
    """Check a RoleBinding (which has a namespace) or a ClusterRoleBinding."""
    is_namespaced = bool(namespace_of(obj))
    reference = obj.get("roleRef") or {}
    if reference.get("apiGroup") != _GROUP:
        yield unsupported("roleRef.apiGroup", reference.get("apiGroup") or "", (_GROUP,))
    kinds = (CLUSTER_ROLE.kind, ROLE.kind) if is_namespaced else (CLUSTER_ROLE.kind,)
    if reference.get("kind") not in kinds:
        yield unsupported("roleRef.kind", reference.get("kind") or "", kinds)
    if not reference.get("name"):
        yield required("roleRef.name")
    else:
        yield from matching("roleRef.name", reference["name"], names.path_segment_problem(reference["name"]))
    for number, subject in enumerate(obj.get("subjects") or ()):
        yield from _validate_subject(subject, f"subjects[{number}]", is_namespaced=is_namespaced)


def _validate_subject(subject: Mapping[str, Any], path: str, *, is_namespaced: bool) -> Iterator[Cause]:
    kind, name = str(subject.get("kind") or ""), str(subject.get("name") or "")
    if not name:
        yield required(f"{path}.name")
    if kind not in _GROUP_OF_SUBJECT:
        yield unsupported(f"{path}.kind", kind, ("ServiceAccount", "User", "Group"))
        return
    group = subject.get("apiGroup") or ""
    if group != _GROUP_OF_SUBJECT[kind]:
        yield unsupported(f"{path}.apiGroup", group, (_GROUP_OF_SUBJECT[kind],))
    if kind == "ServiceAccount":
        if name:
            yield from matching(f"{path}.name", name, names.subdomain_problem(name))
        if not is_namespaced and not subject.get("namespace"):
            yield required(f"{path}.namespace")


def validate_binding_update(obj: ReadOnlyObject, old: ReadOnlyObject) -> Iterator[Cause]:
    """Check that a binding keeps its role."""
    if obj.get("roleRef") != old.get("roleRef"):
        yield invalid("roleRef", obj.get("roleRef"), "cannot change roleRef")
