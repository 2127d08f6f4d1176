"""The planner of TrainJobs: what to do next about one of them.

A TrainJob is carried by a JobSet of its name. It is made once, of the runtime as it is then, which is kept as a
snapshot; while the TrainJob is suspended the JobSet follows what may change. How the JobSet ends, the TrainJob ends,
once and for all. The parts: ``runtime`` (reading), ``jobset`` (what is made).

Source: reference "Trainer v2"; kubeflow/trainer v2.3, ``pkg/controller/trainjob_controller.go``.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from beamhall.kernel.clock import parse_time
from beamhall.kernel.conditions import find_condition
from beamhall.kernel.errors import ApiError
from beamhall.kernel.kinds import (
    CLUSTER_TRAINING_RUNTIME,
    CONFIG_MAP,
    JOB_SET,
    POD,
    TRAIN_JOB,
    TRAINING_RUNTIME,
    Kind,
)
from beamhall.kernel.objects import (
    Key,
    Object,
    ReadOnlyObject,
    is_being_deleted,
    is_controlled_by,
    key_of,
    labels_of,
    metadata_of,
    name_of,
    namespace_of,
    owner_reference,
)
from beamhall.kernel.plan import Plan, View
from beamhall.kernel.planner import Planner
from beamhall.training.gangs import Gang
from beamhall.training.jobsets.jobs import SET_LABEL
from beamhall.training.object_draft import TAKEN_RETRY_S, ConditionsDraft
from beamhall.training.trainjobs.gangs import build_pod_group, join_gang
from beamhall.training.trainjobs.jobset import build_job_set, mutable_patch
from beamhall.training.trainjobs.mpi import (
    ACCESS_KINDS,
    build_access,
    build_hostfile,
    has_launcher,
    selector_of_nodes,
)
from beamhall.training.trainjobs.runtime import Runtime, read_runtime, runtime_kind

OUR_MANAGER = "trainer.kubeflow.org/trainjob-controller"
COMPLETE = "Complete"
FAILED = "Failed"
SUSPENDED = "Suspended"

_ENDS = {"Completed": COMPLETE, "Failed": FAILED}
_SNAPSHOT_KEY = "runtime"
_MESSAGE_LENGTH = 950
_COUNTS = ("name", "ready", "succeeded", "failed", "active", "suspended")


class CannotBuild(Exception):
    """What a TrainJob and its runtime ask for cannot be made; the message says why."""


@dataclass(frozen=True, slots=True)
class TrainJobSettings:
    """How TrainJobs are run, the same for all.

    Attributes:
        gang: The scheduler that admits Pods together; empty: only what a runtime's own policy asks for.
        takes_reports: Whether the API server takes what trainers tell of their progress.
        is_on_loopback: Whether Pods have addresses on the loopback network, as those of the embedded cluster do.
    """

    gang: Gang = ""
    takes_reports: bool = False
    is_on_loopback: bool = False


def train_job_planner(settings: TrainJobSettings) -> Planner:
    """Make the planner of TrainJobs, with what it must be shown."""
    return Planner(
        name="trainjob",
        kind=TRAIN_JOB,
        plan=partial(plan_train_job, settings),
        watches=(JOB_SET, CONFIG_MAP, *ACCESS_KINDS, POD, CLUSTER_TRAINING_RUNTIME, TRAINING_RUNTIME),
        concerns=concerned_train_jobs,
    )


def concerned_train_jobs(obj: ReadOnlyObject, view: View) -> Iterable[Key]:
    """Give the TrainJobs that use a runtime, or the one whose launcher may reach a Pod; none for other objects."""
    if obj.get("kind") == POD.kind:
        name = labels_of(obj).get(SET_LABEL, "")
        job_set = view.get(JOB_SET, name, namespace_of(obj)) if name else None
        return [Key(TRAIN_JOB, namespace_of(obj), name)] if job_set is not None and has_launcher(job_set) else []
    if obj.get("kind") not in (CLUSTER_TRAINING_RUNTIME.kind, TRAINING_RUNTIME.kind):
        return ()
    train_jobs = view.list(TRAIN_JOB, namespace_of(obj))
    wanted = (obj["kind"], name_of(obj))
    return [key_of(TRAIN_JOB, job) for job in train_jobs if _wanted_runtime(job) == wanted]


def _wanted_runtime(train_job: ReadOnlyObject) -> tuple[str, str]:
    ref: Mapping[str, Any] = (train_job.get("spec") or {}).get("runtimeRef") or {}
    kind = runtime_kind(ref)
    return (kind.kind if kind else "", str(ref.get("name") or ""))


def plan_train_job(settings: TrainJobSettings, obj: ReadOnlyObject, view: View) -> Plan:
    """Decide the next step of a TrainJob."""
    spec: Mapping[str, Any] = obj.get("spec") or {}
    if is_being_deleted(obj):
        return Plan(why="the TrainJob is being deleted")
    if (spec.get("managedBy") or OUR_MANAGER) != OUR_MANAGER:
        return Plan(why=f"the TrainJob is managed by {spec['managedBy']}")
    draft = ConditionsDraft(TRAIN_JOB, obj, view)
    job_set = view.get(JOB_SET, name_of(obj), namespace_of(obj))
    if job_set is not None and not is_controlled_by(job_set, obj):
        return _name_taken(draft)
    if draft.is_true(COMPLETE) or draft.is_true(FAILED):
        return _after_the_end(draft, job_set)
    ref: Mapping[str, Any] = spec.get("runtimeRef") or {}
    kind = runtime_kind(ref)
    if kind is None:
        named = f"{ref.get('kind')}.{ref.get('apiGroup')}"
        _end(draft, FAILED, "TrainingRuntimeNotSupported", f"unsupported runtime: {named}")
        return draft.plan("its runtime is of a kind that is not served")
    _turn_suspended(draft, is_suspended=bool(spec.get("suspend")))
    if not _has_time_left(draft, job_set):
        return draft.plan("the TrainJob's time is over")
    try:
        _carry(draft, job_set, kind, settings)
    except CannotBuild as error:
        message = str(error) if len(str(error)) <= _MESSAGE_LENGTH else f"{str(error)[:_MESSAGE_LENGTH]} ..."
        draft.emit("TrainJobResourcesCreationFailed", f"TrainJob resources reconciliation failed: {message}", "Warning")
    if job_set is not None:
        _keep_access(draft, job_set)
    _follow(draft, job_set)
    return draft.plan("the TrainJob follows its JobSet" if job_set else "the TrainJob gets its JobSet")


def _name_taken(draft: ConditionsDraft) -> Plan:
    message = f'JobSet "{name_of(draft.object)}" belongs to another: delete it, or give the TrainJob another name'
    draft.emit("TrainJobResourcesCreationFailed", f"TrainJob resources reconciliation failed: {message}", "Warning")
    draft.again_after(TAKEN_RETRY_S)
    return draft.plan("the name of its JobSet is taken")


def _after_the_end(draft: ConditionsDraft, job_set: ReadOnlyObject | None) -> Plan:
    """Let the counts go on while the JobSet is cleaned up; the conditions stay for ever."""
    if job_set is not None and not is_being_deleted(job_set):
        failed = find_condition(draft.status.get("conditions"), FAILED) or {}
        if failed.get("reason") == "DeadlineExceeded":
            draft.delete(JOB_SET, job_set, "Background")
        else:
            _count_jobs(draft, job_set)
    return draft.plan("the TrainJob is finished")


def _turn_suspended(draft: ConditionsDraft, *, is_suspended: bool) -> None:
    if is_suspended and not draft.is_true(SUSPENDED):
        draft.set_condition(SUSPENDED, "True", "Suspended", "TrainJob is suspended")
        draft.emit("Suspended", "TrainJob is suspended")
    elif not is_suspended and draft.is_true(SUSPENDED):
        draft.set_condition(SUSPENDED, "False", "Resumed", "TrainJob is resumed")
        draft.emit("Resumed", "TrainJob is resumed")


def _has_time_left(draft: ConditionsDraft, job_set: ReadOnlyObject | None) -> bool:
    """End a TrainJob that has been active for too long; the clock starts again when it is resumed."""
    spec: Mapping[str, Any] = draft.object["spec"]
    deadline_s = spec.get("activeDeadlineSeconds")
    if not deadline_s or spec.get("suspend"):
        return True
    resumed = find_condition(draft.status.get("conditions"), SUSPENDED) or {}
    since = str(resumed.get("lastTransitionTime") or metadata_of(draft.object).get("creationTimestamp"))
    left_s = (parse_time(since) + timedelta(seconds=deadline_s) - draft.view.now).total_seconds()
    if left_s > 0:
        draft.again_after(left_s)
        return True
    if job_set is not None and _ended(job_set):  # it was done in time, and only now is it looked at
        return True
    _end(draft, FAILED, "DeadlineExceeded", "TrainJob exceeded its active deadline")
    if job_set is not None:
        draft.delete(JOB_SET, job_set, "Background")
    return False


def _carry(draft: ConditionsDraft, job_set: ReadOnlyObject | None, kind: Kind, settings: TrainJobSettings) -> None:
    """Make the JobSet, or bring it to what the TrainJob says now.

    Raises:
        CannotBuild: It cannot be made.
    """
    obj = draft.object
    is_suspended = bool(obj["spec"].get("suspend"))
    if job_set is not None and not is_suspended and not job_set["spec"].get("suspend"):
        return
    snapshot = draft.view.get(CONFIG_MAP, _snapshot_name(obj), namespace_of(obj))
    runtime_object = _from_snapshot(obj, snapshot) or _current_runtime(draft, kind)
    wanted, runtime = _build(obj, runtime_object, settings)
    if job_set is not None:
        if patch := mutable_patch(job_set, wanted):
            draft.patch(JOB_SET, job_set, patch)
        return
    if snapshot is None:
        draft.create(CONFIG_MAP, _snapshot(obj, kind, runtime_object))
    if runtime.policy.get("mpi") is not None:
        draft.create(CONFIG_MAP, build_hostfile(obj, runtime, wanted))
        _keep_access(draft, wanted)
    if (group := build_pod_group(obj, runtime, wanted, settings.gang)) is not None:
        draft.create(*group)
    draft.create(JOB_SET, wanted)


def _keep_access(draft: ConditionsDraft, job_set: ReadOnlyObject) -> None:
    """Let the launcher of MPI, if there is one, reach the nodes as they are now."""
    if has_launcher(job_set):
        pods = draft.view.list(POD, namespace_of(job_set), selector_of_nodes(name_of(job_set)))
        for kind, wanted in build_access(job_set, pods):
            draft.keep(kind, wanted)


def _build(obj: ReadOnlyObject, runtime_object: ReadOnlyObject, settings: TrainJobSettings) -> tuple[Object, Runtime]:
    runtime = read_runtime(runtime_object)
    if runtime.policy.get("flux") is not None:
        raise CannotBuild("the mlPolicy flux is not served: use torch, mpi, jax, xgboost, or none")
    try:
        wanted = build_job_set(obj, runtime, reports=settings.takes_reports, is_on_loopback=settings.is_on_loopback)
        join_gang(wanted, obj, runtime, settings.gang)
    except (ApiError, ValueError) as error:
        raise CannotBuild(str(error)) from error
    return wanted, runtime


def _current_runtime(draft: ConditionsDraft, kind: Kind) -> ReadOnlyObject:
    obj = draft.object
    name = str(obj["spec"]["runtimeRef"].get("name") or "")
    found = draft.view.get(kind, name, namespace_of(obj) if kind.namespaced else "")
    if found is None or is_being_deleted(found):
        raise CannotBuild(f'{kind.kind} specified in TrainJob is not found: {kind.resource} "{name}" not found')
    return found


def _snapshot_name(obj: ReadOnlyObject) -> str:
    return f"{name_of(obj)}-runtime-snapshot"


def _snapshot(obj: ReadOnlyObject, kind: Kind, runtime: ReadOnlyObject) -> Object:
    """Make the ConfigMap that keeps the runtime as it is now; as JSON, which is YAML too."""
    kept = {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {"name": name_of(runtime), "labels": dict(metadata_of(runtime).get("labels") or {})},
        "spec": runtime.get("spec") or {},
    }
    return {
        "apiVersion": CONFIG_MAP.api_version,
        "kind": CONFIG_MAP.kind,
        "metadata": {
            "name": _snapshot_name(obj),
            "namespace": namespace_of(obj),
            "ownerReferences": [owner_reference(TRAIN_JOB, obj)],
        },
        "data": {_SNAPSHOT_KEY: json.dumps(kept, indent=2)},
    }


def _from_snapshot(obj: ReadOnlyObject, snapshot: ReadOnlyObject | None) -> ReadOnlyObject | None:
    """Read the runtime that was kept for this TrainJob; None if there is none."""
    if snapshot is None or not is_controlled_by(snapshot, obj):
        return None
    try:
        kept = json.loads((snapshot.get("data") or {}).get(_SNAPSHOT_KEY) or "null")
    except json.JSONDecodeError as error:
        raise CannotBuild(f"invalid runtime snapshot: unable to unmarshal the snapshot: {error}") from error
    if not isinstance(kept, dict):
        raise CannotBuild(f'invalid runtime snapshot: snapshot ConfigMap missing "{_SNAPSHOT_KEY}" data key')
    return kept


def _ended(job_set: ReadOnlyObject) -> Mapping[str, Any] | None:
    """Give the condition that ended a JobSet."""
    conditions = (job_set.get("status") or {}).get("conditions") or ()
    return next((c for c in conditions if c["type"] in _ENDS and c["status"] == "True"), None)


def _follow(draft: ConditionsDraft, job_set: ReadOnlyObject | None) -> None:
    """Take over how the JobSet is."""
    if job_set is None:
        return
    _count_jobs(draft, job_set)
    if ended := _ended(job_set):
        _end(draft, _ENDS[ended["type"]], str(ended.get("reason")), str(ended.get("message")))


def _count_jobs(draft: ConditionsDraft, job_set: ReadOnlyObject) -> None:
    counts = (job_set.get("status") or {}).get("replicatedJobsStatus") or ()
    if counts:
        draft.status["jobsStatus"] = [{field: entry.get(field, 0) for field in _COUNTS} for entry in counts]


def _end(draft: ConditionsDraft, type_: str, reason: str, message: str) -> None:
    draft.set_condition(type_, "True", reason, message)
    draft.emit(reason, message, "Warning" if type_ == FAILED else "Normal")
