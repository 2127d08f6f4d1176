"""Asking a container something: how probes and lifecycle hooks reach it.

``ask`` carries out a probe's handler and says what the answer was; ``call`` carries out a hook's. The words are those
of Kubernetes, since people search for them. What follows from an answer is ``probing``'s.

Source: Kubernetes ``pkg/probe``, ``pkg/kubelet/lifecycle/handlers.go``.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote

from beamhall.embedded.agent.httpget import Page, Request, fetch
from beamhall.embedded.agent.sandbox import StartFailed
from beamhall.embedded.agent.sandbox.exec import CommandResult
from beamhall.kernel.kinds import KUBERNETES_VERSION

_AS_IT_IS = "%/:=&?~#+!$,;'@()*[]"
_OUTPUT_BYTES = 10 * 1024
_REDIRECTS_LIMIT = 10
_AGENT = "kube-probe/" + ".".join(KUBERNETES_VERSION.removeprefix("v").split(".")[:2])


class Execute(Protocol):
    """Runs a command in a container to its end, or for at most so many seconds."""

    async def __call__(self, argv: Sequence[str], *, timeout_s: float | None) -> CommandResult:
        """Do it. Raises ``StartFailed`` where it cannot be run at all."""
        ...


@dataclass(frozen=True, slots=True)
class Target:
    """The container that is asked.

    Attributes:
        container: From the Pod's spec.
        address: The Pod's.
        execute: Runs commands in it.
    """

    container: Mapping[str, Any]
    address: str
    execute: Execute


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of asking.

    Attributes:
        is_good: Whether it counts as success.
        text: What was answered, for the event.
        is_warning: Whether people should hear of it although it is good.
    """

    is_good: bool
    text: str = ""
    is_warning: bool = False


class HandlerError(Exception):
    """Nothing could be asked, so that nothing is known; the message says why."""


async def ask(handler: Mapping[str, Any], target: Target, timeout_s: float) -> Answer:
    """Carry out a probe once.

    Args:
        handler: With one of ``exec``, ``httpGet``, ``tcpSocket``, ``grpc``.
        target: The container.
        timeout_s: How long an answer may take, in seconds.

    Raises:
        HandlerError: It cannot be asked.
    """
    try:
        return await _ask(handler, target, timeout_s)
    except StartFailed as error:
        raise HandlerError(f"rpc error: code = Unknown desc = failed to exec in container: {error}") from error
    except (OSError, ValueError) as error:  # of a host or a header that cannot be, or of too many open files
        raise HandlerError(str(error)) from error


async def _ask(handler: Mapping[str, Any], target: Target, timeout_s: float) -> Answer:
    if (action := handler.get("exec")) is not None:
        return await _ask_command(action, target, timeout_s)
    if (action := handler.get("httpGet")) is not None:
        return await _ask_http(action, target, timeout_s)
    if (action := handler.get("tcpSocket")) is not None:
        host, port = str(action.get("host") or target.address), port_of(action, target.container)
        return await _ask_tcp(host, port, timeout_s)
    if (action := handler.get("grpc")) is not None:
        from beamhall.embedded.agent import grpchealth  # noqa: PLC0415  HTTP/2 is loaded by who uses it

        service, port = str(action.get("service") or ""), port_of(action, target.container)
        is_good, text = await grpchealth.check(target.address, port, service, timeout_s)
        return Answer(is_good, text)
    raise HandlerError("missing probe handler")


async def call(handler: Mapping[str, Any], target: Target) -> str:
    """Carry out a lifecycle hook.

    Returns:
        Empty, or why it failed.
    """
    try:
        if (action := handler.get("exec")) is not None:
            done = await target.execute(_command(action), timeout_s=None)
            return f"command exited with {done.code}: {_text(done.output)}" if done.code else ""
        if (action := handler.get("httpGet")) is not None:
            await fetch(_request(action, target))
            return ""
        if (action := handler.get("sleep")) is not None:
            await asyncio.sleep(max(0.0, float(action.get("seconds") or 0)))
            return ""
    except (OSError, ValueError, HandlerError, StartFailed) as error:
        return str(error)
    return f"invalid handler: {', '.join(sorted(handler))}"


