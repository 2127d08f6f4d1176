"""What the Pods of a Job look like: names, labels, completion indexes, counts of failures. Read on in ``jobs``.

Source: Kubernetes "Jobs", sections "Completion mode" and "Backoff limit per index".
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from beamhall.embedded.workloads.pods import child_name, pod_from_template
from beamhall.kernel.clock import parse_time
from beamhall.kernel.kinds import JOB
from beamhall.kernel.names import MAX_LABEL
from beamhall.kernel.objects import Object, ReadOnlyObject, annotations_of, name_of, uid_of

INDEX = "batch.kubernetes.io/job-completion-index"
NUMBER = "beamhall.io/job-pod-number"
"""On a Pod: which of the Job's it is."""

COUNTED = "beamhall.io/job-counted-pods"
"""On a Job: the numbers of the Pods whose end is counted, runs of them as in ``completedIndexes``."""

_ATTEMPT = 1_000_000

FAILURES = "batch.kubernetes.io/job-index-failure-count"
IGNORED_FAILURES = "batch.kubernetes.io/job-index-ignored-failure-count"
_INDEX_VARIABLE = "JOB_COMPLETION_INDEX"


def pod_name(job: ReadOnlyObject, number: int, index: int | None = None) -> str:
    """Name a Pod: ``<job>-<letters>``, or ``<job>-<index>-<letters>``; the same for the same Job, number and index."""
    return child_name(job, f"{index}/{number}", "" if index is None else str(index))


def build_pod(
    job: ReadOnlyObject, name: str, index: int | None, annotations: Mapping[str, str] | None = None
) -> Object:
    """Make a Pod of a Job; with an index it is one of an indexed Job."""
    pod = pod_from_template(JOB, job, (job.get("spec") or {}).get("template") or {}, name)
    metadata, spec = pod["metadata"], pod["spec"]
    labels = dict(metadata.get("labels") or {})
    for prefix in ("", "batch.kubernetes.io/"):
        labels[f"{prefix}job-name"] = name_of(job)[:MAX_LABEL]
        labels[f"{prefix}controller-uid"] = uid_of(job)
    metadata["generateName"] = f"{name_of(job)}-" if index is None else f"{name_of(job)}-{index}-"
    if index is None and annotations:
        metadata["annotations"] = {**(metadata.get("annotations") or {}), **annotations}
    if index is not None:
        labels[INDEX] = str(index)
        metadata["annotations"] = {**(metadata.get("annotations") or {}), INDEX: str(index), **(annotations or {})}
        spec.setdefault("hostname", f"{name_of(job)}-{index}"[:MAX_LABEL])
        for container in [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]:
            variables = container.get("env") or ()
            if not any(variable.get("name") == _INDEX_VARIABLE for variable in variables):
                container["env"] = [*variables, {"name": _INDEX_VARIABLE, "value": str(index)}]
    metadata["labels"] = labels
    return pod


def completion_index(pod: ReadOnlyObject) -> int:
    """Give the completion index of a Pod, -1 if it has none."""
    return _number(pod, INDEX, -1)


def number_of(pod: ReadOnlyObject) -> int:
    """Give which of the Job's Pods this is, -1 if that is not known."""
    return _number(pod, NUMBER, -1)


def number_for(index: int, attempt: int) -> int:
    """Give the number of the Pod for an index: first attempts of neighbouring indexes have neighbouring numbers."""
    return attempt * _ATTEMPT + index


def failures_before(pod: ReadOnlyObject) -> int:
    """Give how many Pods of the same index had failed, and counted, before this one was made."""
    return _number(pod, FAILURES, 0)


def ignored_before(pod: ReadOnlyObject) -> int:
    """Give how many Pods of the same index had failed, and were ignored, before this one was made."""
    return _number(pod, IGNORED_FAILURES, 0)


def finished_at(pod: ReadOnlyObject) -> datetime | None:
    """Give when the last container of a Pod ended, None if that is not known."""
    status: Mapping[str, Any] = pod.get("status") or {}
    ends = [
        ended["finishedAt"]
        for container in status.get("containerStatuses") or ()
        if (ended := (container.get("state") or {}).get("terminated")) and ended.get("finishedAt")
    ]
    return max(map(parse_time, ends), default=None)


def _number(pod: ReadOnlyObject, annotation: str, default: int) -> int:
    text = annotations_of(pod).get(annotation) or ""
    return int(text) if text.isdecimal() else default
