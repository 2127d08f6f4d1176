"""Runs as this API has them, with their tasks: one entry for each logical task, whatever executes it.

The fields of the tasks are those of v2beta1; beside them stand those of KFP 3.0 that clients of 2.x pass over.

Source: Kubeflow Pipelines, backend/api/v2beta1/run.proto; KEP 12147; reference "KFP", sections 1.3 and 1.8.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from beamhall.history.protocol import Reading
from beamhall.history.queries import Order, Where
from beamhall.history.records import ArtifactTask, JsonArray, Run, Specification, Task
from beamhall.pipelines.api.messages import time_text, without_zeros
from beamhall.pipelines.api.runnables import source_fields

TASKS_SHOWN = 2000
"""Tasks that the message of a run has at most: the oldest, and some that failed later. Lists of tasks have all."""

FAILED_SHOWN = 100
_AT_ONCE = 1000
_UNKNOWN = 2
"""The code of an error of which nothing is known but its message. Source: google.rpc.Code."""


def run_message(run: Run, body: str = "", details: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
    """Write a run.

    Args:
        run: The run.
        body: The text of its specification; empty: it is not shown.
        details: ``run_details``; None: they are not shown.
    """
    configuration = without_zeros({"parameters": run.parameters, "pipeline_root": run.pipeline_root})
    return without_zeros(
        {
            "experiment_id": run.experiment_id,
            "run_id": run.id,
            "display_name": run.display_name,
            "storage_state": run.storage_state,
            "description": run.description,
            **source_fields(run.pipeline_id, run.pipeline_version_id, body),
            "runtime_config": configuration,
            "service_account": run.service_account,
            "created_at": time_text(run.created_at),
            "scheduled_at": time_text(run.scheduled_at),
            "finished_at": time_text(run.finished_at),
            "state": run.state,
            "error": _error(run.error_code, run.error),
            "run_details": details,
            "recurring_run_id": run.recurring_run_id,
            "state_history": _history(run.state_history),
            "plugins_input": run.plugins,
        }
    )


def whole_run_message(tx: Reading, run: Run) -> Mapping[str, Any]:
    """Write a run with its specification, unless it names a version, and with its tasks."""
    kept = None if run.pipeline_id else tx.get(Specification, run.spec_digest)
    tasks = _tasks(tx, run)
    links = _links(tx, tasks)
    children: dict[str, list[Mapping[str, str]]] = {}
    for task in tasks:
        children.setdefault(task.parent_id, []).append({"task_id": task.id})
    details = [_task_message(task, links.get(task.id, ()), children.get(task.id, ())) for task in tasks]
    return run_message(run, "" if kept is None else kept.body, {"task_details": details} if details else None)


def _tasks(tx: Reading, run: Run) -> Sequence[Task]:
    """Give the tasks that are shown, without their parameters: nothing says how large those are."""
    of_run, without = Where("run_id", "=", run.id), ("inputs", "outputs")
    found = tx.find(Task, of_run, limit=TASKS_SHOWN, without=without)
    if len(found) < TASKS_SHOWN:
        return found
    newest = Order("created_at", is_descending=True)
    failed = tx.find(Task, of_run, Where("state", "=", "FAILED"), order=newest, limit=FAILED_SHOWN, without=without)
    shown = {task.id for task in found}
    return [*found, *(task for task in reversed(failed) if task.id not in shown)]


def _links(tx: Reading, tasks: Sequence[Task]) -> Mapping[str, Sequence[ArtifactTask]]:
    """Give what each task made and used."""
    keys = [task.id for task in tasks]
    found: dict[str, list[ArtifactTask]] = {}
    for first in range(0, len(keys), _AT_ONCE):
        some = Where("task_id", "in", keys[first : first + _AT_ONCE])
        for link in tx.find(ArtifactTask, some, order=Order("position")):
            found.setdefault(link.task_id, []).append(link)
    return found


def _task_message(
    task: Task, links: Sequence[ArtifactTask], children: Sequence[Mapping[str, str]]
) -> Mapping[str, Any]:
    pods = [pod.get("name", "") for pod in task.pods]
    return without_zeros(
        {
            "run_id": task.run_id,
            "task_id": task.id,
            "name": task.name,
            "display_name": task.display_name or task.name or "root",
            "type": task.type,
            "type_attributes": _attributes(task),
            "create_time": time_text(task.created_at),
            "start_time": time_text(task.started_at),
            "end_time": time_text(task.finished_at),
            "executor_detail": without_zeros({"main_job": pods[-1], "failed_main_jobs": pods[:-1]}) if pods else None,
            "state": task.state,
            "error": _error(task.error_code, task.error),
            "inputs": _artifacts(links, "INPUT"),
            "outputs": _artifacts(links, "OUTPUT"),
            "parent_task_id": task.parent_id,
            "state_history": _history(task.state_history),
            "pod_name": pods[-1] if pods else "",
            "pods": task.pods,
            "child_tasks": children,
            "cache_fingerprint": task.fingerprint,
        }
    )


def _attributes(task: Task) -> Mapping[str, str]:
    """Write which iteration something is, or how many a loop has; both may be 0."""
    if task.type == "LOOP_ITERATION":
        return {"iteration_index": str(task.iteration)}
    return {"iteration_count": str(task.iteration)} if task.type == "LOOP" else {}


def _artifacts(links: Sequence[ArtifactTask], kind: str) -> Mapping[str, Any]:
    found: dict[str, dict[str, list[str]]] = {}
    for link in links:
        if link.type == kind:
            found.setdefault(link.key, {"artifact_ids": []})["artifact_ids"].append(link.artifact_id)
    return found


def _history(states: JsonArray) -> Sequence[Mapping[str, Any]]:
    return [
        without_zeros(
            {
                "update_time": time_text(each["update_time"]),
                "state": each["state"],
                "error": _error(0, each.get("error", "")),
            }
        )
        for each in states
    ]


def _error(code: int, message: str) -> Mapping[str, Any] | None:
    return {"code": code or _UNKNOWN, "message": message} if message else None
