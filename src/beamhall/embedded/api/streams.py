"""Watches and logs as byte streams over HTTP.

A watch writes one JSON object a line. An object is encoded once for all its watchers (the store's change keeps it).
Source: Kubernetes API concepts, "Efficient detection of changes".
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

import msgspec

from beamhall.client.protocol import LogOptions, Selection
from beamhall.embedded.api.list_parameters import read_watch_options
from beamhall.embedded.api.replies import Accepted, Stream
from beamhall.embedded.api.requests import Request
from beamhall.embedded.api.resources import Resource
from beamhall.embedded.api.tables import partial, table
from beamhall.embedded.api.verbs import Api
from beamhall.embedded.api.watching import Watch
from beamhall.kernel.clock import parse_time
from beamhall.kernel.errors import ApiError, BadRequest, Expired, status_of
from beamhall.kernel.identity import User
from beamhall.kernel.objects import Object, ReadOnlyObject

BOOKMARK_EVERY_S = 60.0
"""How often a watch that asked for bookmarks gets one."""

DEFAULT_TIMEOUT_S = 1_800.0
"""How long a watch lasts whose client names no time."""

_encode = msgspec.json.Encoder().encode


def watch_stream(
    api: Api, request: Request, user: User, selection: Selection, pair: tuple[Resource, Accepted]
) -> Stream:
    """Make the stream of a watch.

    Args:
        api: The verbs.
        request: The request, for its parameters.
        user: Who asks.
        selection: What to watch.
        pair: The resource, and the form in which its objects are wanted.
    """
    resource, accepted = pair
    options = read_watch_options(request)
    writer = _Writer(api, resource, accepted, request.query.get("includeObject", ""))
    timeout_s = float(request.number("timeoutSeconds") or DEFAULT_TIMEOUT_S)
    bookmarks = request.flag("allowWatchBookmarks")

    @asynccontextmanager
    async def open_() -> AsyncIterator[AsyncIterator[bytes]]:
        async with AsyncExitStack() as stack:
            try:
                watch = await stack.enter_async_context(api.open_watch(user, resource.kind, selection, options))
            except Expired as error:  # as a kube-apiserver: 200, and the error as the only event
                yield _only(_error_event(error))
                return
            ends_initial = bookmarks and bool(options.sends_initial)
            follower = _Follower(watch, writer, bookmarks=bookmarks, ends_initial=ends_initial)
            yield follower.chunks(timeout_s)

    media_type = "application/json"
    if accepted.form == "table":
        media_type = "application/json;as=Table;v=v1;g=meta.k8s.io"
    return Stream(open_, media_type + ";stream=watch")


class _Writer:
    """Writes events in the form that the client wants."""

    def __init__(self, api: Api, resource: Resource, accepted: Accepted, include: str) -> None:
        self._api = api
        self._resource = resource
        self._form = accepted.form
        self._include = include
        self._columns = True

    def event(self, kind: str, obj: ReadOnlyObject, encoded: bytes | None) -> bytes:
        """Write one event; ``encoded`` is the object as JSON, if that is at hand."""
        if self._form == "object":
            body = encoded if encoded is not None else _encode(obj)
        else:
            body = _encode(self._shaped(obj))
        return b'{"type":"%s","object":%s}\n' % (kind.encode(), body)

    def _shaped(self, obj: ReadOnlyObject) -> Object:
        if self._form == "metadata":
            return partial(obj)
        columns, self._columns = self._columns, False
        return table(self._resource, [obj], self._api.clock.now(), include=self._include, columns=columns)

    def bookmark(self, revision: int, *, ends_initial: bool) -> bytes:
        """Write a bookmark."""
        metadata: Object = {"resourceVersion": str(revision), "creationTimestamp": None}
        if ends_initial:
            metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
        kind = self._resource.kind
        obj: Object = {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata}
        if self._form == "table":
            obj = {
                "kind": "Table",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": {"resourceVersion": str(revision)},
                "columnDefinitions": [],
                "rows": [{"cells": [], "object": partial(obj)}],
            }
        return _encode({"type": "BOOKMARK", "object": obj}) + b"\n"


class _Follower:
    """Turns one watch into chunks."""

    def __init__(self, watch: Watch, writer: _Writer, *, bookmarks: bool, ends_initial: bool) -> None:
        self._watch = watch
        self._writer = writer
        self._bookmarks = bookmarks
        self._ends_initial = ends_initial

    async def chunks(self, timeout_s: float) -> AsyncIterator[bytes]:
        """Give what is to be sent, until the watch ends or its time is over."""
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout_s
        try:
            while True:
                if self._ends_initial and not self._watch.has_initial:
                    self._ends_initial = False
                    yield self._writer.bookmark(self._watch.revision, ends_initial=True)
                wait_until = min(end, loop.time() + BOOKMARK_EVERY_S) if self._bookmarks else end
                try:
                    async with asyncio.timeout_at(wait_until):
                        batch = await self._watch.batch()
                except TimeoutError:
                    if self._bookmarks:
                        yield self._writer.bookmark(self._watch.revision, ends_initial=False)
                    if loop.time() >= end:
                        return
                    continue
                if batch is None:
                    return
                if batch:
                    yield b"".join(
                        self._writer.event(kind, obj, change.encoded if change is not None else None)
                        for kind, obj, change in batch
                    )
        except ApiError as error:  # the answer has begun: the error is the watch's last object
            yield _error_event(error)


def _error_event(error: ApiError) -> bytes:
    return _encode({"type": "ERROR", "object": status_of(error)}) + b"\n"


async def _only(chunk: bytes) -> AsyncIterator[bytes]:
    yield chunk


def log_stream(api: Api, request: Request, user: User, namespace: str, name: str) -> Stream:
    """Make the stream of a Pod's log."""
    options = log_options(api, request)
    return Stream(lambda: api.logs(user, name, namespace, options), "text/plain; charset=utf-8")


def log_options(api: Api, request: Request) -> LogOptions:
    """Read the parameters of a log request.

    Raises:
        BadRequest: One of them cannot be read, or two exclude each other.
    """
    since_s: float | None = request.number("sinceSeconds")
    since_time = request.query.get("sinceTime")
    if since_s is not None and since_time:
        raise BadRequest("at most one of sinceTime or sinceSeconds may be specified")
    if since_s is not None and since_s < 1:
        raise BadRequest("sinceSeconds must be greater than 0")
    if since_time:
        try:
            since_s = max((api.clock.now() - parse_time(since_time)) / timedelta(seconds=1), 0.0)
        except ValueError as error:
            raise BadRequest(f"sinceTime cannot be read: {error}") from error
    tail_lines, limit_bytes = request.number("tailLines"), request.number("limitBytes")
    if tail_lines is not None and tail_lines < 0:
        raise BadRequest("tailLines must not be negative")
    if limit_bytes is not None and limit_bytes < 1:
        raise BadRequest("limitBytes must be greater than 0")
    return LogOptions(
        container=request.query.get("container", ""),
        follow=request.flag("follow"),
        previous=request.flag("previous"),
        timestamps=request.flag("timestamps"),
        tail_lines=tail_lines,
        since_s=since_s,
        limit_bytes=limit_bytes,
    )
