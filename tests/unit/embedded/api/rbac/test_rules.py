"""What a rule allows and covers."""

from typing import Any

import pytest

from beamhall.embedded.api.authorization import Attributes
from beamhall.embedded.api.rbac.rules import Rule, missing_from, read_rules, subjects_of


def rule(verbs: str = "get", groups: tuple[str, ...] = ("",), resources: str = "pods", names: str = "") -> Rule:
    return read_rules(
        [
            {
                "verbs": verbs.split(),
                "apiGroups": list(groups),
                "resources": resources.split(),
                "resourceNames": names.split(),
            }
        ]
    )[0]


def urls(text: str, verbs: str = "get") -> Rule:
    return read_rules([{"verbs": verbs.split(), "nonResourceURLs": text.split()}])[0]


POD_A = Attributes("get", "", "pods", "ns", "a")


@pytest.mark.parametrize(
    ("held", "wanted", "is_allowed"),
    [
        (rule(), POD_A, True),
        (rule("list watch"), POD_A, False),
        (rule("*"), POD_A, True),
        (rule(groups=("apps",)), POD_A, False),
        (rule(groups=("*",)), POD_A, True),
        (rule(groups=("*",)), Attributes("get", "apps", "pods"), True),
        (rule(resources="*"), POD_A, True),
        (rule(resources="secrets"), POD_A, False),
        (rule(names="a b"), POD_A, True),
        (rule(names="b"), POD_A, False),
        (rule("list", names="a"), Attributes("list", "", "pods", "ns"), False),  # a list names nobody
        (rule(), Attributes("get", "", "pods", "ns", "a", "log"), False),
        (rule(resources="pods/log"), Attributes("get", "", "pods", "ns", "a", "log"), True),
        (rule(resources="pods/log"), POD_A, False),
        (rule(resources="*/log"), Attributes("get", "", "pods", "ns", "a", "log"), True),
        (rule(resources="*/log"), Attributes("get", "", "pods", "ns", "a", "status"), False),
        (rule(resources="*/log"), POD_A, False),
        (rule(resources="pods/*"), Attributes("get", "", "pods", "ns", "a", "log"), False),  # as in Kubernetes
        (rule(resources="*"), Attributes("get", "", "pods", "ns", "a", "log"), True),
        (rule(resources="*"), Attributes("get", path="/version"), False),
        (urls("/version"), Attributes("get", path="/version"), True),
        (urls("/version"), Attributes("get", path="/version/"), False),
        (urls("/api/*"), Attributes("get", path="/api/v1"), True),
        (urls("/api/*"), Attributes("get", path="/apis"), False),
        (urls("*"), Attributes("get", path="/anything"), True),
        (urls("*", "post"), Attributes("get", path="/anything"), False),
        (urls("*"), POD_A, False),
    ],
)
def test_a_rule_allows(held: Rule, wanted: Attributes, is_allowed: bool) -> None:
    assert held.allows(wanted) is is_allowed


@pytest.mark.parametrize(
    ("held", "wanted", "missing"),
    [
        ([rule("get list")], [rule("get")], []),
        ([rule("get"), rule("list")], [rule("get list")], []),
        ([rule("get")], [rule("get list", resources="pods secrets")], [
            '{APIGroups:[""], Resources:["pods"], Verbs:["list"]}',
            '{APIGroups:[""], Resources:["secrets"], Verbs:["get" "list"]}',
        ]),
        ([rule("*", ("*",), "*")], [rule("get list", ("", "apps"), "pods pods/log */scale")], []),
        ([rule("*", ("*",), "*")], [urls("/version")], ['{NonResourceURLs:["/version"], Verbs:["get"]}']),
        ([rule("get", resources="*/scale")], [rule("get", ("",), "pods/scale")], []),
        ([rule("get", resources="pods/scale")], [rule("get", ("",), "*/scale")], [
            '{APIGroups:[""], Resources:["*/scale"], Verbs:["get"]}',
        ]),
        ([rule(names="a")], [rule()], ['{APIGroups:[""], Resources:["pods"], Verbs:["get"]}']),
        ([rule(names="a")], [rule(names="a b")], [
            '{APIGroups:[""], Resources:["pods"], ResourceNames:["b"], Verbs:["get"]}',
        ]),
        ([rule()], [rule(names="a b")], []),
        ([urls("/api/*")], [urls("/api/v1 /api/*")], []),
        ([urls("/api/v1")], [urls("/api/*")], ['{NonResourceURLs:["/api/*"], Verbs:["get"]}']),
        ([], [rule("*", ("*",), "*"), urls("*", "*")], [
            '{APIGroups:["*"], Resources:["*"], Verbs:["*"]}', '{NonResourceURLs:["*"], Verbs:["*"]}',
        ]),
    ],
)  # fmt: skip
def test_what_is_missing_is_told(held: list[Rule], wanted: list[Rule], missing: list[str]) -> None:
    assert sorted(str(part) for part in missing_from(held, wanted)) == missing


@pytest.mark.parametrize(
    ("subject", "named"),
    [
        ({"kind": "User", "name": "jo"}, [("User", "jo")]),
        ({"kind": "Group", "name": "lab"}, [("Group", "lab")]),
        ({"kind": "ServiceAccount", "name": "s", "namespace": "n"}, [("User", "system:serviceaccount:n:s")]),
        ({"kind": "ServiceAccount", "name": "s"}, [("User", "system:serviceaccount:here:s")]),
        ({"kind": "Robot", "name": "r"}, []),
    ],
)
def test_subjects_of_a_binding(subject: dict[str, Any], named: list[tuple[str, str]]) -> None:
    assert list(subjects_of({"metadata": {"name": "b", "namespace": "here"}, "subjects": [subject]})) == named
