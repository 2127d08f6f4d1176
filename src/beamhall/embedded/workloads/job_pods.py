"""What the Pods of a Job look like: names, labels, completion indexes. Read on in ``jobs``.

Source: Kubernetes "Jobs", section "Completion mode".
"""

import copy
import hashlib

from beamhall.kernel.kinds import JOB, POD
from beamhall.kernel.objects import (
    Object,
    ReadOnlyObject,
    annotations_of,
    name_of,
    namespace_of,
    owner_reference,
    uid_of,
)

INDEX = "batch.kubernetes.io/job-completion-index"
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_MAX_LABEL = 63


def pod_name(job: ReadOnlyObject, number: int, index: int | None = None) -> str:
    """Name a Pod: ``<job>-<hash>``, or ``<job>-<index>-<hash>``; the same for the same Job, number and index."""
    digest = int.from_bytes(hashlib.sha256(f"{uid_of(job)}/{index}/{number}".encode()).digest()[:8], "big")
    letters = []
    for _ in range(5):
        digest, place = divmod(digest, len(_ALPHABET))
        letters.append(_ALPHABET[place])
    middle = "" if index is None else f"{index}-"
    tail = f"-{middle}{''.join(letters)}"
    return name_of(job)[: _MAX_LABEL - len(tail)] + tail


def build_pod(job: ReadOnlyObject, name: str, index: int | None) -> Object:
    """Make a Pod of a Job; with an index it is one of an indexed Job."""
    template = copy.deepcopy((job.get("spec") or {}).get("template") or {})
    written = template.get("metadata") or {}
    metadata = {field: written[field] for field in ("labels", "annotations", "finalizers") if written.get(field)}
    labels = dict(metadata.get("labels") or {})
    for prefix in ("", "batch.kubernetes.io/"):
        labels[f"{prefix}job-name"] = name_of(job)[:_MAX_LABEL]
        labels[f"{prefix}controller-uid"] = uid_of(job)
    spec = template.get("spec") or {}
    if index is not None:
        labels[INDEX] = str(index)
        metadata["annotations"] = {**(metadata.get("annotations") or {}), INDEX: str(index)}
        spec.setdefault("hostname", f"{name_of(job)}-{index}"[:_MAX_LABEL])
        for container in [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]:
            container["env"] = [*(container.get("env") or ()), {"name": "JOB_COMPLETION_INDEX", "value": str(index)}]
    metadata |= {
        "name": name,
        "namespace": namespace_of(job),
        "labels": labels,
        "ownerReferences": [owner_reference(JOB, job)],
    }
    return {"apiVersion": POD.api_version, "kind": POD.kind, "metadata": metadata, "spec": spec}


def completion_index(pod: ReadOnlyObject) -> int:
    """Give the completion index of a Pod, -1 if it has none."""
    text = annotations_of(pod).get(INDEX) or ""
    return int(text) if text.isdecimal() else -1
