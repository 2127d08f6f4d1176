"""Pipelines: named places for versions. What a version is, is in ``versions``; files become both in ``uploads``.

Source: Kubeflow Pipelines, backend/api/v2beta1/pipeline.proto; reference "KFP", sections 1.2, 1.3 and 1.6.
"""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from beamhall.history.protocol import Writing
from beamhall.history.queries import Where
from beamhall.history.records import Moment, Pipeline, PipelineVersion
from beamhall.kernel.errors import AlreadyExists, BadRequest, NotFound
from beamhall.pipelines.api.access import Access
from beamhall.pipelines.api.errors import FailedPrecondition
from beamhall.pipelines.api.lists import Listable, list_page
from beamhall.pipelines.api.messages import (
    Shape,
    given_by_server,
    message,
    read_body,
    reply,
    text,
    texts_by_name,
    time_text,
    without_zeros,
)
from beamhall.pipelines.api.naming import NAME_LIMIT, changes_of, names_of, tags_of
from beamhall.pipelines.api.versions import SHAPE as VERSION_SHAPE
from beamhall.pipelines.api.versions import add_version, checked_source, new_version
from beamhall.pipelines.specifications import Specifications, drop_unused

_SHAPE: Shape = {
    "name": text,
    "display_name": text,
    "description": text,
    "namespace": text,
    "tags": texts_by_name,
    "pipeline_id": given_by_server,
    "created_at": given_by_server,
    "error": given_by_server,
}
_BOTH: Shape = {"pipeline": message(_SHAPE), "pipeline_version": message(VERSION_SHAPE)}
_LISTABLE = Listable(
    Pipeline,
    {
        "id": "id",
        "pipeline_id": "id",
        "name": "name",
        "display_name": "display_name",
        "created_at": "created_at",
        "description": "description",
        "namespace": "namespace",
    },
    has_tags=True,
)


def pipeline_message(pipeline: Pipeline) -> Mapping[str, Any]:
    """Write a pipeline."""
    return without_zeros(
        {
            "pipeline_id": pipeline.id,
            "name": pipeline.name,
            "display_name": pipeline.display_name,
            "description": pipeline.description,
            "created_at": time_text(pipeline.created_at),
            "namespace": pipeline.namespace,
            "tags": pipeline.tags,
        }
    )


def new_pipeline(namespace: str, asked: Mapping[str, Any], now: Moment, otherwise: str = "") -> Pipeline:
    """Make a pipeline of the fields that a message has; ``otherwise`` is its name where it was given none.

    Raises:
        BadRequest: A field cannot be so.
    """
    name, display_name = names_of(asked, otherwise)
    return Pipeline(
        id=str(uuid.uuid4()), namespace=namespace, name=name, display_name=display_name, created_at=now,
        description=asked.get("description", ""), tags=tags_of(asked),
    )  # fmt: skip


def add_pipeline(tx: Writing, pipeline: Pipeline) -> None:
    """Write a pipeline down. Raises ``AlreadyExists`` where its namespace has one of this name."""
    if tx.count(Pipeline, Where("namespace", "=", pipeline.namespace), Where("name", "=", pipeline.name)):
        raise AlreadyExists(
            f'a pipeline named "{pipeline.name}" is there already in namespace "{pipeline.namespace}": upload a'
            " version of it, or give this one another name"
        )
    tx.add(pipeline)


