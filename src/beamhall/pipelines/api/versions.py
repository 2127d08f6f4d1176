"""Versions of pipelines: each is a specification with a name. Files that are uploaded become versions in ``uploads``.

Source: Kubeflow Pipelines, backend/api/v2beta1/pipeline.proto; reference "KFP", sections 1.2, 1.3 and 1.6.
"""

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from beamhall.history.protocol import Reading, Writing
from beamhall.history.queries import Where
from beamhall.history.records import Moment, Pipeline, PipelineVersion, Specification
from beamhall.kernel.errors import AlreadyExists, BadRequest, NotFound
from beamhall.pipelines.api.access import Access
from beamhall.pipelines.api.lists import Listable, list_page
from beamhall.pipelines.api.messages import (
    Shape,
    anything,
    given_by_server,
    message,
    raw,
    read_body,
    reply,
    text,
    texts_by_name,
    time_text,
    without_zeros,
)
from beamhall.pipelines.api.naming import changes_of, names_of, tags_of
from beamhall.pipelines.packages import documents_of
from beamhall.pipelines.specifications import Checked, Specifications, drop_unused, keep

SHOWN_BYTES = 16 * 1024 * 1024
"""How large the specifications on one page of a list may be together; a version beyond comes without its own."""

SHAPE: Shape = {
    "name": text,
    "display_name": text,
    "description": text,
    "pipeline_id": text,
    "package_url": message({"pipeline_url": text}),
    "code_source_url": text,
    "pipeline_spec": anything,
    "tags": texts_by_name,
    "pipeline_version_id": given_by_server,
    "created_at": given_by_server,
    "error": given_by_server,
}
_CHANGE_SHAPE: Shape = {
    **SHAPE,
    "package_url": given_by_server,
    "pipeline_spec": given_by_server,
    "pipeline_id": given_by_server,
}
_LISTABLE = Listable(
    PipelineVersion,
    {
        "id": "id",
        "pipeline_version_id": "id",
        "name": "name",
        "display_name": "display_name",
        "created_at": "created_at",
        "status": "status",
        "description": "description",
        "pipeline_spec": "spec_digest",
    },
    has_tags=True,
)


def version_message(version: PipelineVersion, body: str) -> Mapping[str, Any]:
    """Write a version; an empty body leaves its specification out."""
    return without_zeros(
        {
            "pipeline_id": version.pipeline_id,
            "pipeline_version_id": version.id,
            "name": version.name,
            "display_name": version.display_name,
            "description": version.description,
            "created_at": time_text(version.created_at),
            "package_url": without_zeros({"pipeline_url": version.package_url}),
            "code_source_url": version.code_source_url,
            "pipeline_spec": raw(body) if body else None,
            "tags": version.tags,
        }
    )


async def checked_source(access: Access, specifications: Specifications, asked: Mapping[str, Any]) -> Checked:
    """Give the specification of a version that a message has, or names the address of.

    Raises:
        BadRequest: It has neither or both, or the specification is wrong.
    """
    url = asked.get("package_url", {}).get("pipeline_url", "")
    given = asked.get("pipeline_spec")
    if bool(url) == bool(given):
        raise BadRequest("one of package_url.pipeline_url and pipeline_spec is needed" + (", not both" if url else ""))
    if not url:
        return await specifications.checked(given)
    from beamhall.pipelines.api.downloads import fetch  # noqa: PLC0415  an HTTP client, which few services need

    content = await fetch(url, may_be_private=access.may_fetch_privately)
    return await checked_package(specifications, content, url.rpartition("/")[2])


async def checked_package(specifications: Specifications, content: bytes, file_name: str) -> Checked:
    """Give the specification in a package; errors as ``packages.documents_of`` and ``Specifications.checked``."""
    return await specifications.checked(await asyncio.to_thread(documents_of, content, file_name))


def new_version(
    pipeline: Pipeline, asked: Mapping[str, Any], checked: Checked, now: Moment, otherwise: str = ""
) -> PipelineVersion:
    """Make a version of a pipeline.

    Args:
        pipeline: The pipeline.
        asked: Fields of ``SHAPE``.
        checked: Its specification.
        now: The time.
        otherwise: Its name where it was given none.

    Raises:
        BadRequest: A field cannot be so.
    """
    name, display_name = names_of(asked, otherwise)
    return PipelineVersion(
        id=str(uuid.uuid4()), namespace=pipeline.namespace, pipeline_id=pipeline.id, name=name, created_at=now,
        display_name=display_name, spec_digest=checked.digest, description=asked.get("description", ""),
        package_url=asked.get("package_url", {}).get("pipeline_url", ""), tags=tags_of(asked),
        code_source_url=asked.get("code_source_url", ""),
    )  # fmt: skip


