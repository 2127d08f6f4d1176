"""The planner of training jobs, for every framework: what to do next about one job.

Each call looks at the job and its children as they are and decides one step; nothing is remembered but what stands in
objects. A job ends once: after Succeeded or Failed only its children are cleaned up. The parts: ``survey`` (how things
are), ``children`` and ``gangs`` (what to make), ``draft`` (the plan in the making), ``frameworks`` (what differs by
kind).

Source: reference "Training jobs", sections 1.2 to 1.5; kubeflow/training-operator v1.9, ``pkg/controller.v1/common``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Literal

from beamhall.kernel.clock import parse_time
from beamhall.kernel.kinds import POD, SERVICE
from beamhall.kernel.objects import ReadOnlyObject, is_being_deleted, labels_of, name_of, namespace_of
from beamhall.kernel.plan import Plan, View
from beamhall.kernel.planner import Planner
from beamhall.training.children import build_pod
from beamhall.training.conditions import (
    CREATED,
    FAILED,
    RESTARTING,
    RUNNING,
    SUCCEEDED,
    SUSPENDED,
    is_finished,
    is_true,
)
from beamhall.training.draft import Draft
from beamhall.training.gangs import (
    POD_GROUP_LABEL,
    Gang,
    build_pod_group,
    holds_pods_back,
    is_alone,
    is_member,
    join_group,
    pod_group_kind,
)
from beamhall.training.job import OUR_MANAGER, TYPE_LABEL, Framework, Observed, read_job
from beamhall.training.object_draft import TAKEN_RETRY_S
from beamhall.training.provision import make_children, make_services, remove_extra
from beamhall.training.restarts import (
    ANNOTATION,
    container_restarts,
    count_restart,
    read_restarts,
    write_restarts,
)
from beamhall.training.survey import (
    Slot,
    Survey,
    count_for_status,
    exit_code,
    is_live,
    observe,
    take_survey,
)
from beamhall.training.validation import validate


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """How training jobs are run, the same for all; chosen where the service is put together.

    Attributes:
        gang: The scheduler that admits a job's Pods together; empty: Pods start one by one.
        scheduler_name: Put into Pods that name no scheduler; empty: the cluster's default.
        terminate_after_finish_s: End what still runs so many seconds after a job finished, where cleanPodPolicy is
            ``None``. Parameter servers never exit, and on one machine they would hold its memory for ever. Their Pods
            stay, with their logs: they are ended by a deadline of their own (and show DeadlineExceeded). None: leave
            them running, as upstream does.
        is_on_loopback: Whether Pods have addresses on the loopback network, as those of the embedded cluster do.
        takes_reports: Whether the API server takes what trainers of TrainJobs tell of their progress.
    """

    gang: Gang = ""
    scheduler_name: str = ""
    terminate_after_finish_s: float | None = None
    is_on_loopback: bool = False
    takes_reports: bool = False


def training_planner(framework: Framework, settings: TrainingSettings) -> Planner:
    """Make the planner of one kind, with what it must be shown."""
    group_kind = pod_group_kind(settings.gang)
    return Planner(
        name=framework.kind.kind.lower() + ("" if framework.kind.version == "v1" else f"-{framework.kind.version}"),
        kind=framework.kind,
        plan=partial(plan_training, framework, settings),
        watches=tuple(dict.fromkeys((POD, SERVICE, *framework.child_kinds, *((group_kind,) if group_kind else ())))),
    )


def plan_training(framework: Framework, settings: TrainingSettings, obj: ReadOnlyObject, view: View) -> Plan:
    """Decide the next step of a training job."""
    if is_being_deleted(obj):
        return Plan(why="the job is being deleted")
    if not framework.owns(obj):
        return Plan(why="the job is of the kind's other version")
    job = read_job(framework, obj)
    if job.run_policy.managed_by not in ("", OUR_MANAGER):
        return Plan(why=f"the job is managed by {job.run_policy.managed_by}")
    draft = Draft(job, view)
    draft.set_condition(CREATED, "True", framework.say_created(job))
    if is_finished(draft.conditions):
        return _clean_up(draft, settings)
    if causes := validate(framework, obj):
        reasons = "; ".join(f"{cause.field}: {cause.message}" for cause in causes)
        return _fail(
            draft, f"{framework.kind.kind} {job.namespace}/{job.name} is invalid: {reasons}", "FailedValidation"
        )
    if job.run_policy.suspend:
        return _suspend(draft, settings)
    if is_true(draft.conditions, SUSPENDED):
        return _resume(draft)
    draft.status.setdefault("startTime", draft.now)
    return _advance(draft, settings)


def _advance(draft: Draft, settings: TrainingSettings) -> Plan:
    """Take a job that shall run one step further."""
    job = draft.job
    survey = take_survey(job, draft.view)
    observed = observe(job, survey)
    _report_replicas(draft, survey)
    if job.framework.is_succeeded(job, observed):
        return _succeed(draft)
    if message := job.framework.failure(job, observed) or _limit_reached(draft, survey):
        for slot in survey.of_state("failed", "restart"):
            _emit_exit(draft, slot)
        return _fail(draft, message, job.framework.failure_reason(job, observed))
    _restart_failed(draft, survey)
    remove_extra(draft, survey, observed)
    make_services(draft, survey)
    make_children(draft, observed)
    if _make_group(draft, settings, survey):
        _make_pods(draft, settings, survey, observed)
    _report_running(draft, survey)
    return draft.plan(_summary(survey))


def _succeed(draft: Draft) -> Plan:
    job = draft.job
    message = job.framework.say_succeeded(job)
    draft.status.setdefault("completionTime", draft.now)
    if draft.set_condition(SUCCEEDED, "True", message):
        draft.emit(f"{job.framework.kind.kind}Succeeded", message)
    _fold_active(draft)
    return draft.plan("the job succeeded")


def _fail(draft: Draft, message: str, reason: str = "") -> Plan:
    draft.status.setdefault("completionTime", draft.now)
    if draft.set_condition(FAILED, "True", message, reason):
        # Upstream tells of failed jobs as Normal; of its own mistakes a user should be warned.
        type_: Literal["Normal", "Warning"] = "Warning" if reason else "Normal"
        draft.emit(f"{draft.job.framework.kind.kind}{reason or FAILED}", message, type_)
    return draft.plan(message)


def _fold_active(draft: Draft) -> None:
    """Count what still ran at success as succeeded: a parameter server has done its work."""
    for status in (draft.status.get("replicaStatuses") or {}).values():
        if active := status.pop("active", 0):
            status["succeeded"] = status.get("succeeded", 0) + active


def _suspend(draft: Draft, settings: TrainingSettings) -> Plan:
    """Take a job's Pods away until it may go on."""
    job = draft.job
    kind = job.framework.kind.kind
    message = f"{kind} {job.name} is suspended."
    for pod in draft.view.controlled_by(POD, job.uid):
        if not is_being_deleted(pod):
            draft.delete(POD, pod)
    for service in draft.view.controlled_by(SERVICE, job.uid):
        draft.delete(SERVICE, service)
    _delete_group(draft, settings)
    for status in (draft.status.get("replicaStatuses") or {}).values():
        for count in ("active", "succeeded", "failed"):
            status.pop(count, None)
    if is_true(draft.conditions, RUNNING):
        draft.set_condition(RUNNING, "False", message, SUSPENDED)
    if draft.set_condition(SUSPENDED, "True", message):
        draft.emit(f"{kind}Suspended", message)
    return draft.plan("the job is suspended")


