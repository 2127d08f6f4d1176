"""What a rule of a role allows, and whether some rules cover others. Pure.

Source: ``kubernetes/pkg/apis/rbac/v1/evaluation_helpers.go`` (matching);
``k8s.io/component-helpers/auth/rbac/validation`` (covering).
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from beamhall.embedded.api.authorization import Attributes
from beamhall.kernel.objects import Object, ReadOnlyObject

ALL = "*"


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of a role, ready to be asked.

    Attributes:
        verbs: What may be done; ``*``: everything.
        groups: API groups; ``*``: every one.
        resources: ``pods``, ``pods/log``, ``*/scale`` (that subresource of everything), ``*``.
        names: Only objects of these names; empty: all.
        urls: Paths outside of resources: whole ones, or with ``*`` at their end.
    """

    verbs: frozenset[str]
    groups: frozenset[str] = frozenset()
    resources: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    urls: frozenset[str] = frozenset()

    def allows(self, wanted: Attributes) -> bool:
        """Tell whether the rule allows something, wherever it applies."""
        if wanted.verb not in self.verbs and ALL not in self.verbs:
            return False
        if wanted.path:
            return _covers_url(self.urls, wanted.path)
        if wanted.group not in self.groups and ALL not in self.groups:
            return False
        what = f"{wanted.resource}/{wanted.subresource}" if wanted.subresource else wanted.resource
        if not _covers_resource(self.resources, what):
            return False
        return not self.names or wanted.name in self.names

    def covers(self, part: "Rule") -> bool:
        """Tell whether whoever has this rule may do all that ``part`` allows."""
        return (
            (ALL in self.verbs or part.verbs <= self.verbs)
            and (ALL in self.groups or part.groups <= self.groups)
            and all(_covers_resource(self.resources, resource) for resource in part.resources)
            and all(_covers_url(self.urls, url) for url in part.urls)
            and (not self.names or (bool(part.names) and part.names <= self.names))
        )

    def as_object(self) -> Object:
        """Write it as clients read it."""
        fields = (
            ("verbs", self.verbs), ("apiGroups", self.groups), ("resources", self.resources),
            ("resourceNames", self.names), ("nonResourceURLs", self.urls),
        )  # fmt: skip
        return {name: sorted(values) for name, values in fields if values}

    def __str__(self) -> str:
        fields = (
            ("APIGroups", self.groups), ("Resources", self.resources), ("NonResourceURLs", self.urls),
            ("ResourceNames", self.names), ("Verbs", self.verbs),
        )  # fmt: skip
        return "{" + ", ".join(f"{name}:{quoted(sorted(values))}" for name, values in fields if values) + "}"


def read_rules(rules: Any) -> tuple[Rule, ...]:
    """Read the ``rules`` of a Role or ClusterRole."""
    return tuple(
        Rule(
            frozenset(rule.get("verbs") or ()),
            frozenset(rule.get("apiGroups") or ()),
            frozenset(rule.get("resources") or ()),
            frozenset(rule.get("resourceNames") or ()),
            frozenset(rule.get("nonResourceURLs") or ()),
        )
        for rule in rules or ()
    )


def missing_from(held: Sequence[Rule], wanted: Iterable[Rule]) -> Sequence[Rule]:
    """Give what of the wanted rules is not covered by those that are held, in as few rules as can be read easily."""
    parts = dict.fromkeys(part for rule in wanted for part in _parts(rule))
    missing = [part for part in parts if not any(rule.covers(part) for rule in held)]
    merged: dict[Rule, set[str]] = {}
    for part in missing:
        merged.setdefault(replace(part, verbs=frozenset()), set()).update(part.verbs)
    return [replace(rest, verbs=frozenset(verbs)) for rest, verbs in merged.items()]


def _parts(rule: Rule) -> Iterator[Rule]:
    """Break a rule into rules with one verb and one thing each."""
    names = rule.names or (None,)
    for verb, group, resource, name in product(rule.verbs, rule.groups, rule.resources, names):
        only = frozenset() if name is None else frozenset((name,))
        yield Rule(frozenset((verb,)), frozenset((group,)), frozenset((resource,)), only)
    for verb, url in product(rule.verbs, rule.urls):
        yield Rule(frozenset((verb,)), urls=frozenset((url,)))


def _covers_resource(held: frozenset[str], wanted: str) -> bool:
    if wanted in held or ALL in held:
        return True
    _, slash, subresource = wanted.partition("/")
    return bool(slash) and f"*/{subresource}" in held


def _covers_url(held: frozenset[str], wanted: str) -> bool:
    if wanted in held or ALL in held:
        return True
    return any(url.endswith(ALL) and wanted.startswith(url[:-1]) for url in held)


def quoted(values: Iterable[str]) -> str:
    """Write texts as Go writes a list of them: ``["a" "b"]``."""
    return "[" + " ".join(json.dumps(value, ensure_ascii=False) for value in values) + "]"


def subjects_of(binding: ReadOnlyObject) -> Iterator[tuple[str, str]]:
    """Give whom a binding names, as (``User`` or ``Group``, name); service accounts are users."""
    namespace = str((binding.get("metadata") or {}).get("namespace") or "")
    for subject in binding.get("subjects") or ():
        if (found := _subject(subject, namespace)) is not None:
            yield found


def _subject(subject: Mapping[str, Any], namespace: str) -> tuple[str, str] | None:
    kind, name = str(subject.get("kind") or ""), str(subject.get("name") or "")
    if kind in ("User", "Group"):
        return kind, name
    where = str(subject.get("namespace") or namespace)
    return ("User", f"system:serviceaccount:{where}:{name}") if kind == "ServiceAccount" and where else None
