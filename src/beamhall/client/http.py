"""The transport over HTTP: a ``Client`` on any kube-apiserver, the embedded one or a real one.

Connection, TLS and credentials (tokens, client certificates, exec plugins, rotated service account tokens) are
``lightkube``'s, by its ``client_adapter``; what is asked and what answers mean is here. Bodies are plain JSON, so any
kind can be addressed without generated classes. This module must not know which server it talks to.

What is tried again: reading, after a lost connection or a 5xx that says so; anything, where the connection was never
made or the server refused before it began (429, as "storage is (re)initializing" after a CRD is made). Other writes are
not: they may have happened.
"""

import asyncio
import ipaddress
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import urlsplit

import httpx2
import msgspec
from lightkube.config.client_adapter import ConnectionParams
from lightkube.config.kubeconfig import SingleConfig
from lightkube.config.models import NameValue, User
from lightkube.core.exceptions import ConfigError

from beamhall.client.http_exec import HttpProcess, exec_query, upgrade_headers
from beamhall.client.http_forms import as_json, decode_object, lines_of, log_query, path_of, query_of, refusal_of, typed
from beamhall.client.protocol import (
    ALL,
    Apply,
    ExecOptions,
    LogOptions,
    Page,
    PatchType,
    Propagation,
    RemoteProcess,
    Selection,
    WatchEvent,
)
from beamhall.kernel.errors import (
    ApiError,
    BadRequest,
    InternalError,
    ServiceUnavailable,
    Timeout,
    TooManyRequests,
    Unauthorized,
    error_of,
)
from beamhall.kernel.kinds import NODE, POD, Kind
from beamhall.kernel.objects import Object, metadata_of, name_of, namespace_of

_APPLY = "application/apply-patch+yaml"
_PATCH_TYPES: Mapping[PatchType, str] = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "strategic": "application/strategic-merge-patch+json",
}


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """How patient an ``HttpClient`` is.

    Attributes:
        connect_timeout_s: Until a connection is made.
        answer_timeout_s: Between a request and its answer, and between parts of it.
        watch_timeout_s: After so long a server is to end a watch; it is resumed, perhaps elsewhere.
        attempts: How often something is tried that may be tried again.
        retry_after_max_s: The longest wait that a server may ask for; beyond it, its refusal is raised.
        max_connections: Connections at a time. Each watch and each followed log holds one.
        sleep: Waits; tests hand in one that only takes notes.
        user_agent: How requests introduce themselves.
    """

    connect_timeout_s: float = 5.0
    answer_timeout_s: float = 30.0
    watch_timeout_s: float = 300.0
    attempts: int = 4
    retry_after_max_s: float = 10.0
    max_connections: int = 200
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    user_agent: str = "beamhall"


class _Event(msgspec.Struct):
    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"]
    object: dict[str, Any]


_decode_event = msgspec.json.Decoder(_Event).decode