def _resume(draft: Draft) -> Plan:
    """Let a suspended job start as if it were new: its clock and its count of restarts begin again."""
    kind = draft.job.framework.kind.kind
    message = f"{kind} {draft.job.name} is resumed."
    draft.set_condition(SUSPENDED, "False", message, "Resumed")
    draft.status["startTime"] = draft.now
    draft.emit(f"{kind}Resumed", message)
    if read_restarts(draft.job.object):
        draft.annotate(ANNOTATION, None)
    return draft.plan("the job is resumed")


def _limit_reached(draft: Draft, survey: Survey) -> str:
    """Say which limit of the run policy is reached, empty if none is.

    Restarts inside Pods count while the Pods run, and reach the limit at ``backoffLimit`` (at 1 if that is 0); a Pod
    that would have to be made anew once more than ``backoffLimit`` is one too many.
    """
    job = draft.job
    policy = job.run_policy
    if policy.backoff_limit is not None:
        known = read_restarts(job.object)
        replaced = {name: entry.n for name, entry in known.items()}
        for slot in survey.of_state("restart"):
            replaced[slot.name] = count_restart(known.get(slot.name), slot.pod, draft.view.now).n
        inside = sum(
            container_restarts(slot.pod)
            for slot in survey.of_state("active")
            if job.replicas[slot.type].restart_policy != "Never"
        )
        total = inside + sum(replaced.values())
        if total > policy.backoff_limit or (inside and total >= max(policy.backoff_limit, 1)):
            return f"{_name(draft)} has failed because it has reached the specified backoff limit"
    if policy.active_deadline_s is not None:
        deadline = parse_time(draft.status["startTime"]) + timedelta(seconds=policy.active_deadline_s)
        if draft.view.now >= deadline:
            return f"{_name(draft)} has failed because it was active longer than specified deadline"
        draft.again_after((deadline - draft.view.now).total_seconds())
    return ""


