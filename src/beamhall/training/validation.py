"""What is wrong with a training job: the rules of upstream's admission webhooks, for every kind.

The API server calls ``validate`` before it stores a job; the planner calls it for jobs that got in all the same.

Source: reference "Training jobs", section 1.7; kubeflow/training-operator v1.9, ``pkg/webhooks``.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from beamhall.kernel.errors import Cause
from beamhall.kernel.objects import ReadOnlyObject, name_of
from beamhall.training.job import OUR_MANAGER, Framework, TrainingJob, canonical_type, read_job

_DNS_1035 = re.compile(r"^[a-z]([-a-z0-9]*[a-z0-9])?$")
_MAX_LABEL = 63
_RESTART_POLICIES = ("Always", "OnFailure", "Never", "ExitCode")
_CLEAN_POD_POLICIES = ("All", "Running", "None")
_MANAGERS = (OUR_MANAGER, "kueue.x-k8s.io/multikueue")
_NOT_NEGATIVE = ("ttlSecondsAfterFinished", "activeDeadlineSeconds", "backoffLimit")


def validate(framework: Framework, obj: ReadOnlyObject, old: ReadOnlyObject | None = None) -> list[Cause]:
    """Say everything that is wrong with a job.

    Args:
        framework: The kind's framework.
        obj: The job as it shall be; it has its final name.
        old: The job as it is, for an update; None for a new one.

    Returns:
        One cause a defect; empty if the job is good.
    """
    if old is not None and obj.get("spec") == old.get("spec"):
        return []  # labels and finalizers of a job from before these rules must still be changeable
    causes = [*_check_run_policy(obj), *_check_replicas(framework, obj)]
    if old is not None:
        causes += [*_check_update(obj, old), *framework.check_update(obj, old)]
    if not causes:  # the rest needs a job that can be read
        job = read_job(framework, obj)
        causes += framework.validate(job)
        causes += _check_names(job)
    return causes


def _check_names(job: TrainingJob) -> Iterator[Cause]:
    name = name_of(job.object)
    if not _DNS_1035.match(name) or len(name) > _MAX_LABEL:
        yield Cause(
            "FieldValueInvalid",
            f"{name!r} should match: a DNS-1035 label must consist of lower case alphanumeric characters or '-', start"
            f" with an alphabetic character, end with an alphanumeric one, and have at most {_MAX_LABEL} characters",
            "metadata.name",
        )
        return
    children = (job.child_name(replica.type, replica.count - 1) for replica in job.replicas.values() if replica.count)
    longest = max(children, key=len, default="")
    if len(longest) > _MAX_LABEL:
        excess = len(longest) - _MAX_LABEL
        message = (
            f"is too long: its replica's Service {longest!r} may have {_MAX_LABEL} characters; shorten it by {excess}"
        )
        yield Cause("FieldValueInvalid", message, "metadata.name")


def _check_run_policy(obj: ReadOnlyObject) -> Iterator[Cause]:
    policy = _run_policy(obj)
    path = "spec.runPolicy"
    if (managed_by := policy.get("managedBy")) and managed_by not in _MANAGERS:
        yield _not_supported(f"{path}.managedBy", managed_by, _MANAGERS)
    if (clean := policy.get("cleanPodPolicy")) and clean not in _CLEAN_POD_POLICIES:
        yield _not_supported(f"{path}.cleanPodPolicy", clean, _CLEAN_POD_POLICIES)
    for field in _NOT_NEGATIVE:
        value = policy.get(field)
        if value is not None and value < 0:
            yield Cause("FieldValueInvalid", f"{value} must be greater than or equal to 0", f"{path}.{field}")


def _check_replicas(framework: Framework, obj: ReadOnlyObject) -> Iterator[Cause]:
    path = f"spec.{framework.replicas_field}"
    written: Mapping[str, Any] = (obj.get("spec") or {}).get(framework.replicas_field) or {}
    if not written:
        yield Cause("FieldValueRequired", "must be required: name at least one replica type", path)
    seen: set[str] = set()
    for key, replica in written.items():
        type_ = canonical_type(framework, key)
        if type_ is None:
            yield _not_supported(path, key, framework.replica_types)
        elif type_ in seen:
            yield Cause("FieldValueDuplicate", f"{type_} is there twice; replica types are the same in any case", path)
        else:
            seen.add(type_)
            yield from _check_replica(framework, f"{path}[{key}]", replica or {})


def _check_replica(framework: Framework, path: str, replica: Mapping[str, Any]) -> Iterator[Cause]:
    if (count := replica.get("replicas")) is not None and count < 0:
        yield Cause("FieldValueInvalid", f"{count} must be greater than or equal to 0", f"{path}.replicas")
    if (policy := replica.get("restartPolicy")) and policy not in _RESTART_POLICIES:
        yield _not_supported(f"{path}.restartPolicy", policy, _RESTART_POLICIES)
    containers = ((replica.get("template") or {}).get("spec") or {}).get("containers") or ()
    where = f"{path}.template.spec.containers"
    if not containers:
        yield Cause("FieldValueRequired", "must be specified", where)
    elif framework.is_container_required and framework.container not in [c.get("name") for c in containers]:
        message = f"must have at least one container with name {framework.container}"
        yield Cause("FieldValueRequired", message, where)
    for index, container in enumerate(containers):
        if not container.get("image"):
            yield Cause("FieldValueRequired", "must be required", f"{where}[{index}].image")


def _check_update(obj: ReadOnlyObject, old: ReadOnlyObject) -> Iterator[Cause]:
    new_policy, old_policy = _run_policy(obj), _run_policy(old)
    if (new_policy.get("managedBy") or "") != (old_policy.get("managedBy") or ""):
        yield Cause("FieldValueInvalid", "field is immutable", "spec.runPolicy.managedBy")
    new_queue, old_queue = (str((p.get("schedulingPolicy") or {}).get("queue") or "") for p in (new_policy, old_policy))
    if new_queue != old_queue:
        yield Cause(
            "FieldValueInvalid",
            "spec.runPolicy.schedulingPolicy.queue is immutable",
            "spec.runPolicy.schedulingPolicy.queue",
        )


def _run_policy(obj: ReadOnlyObject) -> Mapping[str, Any]:
    return (obj.get("spec") or {}).get("runPolicy") or {}


def _not_supported(path: str, value: object, supported: Sequence[str]) -> Cause:
    return Cause(
        "FieldValueNotSupported", f"{value!r} is not supported; supported values: {', '.join(supported)}", path
    )
