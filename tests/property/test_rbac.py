"""The index of roles and bindings answers as a walk over all stored objects would, whatever was written before."""

from itertools import product
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from beamhall.embedded.api.authorization import Attributes
from beamhall.embedded.api.builtin_rules import built_in_resources
from beamhall.embedded.api.rbac.authorizer import RbacAuthorizer
from beamhall.embedded.api.rbac.index import RbacIndex
from beamhall.embedded.api.registry import Registry
from beamhall.kernel.identity import User
from beamhall.kernel.kinds import CLUSTER_ROLE, CLUSTER_ROLE_BINDING, ROLE, ROLE_BINDING, Kind
from beamhall.kernel.objects import Object

REGISTRY = Registry(built_in_resources(lambda: ""))
NAMESPACES = ("m", "n")
USERS = [User("u", ("g",)), User("v"), User("system:serviceaccount:m:s", ("g", "h"))]
QUESTIONS = [
    *(
        Attributes("get", "", "pods", namespace, name, subresource)
        for namespace in ("", *NAMESPACES)
        for name in ("", "x")
        for subresource in ("", "log")
    ),
    Attributes("list", "apps", "secrets", "m"),
    Attributes("get", path="/api/v1"),
    Attributes("get", path="/x"),
]
ASKED = list(product(USERS, QUESTIONS))


def some(*values: str) -> Any:
    return st.lists(st.sampled_from(values), min_size=1, max_size=2)


ON_RESOURCES = st.fixed_dictionaries(
    {
        "verbs": some("get", "*"),
        "apiGroups": some("", "*"),
        "resources": some("pods", "pods/log", "*/log", "*"),
        "resourceNames": st.sampled_from(([], [], ["x"], ["y"])),
    }
)
ON_PATHS = st.fixed_dictionaries({"verbs": some("get", "*"), "nonResourceURLs": some("/api", "/api/*", "*")})
RULES = st.lists(st.one_of(ON_RESOURCES, ON_PATHS), min_size=1, max_size=2)
SUBJECT = st.sampled_from(
    (
        {"kind": "User", "name": "u"},
        {"kind": "Group", "name": "g"},
        {"kind": "Group", "name": "h"},
        {"kind": "ServiceAccount", "name": "s", "namespace": "m"},
        {"kind": "ServiceAccount", "name": "s"},
    )
)
WRITE = st.tuples(
    st.sampled_from((ROLE, CLUSTER_ROLE, ROLE_BINDING, CLUSTER_ROLE_BINDING)),
    st.sampled_from(NAMESPACES),
    st.sampled_from((False, False, False, True)),
    RULES,
    st.sampled_from(("Role", "ClusterRole")),
    st.lists(SUBJECT, max_size=2),
)


class Empty:
    """A store that holds nothing when the index begins."""

    def list(self, resource: str) -> Any:
        return type("Listing", (), {"items": ()})


def naive(objects: dict[tuple[Kind, str, str], Object], user: User, wanted: Attributes) -> bool:
    """Walk over everything, as the documentation of RBAC words it."""
    for (kind, namespace, _), binding in objects.items():
        if kind not in (ROLE_BINDING, CLUSTER_ROLE_BINDING):
            continue
        if kind == ROLE_BINDING and (wanted.path or namespace != wanted.namespace):
            continue
        if not any(is_meant(subject, namespace, user) for subject in binding["subjects"]):
            continue
        is_role = binding["roleRef"]["kind"] == "Role"
        where = (ROLE, namespace) if is_role else (CLUSTER_ROLE, "")
        role = objects.get((*where, binding["roleRef"]["name"]))
        if role and any(permits(rule, wanted) for rule in role["rules"]):
            return True
    return False


def is_meant(subject: dict[str, str], namespace: str, user: User) -> bool:
    if subject["kind"] == "Group":
        return subject["name"] in user.groups
    if subject["kind"] == "User":
        return subject["name"] == user.name
    where = subject.get("namespace") or namespace
    return bool(where) and user.name == f"system:serviceaccount:{where}:{subject['name']}"


def permits(rule: dict[str, Any], wanted: Attributes) -> bool:
    if not {"*", wanted.verb} & set(rule["verbs"]):
        return False
    if wanted.path:
        urls = rule.get("nonResourceURLs") or ()
        return any(u in ("*", wanted.path) or (u[-1] == "*" and wanted.path.startswith(u[:-1])) for u in urls)
    full = wanted.resource + (f"/{wanted.subresource}" if wanted.subresource else "")
    resources = {"*", full} | ({f"*/{wanted.subresource}"} if wanted.subresource else set())
    names = rule.get("resourceNames") or ()
    return (
        bool({"*", wanted.group} & set(rule.get("apiGroups") or ()))
        and bool(resources & set(rule.get("resources") or ()))
        and (not names or wanted.name in names)
    )


@settings(max_examples=150, deadline=None)
@given(st.lists(WRITE, min_size=3, max_size=20))
def test_the_index_answers_as_a_walk_over_everything(writes: list[Any]) -> None:
    index = RbacIndex(Empty())  # type: ignore[arg-type]
    authorizer = RbacAuthorizer(index)
    objects: dict[tuple[Kind, str, str], Object] = {}
    for kind, namespace, is_gone, rules, role_kind, subjects in writes:
        where = namespace if kind.namespaced else ""
        obj: Object = {"metadata": {"name": "a"} | ({"namespace": where} if where else {})}
        if kind in (ROLE, CLUSTER_ROLE):
            obj["rules"] = rules
        else:
            obj |= {"roleRef": {"kind": role_kind if where else "ClusterRole", "name": "a"}, "subjects": subjects}
        index.written(REGISTRY.find(kind), obj, is_gone=is_gone)
        if is_gone:
            objects.pop((kind, where, "a"), None)
        else:
            objects[kind, where, "a"] = obj
        for user, question in ASKED:
            assert authorizer.allows(user, question) is naive(objects, user, question), (user, question)
