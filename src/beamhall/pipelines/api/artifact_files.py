"""The bytes of artifacts: downloaded, in parts or as an archive, and shown to browsers. Nothing large is held.

What may be read is ``readable``'s to say, what browsers may do with it ``previews``', what a part of a file is
``ranges``'.

Source: Kubernetes-style verb ``readArtifact`` of Kubeflow Pipelines; reference "KFP", sections 1.2 and 1.8.
"""

import base64
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from beamhall.history.protocol import Reading
from beamhall.history.queries import Order, Where
from beamhall.history.records import Artifact, ArtifactTask, Run
from beamhall.kernel.errors import BadRequest, NotFound, TooLarge
from beamhall.pipelines.api.access import Access
from beamhall.pipelines.api.errors import telling
from beamhall.pipelines.api.logs import find_step
from beamhall.pipelines.api.pieces import after
from beamhall.pipelines.api.previews import PAGE_POLICY, PICTURE_POLICY, SAFE, is_page, picture_type, text_of
from beamhall.pipelines.api.ranges import answer_for, disposition
from beamhall.pipelines.api.readable import readable_uri
from beamhall.storage import Stat, Storage

READ_LIMIT = 16 * 2**20
"""Bytes that are given as base64, or shown as a page or a picture."""

USUAL_PEEK = 64 * 1024
MOST_PEEK = 2**20
"""Bytes of a file's beginning that are shown as text."""

LISTED = 1000
"""Entries of a directory that are shown."""


@dataclass(frozen=True, slots=True)
class _File:
    """What is to be read."""

    artifact: Artifact
    storage: Storage
    uri: str
    stat: Stat

    @property
    def name(self) -> str:
        """What it is called where it is saved."""
        last = self.uri.rstrip("/").rpartition("/")[2]
        return f"{last}.tar.gz" if self.stat.is_directory else last


