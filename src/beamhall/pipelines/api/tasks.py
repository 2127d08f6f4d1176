"""Tasks of runs, as KFP 3.0 plans them: listed by run or by parent, and read. The engine alone makes and changes them.

Source: Kubeflow Pipelines, proposals/12147-mlmd-removal (``PipelineTaskDetail``); reference "KFP", section 1.8.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from beamhall.history.protocol import Reading
from beamhall.history.queries import Order, Where
from beamhall.history.records import ArtifactTask, Run, Task
from beamhall.kernel.errors import BadRequest, NotFound
from beamhall.pipelines.api.access import Access
from beamhall.pipelines.api.lists import Listable, list_page
from beamhall.pipelines.api.messages import reply, time_text, without_zeros

CHILDREN_TOLD = 1000
"""How many of its children a task tells the ids of; all of them are listed by ``parent_id``."""

Producers = Mapping[tuple[str, str], Mapping[str, str]]
"""Where inputs come from, by the id of the task and the name of the input."""

_LISTABLE = Listable(
    Task,
    {
        "id": "id",
        "task_id": "id",
        "parent_task_id": "parent_id",
        "create_time": "created_at",
        "start_time": "started_at",
        "end_time": "finished_at",
        "cache_fingerprint": "fingerprint",
        **{
            name: name
            for name in (
                "run_id", "parent_id", "name", "display_name", "type", "state", "path", "created_at", "started_at",
                "finished_at", "iteration", "attempt", "cached",
            )
        },
    },
)  # fmt: skip


def task_message(task: Task, producers: Producers, children: Sequence[str] = ()) -> Mapping[str, Any]:
    """Write a task as KFP 3.0 has it, with its path and whether it was cached beside.

    Args:
        task: The record.
        producers: As ``producers_of`` gives them.
        children: The ids of the tasks in it, where they are to be told.
    """
    places = {"LOOP": "iteration_count", "LOOP_ITERATION": "iteration_index"}
    attributes = {places[task.type]: str(task.iteration)} if task.type in places else {}
    return without_zeros(
        {
            "name": task.name,
            "display_name": task.display_name or task.name,
            "task_id": task.id,
            "run_id": task.run_id,
            "parent_task_id": task.parent_id,
            "child_tasks": [{"task_id": each} for each in children],
            "path": task.path,
            "type": task.type,
            "type_attributes": attributes,
            "state": task.state,
            "state_history": [_status(each) for each in task.state_history],
            "error": _error(task.error_code, task.error),
            "cached": task.cached,
            "cache_fingerprint": task.fingerprint,
            "attempt": task.attempt,
            "create_time": time_text(task.created_at),
            "start_time": time_text(task.started_at) if task.started_at else "",
            "end_time": time_text(task.finished_at) if task.finished_at else "",
            "pods": task.pods,
            "inputs": _io_message(task.inputs, task.id, producers),
            "outputs": _io_message(task.outputs, "", {}),
        }
    )


def producers_of(tx: Reading, tasks: Sequence[Task]) -> Producers:
    """Find out where the artifacts come from that tasks use."""
    ids = [task.id for task in tasks]
    links = tx.find(ArtifactTask, Where("task_id", "in", ids), Where("type", "=", "INPUT"), order=Order("id"))
    return {
        (each.task_id, each.key): without_zeros({"task_name": each.producer_task, "key": each.producer_key})
        for each in links
        if each.producer_task
    }


class Tasks:
    """The handlers of tasks."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def routes(self) -> Sequence[BaseRoute]:
        """Give their paths."""
        return (
            Route("/tasks", self._list, methods=["GET"]),
            Route("/tasks/{task}", self._get, methods=["GET"]),
            Route("/task/{task}", self._get, methods=["GET"]),  # as the proposal has it
        )

    async def _list(self, request: Request) -> Response:
        query = dict(request.query_params)
        query["sort_by"] = query.get("sort_by") or query.get("order_by", "")
        run_id, parent_id = query.get("run_id", ""), query.get("parent_id", "")
        if not run_id and not parent_id:
            raise BadRequest("run_id or parent_id is needed: tasks are listed by run, or by the task that they are in")
        if parent_id:
            parent = await find_task(self._access, parent_id)
            if run_id not in ("", parent.run_id):
                raise BadRequest(f"parent_id: task {parent_id} is not one of run {run_id}")
            run_id = parent.run_id
        await self._access.allowed(request, "get", Run, run_id)
        scope = [Where("run_id", "=", run_id), *([Where("parent_id", "=", parent_id)] if parent_id else [])]
        page, token = await list_page(self._access.history, _LISTABLE, query, scope)
        producers = await self._access.history.read(lambda tx: producers_of(tx, page.rows))
        tasks = [task_message(each, producers) for each in page.rows]
        return reply({"tasks": tasks, "total_size": page.total, "next_page_token": token})

    async def _get(self, request: Request) -> Response:
        task = await find_task(self._access, request.path_params["task"])
        await self._access.allowed(request, "get", Run, task.run_id)

        def read(tx: Reading) -> tuple[Producers, Sequence[str]]:
            children = tx.find(Task, Where("parent_id", "=", task.id), limit=CHILDREN_TOLD, without=_LARGE)
            return producers_of(tx, [task]), [each.id for each in children]

        return reply(task_message(task, *await self._access.history.read(read)))


async def find_task(access: Access, key: str) -> Task:
    """Give the task of an id; who may see it is up to its run. Raises ``NotFound``."""
    found = None if "\0" in key else await access.history.read(lambda tx: tx.get(Task, key))
    if found is None:
        raise NotFound(f"Task {key[:80]!r} not found")
    return found


_LARGE = ("inputs", "outputs", "state_history", "pods", "error")


def _status(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    error = entry.get("error")
    told = error if isinstance(error, Mapping) else _error(0, str(error or ""))
    return without_zeros(
        {"update_time": time_text(entry.get("update_time", 0)), "state": entry.get("state", ""), "error": told}
    )


def _error(code: int, message: str) -> Mapping[str, Any]:
    return without_zeros({"code": code or 2, "message": message}) if message else {}


def _io_message(given: Mapping[str, Any], task_id: str, producers: Producers) -> Mapping[str, Any]:
    """Write inputs or outputs: parameters by name, and each artifact of each list."""
    parameters = [{"name": name, "value": value} for name, value in (given.get("parameters") or {}).items()]
    artifacts = []
    for name, found in (given.get("artifacts") or {}).items():
        producer = producers.get((task_id, name))
        for each in found:
            told = {"parameter_name": name, "value": _reference(each)}
            artifacts.append(told if producer is None else {**told, "producer": producer})
    return without_zeros({"parameters": parameters, "artifacts": artifacts})


def _reference(artifact: Mapping[str, Any]) -> Mapping[str, Any]:
    """Write an artifact as a task refers to it."""
    kind = (artifact.get("type") or {}).get("schemaTitle", "")
    told = {"artifact_id": artifact.get("id", ""), **{key: artifact.get(key) for key in ("name", "uri", "metadata")}}
    return without_zeros({**told, "type": kind.removeprefix("system.")})
