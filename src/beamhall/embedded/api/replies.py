"""Answers of the HTTP surface: whole ones, streams, errors as ``Status``, and which form the client wants.

Source: Kubernetes API conventions, "Response Status Kind"; RFC 7234 for the ``Warning`` header.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from starlette.types import Receive, Send

from beamhall.kernel.errors import ApiError, NotAcceptable, status_of

JSON = "application/json"
_encode = msgspec.json.Encoder().encode

Form = Literal["object", "table", "metadata"]


@dataclass(frozen=True, slots=True)
class Accepted:
    """The form of an answer that a client wants and we have.

    Attributes:
        form: The object itself, a ``Table``, or ``PartialObjectMetadata``.
        is_yaml: Written as YAML.
        parameters: All parameters of the chosen media type.
    """

    form: Form = "object"
    is_yaml: bool = False
    parameters: Mapping[str, str] | None = None


PLAIN = Accepted()


@dataclass(slots=True)
class Reply:
    """A whole answer.

    Attributes:
        body: The bytes.
        code: The HTTP status.
        media_type: What the bytes are.
        headers: Further headers.
    """

    body: bytes
    code: int = 200
    media_type: str = JSON
    headers: Sequence[tuple[bytes, bytes]] = ()


@dataclass(slots=True)
class Stream:
    """An answer whose end is not known: a watch or a log.

    Attributes:
        open: Opens the source; what it raises on entering is answered as an error.
        media_type: What the bytes are.
    """

    open: Callable[[], AbstractAsyncContextManager[AsyncIterator[bytes]]]
    media_type: str = JSON


def reply(value: Any, code: int = 200, *, accepted: Accepted = PLAIN) -> Reply:
    """Make an answer of a JSON value."""
    if accepted.is_yaml:
        from beamhall.embedded.api import yaml_form  # noqa: PLC0415  PyYAML costs 10 ms of a start

        return Reply(yaml_form.dump(value), code, "application/yaml")
    return Reply(_encode(value), code)


def error_reply(error: ApiError) -> Reply:
    """Make the answer that says an error."""
    headers = []
    if error.retry_after_s is not None:
        headers.append((b"retry-after", str(error.retry_after_s).encode()))
    return Reply(_encode(status_of(error)), error.code, JSON, headers)


def accepted_of(header: bytes) -> Accepted:
    """Choose the first form that the client takes and we have; no ``Accept`` header: JSON.

    Raises:
        NotAcceptable: There is none.
    """
    if not header or header in (b"application/json", b"*/*"):
        return PLAIN
    offered = [_parameters(part) for part in header.decode("latin-1").split(",")]
    for media_type, parameters in offered:
        as_ = parameters.get("as", "")
        if media_type in (JSON, "application/*", "*/*"):
            if as_ == "Table":
                return Accepted("table", parameters=parameters)
            if as_ in ("PartialObjectMetadata", "PartialObjectMetadataList"):
                return Accepted("metadata", parameters=parameters)
            if not as_:
                return PLAIN
        if media_type in ("application/yaml", "text/yaml") and not as_:
            return Accepted(is_yaml=True)
    raise NotAcceptable(f"only {JSON} and application/yaml are served, not {header.decode('latin-1')}")


def wants_aggregated_discovery(header: bytes) -> str:
    """Give the version of the aggregated discovery that the client prefers to the plain one, or nothing."""
    for media_type, parameters in (_parameters(part) for part in header.decode("latin-1").split(",")):
        if media_type != JSON:
            continue
        if parameters.get("as") == "APIGroupDiscoveryList" and parameters.get("v") in ("v2", "v2beta1"):
            return parameters["v"]
        if not parameters.get("as"):
            return ""
    return ""


def _parameters(part: str) -> tuple[str, dict[str, str]]:
    media_type, *rest = part.split(";")
    pairs = (item.partition("=") for item in rest)
    return media_type.strip().lower(), {key.strip(): value.strip() for key, _, value in pairs}


def warning_headers(warnings: Sequence[str]) -> list[tuple[bytes, bytes]]:
    """Write warnings as headers."""
    return [
        (b"warning", f'299 - "{text.translate(_ESCAPES)}"'.encode("latin-1", "replace"))
        for text in dict.fromkeys(warnings)
    ]  # fmt: skip


_ESCAPES = str.maketrans({'"': '\\"', "\\": "\\\\", "\n": " ", "\r": " "})


async def send_reply(send: Send, answer: Reply, warnings: Sequence[str]) -> None:
    """Send a whole answer."""
    headers = [
        (b"content-type", answer.media_type.encode()),
        (b"content-length", str(len(answer.body)).encode()),
        (b"cache-control", b"no-cache, private"),
        *answer.headers,
    ]
    if warnings:
        headers += warning_headers(warnings)
    await send({"type": "http.response.start", "status": answer.code, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


async def wait_for_disconnect(receive: Receive) -> None:
    """Return when the client is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
