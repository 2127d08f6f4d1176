"""What is wrong with a JobSet beyond its schema: the rules of upstream's admission webhook.

Source: kubernetes-sigs/jobset v0.10, ``pkg/webhooks/jobset_webhook.go``.
"""

import copy
import re
from collections.abc import Iterator, Mapping
from typing import Any

from beamhall.kernel.errors import Cause
from beamhall.kernel.names import MAX_LABEL, label_1035_problem
from beamhall.kernel.objects import ReadOnlyObject
from beamhall.training.jobsets.spec import JobSet, read_job_set

_SUFFIX = "-abcde"
_IMMUTABLE = ("network", "successPolicy", "failurePolicy", "startupPolicy", "managedBy")
_MUTABLE_WHEN_SUSPENDED = ("nodeSelector", "tolerations", "schedulingGates")
_RULE_NAME = re.compile(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?")
_REASONS = (
    "BackoffLimitExceeded",
    "DeadlineExceeded",
    "FailedIndexes",
    "MaxFailedIndexesExceeded",
    "PodFailurePolicy",
)


def validate_job_set(obj: ReadOnlyObject, old: ReadOnlyObject | None = None) -> list[Cause]:
    """Say everything that is wrong with a JobSet; ``old`` is None for a new one."""
    if old is not None:
        return list(_check_update(obj, old))
    job_set = read_job_set(obj)
    return [
        *_check_names(job_set),
        *_check_order(job_set),
        *_check_targets(job_set),
        *_check_failure_policy(job_set),
        *_check_coordinator(job_set),
    ]


def _invalid(field: str, message: str) -> Cause:
    return Cause("FieldValueInvalid", message, field)


def _check_names(job_set: JobSet) -> Iterator[Cause]:
    network = job_set.spec.get("network") or {}
    if (subdomain := network.get("subdomain")) and (problem := label_1035_problem(subdomain)):
        yield _invalid("spec.network.subdomain", problem)
    for replicated in job_set.replicated:
        longest = job_set.job_name(replicated.name, max(replicated.replicas - 1, 0))
        if len(longest) > MAX_LABEL:
            message = "JobSet name is too long, job names generated for this JobSet will exceed 63 characters"
            yield _invalid("metadata.name", message)
            continue
        if problem := label_1035_problem(longest):
            yield _invalid("spec.replicatedJobs", f"the Job's name would be {longest!r}: {problem}")
        completions = (replicated.template.get("spec") or {}).get("completions")
        if completions and len(f"{longest}-{completions - 1}{_SUFFIX}") > MAX_LABEL:
            message = "JobSet name is too long, pod names generated for this JobSet will exceed 63 characters"
            yield _invalid("metadata.name", message)


def _check_order(job_set: JobSet) -> Iterator[Cause]:
    stated: set[str] = set()
    for index, replicated in enumerate(job_set.replicated):
        field = f"spec.replicatedJobs[{index}].dependsOn"
        if replicated.depends_on and job_set.in_order:
            yield _invalid(field, "StartupPolicy and DependsOn APIs are mutually exclusive")
        for dependency in replicated.depends_on:
            if dependency.name not in stated:
                message = f"replicatedJob: {replicated.name} cannot depend on replicatedJob: {dependency.name}"
                yield _invalid(field, message)
        stated.add(replicated.name)


def _check_targets(job_set: JobSet) -> Iterator[Cause]:
    for name in (job_set.spec.get("successPolicy") or {}).get("targetReplicatedJobs") or ():
        if job_set.find(name) is None:
            message = f"invalid replicatedJob name '{name}' does not appear in .spec.ReplicatedJobs"
            yield _invalid("spec.successPolicy.targetReplicatedJobs", message)


def _check_failure_policy(job_set: JobSet) -> Iterator[Cause]:
    policy: Mapping[str, Any] = job_set.spec.get("failurePolicy") or {}
    if policy.get("restartStrategy") == "InPlaceRestart":
        message = "InPlaceRestart is not served: use Recreate or BlockingRecreate"
        yield Cause("FieldValueForbidden", message, "spec.failurePolicy.restartStrategy")
    names = [rule.get("name") for rule in policy.get("rules") or () if rule.get("name")]
    for index, rule in enumerate(policy.get("rules") or ()):
        field = f"spec.failurePolicy.rules[{index}]"
        name = rule.get("name") or f"failurePolicyRule{index}"
        if not _RULE_NAME.fullmatch(name):
            message = (
                f"invalid failure policy rule name '{name}', a failure policy rule name must start with an alphabetic "
                "character, optionally followed by a string of alphanumeric characters or '_,:', and must end with an "
                "alphanumeric character or '_'"
            )
            yield _invalid(f"{field}.name", message)
        if names.count(name) > 1:
            yield _invalid(f"{field}.name", f"rule names are not unique: several are called '{name}'")
        for target in rule.get("targetReplicatedJobs") or ():
            if job_set.find(target) is None:
                message = (
                    f"invalid replicatedJob name '{target}' in failure policy does not appear in .spec.ReplicatedJobs"
                )
                yield _invalid(f"{field}.targetReplicatedJobs", message)
        for reason in rule.get("onJobFailureReasons") or ():
            if reason not in _REASONS:
                message = (
                    f"invalid job failure reason '{reason}' in failure policy is not a recognized job failure reason"
                )
                yield _invalid(f"{field}.onJobFailureReasons", message)


def _check_coordinator(job_set: JobSet) -> Iterator[Cause]:
    coordinator: Mapping[str, Any] = job_set.spec.get("coordinator") or {}
    if not coordinator:
        return
    name, index = coordinator.get("replicatedJob"), coordinator.get("jobIndex") or 0
    replicated = job_set.find(str(name))
    if replicated is None:
        yield _invalid("spec.coordinator", f"coordinator replicatedJob {name} does not exist")
    elif not 0 <= index < replicated.replicas:
        message = f"coordinator job index {index} is invalid for replicatedJob {name}"
        yield _invalid("spec.coordinator.jobIndex", message)


def _check_update(obj: ReadOnlyObject, old: ReadOnlyObject) -> Iterator[Cause]:
    new_spec, old_spec = obj.get("spec") or {}, old.get("spec") or {}
    for field in _IMMUTABLE:
        if new_spec.get(field) != old_spec.get(field):
            message = "field is immutable" if field == "managedBy" else "Value is immutable"
            yield _invalid(f"spec.{field}", message)
    is_open = bool(old_spec.get("suspend") or new_spec.get("suspend"))
    if _fixed_part(new_spec, is_open=is_open) != _fixed_part(old_spec, is_open=is_open):
        yield _invalid("spec.replicatedJobs", "field is immutable")


def _fixed_part(spec: Mapping[str, Any], *, is_open: bool) -> list[Any]:
    """Give the replicated Jobs without what may be changed now."""
    jobs = copy.deepcopy(list(spec.get("replicatedJobs") or ()))
    for job in jobs if is_open else ():
        pod = ((job.get("template") or {}).get("spec") or {}).get("template") or {}
        for field in ("labels", "annotations"):
            (pod.get("metadata") or {}).pop(field, None)
        if not pod.get("metadata"):
            pod.pop("metadata", None)
        for field in _MUTABLE_WHEN_SUSPENDED:
            (pod.get("spec") or {}).pop(field, None)
    return jobs