def port_of(action: Mapping[str, Any], container: Mapping[str, Any]) -> int:
    """Give the port that a handler names by number or by the name of a port of its container.

    Raises:
        HandlerError: There is none of that name.
    """
    stated = action.get("port")
    for port in container.get("ports") or ():
        if stated and port.get("name") == stated:
            return int(port["containerPort"])
    try:
        number = int(stated or 0)
    except ValueError:
        raise HandlerError(f"couldn't find port: {stated}") from None
    if not 0 < number < 65536:
        raise HandlerError(f"invalid port number: {number}")
    return number


async def _ask_command(action: Mapping[str, Any], target: Target, timeout_s: float) -> Answer:
    command = _command(action)
    done = await target.execute(command, timeout_s=timeout_s)
    if done.timed_out:
        return Answer(False, f'command timed out: "{" ".join(command)}" timed out after {timeout_s:g}s')
    return Answer(done.code == 0, _text(done.output))


async def _ask_http(action: Mapping[str, Any], target: Target, timeout_s: float) -> Answer:
    request = _request(action, target)
    try:
        async with asyncio.timeout(timeout_s):
            for _ in range(_REDIRECTS_LIMIT):
                page = await fetch(request)
                onward = request.redirected(page.location) if 300 <= page.status < 400 and page.location else None
                if onward is None:
                    break
                if onward.host != request.host:
                    return Answer(True, f"Probe terminated redirects, Response body: {_text(page.body)}", True)
                request = onward
            else:
                return Answer(False, f'Get "{request.url}": stopped after {_REDIRECTS_LIMIT} redirects')
    except TimeoutError:
        why = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        return Answer(False, f'Get "{request.url}": {why}')
    except OSError as error:
        return Answer(False, f'Get "{request.url}": {_dial_problem(request.host, request.port, error)}')
    return _http_answer(page)


def _http_answer(page: Page) -> Answer:
    if 200 <= page.status < 400:
        return Answer(True, _text(page.body))
    return Answer(False, f"HTTP probe failed with statuscode: {page.status}")


async def _ask_tcp(host: str, port: int, timeout_s: float) -> Answer:
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return Answer(False, f"dial tcp {host}:{port}: i/o timeout")
    except OSError as error:
        return Answer(False, _dial_problem(host, port, error))
    writer.close()
    return Answer(True)


def _dial_problem(host: str, port: int, error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return f"dial tcp {host}:{port}: connect: connection refused"
    return str(error.strerror or error)


def _request(action: Mapping[str, Any], target: Target) -> Request:
    path = str(action.get("path") or "/")
    return Request(
        scheme=str(action.get("scheme") or "HTTP").lower(),
        host=str(action.get("host") or target.address),
        port=port_of(action, target.container),
        path=quote(path if path.startswith("/") else f"/{path}", safe=_AS_IT_IS),
        headers=_headers(action),
    )


def _headers(action: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
    stated = [(str(h.get("name") or ""), str(h.get("value") or "")) for h in action.get("httpHeaders") or ()]
    named = {name.lower() for name, _ in stated}
    usual = [(name, value) for name, value in (("User-Agent", _AGENT), ("Accept", "*/*")) if name.lower() not in named]
    # An empty value takes a usual header away.
    return [*usual, *((name, value) for name, value in stated if value or name.lower() not in ("user-agent", "accept"))]


def _command(action: Mapping[str, Any]) -> Sequence[str]:
    return [str(word) for word in action.get("command") or ()]


def _text(output: bytes) -> str:
    return output[:_OUTPUT_BYTES].decode(errors="replace")
