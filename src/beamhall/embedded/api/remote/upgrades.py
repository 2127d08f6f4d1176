"""Requests that become streams: which Pod, who may, which protocol. Then ``commands``, ``forwarding`` or ``tunnel``.

Source: Kubernetes, ``pkg/registry/core/pod/rest/subresources.go``.
"""

from contextlib import AbstractAsyncContextManager
from urllib.parse import parse_qsl

import msgspec
from starlette.types import Receive, Scope, Send

from beamhall.client.channels import ERROR, Channels, choose
from beamhall.client.protocol import ExecOptions, RemoteProcess
from beamhall.embedded.api.impersonation import acting_user
from beamhall.embedded.api.pod_streams import PodStreams
from beamhall.embedded.api.remote.commands import CommandSession
from beamhall.embedded.api.remote.websocket import WebSocket
from beamhall.embedded.api.requests import Address, Request, read_path
from beamhall.embedded.api.verbs import Api
from beamhall.kernel.errors import ApiError, BadRequest, NotFound, status_of
from beamhall.kernel.identity import User
from beamhall.kernel.objects import Object

SUBRESOURCES = ("exec", "attach", "portforward")
_TRUE = frozenset({"true", "1", "t", "T", "TRUE", "True", ""})


async def serve(api: Api, scope: Scope, receive: Receive, send: Send) -> None:
    """Serve a WebSocket request from its beginning to its end."""
    websocket = WebSocket(scope, receive, send)
    try:
        request = Request.of({"method": "GET", **scope}, receive)
        user = acting_user(request.user, request.impersonation, api.core.authorizer)
        address = read_path(request.path)
        if address is None or address.plural != "pods" or address.subresource not in SUBRESOURCES:
            raise NotFound(
                f"no WebSocket is served at {request.path}; the exec, attach and portforward of Pods are served so"
            )
        streams, pod = api.enter_pod(user, address.name, address.namespace, address.subresource)
        if address.subresource == "portforward":
            await _serve_ports(api, websocket, streams, pod, _query(scope))
            return
        options = read_options(scope, address.subresource)
        await _serve_command(api, websocket, streams, pod, (address.subresource, options))
    except ApiError as error:
        await websocket.refuse(error)


async def _serve_ports(
    api: Api, websocket: WebSocket, streams: PodStreams, pod: Object, query: list[tuple[str, str]]
) -> None:
    from beamhall.embedded.api.remote import forwarding, tunnel  # noqa: PLC0415  rarely wanted

    protocol = choose(websocket.offered, (tunnel.PROTOCOL, *forwarding.PROTOCOLS))
    if protocol == tunnel.PROTOCOL:
        await websocket.accept(protocol)
        await tunnel.Tunnel(websocket, streams, pod).run(api.closing)
        return
    ports = forwarding.read_ports([value for key, value in query if key == "ports"])
    await websocket.accept(protocol)
    await forwarding.Forwarding(websocket, Channels(protocol), ports).run(streams, pod, api.closing)


async def _serve_command(
    api: Api, websocket: WebSocket, streams: PodStreams, pod: Object, asked: tuple[str, ExecOptions]
) -> None:
    """Serve exec or attach. What fails behind the checks is told on the WebSocket: kubectl shows no other answer."""
    subresource, options = asked
    channels = Channels(choose(websocket.offered))
    streams.check(pod, options.container)
    await websocket.accept(channels.protocol)
    process: AbstractAsyncContextManager[RemoteProcess]
    process = streams.exec(pod, options) if subresource == "exec" else streams.attach(pod, options)
    try:
        async with process as running:
            await CommandSession(websocket, channels, running, options).run(api.closing)
    except ApiError as error:
        await websocket.send_on(channels, ERROR, msgspec.json.encode(status_of(error)))
        await websocket.close()


def refuse_without_upgrade(api: Api, request: Request, user: User, address: Address) -> None:
    """Answer a request that asks for a stream in another way than by WebSocket: as an error, if nothing else is one.

    Raises:
        BadRequest: WebSockets are the one way.
        ApiError: What would have been answered to one.
    """
    streams, pod = api.enter_pod(user, address.name, address.namespace, address.subresource)
    if address.subresource != "portforward":
        streams.check(pod, request.query.get("container", ""))
    if request.headers.get(b"upgrade", b"").lower().startswith(b"spdy"):
        raise BadRequest(
            "SPDY is not served: streams are served over WebSocket, which kubectl speaks from 1.31 on "
            "(and in 1.29 and 1.30 with KUBECTL_REMOTE_COMMAND_WEBSOCKETS=true KUBECTL_PORT_FORWARD_WEBSOCKETS=true)"
        )
    raise BadRequest("Upgrade request required")


def read_options(scope: Scope, subresource: str) -> ExecOptions:
    """Read the parameters of exec and attach.

    Raises:
        BadRequest: No command, or none of the streams is asked for.
    """
    pairs = _query(scope)
    query = dict(pairs)

    def flag(name: str, default: bool = False) -> bool:  # noqa: FBT001, FBT002  read beside its name
        return query[name] in _TRUE if name in query else default

    options = ExecOptions(
        command=[value for key, value in pairs if key == "command"],
        container=query.get("container", ""),
        stdin=flag("stdin"),
        stdout=flag("stdout"),
        stderr=flag("stderr"),
        tty=flag("tty"),
    )
    if not (options.stdin or options.stdout or options.stderr):
        raise BadRequest("you must specify at least one of stdin, stdout, stderr")
    if options.tty and options.stderr:
        raise BadRequest("tty and stderr cannot both be true")
    if subresource == "exec" and not options.command:
        raise BadRequest("you must specify at least one command for the container")
    return options


def _query(scope: Scope) -> list[tuple[str, str]]:
    return parse_qsl((scope.get("query_string") or b"").decode("latin-1"), keep_blank_values=True)
