"""What Deployments, ReplicaSets, StatefulSets and ControllerRevisions may be, and what of them may change.

Jobs are in ``job_validation``, CronJobs in ``cron_job_validation``.

Source: Kubernetes API reference, apps/v1; ``pkg/apis/apps/validation``.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from beamhall.embedded.api.builtin.causes import (
    forbidden,
    invalid,
    non_negative,
    one_of,
    required,
    unchanged,
    unsupported,
)
from beamhall.embedded.api.builtin.pod_validation import validate_template
from beamhall.embedded.api.builtin.selector_validation import validate_own_selector
from beamhall.kernel.errors import Cause
from beamhall.kernel.objects import ReadOnlyObject, metadata_of

_PERCENT = re.compile(r"[0-9]+%")
_PERCENT_RULE = (
    "a valid percent string must be a numeric string followed by an ending '%' "
    "(e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')"
)
_MAY_CHANGE = (
    "replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy", "minReadySeconds",
)  # fmt: skip


def validate_deployment(obj: ReadOnlyObject) -> Iterator[Cause]:
    """Check a Deployment, but for its metadata."""
    spec = obj.get("spec") or {}
    for field in ("replicas", "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"):
        yield from non_negative(f"spec.{field}", spec.get(field))
    yield from validate_own_selector(spec, "deployment")
    yield from _validate_lasting_template(spec, "ReplicaSet")
    yield from _validate_strategy(spec.get("strategy") or {})
    deadline_s = spec.get("progressDeadlineSeconds")
    if deadline_s is not None and deadline_s <= (spec.get("minReadySeconds") or 0):
        yield invalid("spec.progressDeadlineSeconds", deadline_s, "must be greater than minReadySeconds")


def validate_replica_set(obj: ReadOnlyObject) -> Iterator[Cause]:
    """Check a ReplicaSet, but for its metadata."""
    spec = obj.get("spec") or {}
    for field in ("replicas", "minReadySeconds"):
        yield from non_negative(f"spec.{field}", spec.get(field))
    yield from validate_own_selector(spec, "deployment")  # the word is upstream's
    yield from _validate_lasting_template(spec, "ReplicaSet")


def validate_selector_update(obj: ReadOnlyObject, old: ReadOnlyObject) -> Iterator[Cause]:
    """Check that a Deployment or a ReplicaSet goes on selecting the same Pods."""
    new_spec, old_spec = obj.get("spec") or {}, old.get("spec") or {}
    yield from unchanged("spec.selector", new_spec.get("selector"), old_spec.get("selector"))


def validate_stateful_set(obj: ReadOnlyObject) -> Iterator[Cause]:
    """Check a StatefulSet, but for its metadata."""
    spec = obj.get("spec") or {}
    for field in ("replicas", "minReadySeconds", "revisionHistoryLimit"):
        yield from non_negative(f"spec.{field}", spec.get(field))
    yield from non_negative("spec.ordinals.start", (spec.get("ordinals") or {}).get("start"))
    if spec.get("podManagementPolicy") not in ("OrderedReady", "Parallel"):
        detail = "must be 'OrderedReady' or 'Parallel'"
        yield invalid("spec.podManagementPolicy", spec.get("podManagementPolicy"), detail)
    yield from _validate_update_strategy(spec.get("updateStrategy") or {})
    for field, policy in (spec.get("persistentVolumeClaimRetentionPolicy") or {}).items():
        yield from one_of(f"spec.persistentVolumeClaimRetentionPolicy.{field}", policy, ("Retain", "Delete"))
    yield from validate_own_selector(spec, "statefulset")
    yield from _validate_lasting_template(spec, "StatefulSet")


def validate_stateful_set_update(obj: ReadOnlyObject, old: ReadOnlyObject) -> Iterator[Cause]:
    """Check that only those fields of a StatefulSet change that may."""
    new_spec, old_spec = obj.get("spec") or {}, old.get("spec") or {}
    fixed = {*new_spec, *old_spec} - {*_MAY_CHANGE}
    if any(new_spec.get(field) != old_spec.get(field) for field in fixed):
        names = ", ".join(f"'{field}'" for field in _MAY_CHANGE[:-1])
        detail = f"updates to statefulset spec for fields other than {names} and '{_MAY_CHANGE[-1]}' are forbidden"
        yield forbidden("spec", detail)


def validate_revision(obj: ReadOnlyObject) -> Iterator[Cause]:
    """Check a ControllerRevision, but for its metadata."""
    if obj.get("data") is None:
        yield required("data", "data is mandatory")
    yield from non_negative("revision", obj.get("revision"))


def validate_revision_update(obj: ReadOnlyObject, old: ReadOnlyObject) -> Iterator[Cause]:
    """Check that a ControllerRevision keeps what it is a record of."""
    yield from unchanged("data", obj.get("data"), old.get("data"))


def _validate_lasting_template(spec: Mapping[str, Any], kind: str) -> Iterator[Cause]:
    """Check the template of Pods that are to run for ever."""
    template = spec.get("template")
    if template is None:
        yield required("spec.template")
        return
    yield from validate_template(_with_claims(template, spec), "spec.template")
    pod_spec = template.get("spec") or {}
    if pod_spec.get("restartPolicy") not in (None, "Always"):
        yield unsupported("spec.template.spec.restartPolicy", pod_spec["restartPolicy"], ("Always",))
    if pod_spec.get("activeDeadlineSeconds") is not None:
        detail = f"activeDeadlineSeconds in {kind} is not Supported"
        yield forbidden("spec.template.spec.activeDeadlineSeconds", detail)


def _with_claims(template: Mapping[str, Any], spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give a template with the volumes that its Pods will have of ``volumeClaimTemplates``, which it may mount."""
    names = [metadata_of(claim).get("name") for claim in spec.get("volumeClaimTemplates") or ()]
    if not names:
        return template
    pod_spec = template.get("spec") or {}
    others = [volume for volume in pod_spec.get("volumes") or () if volume.get("name") not in names]
    claims = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in names]
    return {**template, "spec": {**pod_spec, "volumes": [*others, *claims]}}


