"""Aggregated ClusterRoles: their rules are those of the ClusterRoles that their selectors choose.

Source: Kubernetes "Using RBAC Authorization", "Aggregated ClusterRoles";
``kubernetes/pkg/controller/clusterroleaggregation``.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from beamhall.kernel.kinds import CLUSTER_ROLE
from beamhall.kernel.objects import ReadOnlyObject, is_being_deleted, key_of, labels_of, name_of, uid_of
from beamhall.kernel.plan import Action, Patch, Plan, View
from beamhall.kernel.selectors import Selector, selector_from_object


def plan_aggregation(role: ReadOnlyObject, view: View) -> Plan:
    """Bring the rules of every aggregated ClusterRole in line with those that it gathers. One may gather another."""
    del role
    return Plan(tuple(_actions(view)))


def _actions(view: View) -> Iterator[Action]:
    roles = view.list(CLUSTER_ROLE)
    for aggregated in roles:
        rule = aggregated.get("aggregationRule")
        if not rule or is_being_deleted(aggregated):
            continue
        wanted = _gathered(aggregated, _selectors(rule), roles)
        if (aggregated.get("rules") or []) != wanted:
            yield Patch(key_of(CLUSTER_ROLE, aggregated), {"rules": wanted}, uid=uid_of(aggregated))


def _selectors(rule: ReadOnlyObject) -> Sequence[Selector]:
    return [selector_from_object(selector) for selector in rule.get("clusterRoleSelectors") or ()]


def _gathered(aggregated: ReadOnlyObject, selectors: Sequence[Selector], roles: Sequence[ReadOnlyObject]) -> list[Any]:
    """Give the rules, each once, in the order of the names of the roles that they come from."""
    chosen = [
        role
        for role in roles
        if name_of(role) != name_of(aggregated) and any(selector.matches(labels_of(role)) for selector in selectors)
    ]
    wanted: list[Any] = []
    for rule in (rule for role in chosen for rule in role.get("rules") or ()):
        if rule not in wanted:
            wanted.append(rule)
    return wanted