class Pipelines:
    """The handlers of pipelines."""

    def __init__(self, access: Access, specifications: Specifications) -> None:
        self._access = access
        self._specifications = specifications

    def routes(self) -> Sequence[BaseRoute]:
        """Give their paths."""
        return (
            Route("/pipelines", self._list, methods=["GET"]),
            Route("/pipelines", self._create, methods=["POST"]),
            Route("/pipelines/create", self._create_with_version, methods=["POST"]),
            Route("/pipelines/names/{name}", self._get_by_name, methods=["GET"]),
            Route("/pipelines/{pipeline}", self._get, methods=["GET"]),
            Route("/pipelines/{pipeline}", self._change, methods=["PATCH"]),
            Route("/pipelines/{pipeline}", self._delete, methods=["DELETE"]),
        )

    def _namespace(self, request: Request, given: Mapping[str, Any]) -> str:
        return given.get("namespace") or self._access.namespace_for(request)

    async def _list(self, request: Request) -> Response:
        namespace = self._namespace(request, request.query_params)
        await self._access.authorize(request, "list", "pipelines", namespace)
        scope = [Where("namespace", "=", namespace)]
        page, token = await list_page(self._access.history, _LISTABLE, request.query_params, scope)
        pipelines = [pipeline_message(each) for each in page.rows]
        return reply({"pipelines": pipelines, "total_size": page.total, "next_page_token": token})

    async def _create(self, request: Request) -> Response:
        asked = await read_body(request, _SHAPE)
        namespace = self._namespace(request, asked)
        await self._access.authorize(request, "create", "pipelines", namespace)
        pipeline = new_pipeline(namespace, asked, self._access.now())
        await self._access.history.write(lambda tx: add_pipeline(tx, pipeline))
        return reply(pipeline_message(pipeline))

    async def _create_with_version(self, request: Request) -> Response:
        both = await read_body(request, _BOTH)
        asked, of_version = both.get("pipeline", {}), both.get("pipeline_version", {})
        namespace = self._namespace(request, asked)
        await self._access.authorize(request, "create", "pipelines", namespace)
        now = self._access.now()
        pipeline = new_pipeline(namespace, asked, now)
        checked = await checked_source(self._access, self._specifications, of_version)
        version = new_version(pipeline, of_version, checked, now, otherwise=pipeline.name)

        def add(tx: Writing) -> None:
            add_pipeline(tx, pipeline)
            add_version(tx, version, checked)

        await self._access.history.write(add)
        return reply(pipeline_message(pipeline))

    async def _get_by_name(self, request: Request) -> Response:
        namespace, name = self._namespace(request, request.query_params), request.path_params["name"]
        await self._access.authorize(request, "get", "pipelines", namespace)
        where = (Where("namespace", "=", namespace), Where("name", "=", name))
        for pipeline in await self._access.history.read(lambda tx: tx.find(Pipeline, *where)):
            return reply(pipeline_message(pipeline))
        raise NotFound(f"Pipeline named {name[:NAME_LIMIT]!r} not found in namespace {namespace!r}")

    async def _get(self, request: Request) -> Response:
        pipeline = await self._access.allowed(request, "get", Pipeline, request.path_params["pipeline"])
        return reply(pipeline_message(pipeline))

    async def _change(self, request: Request) -> Response:
        pipeline = await self._access.allowed(request, "update", Pipeline, request.path_params["pipeline"])
        changes = changes_of(await read_body(request, _SHAPE), pipeline_message(pipeline))
        if changes:
            await self._access.history.write(lambda tx: tx.change(Pipeline, Where("id", "=", pipeline.id), **changes))
        return reply(pipeline_message(await self._access.allowed(request, "update", Pipeline, pipeline.id)))

    async def _delete(self, request: Request) -> Response:
        pipeline = await self._access.allowed(request, "delete", Pipeline, request.path_params["pipeline"])
        with_versions = _truth(request.query_params.get("cascade", ""))
        await self._access.history.write(lambda tx: _delete(tx, pipeline, with_versions=with_versions))
        return reply({})


def _delete(tx: Writing, pipeline: Pipeline, *, with_versions: bool) -> None:
    of_it = Where("pipeline_id", "=", pipeline.id)
    versions = tx.find(PipelineVersion, of_it)
    if versions and not with_versions:
        raise FailedPrecondition(
            f'pipeline "{pipeline.display_name}" has {len(versions)} versions: delete those first, or all at once with'
            " cascade=true"
        )
    tx.remove(PipelineVersion, of_it)
    tx.remove(Pipeline, Where("id", "=", pipeline.id))
    drop_unused(tx, [version.spec_digest for version in versions])


def _truth(written: str) -> bool:
    if written.lower() not in ("", "true", "false", "1", "0"):
        raise BadRequest(f"cascade: {written[:80]!r} is neither true nor false")
    return written.lower() in ("true", "1")