def _validate_strategy(strategy: Mapping[str, Any]) -> Iterator[Cause]:
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    if kind == "Recreate":
        if rolling is not None:
            detail = "may not be specified when strategy `type` is 'Recreate'"
            yield forbidden("spec.strategy.rollingUpdate", detail)
        return
    if kind != "RollingUpdate":
        yield unsupported("spec.strategy.type", kind, ("Recreate", "RollingUpdate"))
        return
    path, rolling = "spec.strategy.rollingUpdate", rolling or {}
    unavailable, surge = rolling.get("maxUnavailable"), rolling.get("maxSurge")
    yield from _validate_share(f"{path}.maxUnavailable", unavailable)
    yield from _validate_share(f"{path}.maxSurge", surge)
    if _is_nothing(unavailable) and _is_nothing(surge):
        yield invalid(f"{path}.maxUnavailable", unavailable, "may not be 0 when `maxSurge` is 0")
    yield from _validate_at_most_all(f"{path}.maxUnavailable", unavailable)


def _validate_update_strategy(strategy: Mapping[str, Any]) -> Iterator[Cause]:
    path, kind, rolling = "spec.updateStrategy", strategy.get("type"), strategy.get("rollingUpdate")
    if kind == "OnDelete":
        if rolling is not None:
            yield invalid(f"{path}.rollingUpdate", rolling, "only allowed for updateStrategy 'RollingUpdate'")
    elif kind == "RollingUpdate":
        rolling = rolling or {}
        yield from non_negative(f"{path}.rollingUpdate.partition", rolling.get("partition"))
        unavailable = rolling.get("maxUnavailable")
        yield from _validate_share(f"{path}.rollingUpdate.maxUnavailable", unavailable)
        yield from _validate_at_most_all(f"{path}.rollingUpdate.maxUnavailable", unavailable)
        if unavailable is not None and _is_nothing(unavailable):
            yield invalid(f"{path}.rollingUpdate.maxUnavailable", unavailable, "cannot be 0")
    else:
        yield invalid(path, strategy, "must be 'RollingUpdate' or 'OnDelete'")


def _validate_share(path: str, value: Any) -> Iterator[Cause]:
    """Check a number of Pods, or a share of them in percent."""
    if isinstance(value, str):
        if not _PERCENT.fullmatch(value):
            yield invalid(path, value, _PERCENT_RULE)
    else:
        yield from non_negative(path, value)


def _validate_at_most_all(path: str, value: Any) -> Iterator[Cause]:
    if isinstance(value, str) and _PERCENT.fullmatch(value) and int(value[:-1]) > 100:
        yield invalid(path, value, "must not be greater than 100%")


def _is_nothing(value: Any) -> bool:
    return value in (None, 0) or (isinstance(value, str) and bool(re.fullmatch("0+%", value)))
