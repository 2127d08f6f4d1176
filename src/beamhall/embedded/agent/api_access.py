"""How programs in Pods reach the API where nothing can be mounted where client libraries look.

With mounts there is nothing to do: the token is a volume as others. Without them, that volume is left where it is on
the disk, and a kubeconfig beside it says so; ``KUBECONFIG`` names it, which kubectl and the libraries read.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from beamhall.embedded.agent.directory import PodDirectory
from beamhall.embedded.agent.sandbox import Mount
from beamhall.kernel.identity import SERVICE_ACCOUNT_DIRECTORY

API_SERVICE = ("default", "kubernetes")
"""Namespace and name of the Service that stands for the API."""


def without_access(
    own: PodDirectory, mounts: Sequence[Mount], variables: dict[str, str], namespace: str
) -> Sequence[Mount]:
    """Take the token's mount out of a container's mounts, and name a kubeconfig in its variables instead, in place.

    Args:
        own: The Pod's directory, where the kubeconfig is written.
        mounts: What the container is to see.
        variables: The container's; a ``KUBECONFIG`` that is there stays.
        namespace: The Pod's.
    """
    found = [mount for mount in mounts if mount.target == SERVICE_ACCOUNT_DIRECTORY and mount.source is not None]
    for mount in found:
        host, port = variables.get("KUBERNETES_SERVICE_HOST"), variables.get("KUBERNETES_SERVICE_PORT")
        if host and port and "KUBECONFIG" not in variables:
            file = own.path / ".kubeconfig"
            file.write_text(_kubeconfig(f"https://{host}:{port}", Path(str(mount.source)), namespace))
            variables["KUBECONFIG"] = str(file)
    return [mount for mount in mounts if mount not in found]


def _kubeconfig(server: str, volume: Path, namespace: str) -> str:
    """Write a kubeconfig, in the part of YAML that is JSON; the token is read from its file, which is renewed."""
    name = "pod"
    return json.dumps({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": server, "certificate-authority": str(volume / "ca.crt")}}],
        "users": [{"name": name, "user": {"tokenFile": str(volume / "token")}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": namespace}}],
        "current-context": name,
    })  # fmt: skip
