"""Files that are uploaded as pipelines and versions. These two paths have errors of a form of their own.

Source: Kubeflow Pipelines, backend/src/apiserver/server/pipeline_upload_server.go; reference "KFP", sections 1.1, 1.2.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Message, Receive

from beamhall.history.protocol import Writing
from beamhall.history.records import Pipeline
from beamhall.kernel.errors import BadRequest, TooLarge
from beamhall.pipelines.api.access import Access
from beamhall.pipelines.api.errors import telling
from beamhall.pipelines.api.messages import decode, reply, texts_by_name
from beamhall.pipelines.api.pipelines import add_pipeline, new_pipeline, pipeline_message
from beamhall.pipelines.api.versions import add_version, checked_package, new_version, version_message
from beamhall.pipelines.packages import MAX_PACKAGE_BYTES
from beamhall.pipelines.specifications import Checked, Specifications

PART = "uploadfile"

_AROUND_BYTES = 64 * 1024
"""How much a request may have beside the file: boundaries, headers of parts, other fields."""

_TEXTS = ("name", "display_name", "description", "namespace", "code_source_url", "pipelineid")

Handler = Callable[[Request], Awaitable[Response]]


class Uploads:
    """The handlers of uploads."""

    def __init__(self, access: Access, specifications: Specifications) -> None:
        self._access = access
        self._specifications = specifications

    def routes(self) -> Sequence[BaseRoute]:
        """Give their paths."""
        return (
            Route("/pipelines/upload", telling("Failed to upload pipeline", self._upload), methods=["POST"]),
            Route(
                "/pipelines/upload_version",
                telling("Failed to upload pipeline version", self._upload_version),
                methods=["POST"],
            ),
        )

    async def _upload(self, request: Request) -> Response:
        asked = _asked(request)
        namespace = asked.get("namespace") or self._access.namespace_for(request)
        await self._access.authorize(request, "create", "pipelines", namespace)
        checked, file_name = await self._received(request)
        now = self._access.now()
        pipeline = new_pipeline(namespace, asked, now, otherwise=file_name)
        version = new_version(pipeline, asked, checked, now, otherwise=file_name)

        def add(tx: Writing) -> None:
            add_pipeline(tx, pipeline)
            add_version(tx, version, checked)

        await self._access.history.write(add)
        return reply(pipeline_message(pipeline))

    async def _upload_version(self, request: Request) -> Response:
        asked = _asked(request)
        if not asked.get("pipelineid"):
            raise BadRequest("pipelineid: it must be given, and say which pipeline this is a version of")
        pipeline = await self._access.allowed(request, "create", Pipeline, asked["pipelineid"])
        checked, file_name = await self._received(request)
        version = new_version(pipeline, asked, checked, self._access.now(), otherwise=file_name)
        await self._access.history.write(lambda tx: add_version(tx, version, checked))
        return reply(version_message(version, checked.body))

    async def _received(self, request: Request) -> tuple[Checked, str]:
        content, file_name = await read_file(request)
        return await checked_package(self._specifications, content, file_name), file_name


async def read_file(request: Request) -> tuple[bytes, str]:
    """Give the content and the name of the file that a request uploads.

    Raises:
        BadRequest: It is no ``multipart/form-data``, or has no file in the part ``uploadfile``.
        TooLarge: It is over ``MAX_PACKAGE_BYTES``.
    """
    limited = Request(request.scope, _limited(request.receive))
    try:
        async with limited.form(max_files=1, max_fields=20) as form:
            part = form.get(PART)
            if not isinstance(part, UploadFile):
                raise BadRequest(f"there is no file in a part {PART!r} of a multipart/form-data request")
            return await part.read(), part.filename or ""
    except (HTTPException, MultiPartException) as error:
        reason = error.detail if isinstance(error, HTTPException) else error.message
        raise BadRequest(f"the request cannot be read as multipart/form-data: {reason}") from error


def _limited(receive: Receive) -> Receive:
    """Receive no more than the largest package takes."""
    left = MAX_PACKAGE_BYTES + _AROUND_BYTES

    async def limited() -> Message:
        nonlocal left
        message = await receive()
        left -= len(message.get("body", b""))
        if left < 0:
            raise TooLarge(f"the file is larger than {MAX_PACKAGE_BYTES // 2**20} MiB")
        return message

    return limited


def _asked(request: Request) -> Mapping[str, Any]:
    """Give what the query says of the pipeline or version."""
    found: dict[str, Any] = {name: value for name in _TEXTS if (value := request.query_params.get(name))}
    for name, value in found.items():
        if "\0" in value:
            raise BadRequest(f"{name}: a string cannot have a NUL in it")
    tags = request.query_params.get("tags")
    return {**found, "tags": texts_by_name(decode(tags, "tags"), "tags")} if tags else found
