"""The ASGI application: reads the path, dispatches, and turns every outcome into an answer.

One catch-all dispatch, since custom kinds come and go. This is the HTTP root: whatever goes wrong below becomes a
``Status`` here. Next: ``discovery``, ``objects_http`` (the verbs over HTTP), ``streams`` (watches and logs).
"""

import asyncio

import structlog
from starlette.types import Receive, Scope, Send

from beamhall.embedded.api.authorization import Attributes, require
from beamhall.embedded.api.discovery import Discovery
from beamhall.embedded.api.impersonation import acting_user
from beamhall.embedded.api.issuer import issuer_answer
from beamhall.embedded.api.objects_http import Objects
from beamhall.embedded.api.openapi import OpenApi
from beamhall.embedded.api.replies import Reply, Stream, error_reply, send_reply, wait_for_disconnect, warning_headers
from beamhall.embedded.api.requests import Request, read_path
from beamhall.embedded.api.verbs import Api
from beamhall.kernel.errors import ApiError, BadRequest, InternalError, NotFound, status_of

_log = structlog.get_logger(__name__)


class KubernetesApp:
    """The Kubernetes API over HTTP.

    Args:
        api: The verbs.
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self._authorizer = api.core.authorizer
        self._objects = Objects(api)
        self._closing = api.closing
        self._discovery = Discovery(api.registry)
        self._openapi = OpenApi(api.registry)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await _complete(receive, send)
            return
        if scope["type"] == "websocket":
            from beamhall.embedded.api.remote import upgrades  # noqa: PLC0415  most services never see one

            await upgrades.serve(self._api, scope, receive, send)
            return
        request = Request.of(scope, receive)
        if request.method == "HEAD":  # the server leaves the body out
            request.method = "GET"
        try:
            answer = await self._answer(request)
            if isinstance(answer, Stream):
                await _send_stream(send, answer, request, self._closing)
            else:
                await send_reply(send, answer, request.warnings)
        except ApiError as error:
            await send_reply(send, error_reply(error), request.warnings)
        except RecursionError:
            await send_reply(send, error_reply(BadRequest("the body of the request is nested too deep")), ())
        except Exception as error:  # noqa: BLE001  the HTTP root: a defect must not look like a lost connection
            _log.exception("request_failed", method=request.method, path=request.path)
            text = f"an error on the server prevented the request from succeeding ({type(error).__name__}); see its log"
            await send_reply(send, error_reply(InternalError(text)), ())

    async def _answer(self, request: Request) -> Reply | Stream:
        user = acting_user(request.user, request.impersonation, self._authorizer)
        address = read_path(request.path)
        if address is not None:
            return await self._objects.answer(request, user, address)
        require(self._authorizer, user, Attributes(request.method.lower(), path=request.path))
        found = self._discovery.answer(request) or self._openapi.answer(request)
        found = found or issuer_answer(request, self._api.tokens.key)
        if found is None:
            raise NotFound(f"the server could not find the requested resource: nothing is served at {request.path}")
        return found


async def _send_stream(send: Send, stream: Stream, request: Request, closing: asyncio.Event) -> None:
    """Send a stream until it ends, the client goes away, or the API stops; what fails at its opening is raised."""
    async with stream.open() as chunks:
        headers = [(b"content-type", stream.media_type.encode()), (b"cache-control", b"no-cache, private")]
        headers += warning_headers(request.warnings)
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"", "more_body": True})

        async def pump() -> None:
            # The headers are out: an error can only end the stream, as its last object where that is a watch.
            try:
                async for chunk in chunks:
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
            except ApiError as error:
                _log.info("stream_ended", path=request.path, status=status_of(error))

        async with asyncio.TaskGroup() as tasks:
            ends = [tasks.create_task(wait_for_disconnect(request.receive)), tasks.create_task(_wait(closing))]
            writer = tasks.create_task(pump())
            for end in ends:
                end.add_done_callback(lambda _: writer.cancel())
            writer.add_done_callback(lambda _: [end.cancel() for end in ends])
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _wait(event: asyncio.Event) -> None:
    await event.wait()


async def _complete(receive: Receive, send: Send) -> None:
    """Answer the server's own events: there is nothing to start or to stop."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
