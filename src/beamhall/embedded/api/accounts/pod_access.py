"""What a Pod gets so that its programs reach the API where client libraries look: one projected volume, mounted. Pure.

Source: Kubernetes "Configure Service Accounts for Pods"; ``kubernetes/plugin/pkg/admission/serviceaccount``.
"""

from collections.abc import Iterator
from typing import Any

from beamhall.embedded.api.token_requests import POD_TOKEN_S
from beamhall.kernel.identity import SERVICE_ACCOUNT_DIRECTORY
from beamhall.kernel.objects import Object, ReadOnlyObject

AUTHORITY_NAME = "kube-root-ca.crt"
"""The ConfigMap of every namespace that holds the API's certificate authority."""

_PREFIX = "kube-api-access-"


def wants_access(spec: ReadOnlyObject, account: ReadOnlyObject) -> bool:
    """Tell whether a Pod is to get a token: it says, or else its account does; if neither does, yes."""
    for said in (spec.get("automountServiceAccountToken"), account.get("automountServiceAccountToken")):
        if said is not None:
            return bool(said)
    return True


def add_access(spec: Object, suffix: str) -> None:
    """Mount the volume into every container that has nothing there, in place.

    Args:
        spec: The Pod's spec, with its defaults.
        suffix: Tells the volume's name from others.
    """
    volumes: list[Object] = spec.get("volumes") or []
    known = [v["name"] for v in volumes if v.get("projected") and str(v.get("name")).startswith(_PREFIX)]
    name = known[0] if known else _PREFIX + suffix
    lacking = [container for container in _containers(spec) if not _has_mount(container)]
    for container in lacking:
        mount = {"name": name, "readOnly": True, "mountPath": SERVICE_ACCOUNT_DIRECTORY}
        container["volumeMounts"] = [*(container.get("volumeMounts") or ()), mount]
    if lacking and not known:
        spec["volumes"] = [*volumes, _volume(name)]


def _containers(spec: Object) -> Iterator[dict[str, Any]]:
    yield from spec.get("initContainers") or ()
    yield from spec.get("containers") or ()


def _has_mount(container: ReadOnlyObject) -> bool:
    return any(mount.get("mountPath") == SERVICE_ACCOUNT_DIRECTORY for mount in container.get("volumeMounts") or ())


def _volume(name: str) -> Object:
    namespace = {"apiVersion": "v1", "fieldPath": "metadata.namespace"}
    return {
        "name": name,
        "projected": {
            "defaultMode": 0o644,
            "sources": [
                {"serviceAccountToken": {"expirationSeconds": POD_TOKEN_S, "path": "token"}},
                {"configMap": {"name": AUTHORITY_NAME, "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": namespace}]}},
            ],
        },
    }
