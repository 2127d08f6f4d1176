"""Kubeconfigs: finding the one that says where a cluster is, and writing the one of this service.

Reading is done with ``lightkube``, which ``http`` also makes its connection with. It is imported when it is needed:
it takes half a second, and ``beamhall up``, which only writes a kubeconfig, must not wait for it.

Source: Kubernetes "Organizing Cluster Access Using kubeconfig Files", for the order of places and the rule of merging.
"""

import base64
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from beamhall.kernel.errors import BadRequest

DEFAULT_PATH = Path("~/.kube/config")
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")

_FILES = {
    "clusters": ("cluster", ("certificate-authority",)),
    "users": ("user", ("client-certificate", "client-key", "tokenFile")),
    "contexts": ("context", ()),
}
_UNSERVED = {"cluster": ("proxy-url", "tls-server-name"), "user": ("as", "as-uid", "as-groups", "as-user-extra")}
"""Fields that change what a connection means, so that going on without them would be wrong, or a danger."""


class KubeconfigError(BadRequest):
    """No usable kubeconfig; the message says which file, what is wrong with it, and what to do."""


def load_kubeconfig(
    path: Path | None = None,
    context: str = "",
    *,
    environ: Mapping[str, str] | None = None,
    service_account: Path = SERVICE_ACCOUNT,
) -> Any:
    """Find a cluster and its credentials, as kubectl does.

    In this order: ``path``; the files of ``KUBECONFIG``, merged; ``~/.kube/config``; the service account of the Pod
    that this runs in.

    Args:
        path: A kubeconfig file; then nothing else is looked at.
        context: A context of it; empty: its ``current-context``.
        environ: Environment variables; None: those of this process.
        service_account: Where a kubelet puts a Pod's service account.

    Returns:
        A ``lightkube.SingleConfig`` for ``HttpClient``: ``.cluster.server``, ``.namespace``, ``.user``, ….

    Raises:
        KubeconfigError: There is none, it cannot be read, or it does not hold what it names.
    """
    environ = os.environ if environ is None else environ
    listed = [Path(part) for part in environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    if path is not None:
        return _from_document(_read(path.expanduser()), context, str(path))
    if listed:
        found = [file for file in listed if file.expanduser().exists()]
        if not found:
            raise KubeconfigError(f"KUBECONFIG names {os.pathsep.join(map(str, listed))}, which does not exist")
        documents = [_read(file.expanduser()) for file in found]
        return _from_document(_merged(documents), context, os.pathsep.join(map(str, found)))
    default = DEFAULT_PATH.expanduser() if "HOME" not in environ else Path(environ["HOME"]) / ".kube/config"
    if default.exists():
        return _from_document(_read(default), context, str(default))
    if (service_account / "token").exists() and environ.get("KUBERNETES_SERVICE_HOST"):
        return _in_cluster(environ, service_account)
    raise KubeconfigError(
        f"no kubeconfig: there is no {default}, KUBECONFIG is not set, and this is no Pod with a service account;"
        " give one with --kubeconfig FILE (`beamhall kubeconfig > FILE` writes that of a local service)"
    )


def render_kubeconfig(server: str, ca_pem: str | bytes, token: str, namespace: str = "default") -> str:
    """Write the kubeconfig of a service.

    Args:
        server: Its URL, such as ``https://127.0.0.1:8080/k8s``.
        ca_pem: The certificates that its own is signed with, in PEM.
        token: The bearer token.
        namespace: Where commands work that name no namespace.
    """
    authority = base64.b64encode(ca_pem.encode() if isinstance(ca_pem, str) else ca_pem).decode()
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "beamhall", "cluster": {"server": server, "certificate-authority-data": authority}}],
        "users": [{"name": "beamhall", "user": {"token": token}}],
        "contexts": [
            {"name": "beamhall", "context": {"cluster": "beamhall", "user": "beamhall", "namespace": namespace}}
        ],
        "current-context": "beamhall",
    }
    text: str = yaml.dump(document, sort_keys=False, width=1_000_000)
    return text


def for_user(text: str, user: str, token: str, namespace: str = "") -> str:
    """Change a kubeconfig that ``render_kubeconfig`` wrote: for another user, or for another namespace.

    Args:
        text: The kubeconfig.
        user: The user's name; empty: it stays whose it is.
        token: The user's token.
        namespace: Where commands work that name no namespace; empty: as it was.
    """
    document = yaml.load(text, Loader=yaml.CSafeLoader)
    context = document["contexts"][0]["context"]
    if user:
        document["users"] = [{"name": user, "user": {"token": token}}]
        context["user"] = user
    if namespace:
        context["namespace"] = namespace
    changed: str = yaml.dump(document, sort_keys=False, width=1_000_000)
    return changed


