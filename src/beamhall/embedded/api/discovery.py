"""Discovery: which groups, versions and resources there are, in the plain and in the aggregated form; version; health.

Documents are made when first asked for and kept until the registry changes.
Source: ``meta/v1`` APIGroupList and APIResourceList, ``apidiscovery.k8s.io/v2`` APIGroupDiscoveryList.
"""

import hashlib
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from beamhall.embedded.api.registry import Registry
from beamhall.embedded.api.replies import Reply, reply, wants_aggregated_discovery
from beamhall.embedded.api.requests import Request
from beamhall.embedded.api.resources import VERBS, Resource
from beamhall.embedded.api.reviews import REVIEWS
from beamhall.embedded.api.usage import USAGE_KINDS, USAGE_VERBS
from beamhall.kernel.errors import MethodNotAllowed
from beamhall.kernel.kinds import KUBERNETES_VERSION, Kind

VERSION = {
    "major": "1",
    "minor": "32",
    "gitVersion": KUBERNETES_VERSION,
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": f"Python {platform.python_version()}",
    "platform": f"{platform.system().lower()}/{platform.machine()}",
}
"""The version of Kubernetes whose API is served."""

_KIND_OF_SUBRESOURCE: Mapping[str, tuple[str, str, str]] = {
    "scale": ("autoscaling", "v1", "Scale"),
    "binding": ("", "v1", "Binding"),
    "eviction": ("policy", "v1", "Eviction"),
    "attach": ("", "v1", "PodAttachOptions"),
    "exec": ("", "v1", "PodExecOptions"),
    "portforward": ("", "v1", "PodPortForwardOptions"),
    "token": ("authentication.k8s.io", "v1", "TokenRequest"),
}


