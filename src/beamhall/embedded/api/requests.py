"""A request as the HTTP surface sees it: address, query, headers, body. Nothing here knows verbs or the store.

Source: Kubernetes API concepts, "API terminology" (resource URIs) and "Alternate representations of resources".
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from starlette.types import Receive, Scope

from beamhall.embedded.api.duplicates import duplicate_fields
from beamhall.embedded.api.impersonation import PREFIX
from beamhall.kernel.errors import BadRequest, TooLarge, UnsupportedMediaType
from beamhall.kernel.identity import User

BODY_LIMIT_BYTES = 3 * 1024 * 1024
"""The largest body that is read, as in a kube-apiserver."""

PROTOBUF = "application/vnd.kubernetes.protobuf"

_MUCH_YAML_BYTES = 20_000
_decode_json = msgspec.json.Decoder().decode
_TRUE = frozenset({"true", "1", "t", "T", "TRUE", "True", ""})


@dataclass(frozen=True, slots=True)
class Address:
    """What a path of a resource names.

    Attributes:
        group: API group, empty for the core group.
        version: API version.
        plural: The resource.
        namespace: Empty for cluster-scoped resources and for all namespaces.
        name: Empty for collections.
        subresource: What follows the name, such as ``status`` or ``log``.
    """

    group: str
    version: str
    plural: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""


@dataclass(slots=True)
class Request:
    """One HTTP request.

    Attributes:
        method: In capitals.
        path: Below the mount point, such as ``/api/v1/pods``.
        query: The parameters; of one given twice, the last.
        headers: Lower-case names.
        user: Who asks; None: nobody was authenticated.
        receive: The ASGI channel.
        warnings: What the client is to be told beside the answer.
        impersonation: The headers that name another user to act as, in lower case.
        duplicates: What the body says twice, in the words of a strict decoder; known once the body has been read.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[bytes, bytes]
    user: User | None
    receive: Receive
    warnings: list[str]
    impersonation: Sequence[tuple[bytes, bytes]] = ()
    duplicates: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, scope: Scope, receive: Receive) -> "Request":
        """Read an ASGI scope."""
        path = scope["path"]
        root = scope.get("root_path") or ""
        if root and path.startswith(root):
            path = path[len(root) :]
        query = scope.get("query_string") or b""
        parameters = dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True)) if query else {}
        user = (scope.get("state") or {}).get("user")
        headers = scope["headers"]
        others = [pair for pair in headers if pair[0].startswith(PREFIX)]
        return cls(scope["method"], path or "/", parameters, dict(headers), user, receive, [], others)

    def flag(self, name: str) -> bool:
        """Tell whether a boolean parameter is given as true."""
        value = self.query.get(name)
        return value is not None and value in _TRUE

    def number(self, name: str) -> int | None:
        """Give a whole number from the query, None if it is absent or empty.

        Raises:
            BadRequest: It is no whole number.
        """
        text = self.query.get(name)
        if not text:
            return None
        try:
            return int(text)
        except ValueError:
            raise BadRequest(f"parameter {name} must be a whole number, not {text!r}") from None

    @property
    def media_type(self) -> str:
        """The body's media type without parameters; empty if the client gave none."""
        return self.headers.get(b"content-type", b"").decode("latin-1").partition(";")[0].strip().lower()

    async def body(self) -> bytes:
        """Read the whole body.

        Raises:
            TooLarge: It is over the limit.
        """
        declared = self.headers.get(b"content-length", b"")
        if declared.isdigit() and int(declared) > BODY_LIMIT_BYTES:
            raise _too_large()
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise BadRequest("the client went away before its request was complete")
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > BODY_LIMIT_BYTES:
                raise _too_large()
            chunks.append(chunk)
            if not message.get("more_body"):
                return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def document(self) -> Any:
        """Read the body as JSON, YAML or protobuf, whichever it is; None if there is none.

        Raises:
            BadRequest: It is malformed; the message says where.
            UnsupportedMediaType: It is of another media type.
        """
        body = await self.body()
        if not body:
            return None
        media_type = self.media_type
        if media_type == PROTOBUF:
            return _decode_protobuf(body)
        if media_type in ("application/yaml", "text/yaml", "application/x-yaml"):
            return await self.yaml_in(body)
        if media_type in ("", "application/json", "text/plain", "application/x-www-form-urlencoded"):
            # Some clients name no type, and curl names a form: look at what is there.
            looks_like_json = body.lstrip()[:1] in (b"{", b"[")
            is_json = looks_like_json or media_type == "application/json"
            return self.json_in(body) if is_json else await self.yaml_in(body)
        raise UnsupportedMediaType(
            f"the body of the request was in an unknown format: {media_type}; accepted media types include: "
            f"application/json, application/yaml, {PROTOBUF}"
        )

    def json_in(self, body: bytes) -> Any:
        """Read JSON, and note what it says twice. Raises as ``decode_json``."""
        value = decode_json(body)
        if self.query.get("fieldValidation") != "Ignore":
            self.duplicates.extend(f'duplicate field "{path}"' for path in duplicate_fields(body, value))
        return value

    async def yaml_in(self, body: bytes) -> Any:
        """Read YAML, and note what it says twice; much of it takes so long (1 MB a second) that it leaves the loop.

        Raises:
            BadRequest: It is malformed.
        """
        if len(body) < _MUCH_YAML_BYTES:
            return decode_yaml(body, self.duplicates)
        return await asyncio.to_thread(decode_yaml, body, self.duplicates)


def _too_large() -> TooLarge:
    return TooLarge(f"Request entity too large: limit is {BODY_LIMIT_BYTES} bytes")


def decode_json(body: bytes) -> Any:
    """Read JSON.

    Raises:
        BadRequest: It is malformed; the message says where.
    """
    try:
        return _decode_json(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"the JSON of the request is malformed: {_place(body, str(error))}") from error


def _place(body: bytes, message: str) -> str:
    """Add line and column to a message of msgspec, which names a byte."""
    head, _, tail = message.rpartition("(byte ")
    number = tail.rstrip(")")
    if not head or not number.isdigit():
        return message
    before = body[: int(number)]
    line = before.count(b"\n") + 1
    column = len(before) - (before.rfind(b"\n") + 1) + 1
    return f"{head.strip()} (line {line}, column {column})"


def _decode_protobuf(body: bytes) -> Any:
    from beamhall.embedded.api.builtin import protobuf  # noqa: PLC0415  as with YAML: most processes never see one

    return protobuf.decode(body)


def decode_yaml(body: bytes, duplicates: list[str]) -> Any:
    """Read one YAML document as JSON would be: times stay text, keys become text; note what it says twice.

    Raises:
        BadRequest: It is malformed; the message says where.
    """
    from beamhall.embedded.api import yaml_form  # noqa: PLC0415  PyYAML costs 10 ms of a start that rarely needs it

    return yaml_form.load(body, duplicates)


def read_path(path: str) -> Address | None:
    """Read the path of a resource; None if it is no such path (discovery, or nothing that is served)."""
    parts = [part for part in path.split("/") if part]
    if len(parts) >= 3 and parts[0] == "api":
        group, version, rest = "", parts[1], parts[2:]
    elif len(parts) >= 4 and parts[0] == "apis":
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    namespace = ""
    # ``namespaces/NAME`` alone, and its own subresources, mean the namespace itself.
    if rest[0] == "namespaces" and len(rest) >= 3 and not (rest[2] in ("status", "finalize") and len(rest) == 3):
        namespace, rest = rest[1], rest[2:]
    name = rest[1] if len(rest) > 1 else ""
    return Address(group, version, rest[0], namespace, name, "/".join(rest[2:]))
