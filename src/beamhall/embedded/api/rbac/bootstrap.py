"""The roles and bindings that every cluster has, made at the start where they are missing.

What users added to them stays, and what they took away comes back, unless the object's annotation
``rbac.authorization.kubernetes.io/autoupdate`` is ``false``. Of the published policy, what our kinds need is here.
Source: ``kubernetes/plugin/pkg/auth/authorizer/rbac/bootstrappolicy``; Kubernetes "Using RBAC Authorization".
"""

from collections.abc import Sequence
from typing import Any

from beamhall.embedded.api.rbac.rules import missing_from, read_rules
from beamhall.kernel.identity import ADMIN_GROUP, AUTHENTICATED_GROUP, SERVICE_ACCOUNTS_GROUP
from beamhall.kernel.kinds import CLUSTER_ROLE, CLUSTER_ROLE_BINDING, Kind
from beamhall.kernel.objects import Object, ReadOnlyObject, annotations_of, labels_of, metadata_of

AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"
_RBAC = CLUSTER_ROLE.group
_AGGREGATE = "rbac.authorization.k8s.io/aggregate-to-"
_LABELS = {"kubernetes.io/bootstrapping": "rbac-defaults"}

_READ = "get list watch"
_WRITE = "create update patch delete deletecollection"


def _on(verbs: str, group: str, resources: str) -> Object:
    return {"verbs": verbs.split(), "apiGroups": [group], "resources": resources.split()}


def _at(urls: str) -> Object:
    return {"verbs": ["get"], "nonResourceURLs": urls.split()}


_HEALTH = "/healthz /livez /readyz /version /version/"
_ISSUER = "/.well-known/openid-configuration /.well-known/openid-configuration/ /openid/v1/jwks /openid/v1/jwks/"
_TALK = "pods/attach pods/exec pods/portforward pods/proxy"

_TO_VIEW = (
    _on(_READ, "", "configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods serviceaccounts "
        "services services/status"),
    _on(_READ, "", "bindings events limitranges namespaces/status pods/log pods/status resourcequotas "
        "resourcequotas/status"),
    _on(_READ, "", "namespaces"),
    _on(_READ, "discovery.k8s.io", "endpointslices"),
    _on(_READ, "apps", "controllerrevisions deployments deployments/scale deployments/status replicasets "
        "replicasets/scale replicasets/status statefulsets statefulsets/scale statefulsets/status"),
    _on(_READ, "batch", "cronjobs cronjobs/status jobs jobs/status"),
    _on(_READ, "metrics.k8s.io", "nodes pods"),  # as metrics-server's "system:aggregated-metrics-reader"
)  # fmt: skip
_TO_EDIT = (
    _on(_READ, "", f"{_TALK} secrets services/proxy"),
    _on("impersonate", "", "serviceaccounts"),
    _on(_WRITE, "", f"pods {_TALK}"),
    _on("create", "", "pods/eviction"),
    _on(_WRITE, "", "configmaps events persistentvolumeclaims secrets serviceaccounts services services/proxy"),
    _on("create", "", "serviceaccounts/token"),
    _on(_WRITE, "apps", "deployments deployments/rollback deployments/scale replicasets replicasets/scale statefulsets "
        "statefulsets/scale"),
    _on(_WRITE, "batch", "cronjobs jobs"),
    _on(f"{_WRITE} {_READ}", "coordination.k8s.io", "leases"),
)  # fmt: skip
_METRICS = _on(_READ, "metrics.k8s.io", "nodes pods")
_TO_ADMIN = (
    _on("create", "authorization.k8s.io", "localsubjectaccessreviews"),
    _on(f"{_WRITE} {_READ}", _RBAC, "rolebindings roles"),
)
_NODE = (
    _on("create", "authentication.k8s.io", "tokenreviews"),
    _on("create", "authorization.k8s.io", "localsubjectaccessreviews subjectaccessreviews"),
    _on(_READ, "", "services"),
    _on("create get list watch", "", "nodes"),
    _on("patch update", "", "nodes nodes/status"),
    _on("create patch update", "", "events"),
    _on("create delete get list watch", "", "pods"),
    _on("patch update", "", "pods/status"),
    _on("create", "", "pods/eviction"),
    _on(_READ, "", "configmaps secrets"),
    _on("get", "", "endpoints persistentvolumeclaims persistentvolumes"),
    _on("create", "", "serviceaccounts/token"),
    _on("create delete get patch update", "coordination.k8s.io", "leases"),
)