def add_version(tx: Writing, version: PipelineVersion, checked: Checked) -> None:
    """Write a version of a pipeline down.

    Raises:
        NotFound: The pipeline is gone.
        AlreadyExists: It has a version of this name.
    """
    if not tx.count(Pipeline, Where("id", "=", version.pipeline_id)):
        raise NotFound(f"Pipeline {version.pipeline_id!r} not found")
    if tx.count(PipelineVersion, Where("pipeline_id", "=", version.pipeline_id), Where("name", "=", version.name)):
        raise AlreadyExists(f'the pipeline has a version named "{version.name}" already; give this one another name')
    keep(tx, checked)
    tx.add(version)


class PipelineVersions:
    """The handlers of versions."""

    def __init__(self, access: Access, specifications: Specifications) -> None:
        self._access = access
        self._specifications = specifications

    def routes(self) -> Sequence[BaseRoute]:
        """Give their paths."""
        one = "/pipelines/{pipeline}/versions/{version}"
        return (
            Route("/pipelines/{pipeline}/versions", self._list, methods=["GET"]),
            Route("/pipelines/{pipeline}/versions", self._create, methods=["POST"]),
            Route(one, self._get, methods=["GET"]),
            Route(one, self._change, methods=["PATCH"]),
            Route(one, self._delete, methods=["DELETE"]),
        )

    async def _list(self, request: Request) -> Response:
        pipeline = await self._access.allowed(request, "list", Pipeline, request.path_params["pipeline"])
        scope = [Where("pipeline_id", "=", pipeline.id)]
        page, token = await list_page(self._access.history, _LISTABLE, request.query_params, scope)
        bodies = await self._access.history.read(lambda tx: _bodies(tx, page.rows))
        versions = [version_message(each, bodies.get(each.spec_digest, "")) for each in page.rows]
        return reply({"pipeline_versions": versions, "total_size": page.total, "next_page_token": token})

    async def _create(self, request: Request) -> Response:
        pipeline = await self._access.allowed(request, "create", Pipeline, request.path_params["pipeline"])
        asked = await read_body(request, SHAPE)
        if asked.get("pipeline_id", pipeline.id) not in ("", pipeline.id):
            raise BadRequest(f"pipeline_id: it is another than that of the path, {pipeline.id!r}")
        checked = await checked_source(self._access, self._specifications, asked)
        version = new_version(pipeline, asked, checked, self._access.now())
        await self._access.history.write(lambda tx: add_version(tx, version, checked))
        return reply(version_message(version, checked.body))

    async def _get(self, request: Request) -> Response:
        return await self._reply(await self._allowed(request, "get"))

    async def _change(self, request: Request) -> Response:
        version = await self._allowed(request, "update")
        changes = changes_of(await read_body(request, _CHANGE_SHAPE), version_message(version, ""))
        if changes:
            await self._access.history.write(
                lambda tx: tx.change(PipelineVersion, Where("id", "=", version.id), **changes)
            )
        return await self._reply(await self._allowed(request, "update"))

    async def _delete(self, request: Request) -> Response:
        version = await self._allowed(request, "delete")

        def delete(tx: Writing) -> None:
            tx.remove(PipelineVersion, Where("id", "=", version.id))
            drop_unused(tx, [version.spec_digest])

        await self._access.history.write(delete)
        return reply({})

    async def _allowed(self, request: Request, verb: str) -> PipelineVersion:
        """Give the version of a path that the caller may do this with.

        Raises:
            NotFound: There is no such pipeline, or it has no such version.
        """
        pipeline = await self._access.allowed(request, verb, Pipeline, request.path_params["pipeline"])
        key = request.path_params["version"]
        found = None if "\0" in key else await self._access.history.read(lambda tx: tx.get(PipelineVersion, key))
        if found is None or found.pipeline_id != pipeline.id:
            raise NotFound(f"PipelineVersion {key[:80]!r} of pipeline {pipeline.id!r} not found")
        return found

    async def _reply(self, version: PipelineVersion) -> Response:
        bodies = await self._access.history.read(lambda tx: _bodies(tx, [version]))
        return reply(version_message(version, bodies.get(version.spec_digest, "")))


def _bodies(tx: Reading, versions: Sequence[PipelineVersion]) -> Mapping[str, str]:
    """Give the texts of specifications by digest; the first is there, however large it is."""
    found: dict[str, str] = {}
    size = 0
    for version in versions:
        if version.spec_digest in found or size >= SHOWN_BYTES:
            continue
        kept = tx.get(Specification, version.spec_digest)
        found[version.spec_digest] = "" if kept is None else kept.body
        size += len(found[version.spec_digest])
    return found
