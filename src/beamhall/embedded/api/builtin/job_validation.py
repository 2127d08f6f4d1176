"""What a Job may be, and what of it may change.

Source: Kubernetes API reference, Job v1 batch; "Jobs".
"""

from collections.abc import Iterator, Mapping
from typing import Any

from beamhall.embedded.api.builtin.causes import (
    in_range,
    invalid,
    non_negative,
    one_of,
    required,
    unchanged,
)
from beamhall.embedded.api.builtin.pod_validation import validate_template
from beamhall.kernel.errors import Cause
from beamhall.kernel.objects import ReadOnlyObject, metadata_of, uid_of
from beamhall.kernel.selectors import selector_from_object

_NUMBERS = (
    "parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "backoffLimitPerIndex", "maxFailedIndexes",
    "ttlSecondsAfterFinished",
)  # fmt: skip
_IMMUTABLE = ("selector", "completionMode", "manualSelector", "podFailurePolicy", "backoffLimitPerIndex", "managedBy")
_PLACEMENT = ("nodeSelector", "tolerations", "affinity", "schedulingGates")


def validate_job(obj: ReadOnlyObject) -> Iterator[Cause]:
    """Check a new Job, but for its metadata."""
    spec = obj.get("spec") or {}
    yield from _validate_numbers(spec)
    if spec.get("template") is None:
        yield required("spec.template")
        return
    yield from _validate_selector(obj, spec)
    yield from validate_template(spec["template"], "spec.template")
    if (spec["template"].get("spec") or {}).get("restartPolicy") in (None, "Always"):
        yield required("spec.template.spec.restartPolicy", 'valid values: "OnFailure", "Never"')


def validate_job_update(obj: ReadOnlyObject, old: ReadOnlyObject) -> Iterator[Cause]:
    """Check that only those fields of a Job's spec change that may: how much runs, and when it stops."""
    spec, old_spec = obj.get("spec") or {}, old.get("spec") or {}
    yield from _validate_numbers(spec)
    for field in _IMMUTABLE:
        yield from unchanged(f"spec.{field}", spec.get(field), old_spec.get(field))
    is_elastic = spec.get("completionMode") == "Indexed" and spec.get("completions") == spec.get("parallelism")
    if not is_elastic:
        yield from unchanged("spec.completions", spec.get("completions"), old_spec.get("completions"))
    may_move = bool(old_spec.get("suspend")) and not (old.get("status") or {}).get("startTime")
    new_template, old_template = spec.get("template") or {}, old_spec.get("template") or {}
    if may_move:
        new_template, old_template = _without_placement(new_template), _without_placement(old_template)
    yield from unchanged("spec.template", new_template, old_template)


def _validate_numbers(spec: Mapping[str, Any]) -> Iterator[Cause]:
    for field in _NUMBERS:
        yield from non_negative(f"spec.{field}", spec.get(field))
    yield from one_of("spec.completionMode", spec.get("completionMode"), ("Indexed", "NonIndexed"))
    yield from one_of("spec.podReplacementPolicy", spec.get("podReplacementPolicy"), ("Failed", "TerminatingOrFailed"))
    if spec.get("completionMode") == "Indexed":
        if spec.get("completions") is None:
            yield required("spec.completions", "when completion mode is Indexed")
        yield from in_range("spec.parallelism", spec.get("parallelism"), 0, 100_000)
    elif spec.get("backoffLimitPerIndex") is not None:
        yield invalid("spec.backoffLimitPerIndex", spec["backoffLimitPerIndex"], "requires indexed completion mode")


def _validate_selector(obj: ReadOnlyObject, spec: Mapping[str, Any]) -> Iterator[Cause]:
    selector = spec.get("selector")
    if not selector:
        yield required("spec.selector")
        return
    labels = metadata_of(spec["template"]).get("labels") or {}
    if not spec.get("manualSelector") and set((selector.get("matchLabels") or {}).values()) != {uid_of(obj)}:
        yield invalid("spec.selector", selector, "`selector` not auto-generated; leave it out, or set manualSelector")
    try:
        does_match = selector_from_object(selector).matches(labels)
    except ValueError as error:
        yield invalid("spec.selector", selector, str(error))
        return
    if not does_match:
        yield invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")


def _without_placement(template: Mapping[str, Any]) -> dict[str, Any]:
    """Give a template without what may change while a Job is suspended and has not started."""
    spec = {name: value for name, value in (template.get("spec") or {}).items() if name not in _PLACEMENT}
    return {"spec": spec}
