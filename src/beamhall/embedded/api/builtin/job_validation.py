"""What a Job may be, and what of it may change. Its policies are in ``job_policy_validation``.

Source: Kubernetes API reference, Job v1 batch; "Jobs"; ``pkg/apis/batch/validation``.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from beamhall.embedded.api.builtin.causes import (
    in_range,
    invalid,
    non_negative,
    one_of,
    required,
    too_long,
    unchanged,
)
from beamhall.embedded.api.builtin.job_policy_validation import validate_failure_policy, validate_success_policy
from beamhall.embedded.api.builtin.pod_validation import validate_template
from beamhall.embedded.api.builtin.selector_validation import validate_labels_match, validate_selector
from beamhall.kernel import names
from beamhall.kernel.errors import Cause
from beamhall.kernel.objects import ReadOnlyObject, name_of, uid_of

_NUMBERS = (
    "parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "backoffLimitPerIndex", "maxFailedIndexes",
    "ttlSecondsAfterFinished",
)  # fmt: skip
_IMMUTABLE = (
    "selector", "completionMode", "manualSelector", "podFailurePolicy", "backoffLimitPerIndex", "managedBy",
    "successPolicy",
)  # fmt: skip
_PLACEMENT = ("nodeSelector", "tolerations", "affinity", "schedulingGates")
_MAX_MANAGER = 63


def validate_job(obj: ReadOnlyObject) -> Iterator[Cause]:
    """Check a new Job, but for most of its metadata."""
    spec = obj.get("spec") or {}
    yield from validate_job_spec(spec, "spec")
    if spec.get("template") is None:
        return
    yield from _validate_own_selector(obj, spec)
    completions = spec.get("completions")
    if spec.get("completionMode") == "Indexed" and completions:
        problem = names.label_problem(f"{name_of(obj)}-{completions - 1}")
        if problem and not names.subdomain_problem(name_of(obj)):
            detail = f"will not able to create pod with invalid DNS label: {problem}"
            yield invalid("metadata.name", name_of(obj), detail)


def validate_job_spec(spec: Mapping[str, Any], path: str) -> Iterator[Cause]:
    """Check the spec of a Job, or of a template of Jobs, at ``path``, but for its selector."""
    yield from _validate_numbers(spec, path)
    template = spec.get("template")
    if template is None:
        yield required(f"{path}.template")
        return
    yield from validate_template(template, f"{path}.template")
    policy = (template.get("spec") or {}).get("restartPolicy")
    if policy in (None, "Always"):
        yield required(f"{path}.template.spec.restartPolicy", 'valid values: "OnFailure", "Never"')
    elif policy != "Never":
        if spec.get("podFailurePolicy"):
            detail = 'only "Never" is supported when podFailurePolicy is specified'
            yield invalid(f"{path}.template.spec.restartPolicy", policy, detail)
        elif spec.get("backoffLimitPerIndex") is not None:
            detail = "when backoffLimitPerIndex is specified, only Never is supported"
            yield invalid(f"{path}.template.spec.restartPolicy", policy, detail)
    yield from validate_failure_policy(spec, path)
    yield from validate_success_policy(spec, path)
    yield from _validate_manager(spec.get("managedBy"), path)


def validate_job_update(obj: ReadOnlyObject, old: ReadOnlyObject) -> Iterator[Cause]:
    """Check that only those fields of a Job's spec change that may: how much runs, and when it stops."""
    spec, old_spec = obj.get("spec") or {}, old.get("spec") or {}
    yield from _validate_numbers(spec, "spec")
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


def _validate_numbers(spec: Mapping[str, Any], path: str) -> Iterator[Cause]:
    for field in _NUMBERS:
        yield from non_negative(f"{path}.{field}", spec.get(field))
    yield from one_of(f"{path}.completionMode", spec.get("completionMode"), ("Indexed", "NonIndexed"))
    replacements = ("Failed",) if spec.get("podFailurePolicy") else ("Failed", "TerminatingOrFailed")
    yield from one_of(f"{path}.podReplacementPolicy", spec.get("podReplacementPolicy"), replacements)
    per_index, max_failed = spec.get("backoffLimitPerIndex"), spec.get("maxFailedIndexes")
    if spec.get("completionMode") == "Indexed":
        completions = spec.get("completions")
        if completions is None:
            yield required(f"{path}.completions", "when completion mode is Indexed")
        elif max_failed is not None and max_failed > completions:
            yield invalid(f"{path}.maxFailedIndexes", max_failed, "must be less than or equal to completions")
        yield from in_range(f"{path}.parallelism", spec.get("parallelism"), 0, 100_000)
    elif per_index is not None:
        yield invalid(f"{path}.backoffLimitPerIndex", per_index, "requires indexed completion mode")
    if max_failed is not None and per_index is None:
        yield required(f"{path}.backoffLimitPerIndex", "when maxFailedIndexes is specified")


def _validate_manager(manager: str | None, path: str) -> Iterator[Cause]:
    if manager is None:
        return
    if len(manager) > _MAX_MANAGER:
        yield too_long(f"{path}.managedBy", _MAX_MANAGER)
    prefix, slash, name = manager.partition("/")
    if not slash or not name or names.subdomain_problem(prefix):
        yield invalid(f"{path}.managedBy", manager, 'must be a domain-prefixed path (such as "acme.io/foo")')


def _validate_own_selector(obj: ReadOnlyObject, spec: Mapping[str, Any]) -> Iterator[Cause]:
    selector = spec.get("selector")
    if not selector:
        yield required("spec.selector")
        return
    if not spec.get("manualSelector") and set((selector.get("matchLabels") or {}).values()) != {uid_of(obj)}:
        yield invalid("spec.selector", selector, "`selector` not auto-generated; leave it out, or set manualSelector")
    problems = list(validate_selector(selector, "spec.selector"))
    yield from problems or validate_labels_match(selector, spec["template"])


def _without_placement(template: Mapping[str, Any]) -> dict[str, Any]:
    """Give a template without what may change while a Job is suspended and has not started."""
    spec = {name: value for name, value in (template.get("spec") or {}).items() if name not in _PLACEMENT}
    return {"spec": spec}