class ArtifactFiles:
    """The handlers of the bytes of artifacts."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def routes(self) -> Sequence[BaseRoute]:
        """Give their paths."""
        download = telling("Failed to download the artifact", self._download)
        preview = telling("Failed to show the artifact", self._preview)
        read = telling("Failed to read the artifact", self._read)
        return (
            Route("/artifacts/{artifact}:download", download, methods=["GET"]),
            Route("/artifacts/{artifact}:preview", preview, methods=["GET"]),
            Route("/runs/{run}/nodes/{node:path}/artifacts/{name}:read", read, methods=["GET"]),
        )

    async def _download(self, request: Request) -> Response:
        file = await self._file(request)
        headers = {**SAFE, "content-disposition": disposition(file.name)}
        if file.stat.is_directory:
            return await _streamed(request, file.storage.archive(file.uri), 200, headers, "application/gzip")
        etag = f'"{file.stat.etag}"' if file.stat.etag else ""
        size = file.stat.size_bytes
        answer = answer_for(request.headers, size, etag)
        headers |= {"accept-ranges": "bytes", **({"etag": etag} if etag else {})}
        if answer.status == 416:
            return Response(status_code=416, headers={**headers, "content-range": f"bytes */{size}"})
        if answer.status == 304:
            return Response(status_code=304, headers=headers)
        headers["content-length"] = str(answer.stop - answer.start)
        if answer.status == 206:
            headers["content-range"] = f"bytes {answer.start}-{answer.stop - 1}/{size}"
        chunks = file.storage.chunks(file.uri, answer.start, answer.stop)
        return await _streamed(request, chunks, answer.status, headers, "application/octet-stream")

    async def _preview(self, request: Request) -> Response:
        peek = _peek(request.query_params.get("peek", ""))
        file = await self._file(request)
        if file.stat.is_directory:
            return _shown("directory", "text/plain", await _listing(file), file)
        size = file.stat.size_bytes
        begin = await _beginning(file, peek)
        picture = picture_type(begin)
        if picture or is_page(file.artifact.type, begin):
            if size > READ_LIMIT:
                raise TooLarge(f"{file.uri} has {size} bytes; up to {READ_LIMIT} are shown: download it")
            kind, media_type = ("picture", picture) if picture else ("page", "text/html")
            policy = PICTURE_POLICY if picture else PAGE_POLICY
            headers = {**_told(kind, size), "content-security-policy": policy, "content-length": str(size)}
            return await _streamed(request, file.storage.chunks(file.uri, 0, size), 200, headers, media_type)
        text = text_of(begin, is_whole=len(begin) >= size)
        if text is None:
            return _shown("binary", "text/plain", f"{size} bytes that are no text: download it\n", file)
        kind = "markdown" if file.artifact.type == "system.Markdown" else "text"
        return _shown(kind, "text/plain", text, file)

    async def _read(self, request: Request) -> Response:
        run = await self._access.allowed(request, "readArtifact", Run, request.path_params["run"])
        node, name = request.path_params["node"], request.path_params["name"]
        artifact = await self._access.history.read(lambda tx: _output(tx, run.id, node, name))
        file = await self._stat(artifact)
        if file.stat.is_directory:
            data = await _gathered(file.storage.archive(file.uri), file.uri)
        else:
            data = await file.storage.read(file.uri, READ_LIMIT)
        return Response(msgspec.json.encode({"data": base64.b64encode(data).decode()}), media_type="application/json")

    async def _file(self, request: Request) -> _File:
        """Give what a request asks for: an artifact, or what lies at the path ``path`` in one that is a directory."""
        key = request.path_params["artifact"]
        artifact = await self._access.allowed(request, "readArtifact", Artifact, key)
        return await self._stat(artifact, request.query_params.get("path", ""))

    async def _stat(self, artifact: Artifact, below: str = "") -> _File:
        uri = await readable_uri(self._access, artifact, below)
        storage = await self._access.storage_of(artifact.namespace)
        found = await storage.stat(uri)
        if found is None:
            raise NotFound(f"there is nothing at {uri}: artifact {artifact.name} was removed, or never written")
        return _File(artifact, storage, uri, found)


def _output(tx: Reading, run_id: str, node: str, name: str) -> Artifact:
    """Find the artifact that a task gave under a name."""
    task = find_step(tx, run_id, node)
    if task is None:
        raise NotFound(f"run {run_id} has no task {node[:200]!r}")
    where = (Where("task_id", "=", task.id), Where("type", "=", "OUTPUT"))
    links = [] if "\0" in name else tx.find(ArtifactTask, *where, order=Order("position"))
    found = next((tx.get(Artifact, link.artifact_id) for link in links if link.key == name), None)
    if found is None:
        known = ", ".join(sorted({link.key for link in links})) or "it has none"
        raise NotFound(f"task {task.path} has no output artifact {name[:200]!r} (known: {known})")
    return found


async def _streamed(
    request: Request, chunks: AsyncIterator[bytes], status: int, headers: Mapping[str, str], media_type: str
) -> Response:
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=media_type)
    first = await anext(chunks, b"")  # what cannot be read is known before the answer begins
    return StreamingResponse(after(first, chunks), status, headers, media_type)


def _shown(kind: str, media_type: str, text: str, file: _File) -> Response:
    return Response(text.encode(errors="replace"), headers=_told(kind, file.stat.size_bytes), media_type=media_type)


def _told(kind: str, size: int) -> dict[str, str]:
    return {**SAFE, "x-preview-kind": kind, "x-total-bytes": str(size), "cache-control": "private, no-cache"}


def _peek(written: str) -> int:
    if not written:
        return USUAL_PEEK
    if not written.isascii() or not written.isdecimal() or len(written) > 12 or int(written) == 0:
        raise BadRequest(f"peek: {written[:80]!r} is no number of bytes; at most {MOST_PEEK} are shown")
    return min(int(written), MOST_PEEK)


async def _beginning(file: _File, peek: int) -> bytes:
    chunks = file.storage.chunks(file.uri, 0, min(peek, file.stat.size_bytes))
    return b"".join([chunk async for chunk in chunks])


async def _listing(file: _File) -> str:
    """Tell what is in a directory, one entry a line: its size, its name."""
    entries = await file.storage.listing(file.uri, LISTED + 1)
    lines = [f"{'-' if each.stat.is_directory else each.stat.size_bytes}\t{each.name}" for each in entries[:LISTED]]
    return "\n".join([*lines, *(["…"] if len(entries) > LISTED else []), ""])


async def _gathered(chunks: AsyncIterator[bytes], uri: str) -> bytes:
    parts, size = [], 0
    async for chunk in chunks:
        size += len(chunk)
        if size > READ_LIMIT:
            raise TooLarge(f"{uri} is larger than {READ_LIMIT} bytes: download it")
        parts.append(chunk)
    return b"".join(parts)