def _restart_failed(draft: Draft, survey: Survey) -> None:
    """Count failed Pods that are to be made anew, and take them away when their back-off is over: logs go with them."""
    failed = survey.of_state("restart")
    if not failed:
        return
    job = draft.job
    kind = job.framework.kind.kind
    known = read_restarts(job.object)
    record = dict(known)
    for slot in failed:
        record[slot.name] = count_restart(known.get(slot.name), slot.pod, draft.view.now)
        if record[slot.name] != known.get(slot.name):
            _emit_exit(draft, slot)
        if (wait_s := record[slot.name].wait_s(draft.view.now)) > 0:
            draft.again_after(wait_s)
        else:
            draft.delete(POD, slot.pod)
    if record != known:
        draft.annotate(ANNOTATION, write_restarts(record))
        type_ = failed[0].type
        n = sum(slot.type == type_ for slot in failed)
        message = job.framework.say_restarting(job, type_, n)
        draft.set_condition(RESTARTING, "True", message)
        draft.emit(f"{kind}Restarting", message, "Warning")


def _make_group(draft: Draft, settings: TrainingSettings, survey: Survey) -> bool:
    """Make the PodGroup, or bring it up to date; tell whether Pods may be made now."""
    kind = pod_group_kind(settings.gang)
    if kind is None or not _has_group(draft, settings):
        return True
    wanted = build_pod_group(draft.job, settings.gang)
    group = draft.view.get(kind, draft.job.name, draft.job.namespace)
    if group is None:
        draft.create(kind, wanted)
    elif any((group.get("spec") or {}).get(field) != value for field, value in wanted["spec"].items()):
        draft.patch(kind, group, {"spec": wanted["spec"]})
    if settings.gang == "scheduler-plugins":  # the Pod of a job that was alone counts from now on
        for slot in survey.of_state("pending", "active"):
            if not is_member(slot.pod, draft.job):
                draft.patch(POD, slot.pod, {"metadata": {"labels": {POD_GROUP_LABEL: draft.job.name}}})
    return not holds_pods_back(group, settings.gang)


def _has_group(draft: Draft, settings: TrainingSettings) -> bool:
    """Tell whether the job has a PodGroup, or is to have one: it stays where a job shrinks to one Pod."""
    kind = pod_group_kind(settings.gang)
    if kind is None:
        return False
    return not is_alone(draft.job, settings.gang) or bool(draft.view.controlled_by(kind, draft.job.uid))


def _delete_group(draft: Draft, settings: TrainingSettings) -> None:
    kind = pod_group_kind(settings.gang)
    if kind is None:
        return
    for group in draft.view.controlled_by(kind, draft.job.uid):
        if not is_being_deleted(group):
            draft.delete(kind, group)


def _make_pods(draft: Draft, settings: TrainingSettings, survey: Survey, observed: Observed) -> None:
    """Make the missing Pods, except those that wait for their back-off or for their name."""
    job = draft.job
    known = read_restarts(job.object)
    is_grouped = _has_group(draft, settings)
    warned: set[str] = set()
    for slot in survey.of_state("missing"):
        if not job.framework.is_due(job, slot.type, observed):
            continue
        entry = known.get(slot.name)
        if entry is not None and (wait_s := entry.wait_s(draft.view.now)) > 0:
            draft.again_after(wait_s)
            continue
        pod = build_pod(job, slot.type, slot.index)
        if settings.scheduler_name:
            pod["spec"].setdefault("schedulerName", settings.scheduler_name)
        if is_grouped:
            join_group(pod, job, settings.gang, slot.type)
        if slot.type not in warned and job.replicas[slot.type].template["spec"].get("restartPolicy"):
            warned.add(slot.type)
            message = "Restart policy in pod template will be overwritten by restart policy in replica spec"
            draft.emit(job.framework.template_policy_reason, message, "Warning")
        draft.create(POD, pod)
    if survey.of_state("taken"):
        draft.again_after(TAKEN_RETRY_S)


