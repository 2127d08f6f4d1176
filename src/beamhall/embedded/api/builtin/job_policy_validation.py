"""What the policies of a Job may say: which failures of Pods count, and which successes are enough.

Source: Kubernetes API reference, Job v1 batch (PodFailurePolicy, SuccessPolicy); ``pkg/apis/batch/validation``.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from beamhall.embedded.api.builtin.causes import invalid, matching, required, unsupported
from beamhall.kernel import names
from beamhall.kernel.errors import Cause
from beamhall.kernel.indexes import parse_indexes

_MAX_RULES = 20
_MAX_CODES = 255
_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")


def validate_failure_policy(spec: Mapping[str, Any], path: str) -> Iterator[Cause]:
    """Check ``podFailurePolicy`` of the Job's spec at ``path``."""
    rules = (spec.get("podFailurePolicy") or {}).get("rules") or ()
    here = f"{path}.podFailurePolicy.rules"
    yield from _at_most(here, rules, _MAX_RULES)
    pod_spec = (spec.get("template") or {}).get("spec") or {}
    containers = {c.get("name") for c in [*(pod_spec.get("initContainers") or ()), *(pod_spec.get("containers") or ())]}
    for number, rule in enumerate(rules):
        yield from _validate_failure_rule(rule, f"{here}[{number}]", containers)
        if rule.get("action") == "FailIndex" and spec.get("backoffLimitPerIndex") is None:
            yield invalid(f"{here}[{number}].action", "FailIndex", "requires the backoffLimitPerIndex to be set")


def _validate_failure_rule(rule: Mapping[str, Any], path: str, containers: set[Any]) -> Iterator[Cause]:
    action, codes, conditions = rule.get("action"), rule.get("onExitCodes"), rule.get("onPodConditions") or ()
    if not action:
        yield required(f"{path}.action", f"valid values: {', '.join(_ACTIONS)}")
    elif action not in _ACTIONS:
        yield unsupported(f"{path}.action", action, _ACTIONS)
    if codes is not None:
        yield from _validate_codes(codes, f"{path}.onExitCodes", containers)
    yield from _at_most(f"{path}.onPodConditions", conditions, _MAX_RULES)
    for number, condition in enumerate(conditions):
        here = f"{path}.onPodConditions[{number}]"
        kind = condition.get("type") or ""
        yield from matching(f"{here}.type", kind, names.label_key_problem(kind))
        if condition.get("status") not in ("True", "False", "Unknown"):
            yield unsupported(f"{here}.status", condition.get("status"), ("False", "True", "Unknown"))
    if codes is not None and conditions:
        yield invalid(path, rule, "specifying both OnExitCodes and OnPodConditions is not supported")
    if codes is None and not conditions:
        yield invalid(path, rule, "specifying one of OnExitCodes and OnPodConditions is required")


def _validate_codes(codes: Mapping[str, Any], path: str, containers: set[Any]) -> Iterator[Cause]:
    operator, values = codes.get("operator"), codes.get("values") or []
    if operator not in ("In", "NotIn"):
        yield unsupported(f"{path}.operator", operator, ("In", "NotIn"))
    name = codes.get("containerName")
    if name is not None and name not in containers:
        detail = "must be one of the container or initContainer names in the pod template"
        yield invalid(f"{path}.containerName", name, detail)
    if not values:
        yield invalid(f"{path}.values", values, "at least one value is required")
    yield from _at_most(f"{path}.values", values, _MAX_CODES)
    if values != sorted(set(values)):
        yield invalid(f"{path}.values", values, "must be ordered, each value once")
    if operator == "In" and 0 in values:
        yield invalid(f"{path}.values[{values.index(0)}]", 0, "must not be 0 for the In operator")


def validate_success_policy(spec: Mapping[str, Any], path: str) -> Iterator[Cause]:
    """Check ``successPolicy`` of the Job's spec at ``path``."""
    policy = spec.get("successPolicy")
    if policy is None:
        return
    here, rules, completions = f"{path}.successPolicy", policy.get("rules") or (), spec.get("completions") or 0
    if spec.get("completionMode") != "Indexed":
        yield invalid(here, policy, "requires indexed completion mode")
        return
    if not rules:
        yield required(f"{here}.rules", "at least one rules must be specified when the successPolicy is specified")
    yield from _at_most(f"{here}.rules", rules, _MAX_RULES)
    for number, rule in enumerate(rules):
        yield from _validate_success_rule(rule, f"{here}.rules[{number}]", completions)


def _validate_success_rule(rule: Mapping[str, Any], path: str, completions: int) -> Iterator[Cause]:
    count, text = rule.get("succeededCount"), rule.get("succeededIndexes")
    if count is None and text is None:
        yield required(path, "at least one of succeededCount or succeededIndexes must be specified")
        return
    n_at_most = completions
    if text is not None:
        try:
            indexes = parse_indexes(text)
        except ValueError as error:
            yield invalid(f"{path}.succeededIndexes", text, f"error parsing succeededIndexes: {error}")
            return
        if max(indexes, default=0) >= completions:
            yield invalid(f"{path}.succeededIndexes", text, f"indexes must be smaller than completions, {completions}")
        n_at_most = len(indexes)
    if count is not None and not 0 < count <= n_at_most:
        limit = "the number of succeededIndexes" if text is not None else "completions"
        yield invalid(
            f"{path}.succeededCount", count, f"must be at least 1, and less than or equal to {n_at_most} ({limit})"
        )


def _at_most(path: str, items: Sequence[Any], limit: int) -> Iterator[Cause]:
    if len(items) > limit:
        yield Cause("FieldValueTooMany", f"Too many: {len(items)}: must have at most {limit} items", path)
