"""Cells of the kinds that make Pods: Job, CronJob, Deployment, ReplicaSet, StatefulSet, ControllerRevision.

Source: what kube-apiserver prints for each kind. The columns stand in ``tables``.
"""

from datetime import datetime
from typing import Any

from beamhall.embedded.api.builtin.cells import age_cell, containers_cells, part, selector_text
from beamhall.embedded.api.builtin.durations import age, human_duration
from beamhall.embedded.api.builtin.pod_table import NONE
from beamhall.kernel.clock import parse_time
from beamhall.kernel.objects import ReadOnlyObject, is_being_deleted, metadata_of, name_of


def job_cells(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    """Give the cells of a Job."""
    spec, status = part(obj, "spec"), part(obj, "status")
    succeeded, parallelism = int(status.get("succeeded") or 0), int(spec.get("parallelism") or 0)
    if spec.get("completions") is not None:
        completions = f"{succeeded}/{spec['completions']}"
    else:
        completions = f"{succeeded}/1 of {parallelism}" if parallelism > 1 else f"{succeeded}/1"
    duration = ""
    if started := status.get("startTime"):
        ended = parse_time(status["completionTime"]) if status.get("completionTime") else now
        duration = human_duration((ended - parse_time(started)).total_seconds())
    return [
        name_of(obj),
        _job_status(obj),
        completions,
        duration,
        age_cell(obj, now),
        *containers_cells(spec),
        selector_text(part(spec, "selector")),
    ]


def _job_status(obj: ReadOnlyObject) -> str:
    conditions = part(obj, "status").get("conditions") or ()
    true = {c.get("type") for c in conditions if c.get("status") == "True"}
    for name in ("Complete", "Failed"):
        if name in true:
            return name
    if is_being_deleted(obj):
        return "Terminating"
    for name in ("Suspended", "FailureTarget", "SuccessCriteriaMet"):
        if name in true:
            return name
    return "Running"


def cron_job_cells(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    """Give the cells of a CronJob."""
    spec, status = part(obj, "spec"), part(obj, "status")
    job = part(spec, "jobTemplate", "spec")
    last = status.get("lastScheduleTime")
    return [
        name_of(obj),
        spec.get("schedule") or "",
        spec.get("timeZone") or NONE,
        "True" if spec.get("suspend") else "False",
        len(status.get("active") or ()),
        age(last, now) if last else NONE,
        age_cell(obj, now),
        *containers_cells(job),
        selector_text(part(job, "selector")),
    ]


def deployment_cells(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    """Give the cells of a Deployment."""
    spec, status = part(obj, "spec"), part(obj, "status")
    return [
        name_of(obj),
        f"{status.get('readyReplicas') or 0}/{spec.get('replicas') or 0}",
        status.get("updatedReplicas") or 0,
        status.get("availableReplicas") or 0,
        age_cell(obj, now),
        *containers_cells(spec),
        selector_text(part(spec, "selector")),
    ]


def replica_set_cells(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    """Give the cells of a ReplicaSet."""
    spec, status = part(obj, "spec"), part(obj, "status")
    return [
        name_of(obj),
        spec.get("replicas") or 0,
        status.get("replicas") or 0,
        status.get("readyReplicas") or 0,
        age_cell(obj, now),
        *containers_cells(spec),
        selector_text(part(spec, "selector")),
    ]


def stateful_set_cells(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    """Give the cells of a StatefulSet."""
    spec, status = part(obj, "spec"), part(obj, "status")
    ready = f"{status.get('readyReplicas') or 0}/{spec.get('replicas') or 0}"
    return [name_of(obj), ready, age_cell(obj, now), *containers_cells(spec)]


def revision_cells(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    """Give the cells of a ControllerRevision."""
    owners = [owner for owner in metadata_of(obj).get("ownerReferences") or () if owner.get("controller")]
    controller = NONE
    if owners:
        group, _, _ = str(owners[0].get("apiVersion")).rpartition("/")
        kind = str(owners[0].get("kind") or "").lower()
        controller = f"{kind}.{group}/{owners[0].get('name')}" if group else f"{kind}/{owners[0].get('name')}"
    return [name_of(obj), controller, obj.get("revision") or 0, age_cell(obj, now)]
