"""What requests and answers of a kube-apiserver look like: paths, parameters, bodies, errors.

Must not know connections. Next: ``http`` sends and receives them.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import quote

import httpx2
import msgspec

from beamhall.client.protocol import LogOptions, Selection
from beamhall.kernel.errors import ApiError, BadRequest, InternalError, error_of
from beamhall.kernel.kinds import Kind
from beamhall.kernel.objects import Object

_MAX_LINE_BYTES = 64 * 1024 * 1024
_encode = msgspec.json.encode
decode_object = msgspec.json.Decoder(dict[str, Any]).decode


def path_of(kind: Kind, namespace: str = "", name: str = "", subresource: str = "") -> str:
    """Give the path of a collection or (with a name) of an object below the server's address."""
    parts = [kind.path.strip("/")]
    if kind.namespaced and namespace:
        parts += ["namespaces", quote(namespace, safe="")]
    parts.append(kind.plural)
    parts += [quote(part, safe="") for part in (name, subresource) if part]
    return "/".join(parts)


def query_of(selection: Selection) -> dict[str, str]:
    """Give the parameters of a selection."""
    query = {"labelSelector": selection.labels, "fieldSelector": selection.fields}
    return {key: value for key, value in query.items() if value}


def log_query(options: LogOptions) -> dict[str, str]:
    """Give the parameters of a log."""
    query = {
        "container": options.container,
        "follow": "true" if options.follow else "",
        "previous": "true" if options.previous else "",
        "timestamps": "true" if options.timestamps else "",
        "tailLines": _number(options.tail_lines),
        # Whole seconds on the wire, at least one.
        "sinceSeconds": "" if options.since_s is None else str(max(1, -int(-options.since_s // 1))),
        "limitBytes": _number(options.limit_bytes),
    }
    return {key: value for key, value in query.items() if value}


def _number(value: int | None) -> str:
    return "" if value is None else str(value)


def typed(kind: Kind, obj: Mapping[str, Any]) -> Object:
    """Give an object with its kind, as bodies must have it."""
    return {**obj, "apiVersion": kind.api_version, "kind": kind.kind}


def as_json(body: Any) -> bytes:
    """Write a body. Raises BadRequest where it has no form in JSON."""
    try:
        return _encode(body, enc_hook=_plain)
    except (TypeError, ValueError, msgspec.MsgspecError, RecursionError) as error:
        raise BadRequest(f"the object cannot be written as JSON: {error}") from error


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a value of type {type(value).__name__} has no form in JSON")


def refusal_of(answer: httpx2.Response) -> ApiError:
    """Make the error that an answer says, with its Status body or without."""
    try:
        status = decode_object(answer.content)
    except msgspec.DecodeError:
        text = " ".join(answer.text[:200].split())
        status = {"message": f"the server answered {answer.status_code}" + (f": {text}" if text else "")}
    if status.get("kind") not in (None, "Status"):
        status = {}
    error = error_of(status, answer.status_code)
    after = answer.headers.get("Retry-After", "")
    if error.retry_after_s is None and after.isdigit():
        error.retry_after_s = int(after)
    return error


async def lines_of(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Cut a stream at its newlines, wherever its parts begin and end. A last line that broke off is dropped."""
    rest = bytearray()
    async for part in parts:
        *whole, last = part.split(b"\n")
        for line in whole:
            rest += line
            if rest.strip():
                yield bytes(rest)
            rest.clear()
        rest += last
        if len(rest) > _MAX_LINE_BYTES:
            raise InternalError(f"a watch event is longer than {_MAX_LINE_BYTES} bytes")
