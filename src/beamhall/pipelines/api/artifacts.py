"""Artifacts and their lineage, as KFP 3.0 plans them: listed, read, and made known by what is no step of a run.

An artifact is in the namespace of the run that made it, and whoever may read runs there may read it. Their bytes are in
``artifact_files``.

Source: Kubeflow Pipelines, backend/api/v2beta1/artifact.proto of 3.0; reference "KFP", section 1.8.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from beamhall.history.protocol import Reading
from beamhall.history.queries import Order, Where
from beamhall.history.records import Artifact, ArtifactTask, Run, Task
from beamhall.kernel.errors import BadRequest
from beamhall.pipelines.api.access import Access
from beamhall.pipelines.api.lists import Listable, list_page
from beamhall.pipelines.api.messages import (
    enumeration,
    given_by_server,
    json_object,
    message,
    number,
    read_body,
    reply,
    text,
    time_text,
    whole_number,
    without_zeros,
)
from beamhall.pipelines.api.tasks import find_task

LINEAGE_LIMIT = 200
"""How many tasks the lineage of an artifact tells in each direction; all of them are in ``/artifact_tasks``."""

TYPES: Mapping[str, str] = {
    "Artifact": "system.Artifact",
    "Model": "system.Model",
    "Dataset": "system.Dataset",
    "HTML": "system.HTML",
    "Markdown": "system.Markdown",
    "Metric": "system.Metrics",
    "ClassificationMetric": "system.ClassificationMetrics",
    "SlicedClassificationMetric": "system.SlicedClassificationMetrics",
}
"""The types of this API, and the schema that each stands for."""

_NAMES = {schema: name for name, schema in TYPES.items()}
_LINKS = ("INPUT", "OUTPUT")
_ARTIFACT = {
    "artifact_id": given_by_server,
    "created_at": given_by_server,
    "namespace": given_by_server,
    "schema_title": given_by_server,
    "name": text,
    "description": text,
    "type": enumeration(("TYPE_UNSPECIFIED", *TYPES)),
    "uri": text,
    "metadata": json_object,
    "number_value": number,
}
_CREATE = {
    "artifact": message(_ARTIFACT),
    "run_id": text,
    "task_id": text,
    "producer_key": text,
    "iteration_index": whole_number(64),
    "type": enumeration(_LINKS),
}
_LINK = {
    "id": given_by_server,
    "artifact_id": text,
    "run_id": text,
    "task_id": text,
    "key": text,
    "position": whole_number(32),
    "type": enumeration(_LINKS),
    "producer": message({"task_name": text, "key": text}),
}
_LISTABLE = Listable(
    Artifact,
    {
        "id": "id",
        "artifact_id": "id",
        "schema_title": "type",
        **{name: name for name in ("name", "type", "uri", "created_at", "namespace", "description")},
    },
    values={"type": TYPES},
)
_LISTABLE_LINKS = Listable(
    ArtifactTask,
    {name: name for name in ("id", "artifact_id", "task_id", "run_id", "type", "key", "position", "namespace")},
    Order("id"),
)


def artifact_message(artifact: Artifact) -> Mapping[str, Any]:
    """Write an artifact; a type that this API has no name for is told as ``schema_title``."""
    known = _NAMES.get(artifact.type)
    told = without_zeros(
        {
            "artifact_id": artifact.id,
            "name": artifact.name,
            "description": artifact.description,
            "type": known or "Artifact",
            "schema_title": artifact.type if known is None else "",
            "uri": artifact.uri,
            "metadata": artifact.metadata,
            "created_at": time_text(artifact.created_at),
            "namespace": artifact.namespace,
        }
    )
    return told if artifact.number_value is None else {**told, "number_value": artifact.number_value}


def link_message(link: ArtifactTask) -> Mapping[str, Any]:
    """Write that a task made an artifact, or used it."""
    return without_zeros(
        {
            "id": link.id,
            "artifact_id": link.artifact_id,
            "run_id": link.run_id,
            "task_id": link.task_id,
            "type": link.type,
            "key": link.key,
            "position": link.position,
            "producer": without_zeros({"task_name": link.producer_task, "key": link.producer_key}),
        }
    )


class Artifacts:
    """The handlers of artifacts and of lineage."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def routes(self) -> Sequence[BaseRoute]:
        """Give their paths."""
        return (
            Route("/artifacts", self._list, methods=["GET"]),
            Route("/artifacts", self._create, methods=["POST"]),
            Route("/artifacts/{artifact}:lineage", self._lineage, methods=["GET"]),
            Route("/artifacts/{artifact}", self._get, methods=["GET"]),
            Route("/artifact_tasks", self._list_links, methods=["GET"]),
            Route("/artifact_tasks", self._link, methods=["POST"]),
        )

    async def _list(self, request: Request) -> Response:
        namespace = request.query_params.get("namespace") or self._access.namespace_for(request)
        await self._access.authorize(request, "list", "runs", namespace)
        scope = [Where("namespace", "=", namespace)]
        page, token = await list_page(self._access.history, _LISTABLE, request.query_params, scope)
        found = [artifact_message(each) for each in page.rows]
        return reply({"artifacts": found, "total_size": page.total, "next_page_token": token})

    async def _get(self, request: Request) -> Response:
        key = request.path_params["artifact"]
        return reply(artifact_message(await self._access.allowed(request, "get", Artifact, key)))

    async def _create(self, request: Request) -> Response:
        asked = await read_body(request, _CREATE)
        given = asked.get("artifact", {})
        task = await self._task(request, asked)
        kind = given.get("type", "TYPE_UNSPECIFIED")
        if kind == "TYPE_UNSPECIFIED":
            raise BadRequest(f"artifact.type: it is needed; there are {', '.join(TYPES)}")
        if not given.get("name"):
            raise BadRequest("artifact.name: an artifact must have a name")
        if kind == "Metric" and given.get("number_value") is None:
            raise BadRequest("artifact.number_value: a metric is a number")
        made = Artifact(
            id=str(uuid.uuid4()), namespace=task.namespace, name=given["name"], type=TYPES[kind],
            created_at=self._access.now(), uri=given.get("uri", ""), number_value=given.get("number_value"),
            description=given.get("description", ""), metadata=given.get("metadata", {}),
        )  # fmt: skip
        link = ArtifactTask(
            id=str(uuid.uuid4()), namespace=task.namespace, artifact_id=made.id, task_id=task.id, run_id=task.run_id,
            type=asked.get("type", "OUTPUT"), key=asked.get("producer_key") or made.name,
            position=asked.get("iteration_index", 0),
        )  # fmt: skip
        await self._access.history.write(lambda tx: tx.add(made, link))
        return reply(artifact_message(made))

    async def _link(self, request: Request) -> Response:
        asked = await read_body(request, {"artifact_task": message(_LINK)})
        given = asked.get("artifact_task", {})
        task = await self._task(request, given)
        artifact = await self._access.allowed(request, "get", Artifact, given.get("artifact_id", ""))
        if artifact.namespace != task.namespace:
            raise BadRequest(f"artifact_id: artifact {artifact.id} is not in namespace {task.namespace!r} of the task")
        producer = given.get("producer", {})
        link = ArtifactTask(
            id=str(uuid.uuid4()), namespace=task.namespace, artifact_id=artifact.id, task_id=task.id,
            run_id=task.run_id, type=given.get("type", "INPUT"), key=given.get("key") or artifact.name,
            position=given.get("position", 0), producer_task=producer.get("task_name", ""),
            producer_key=producer.get("key", ""),
        )  # fmt: skip
        await self._access.history.write(lambda tx: tx.add(link))
        return reply(link_message(link))

    async def _task(self, request: Request, asked: Mapping[str, Any]) -> Task:
        """Give the task that a request means, of a run that the caller may change."""
        if not asked.get("task_id"):
            raise BadRequest("task_id: it is needed: an artifact is made or used by a task")
        task = await find_task(self._access, asked["task_id"])
        if asked.get("run_id", task.run_id) not in ("", task.run_id):
            raise BadRequest(f"run_id: task {task.id} is not one of run {asked['run_id']}")
        await self._access.allowed(request, "update", Run, task.run_id)
        return task

    async def _list_links(self, request: Request) -> Response:
        query = request.query_params
        scope = []
        namespaces = {query["namespace"]} if query.get("namespace") else set()
        for record, name in ((Run, "run_id"), (Task, "task_id"), (Artifact, "artifact_id")):
            ids = [each for each in (*query.getlist(f"{name}s"), *query.getlist(name)) if each]
            if not ids:
                continue
            scope.append(Where(name, "in", ids))
            found = await self._access.history.read(_finding(record, ids))
            namespaces |= {each.namespace for each in found}
        kind = query.get("type", "")
        if kind:
            scope.append(Where("type", "=", enumeration(_LINKS)(kind, "type")))
        for namespace in namespaces or {self._access.namespace_for(request)}:
            await self._access.authorize(request, "list", "runs", namespace)
        scope.append(Where("namespace", "in", sorted(namespaces or {self._access.namespace_for(request)})))
        page, token = await list_page(self._access.history, _LISTABLE_LINKS, query, scope)
        found_links = [link_message(each) for each in page.rows]
        return reply({"artifact_tasks": found_links, "total_size": page.total, "next_page_token": token})

    async def _lineage(self, request: Request) -> Response:
        artifact = await self._access.allowed(request, "get", Artifact, request.path_params["artifact"])
        made, used = await self._access.history.read(lambda tx: [_told(tx, artifact, kind) for kind in _LINKS[::-1]])
        return reply({"artifact": artifact_message(artifact), "made_by": made, "used_by": used})