class HttpClient:
    """A ``Client`` over HTTP. Use it as an async context manager, or call ``aclose``.

    Args:
        config: Where the cluster is and who asks: what ``kubeconfig.load_kubeconfig`` gives.
        settings: How patient it is.
    """

    def __init__(self, config: SingleConfig, settings: HttpSettings | None = None) -> None:
        self._settings = settings or HttpSettings()
        self._server = config.cluster.server
        self._http = _connection(config, self._settings)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def get(self, kind: Kind, name: str, namespace: str = "") -> Object:
        """Give an object, as ``Client.get``."""
        return await self._ask("GET", path_of(kind, namespace, name))

    async def list(self, kind: Kind, selection: Selection = ALL, *, limit: int = 0, continue_: str = "") -> Page:
        """List objects, as ``Client.list``."""
        query = query_of(selection)
        if limit:
            query["limit"] = str(limit)
        if continue_:
            query["continue"] = continue_
        body = await self._ask("GET", path_of(kind, selection.namespace), query=query)
        items = body.get("items") or []
        for item in items:  # a kube-apiserver leaves them out of lists
            item.setdefault("apiVersion", kind.api_version)
            item.setdefault("kind", kind.kind)
        metadata = metadata_of(body)
        return Page(items, str(metadata.get("resourceVersion") or ""), str(metadata.get("continue") or ""))

    @asynccontextmanager
    async def watch(
        self, kind: Kind, selection: Selection = ALL, *, revision: str
    ) -> AsyncIterator[AsyncIterator[WatchEvent]]:
        """Follow changes, as ``Client.watch``. A connection that is lost under way raises ``ServiceUnavailable``."""
        query = query_of(selection) | {
            "watch": "1",
            "resourceVersion": revision,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(int(self._settings.watch_timeout_s * (0.8 + 0.2 * random.random()))),  # noqa: S311
        }
        silence_s = self._settings.watch_timeout_s + self._settings.answer_timeout_s
        async with self._stream(path_of(kind, selection.namespace), query, silence_s) as answer:
            yield self._events(answer)

    async def create(self, kind: Kind, obj: Mapping[str, Any]) -> Object:
        """Make an object, as ``Client.create``."""
        return await self._ask("POST", path_of(kind, namespace_of(obj)), body=typed(kind, obj))

    async def create_subresource(
        self, kind: Kind, name: str, namespace: str, subresource: str, obj: Mapping[str, Any]
    ) -> Object:
        """Create what a subresource stands for, as ``Client.create_subresource``."""
        return await self._ask("POST", path_of(kind, namespace, name, subresource), body=obj)

    async def replace(self, kind: Kind, obj: Mapping[str, Any], *, subresource: Literal["", "status"] = "") -> Object:
        """Replace an object, as ``Client.replace``."""
        path = path_of(kind, namespace_of(obj), name_of(obj), subresource)
        return await self._ask("PUT", path, body=typed(kind, obj))

    async def patch(
        self,
        kind: Kind,
        name: str,
        namespace: str,
        patch: Mapping[str, Any] | Sequence[Any],
        *,
        type: PatchType | Apply = "merge",  # noqa: A002
        subresource: Literal["", "status"] = "",
    ) -> Object:
        """Patch an object, as ``Client.patch``."""
        path = path_of(kind, namespace, name, subresource)
        if not isinstance(type, Apply):
            return await self._ask("PATCH", path, body=patch, content_type=_PATCH_TYPES[type])
        query = {"fieldManager": type.manager, "force": "true" if type.force else "false"}
        body = typed(kind, patch) if isinstance(patch, Mapping) else patch
        return await self._ask("PATCH", path, query=query, body=body, content_type=_APPLY)

    async def delete(
        self,
        kind: Kind,
        name: str,
        namespace: str = "",
        *,
        uid: str = "",
        grace_period_s: int | None = None,
        propagation: Propagation = "",
    ) -> None:
        """Ask for deletion, as ``Client.delete``."""
        options: Object = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if uid:
            options["preconditions"] = {"uid": uid}
        if grace_period_s is not None:
            options["gracePeriodSeconds"] = grace_period_s
        if propagation:
            options["propagationPolicy"] = propagation
        await self._ask("DELETE", path_of(kind, namespace, name), body=options)

    async def bind(self, name: str, namespace: str, node: str, *, uid: str = "") -> None:
        """Give a Pod its node, as ``Client.bind``."""
        metadata = {"name": name, "namespace": namespace} | ({"uid": uid} if uid else {})
        target = {"apiVersion": NODE.api_version, "kind": NODE.kind, "name": node}
        body = {"apiVersion": "v1", "kind": "Binding", "metadata": metadata, "target": target}
        await self._ask("POST", path_of(POD, namespace, name, "binding"), body=body)

    @asynccontextmanager
    async def logs(self, name: str, namespace: str, options: LogOptions) -> AsyncIterator[AsyncIterator[bytes]]:
        """Read a Pod's log, as ``Client.logs``."""
        silence_s = None if options.follow else self._settings.answer_timeout_s
        async with self._stream(path_of(POD, namespace, name, "log"), log_query(options), silence_s) as answer:
            yield self._parts(answer)

    @asynccontextmanager
    async def exec(self, name: str, namespace: str, options: ExecOptions) -> AsyncIterator[RemoteProcess]:
        """Run a command in a container, as ``Client.exec``."""
        timeout = httpx2.Timeout(self._settings.answer_timeout_s, connect=self._settings.connect_timeout_s)
        path = path_of(POD, namespace, name, "exec")
        request = self._http.build_request(
            "GET", path, params=exec_query(options), headers=upgrade_headers(), timeout=timeout
        )
        async with self._answer(request, 101) as answer:
            process = HttpProcess(answer)
            try:
                yield process
            finally:
                await process.hang_up()

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> Object:
        """Ask, again if that may help and cannot harm, and give the JSON that is answered."""
        headers = {"Accept": "application/json"} | ({} if body is None else {"Content-Type": content_type})
        content = None if body is None else as_json(body)
        attempt = 0
        while True:
            attempt += 1
            try:
                answer = await self._http.request(method, path, params=query, content=content, headers=headers)
                if answer.status_code >= 300:
                    raise refusal_of(answer)
                return decode_object(answer.content)
            except msgspec.DecodeError as error:
                raise InternalError(f"{self._server} does not answer in JSON; is that a kube-apiserver?") from error
            except (httpx2.HTTPError, httpx2.InvalidURL, ConfigError, KeyError, OSError, ApiError) as error:
                delay_s = self._delay_s(error, method, attempt)
                if delay_s is None:
                    raise self._translated(error) from error
            await self._settings.sleep(delay_s)

    @asynccontextmanager
    async def _stream(
        self, path: str, query: Mapping[str, str], silence_s: float | None
    ) -> AsyncIterator[httpx2.Response]:
        """Ask for an answer that comes in parts, not compressed: compression would hold small parts back."""
        timeout = httpx2.Timeout(self._settings.answer_timeout_s, connect=self._settings.connect_timeout_s)
        request = self._http.build_request(
            "GET", path, params=query, headers={"Accept-Encoding": "identity"}, timeout=timeout
        )
        request.extensions["timeout"]["read"] = silence_s
        async with self._answer(request, 200) as answer:
            yield answer

    @asynccontextmanager
    async def _answer(self, request: httpx2.Request, code: int) -> AsyncIterator[httpx2.Response]:
        """Ask for an answer whose body is read later, or raise what else is answered."""
        try:
            answer = await self._http.send(request, stream=True)
        except (httpx2.HTTPError, httpx2.InvalidURL, ConfigError, KeyError, OSError) as error:
            raise self._translated(error) from error
        try:
            if answer.status_code != code:
                await self._read(answer)
                raise refusal_of(answer)
            yield answer
        finally:
            await answer.aclose()

    async def _read(self, answer: httpx2.Response) -> None:
        try:
            await answer.aread()
        except httpx2.HTTPError as error:
            raise self._translated(error) from error

    async def _parts(self, answer: httpx2.Response) -> AsyncIterator[bytes]:
        try:
            async for part in answer.aiter_bytes():
                yield part
        except httpx2.HTTPError as error:
            raise self._translated(error) from error

    async def _events(self, answer: httpx2.Response) -> AsyncIterator[WatchEvent]:
        async for line in lines_of(self._parts(answer)):
            try:
                event = _decode_event(line)
            except msgspec.DecodeError as error:
                raise InternalError(f"{self._server} sent a watch event that cannot be read: {error}") from error
            if event.type == "ERROR":
                raise error_of(event.object)
            yield WatchEvent(event.type, event.object)

    def _delay_s(self, error: Exception, method: str, attempt: int) -> float | None:
        """Give the wait before the next attempt; None: there is none."""
        if attempt >= self._settings.attempts:
            return None
        # ConnectTimeout and ConnectError: the request was never sent, so even a write may be tried again.
        is_unsent = isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout)
        is_safe = method == "GET" and isinstance(error, httpx2.TransportError | ServiceUnavailable | Timeout)
        if not (isinstance(error, TooManyRequests) or is_unsent or is_safe):
            return None
        backoff_s = 0.1 * 2.0 ** (attempt - 1) * (0.5 + random.random())  # noqa: S311
        asked_s = float(error.retry_after_s or 0) if isinstance(error, ApiError) else 0.0
        return None if asked_s > self._settings.retry_after_max_s else max(backoff_s, asked_s)

    def _translated(self, error: Exception) -> ApiError:
        """Say in the terms of the seam why no answer came."""
        if isinstance(error, ApiError):
            return error
        if isinstance(error, httpx2.ConnectTimeout | httpx2.PoolTimeout):
            return ServiceUnavailable(f"{self._server} cannot be reached: no connection in time")
        if isinstance(error, httpx2.TimeoutException):
            return Timeout(f"{self._server} did not answer in time; whether the request was done is unknown")
        if isinstance(error, ConfigError | KeyError):
            return Unauthorized(f"no credentials for {self._server}: {error}; see the user of the kubeconfig")
        if isinstance(error, httpx2.InvalidURL | httpx2.UnsupportedProtocol):
            return BadRequest(f"{self._server} is no usable address of a kube-apiserver: {error}")
        reason = str(error) or type(error).__name__
        if "CERTIFICATE_VERIFY_FAILED" in reason:
            return ServiceUnavailable(
                f"the certificate of {self._server} is not signed by the authority of the kubeconfig: {reason}"
            )
        return ServiceUnavailable(f"{self._server} cannot be reached, or broke off: {reason}")


