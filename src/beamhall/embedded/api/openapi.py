"""OpenAPI documents: v3 by group and version, as ``kubectl explain`` and server-side validation want them.

Each document has the paths on which clients look for parameters (``fieldValidation`` above all) and the schemas of its
kinds. Documents are made when first asked for and kept until the registry changes; making one of a large group takes
some tens of milliseconds. OpenAPI v2 is served as a document without schemas: clients of this decade ask v3, and
``kubectl`` looks into v2 only for kinds that v3 does not have, to find nothing.

Source: KEP-2896 (OpenAPI v3), KEP-2885 (server-side validation).
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from beamhall.embedded.api.builtin.schemas import component_name, openapi_components
from beamhall.embedded.api.registry import Registry
from beamhall.embedded.api.replies import Reply, reply
from beamhall.embedded.api.requests import Request
from beamhall.embedded.api.resources import Resource
from beamhall.kernel.errors import MethodNotAllowed, NotAcceptable
from beamhall.kernel.kinds import CONFIG_MAP

Json = dict[str, Any]

_V2_PROTOBUF = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
# A gnostic ``Document``: swagger (field 1), info (2) with title and version, empty paths (8), empty definitions (9).
_EMPTY_V2 = b"\x0a\x032.0\x12\x13\x0a\x08Beamhall\x12\x07v1.32.0\x42\x00\x4a\x00"
_METADATA = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"

_PATCHES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/apply-patch+yaml",
    "application/strategic-merge-patch+json",
)


class OpenApi:
    """Answers requests for OpenAPI documents.

    Args:
        registry: What is served.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._generation = -1
        self._kept: dict[str, bytes] = {}

    def answer(self, request: Request) -> Reply | None:
        """Answer a request below ``/openapi``; None if the path is not there."""
        path = request.path.rstrip("/")
        if not path.startswith("/openapi"):
            return None
        if request.method not in ("GET", "HEAD"):
            raise MethodNotAllowed(f"{request.method} is not allowed on {request.path}")
        if self._generation != self._registry.generation:
            self._kept.clear()
            self._generation = self._registry.generation
        accept = request.headers.get(b"accept", b"").decode("latin-1")
        if path == "/openapi/v2":
            return self._version_2(accept)
        places = {_place(r): (r.kind.group, r.kind.version) for r in self._registry.all()}
        if path == "/openapi/v3":
            links = {
                place: {"serverRelativeURL": f"/openapi/v3/{place}?hash={self._hash(group_version)}"}
                for place, group_version in places.items()
            }
            return reply({"paths": links})
        group_version = places.get(path.removeprefix("/openapi/v3/"))
        return None if group_version is None else Reply(self._document(group_version))

    def _hash(self, group_version: tuple[str, str]) -> str:
        """Name the state of a document without making it: what is served does not change under one generation."""
        mark = f"{group_version} {self._generation} {id(self._registry)}"
        return hashlib.sha256(mark.encode()).hexdigest()[:32].upper()

    def _version_2(self, accept: str) -> Reply:
        if _V2_PROTOBUF in accept:
            return Reply(_EMPTY_V2, media_type=_V2_PROTOBUF.replace("@", "."))
        if accept and "json" not in accept and "*/*" not in accept:
            raise NotAcceptable("OpenAPI v2 is served as JSON and as protobuf only; ask /openapi/v3 for schemas")
        return reply({
            "swagger": "2.0",
            "info": {"title": "Beamhall", "version": "v1.32.0"},
            "paths": {},
            "definitions": {},
        })  # fmt: skip

    def _document(self, group_version: tuple[str, str]) -> bytes:
        key = "/".join(group_version)
        if key not in self._kept:
            resources = [r for r in self._registry.all() if (r.kind.group, r.kind.version) == group_version]
            schemas: Json = dict(openapi_components([r.kind for r in resources if not r.is_custom]))
            paths: Json = {}
            if any(resource.is_custom for resource in resources):
                schemas |= _metadata_schemas()
            for resource in resources:
                if resource.is_custom:
                    schemas[_schema_name(resource)] = _custom_schema(resource)
                paths |= _paths(resource)
            document = {
                "openapi": "3.0.0",
                "info": {"title": "Kubernetes", "version": "v1.32.0"},
                "paths": paths,
                "components": {"schemas": schemas},
            }
            self._kept[key] = msgspec.json.encode(document)
        return self._kept[key]


def _metadata_schemas() -> Json:
    """Give the schemas of metadata, which clients follow from custom kinds too."""
    return {name: schema for name, schema in openapi_components([CONFIG_MAP]).items() if ".meta.v1." in name}


def _place(resource: Resource) -> str:
    return resource.kind.path.removeprefix("/")


def _schema_name(resource: Resource) -> str:
    kind = resource.kind
    if not resource.is_custom:
        return component_name(kind)
    return ".".join([*reversed(kind.group.split(".")), kind.version, kind.kind])


def _custom_schema(resource: Resource) -> Json:
    kind = resource.kind
    schema = dict(resource.rules.schema())
    standard = {
        "apiVersion": {"type": "string", "description": "Version of the schema that this object is written in."},
        "kind": {"type": "string", "description": "What this object is."},
        "metadata": {"$ref": f"#/components/schemas/{_METADATA}"},
    }
    schema["properties"] = {**(schema.get("properties") or {}), **standard}
    schema["x-kubernetes-group-version-kind"] = [{"group": kind.group, "version": kind.version, "kind": kind.kind}]
    return schema


def _paths(resource: Resource) -> Json:
    kind = resource.kind
    base = f"{kind.path}/namespaces/{{namespace}}/{kind.plural}" if kind.namespaced else f"{kind.path}/{kind.plural}"
    reference = {"$ref": f"#/components/schemas/{_schema_name(resource)}"}
    # Where strategic merge is named, ``kubectl apply`` uses it.
    patches = _PATCHES[:3] if resource.is_custom else _PATCHES
    collection = {
        "get": _operation(resource, "list", reference),
        "post": _operation(resource, "post", reference, body=("*/*",), writes=True),
    }
    one = {
        "get": _operation(resource, "get", reference),
        "put": _operation(resource, "put", reference, body=("*/*",), writes=True),
        "patch": _operation(resource, "patch", {"type": "object"}, body=patches, writes=True),
        "delete": _operation(resource, "delete", reference),
    }
    return {base: collection, f"{base}/{{name}}": one}


def _operation(
    resource: Resource, action: str, schema: Mapping[str, Any], *, body: tuple[str, ...] = (), writes: bool = False
) -> Json:
    kind = resource.kind
    operation: Json = {
        "operationId": f"{action}{kind.kind}",
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": {"group": kind.group, "version": kind.version, "kind": kind.kind},
        "responses": {"200": {"description": "OK", "content": {"application/json": {"schema": schema}}}},
    }
    if writes:
        operation["parameters"] = [
            {"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}}
            for name in ("dryRun", "fieldManager", "fieldValidation")
        ]
    if body:
        operation["requestBody"] = {"content": {media_type: {"schema": schema} for media_type in body}}
    return operation