def _finding(record: type[Run] | type[Task] | type[Artifact], ids: Sequence[str]) -> Callable[[Reading], Sequence[Any]]:
    return lambda tx: tx.find(record, Where("id", "in", ids))


def _told(tx: Reading, artifact: Artifact, kind: str) -> Sequence[Mapping[str, Any]]:
    """Tell the tasks that made an artifact (more than one where it was found in the cache), or used it."""
    where = (Where("artifact_id", "=", artifact.id), Where("type", "=", kind))
    links = tx.find(ArtifactTask, *where, order=Order("id"), limit=LINEAGE_LIMIT)
    tasks = {each.id: each for each in tx.find(Task, Where("id", "in", [link.task_id for link in links]))}
    runs = {each.id: each for each in tx.find(Run, Where("id", "in", [link.run_id for link in links]))}
    told = [_told_link(link, tasks.get(link.task_id), runs.get(link.run_id)) for link in links]
    return sorted(told, key=lambda each: str(each.get("create_time", "")))


def _told_link(link: ArtifactTask, task: Task | None, run: Run | None) -> Mapping[str, Any]:
    return without_zeros(
        {
            "run_id": link.run_id,
            "run_display_name": "" if run is None else run.display_name,
            "task_id": link.task_id,
            "key": link.key,
            **({} if task is None else _told_task(task)),
        }
    )


def _told_task(task: Task) -> Mapping[str, Any]:
    return {
        "task_name": task.name,
        "path": task.path,
        "cached": task.cached,
        "create_time": time_text(task.created_at),
    }