_RULES: dict[str, Sequence[Object]] = {
    "cluster-admin": (_on("*", "*", "*"), {"verbs": ["*"], "nonResourceURLs": ["*"]}),
    "system:aggregate-to-admin": _TO_ADMIN,
    "system:aggregate-to-edit": _TO_EDIT,
    "system:aggregate-to-view": _TO_VIEW,
    "system:aggregated-metrics-reader": (_METRICS,),
    "admin": (*_TO_EDIT, *_TO_VIEW, _METRICS, *_TO_ADMIN),
    "edit": (*_TO_EDIT, *_TO_VIEW, _METRICS),
    "view": (*_TO_VIEW, _METRICS),
    "system:auth-delegator": (
        _on("create", "authentication.k8s.io", "tokenreviews"),
        _on("create", "authorization.k8s.io", "subjectaccessreviews"),
    ),
    "system:basic-user": (
        _on("create", "authorization.k8s.io", "selfsubjectaccessreviews selfsubjectrulesreviews"),
        _on("create", "authentication.k8s.io", "selfsubjectreviews"),
    ),
    "system:discovery": (_at(f"/api /api/* /apis /apis/* /openapi /openapi/* {_HEALTH}"),),
    "system:monitoring": (_at("/healthz /healthz/* /livez /livez/* /metrics /metrics/slis /readyz /readyz/*"),),
    "system:node": _NODE,
    "system:public-info-viewer": (_at(_HEALTH),),
    "system:service-account-issuer-discovery": (_at(_ISSUER),),
}
_AGGREGATED_INTO = {
    "system:aggregate-to-admin": "admin",
    "system:aggregate-to-edit": "edit",
    "system:aggregate-to-view": "view",
    "system:aggregated-metrics-reader": "view",
    "edit": "admin",
    "view": "edit",
}
_AGGREGATED = ("admin", "edit", "view")
_BOUND_TO: dict[str, Sequence[str]] = {
    "cluster-admin": (ADMIN_GROUP,),
    "system:basic-user": (AUTHENTICATED_GROUP,),
    "system:discovery": (AUTHENTICATED_GROUP,),
    "system:monitoring": ("system:monitoring",),
    "system:node": (),
    "system:public-info-viewer": (AUTHENTICATED_GROUP, "system:unauthenticated"),
    "system:service-account-issuer-discovery": (SERVICE_ACCOUNTS_GROUP,),
}


def default_roles() -> Sequence[tuple[Kind, Object]]:
    """Give the roles and bindings of a new cluster. What is aggregated is filled in: it holds at once."""
    return [
        *((CLUSTER_ROLE, _role(name)) for name in _RULES),
        *((CLUSTER_ROLE_BINDING, _binding(role)) for role in _BOUND_TO),
    ]


def _role(name: str) -> Object:
    labels = dict(_LABELS)
    if target := _AGGREGATED_INTO.get(name):
        labels[_AGGREGATE + target] = "true"
    role: Object = {"metadata": _metadata(name, labels), "rules": [dict(rule) for rule in _RULES[name]]}
    if name in _AGGREGATED:
        role["aggregationRule"] = {"clusterRoleSelectors": [{"matchLabels": {_AGGREGATE + name: "true"}}]}
    return role


def _binding(role: str) -> Object:
    subjects = [{"apiGroup": _RBAC, "kind": "Group", "name": group} for group in _BOUND_TO[role]]
    return {
        "metadata": _metadata(role, dict(_LABELS)),
        "roleRef": {"apiGroup": _RBAC, "kind": CLUSTER_ROLE.kind, "name": role},
        **({"subjects": subjects} if subjects else {}),
    }


def _metadata(name: str, labels: dict[str, str]) -> Object:
    return {"name": name, "labels": labels, "annotations": {AUTOUPDATE: "true"}}


def mended(wanted: ReadOnlyObject, found: ReadOnlyObject) -> Object | None:
    """Give a default role or binding as it should be, None if it is so.

    Args:
        wanted: What ``default_roles`` gave.
        found: What is stored of that name.
    """
    if annotations_of(found).get(AUTOUPDATE) == "false":
        return None
    changed: dict[str, Any] = {**found, "metadata": _with_marks(wanted, found)}
    if "aggregationRule" in wanted:  # its rules are the aggregation's business
        changed["aggregationRule"] = found.get("aggregationRule") or wanted["aggregationRule"]
    elif missing := missing_from(read_rules(found.get("rules")), read_rules(wanted.get("rules"))):
        changed["rules"] = [*(found.get("rules") or ()), *(rule.as_object() for rule in missing)]
    subjects = found.get("subjects") or ()
    if absent := [subject for subject in wanted.get("subjects") or () if subject not in subjects]:
        changed["subjects"] = [*subjects, *absent]
    return None if changed == found else changed


def _with_marks(wanted: ReadOnlyObject, found: ReadOnlyObject) -> Object:
    return {
        **metadata_of(found),
        "labels": {**labels_of(found), **labels_of(wanted)},
        "annotations": {**annotations_of(wanted), **annotations_of(found)},
    }
