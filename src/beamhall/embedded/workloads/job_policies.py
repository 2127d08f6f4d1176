"""What a Job's policies make of how its Pods ended: which failures count, and which successes are enough.

Source: Kubernetes "Jobs", sections "Pod failure policy" and "Success policy"; KEP-3329, KEP-3998.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from beamhall.kernel.conditions import conditions_of
from beamhall.kernel.indexes import parse_indexes
from beamhall.kernel.objects import ReadOnlyObject, name_of, namespace_of


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a failure.

    Attributes:
        action: ``Count``, ``Ignore``, ``FailIndex`` or ``FailJob``.
        message: Which rule says so, for people; empty: none.
    """

    action: str = "Count"
    message: str = ""


def judge_failure(policy: Mapping[str, Any] | None, pod: ReadOnlyObject) -> Verdict:
    """Judge a Pod that failed by the first rule that it meets; without one it counts."""
    for number, rule in enumerate((policy or {}).get("rules") or ()):
        action = str(rule.get("action") or "Count")
        tail = f"matching {action} rule at index {number}"
        where = f"{namespace_of(pod)}/{name_of(pod)}"
        if codes := rule.get("onExitCodes"):
            for container, code in _exit_codes(pod, codes.get("containerName")):
                if _meets(code, codes):
                    return Verdict(action, f"Container {container} for pod {where} failed with exit code {code} {tail}")
        elif condition := _met_condition(pod, rule.get("onPodConditions") or ()):
            return Verdict(action, f"Pod {where} has condition {condition} {tail}")
    return Verdict()


def met_success_rule(policy: Mapping[str, Any] | None, succeeded: Collection[int]) -> int | None:
    """Give the number of the first rule that the succeeded indexes meet, or None."""
    for number, rule in enumerate((policy or {}).get("rules") or ()):
        wanted = parse_indexes(rule["succeededIndexes"]) if rule.get("succeededIndexes") is not None else None
        met = set(succeeded) if wanted is None else wanted & set(succeeded)
        count = rule.get("succeededCount")
        enough = count if count is not None else len(wanted or ())
        if enough and len(met) >= enough:
            return number
    return None


def _exit_codes(pod: ReadOnlyObject, name: str | None) -> Iterator[tuple[str, int]]:
    """Give the containers that ended with an error, init containers too, and their exit codes."""
    status: Mapping[str, Any] = pod.get("status") or {}
    for container in [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]:
        ended = (container.get("state") or {}).get("terminated")
        if ended and ended.get("exitCode") and name in (None, container.get("name")):
            yield str(container.get("name")), int(ended["exitCode"])


def _meets(code: int, rule: Mapping[str, Any]) -> bool:
    is_listed = code in (rule.get("values") or ())
    return is_listed if rule.get("operator") == "In" else not is_listed


def _met_condition(pod: ReadOnlyObject, patterns: Sequence[Mapping[str, Any]]) -> str:
    for pattern in patterns:
        for condition in conditions_of(pod):
            wanted = (pattern.get("type"), pattern.get("status") or "True")
            if (condition.get("type"), condition.get("status")) == wanted:
                return str(condition["type"])
    return ""
