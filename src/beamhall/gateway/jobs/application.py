"""The application behind ``/api/jobs``.

| path | gives |
|---|---|
| ``/?namespace=N`` | all jobs of a namespace, the newest first |
| ``/{namespace}/{kind}/{name}`` | one job: its state, its Pods, its events, its progress |
| ``/{namespace}/{kind}/{name}:events`` | the same as it changes (Server-Sent Events); ``?logs=true``: the logs too |
| ``/{namespace}/{kind}/{name}:logs`` | the log of all replicas; ``?follow=true``, ``?tail=N`` |

Whoever may ``get`` a job may see how it goes; its logs are for those who may get ``pods/log``.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from beamhall.client.protocol import Client, Selection
from beamhall.gateway.door import refusal
from beamhall.gateway.jobs.events import EventStream, event_overview
from beamhall.gateway.jobs.logs import Followed, follow_logs, read_logs
from beamhall.gateway.jobs.streaming import Stream, Write
from beamhall.kernel.errors import ApiError, BadRequest, Forbidden, NotFound
from beamhall.kernel.identity import User
from beamhall.kernel.kinds import EVENT, POD, Kind
from beamhall.kernel.objects import Object, uid_of
from beamhall.training.overview import JOB_KINDS, find_kind, is_pod_of, job_overview, pod_overview


class Require(Protocol):
    """Lets pass what a user may do with objects of a kind; raises ``Forbidden`` otherwise."""

    def __call__(
        self, user: User, verb: str, kind: Kind, namespace: str, name: str = "", *, subresource: str = ""
    ) -> None:
        """Ask whether a user may do this."""
        ...


_DEFAULT_NAMESPACE = "default"


class JobsApi:
    """The handlers.

    Args:
        client: The cluster as its owner sees it.
        require: Who may see what of it.
    """

    def __init__(self, client: Client, require: Require) -> None:
        self._client = client
        self._require = require
        self.closing = asyncio.Event()

    def application(self) -> ASGIApp:
        """Make the ASGI application."""
        one = "/{namespace}/{kind}/{name}"
        routes = {"/": self._list, f"{one}:events": self._events, f"{one}:logs": self._logs, one: self._show}
        return Starlette(routes=[Route(path, _telling(handle)) for path, handle in routes.items()])

    async def _list(self, request: Request) -> Response:
        selection = Selection(request.query_params.get("namespace") or _DEFAULT_NAMESPACE)
        jobs: list[Object] = []
        refused: list[Forbidden] = []
        for kind in JOB_KINDS:
            try:
                self._require(_user(request), "list", kind, selection.namespace)
                page = await self._client.list(kind, selection)
            except Forbidden as error:
                refused.append(error)
            except NotFound:
                continue  # a capability that is off
            else:
                jobs += [job_overview(kind, job) for job in page.items]
        if refused and len(refused) == len(JOB_KINDS):
            raise refused[0]
        jobs.sort(key=lambda job: str(job["created"]), reverse=True)
        return _json({"jobs": jobs})

    async def _show(self, request: Request) -> Response:
        job = await self._job(request)
        pods = await self._client.list(POD, job.pods)
        own = [pod for pod in pods.items if is_pod_of(job.kind, job.job, pod)]
        about = {uid_of(obj) for obj in (job.job, *own)}
        events = await self._client.list(EVENT, Selection(job.pods.namespace))
        told = [event for event in events.items if (event.get("involvedObject") or {}).get("uid") in about]
        shown = {
            **job_overview(job.kind, job.job),
            "pods": sorted((pod_overview(job.kind, pod) for pod in own), key=lambda pod: str(pod["name"])),
            "events": sorted((event_overview(event) for event in told), key=lambda event: str(event["time"])),
        }
        return _json(shown)

    async def _events(self, request: Request) -> Response:
        has_logs = _flag(request, "logs")
        tail = _count(request, "tail")
        job = await self._job(request, has_logs=has_logs)

        async def produce(write: Write) -> None:
            await EventStream(job, write, has_logs=has_logs, tail=tail).run()

        return Stream(produce, self.closing, "text/event-stream")

    async def _logs(self, request: Request) -> Response:
        job = await self._job(request, has_logs=True)
        tail = _count(request, "tail")
        read = follow_logs if _flag(request, "follow") else read_logs

        async def produce(write: Write) -> None:
            async def say(replica: str, lines: Sequence[str]) -> None:
                await write("".join(f"{replica} | {line}\n" for line in lines).encode())

            await read(job, say, tail)

        return Stream(produce, self.closing, "text/plain; charset=utf-8")

    async def _job(self, request: Request, *, has_logs: bool = False) -> Followed:
        """Find the job that is meant, for somebody who may see it. Raises ``NotFound``, ``Forbidden``."""
        given = request.path_params
        kind = find_kind(given["kind"])
        if kind is None:
            raise NotFound(f"{given['kind']!r} is no kind of training job; there are {_kinds()}")
        user, namespace, name = _user(request), given["namespace"], given["name"]
        self._require(user, "get", kind, namespace, name)
        if has_logs:
            self._require(user, "get", POD, namespace, subresource="log")
        return Followed(kind, await self._client.get(kind, name, namespace), self._client)


def _kinds() -> str:
    return ", ".join(kind.kind.lower() for kind in JOB_KINDS)


def _user(request: Request) -> User:
    user: User = request.scope["state"]["user"]
    return user


def _flag(request: Request, name: str) -> bool:
    return request.query_params.get(name, "").lower() in ("true", "1")


def _count(request: Request, name: str) -> int | None:
    written = request.query_params.get(name, "")
    if not written:
        return None
    if not written.isascii() or not written.isdecimal() or len(written) > 9:
        raise BadRequest(f"{name}: {written[:80]!r} is no number of lines")
    return int(written)


def _json(body: object) -> Response:
    return Response(msgspec.json.encode(body), media_type="application/json")


def _telling(handle: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """Answer with an error that a handler raises."""

    async def handle_telling(request: Request) -> Response:
        try:
            return await handle(request)
        except ApiError as error:
            return refusal(error, request.url.path, request.headers)

    return handle_telling