def _connection(config: SingleConfig, settings: HttpSettings) -> httpx2.AsyncClient:
    params = ConnectionParams(
        timeout=httpx2.Timeout(settings.answer_timeout_s, connect=settings.connect_timeout_s),
        # As in Go: a proxy of the environment is for other machines.
        trust_env=not _is_loopback(config.cluster.server),
    )
    try:
        arguments = params.httpx_params(config._replace(user=_with_exec_v1(config.user or User())))
    except (ConfigError, OSError, ValueError) as error:
        raise Unauthorized(
            f"the credentials of context {config.context_name!r} cannot be used: {error}; see the kubeconfig"
        ) from error
    limits = httpx2.Limits(max_connections=settings.max_connections, max_keepalive_connections=20)
    return httpx2.AsyncClient(**arguments, limits=limits, headers={"User-Agent": settings.user_agent})


def _with_exec_v1(user: User) -> User:
    """Let exec plugins of ``client.authentication.k8s.io/v1`` run, which ``lightkube`` does not name.

    That version is its v1beta1 with one more field; the plugin learns the version to speak from its environment.
    """
    if user.exec is None:
        return user
    version = user.exec.apiVersion
    info = {"apiVersion": version, "kind": "ExecCredential", "spec": {"interactive": False}}
    env = [*(user.exec.env or ()), NameValue("KUBERNETES_EXEC_INFO", json.dumps(info))]
    known = "client.authentication.k8s.io/v1beta1" if version == "client.authentication.k8s.io/v1" else version
    return msgspec.structs.replace(user, exec=msgspec.structs.replace(user.exec, apiVersion=known, env=env))


def _is_loopback(server: str) -> bool:
    host = urlsplit(server).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