class Discovery:
    """Answers discovery requests.

    Args:
        registry: What is served.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._generation = -1
        self._kept: dict[tuple[str, str], Reply] = {}

    def answer(self, request: Request) -> Reply | None:
        """Answer a request for a discovery, version or health document; None if the path is none of these."""
        maker = self._maker(request)
        if maker is None:
            return None
        if request.method not in ("GET", "HEAD"):
            raise MethodNotAllowed(f"{request.method} is not allowed on {request.path}")
        if self._generation != self._registry.generation:
            self._kept.clear()
            self._generation = self._registry.generation
        wanted = wants_aggregated_discovery(request.headers.get(b"accept", b""))
        key = (request.path, wanted)
        if key not in self._kept:
            self._kept[key] = maker()
        return self._kept[key]

    def _maker(self, request: Request) -> Callable[[], Reply] | None:
        path = request.path.rstrip("/")
        version = wants_aggregated_discovery(request.headers.get(b"accept", b""))
        parts = path.split("/")[1:]
        match parts:
            case ["version"]:
                return lambda: reply(VERSION)
            case ["healthz" | "livez" | "readyz", *_]:
                return lambda: Reply(b"ok", media_type="text/plain; charset=utf-8")
            case ["api"] | ["apis"]:
                is_core = parts == ["api"]
                if version:
                    return lambda: self._aggregated(version, is_core=is_core)
                return self._core_versions if is_core else self._group_list
            case ["api", "v1"]:
                return lambda: self._resource_list("", "v1")
            case ["apis", group] if any(g == group for g, _ in self._versions()):
                return lambda: reply({"kind": "APIGroup", "apiVersion": "v1", **self._group(group)})
            case ["apis", group, version_] if (group, version_) in self._versions():
                return lambda: self._resource_list(group, version_)
        return None

    def _versions(self) -> Mapping[tuple[str, str], None]:
        """Give every (group, version), the core group first, in the order in which they came."""
        found = dict.fromkeys((r.kind.group, r.kind.version) for r in self._registry.all())
        return found | dict.fromkeys(REVIEWS) | dict.fromkeys((kind.group, kind.version) for kind in USAGE_KINDS)

    def _core_versions(self) -> Reply:
        return reply({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []})

    def _group(self, group: str) -> dict[str, Any]:
        versions = [{"groupVersion": f"{g}/{v}", "version": v} for g, v in self._versions() if g == group]
        return {"name": group, "versions": versions, "preferredVersion": versions[0]}

    def _group_list(self) -> Reply:
        groups = dict.fromkeys(group for group, _ in self._versions() if group)
        return reply({"kind": "APIGroupList", "apiVersion": "v1", "groups": [self._group(group) for group in groups]})

    def _served(self, group: str, version: str) -> Sequence[Resource]:
        return [r for r in self._registry.all() if (r.kind.group, r.kind.version) == (group, version)]

    def _resource_list(self, group: str, version: str) -> Reply:
        entries = [entry for resource in self._served(group, version) for entry in _plain(resource)]
        for kind, singular, verbs in _unstored(group, version):
            entries.append({
                "name": kind.plural, "singularName": singular, "namespaced": kind.namespaced, "kind": kind.kind,
                "verbs": list(verbs),
            })  # fmt: skip
        return reply({
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": f"{group}/{version}" if group else version,
            "resources": entries,
        })  # fmt: skip

    def _aggregated(self, api_version: str, *, is_core: bool) -> Reply:
        items = []
        for group in dict.fromkeys(group for group, _ in self._versions() if (not group) is is_core):
            versions = []
            for version in (v for g, v in self._versions() if g == group):
                resources = [_aggregated(resource) for resource in self._served(group, version)]
                for kind, singular, verbs in _unstored(group, version):
                    resources.append(_entry(kind.plural, singular, _address(kind), _scope(kind), verbs))
                versions.append({"version": version, "resources": resources, "freshness": "Current"})
            items.append({"metadata": {"name": group} if group else {}, "versions": versions})
        body = msgspec.json.encode({
            "kind": "APIGroupDiscoveryList",
            "apiVersion": f"apidiscovery.k8s.io/{api_version}",
            "metadata": {},
            "items": items,
        })  # fmt: skip
        tag = hashlib.sha256(body).hexdigest().upper()
        media_type = f"application/json;g=apidiscovery.k8s.io;v={api_version};as=APIGroupDiscoveryList"
        return Reply(body, media_type=media_type, headers=[(b"etag", f'"{tag}"'.encode()), (b"vary", b"Accept")])


def _unstored(group: str, version: str) -> Iterator[tuple[Kind, str, Sequence[str]]]:
    """Give kinds that are answered but not stored, with their singular name and what can be done with them."""
    for kind in REVIEWS.get((group, version), {}).values():
        yield kind, kind.kind.lower(), ("create",)
    for kind in USAGE_KINDS:
        if (kind.group, kind.version) == (group, version):
            yield kind, "", USAGE_VERBS


def _plain(resource: Resource) -> list[dict[str, Any]]:
    kind = resource.kind
    entry: dict[str, Any] = {
        "name": kind.plural,
        "singularName": resource.singular,
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": list(VERBS),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    entries = [entry]
    for name, verbs in resource.subresources.items():
        group, version, its_kind = _KIND_OF_SUBRESOURCE.get(name, ("", "", kind.kind))
        part = {
            "name": f"{kind.plural}/{name}",
            "singularName": "",
            "namespaced": kind.namespaced,
            "kind": its_kind,
            "verbs": list(verbs),
        }
        entries.append(part | ({"group": group, "version": version} if group else {}))
    return entries


def _entry(plural: str, singular: str, kind: tuple[str, str, str], scope: str, verbs: Sequence[str]) -> dict[str, Any]:
    return {
        "resource": plural,
        "responseKind": {"group": kind[0], "version": kind[1], "kind": kind[2]},
        "scope": scope,
        "singularResource": singular,
        "verbs": list(verbs),
    }


def _address(kind: Kind) -> tuple[str, str, str]:
    return kind.group, kind.version, kind.kind


def _scope(kind: Kind) -> str:
    return "Namespaced" if kind.namespaced else "Cluster"


def _aggregated(resource: Resource) -> dict[str, Any]:
    kind = resource.kind
    entry = _entry(kind.plural, resource.singular, _address(kind), _scope(kind), VERBS)
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    if resource.subresources:
        entry["subresources"] = [
            {
                "subresource": name,
                "responseKind": dict(
                    zip(
                        ("group", "version", "kind"),
                        _KIND_OF_SUBRESOURCE.get(name, (kind.group, kind.version, kind.kind)),
                        strict=True,
                    )
                ),
                "verbs": list(verbs),
            }
            for name, verbs in resource.subresources.items()
        ]
    return entry