def _read(path: Path) -> dict[str, Any]:
    """Read one file; paths in it, which are relative to it, are made absolute."""
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    except (OSError, UnicodeDecodeError) as error:
        raise KubeconfigError(f"kubeconfig {path} cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise KubeconfigError(f"kubeconfig {path} is not YAML: {error}") from error
    if not isinstance(document, dict):
        raise KubeconfigError(f"kubeconfig {path} holds no kubeconfig: it must be a mapping with clusters and contexts")
    for section, (inner, files) in _FILES.items():
        for entry in _entries(document, section, path):
            body = entry.get(inner)
            if not isinstance(body, dict) or not isinstance(entry.get("name"), str):
                raise KubeconfigError(f"kubeconfig {path}: each of its {section} must have a name and a {inner}")
            for key in files:
                if body.get(key):
                    body[key] = str(path.resolve().parent / str(body[key]))
            plugin = body.get("exec")
            if isinstance(plugin, dict) and "/" in str(plugin.get("command", "")):
                plugin["command"] = str(path.resolve().parent / plugin["command"])
    return document


def _entries(document: dict[str, Any], section: str, path: Path) -> list[dict[str, Any]]:
    entries = document.get(section) or []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise KubeconfigError(f"kubeconfig {path}: {section} must be a list of mappings")
    document[section] = entries
    return entries


def _merged(documents: list[dict[str, Any]]) -> dict[str, Any]:
    """Merge files: whichever names something first decides it."""
    merged: dict[str, Any] = {}
    for section in _FILES:
        by_name: dict[str, Any] = {}
        for document in documents:
            for entry in document[section]:
                by_name.setdefault(entry["name"], entry)
        merged[section] = list(by_name.values())
    merged["current-context"] = next((d["current-context"] for d in documents if d.get("current-context")), None)
    return merged


def _from_document(document: Mapping[str, Any], context: str, source: str) -> Any:
    import msgspec  # noqa: PLC0415
    from lightkube.config.kubeconfig import KubeConfig  # noqa: PLC0415  half a second

    names = {section: {entry["name"]: entry for entry in document[section]} for section in _FILES}
    chosen = context or document.get("current-context") or ""
    if not chosen:
        raise KubeconfigError(
            f"kubeconfig {source} has no current-context; choose one of: {_listed(names['contexts'])}"
        )
    if chosen not in names["contexts"]:
        raise KubeconfigError(f"kubeconfig {source} has no context {chosen!r}; it has: {_listed(names['contexts'])}")
    body = names["contexts"][chosen]["context"]
    for section, field in (("clusters", "cluster"), ("users", "user")):
        if body.get(field) not in names[section] and (field == "cluster" or body.get(field)):
            raise KubeconfigError(
                f"kubeconfig {source}: context {chosen!r} names {field} {body.get(field)!r}, which is not there;"
                f" it has: {_listed(names[section])}"
            )
        named = names[section].get(body.get(field), {}).get(field, {})
        if unserved := [key for key in _UNSERVED[field] if named.get(key)]:
            raise KubeconfigError(
                f"kubeconfig {source}: {field} {body[field]!r} sets {', '.join(unserved)}, which Beamhall cannot follow"
                "; use a context without it"
            )
    try:
        return KubeConfig.from_dict(dict(document)).get(chosen)
    except msgspec.ValidationError as error:
        raise KubeconfigError(f"kubeconfig {source} is malformed: {error}") from error


def _in_cluster(environ: Mapping[str, str], service_account: Path) -> Any:
    from lightkube.config.kubeconfig import KubeConfig  # noqa: PLC0415  half a second
    from lightkube.config.models import Cluster, User  # noqa: PLC0415

    host, port = environ["KUBERNETES_SERVICE_HOST"], environ.get("KUBERNETES_SERVICE_PORT", "443")
    token_file = service_account / "token"
    namespace_file = service_account / "namespace"
    return KubeConfig.from_one(
        cluster=Cluster(
            server=f"https://{f'[{host}]' if ':' in host else host}:{port}",
            certificate_auth=str(service_account / "ca.crt"),
        ),
        # By file, not by value: the kubelet rotates it.
        user=User(token_file=str(token_file)),
        namespace=namespace_file.read_text().strip() if namespace_file.exists() else None,
    ).get()


def _listed(names: Mapping[str, Any]) -> str:
    return ", ".join(sorted(names)) or "none"