def _report_replicas(draft: Draft, survey: Survey) -> None:
    """Write the counts, leaving out zeros as the operator's JSON does."""
    job = draft.job
    draft.status["replicaStatuses"] = {
        type_: _without_zeros(active=counts.active, succeeded=counts.succeeded, failed=counts.failed)
        | {"selector": ",".join(f"{k}={v}" for k, v in sorted(job.labels(type_).items()))}
        for type_, counts in count_for_status(job, survey).items()
    }


def _without_zeros(**counts: int) -> dict[str, Any]:
    return {field: n for field, n in counts.items() if n}


def _report_running(draft: Draft, survey: Survey) -> None:
    """Set Running, but not while a Pod that was lost is still on its way back: until then the job is Restarting."""
    job = draft.job
    if not job.framework.is_running(job, observe(job, survey)) or survey.of_state("restart"):
        return
    if is_true(draft.conditions, RESTARTING) and survey.of_state("missing", "leaving", "pending", "taken"):
        return
    draft.set_condition(RUNNING, "True", job.framework.say_running(job))


def _clean_up(draft: Draft, settings: TrainingSettings) -> Plan:
    """Do what is left after a job finished; its conditions stay for ever."""
    job = draft.job
    now = draft.view.now
    draft.status.setdefault("completionTime", draft.now)
    ended_at = parse_time(draft.status["completionTime"])
    if job.run_policy.ttl_s is not None:
        left_s = (ended_at + timedelta(seconds=job.run_policy.ttl_s) - now).total_seconds()
        if left_s <= 0:
            draft.delete_job()
            return draft.plan("the job's time to live is over")
        draft.again_after(left_s)
    kept = [type_.lower() for type_ in job.framework.kept_types]
    for pod in draft.view.controlled_by(POD, job.uid):
        if is_being_deleted(pod) or labels_of(pod).get(TYPE_LABEL) in kept:
            continue
        if job.run_policy.clean_pod_policy == "All" or (job.run_policy.clean_pod_policy == "Running" and is_live(pod)):
            _delete_with_service(draft, pod)
        elif is_live(pod) and settings.terminate_after_finish_s is not None:
            _terminate(draft, pod, (ended_at - now).total_seconds() + settings.terminate_after_finish_s)
    _delete_group(draft, settings)
    if is_true(draft.conditions, SUCCEEDED):
        _fold_active(draft)
    return draft.plan("the job is finished")


def _delete_with_service(draft: Draft, pod: ReadOnlyObject) -> None:
    draft.delete(POD, pod)
    service = draft.view.get(SERVICE, name_of(pod), namespace_of(pod))
    if service is not None:
        draft.delete(SERVICE, service)


def _terminate(draft: Draft, pod: ReadOnlyObject, left_s: float) -> None:
    """End a Pod that outlives its job but keep it and its log; one that never started has none and is deleted."""
    spec: Mapping[str, Any] = pod.get("spec") or {}
    if left_s > 0:
        draft.again_after(left_s)
    elif not spec.get("nodeName"):
        _delete_with_service(draft, pod)
    elif spec.get("activeDeadlineSeconds") != 1:
        draft.patch(POD, pod, {"spec": {"activeDeadlineSeconds": 1}})
        draft.emit("TerminatedPod", f"Ended pod: {name_of(pod)}: it still ran after the job had finished")


def _emit_exit(draft: Draft, slot: Slot) -> None:
    if (code := exit_code(draft.job, slot.pod)) is not None:
        draft.emit("ExitedWithCode", f"Pod: {draft.job.namespace}.{slot.name} exited with code {code}")


def _name(draft: Draft) -> str:
    return f"{draft.job.framework.kind.kind} {draft.job.namespace}/{draft.job.name}"


def _summary(survey: Survey) -> str:
    states = [slot.state for slot in survey.slots]
    return ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states)) or "no replicas"
