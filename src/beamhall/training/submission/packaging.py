"""A script and the files beside it as one ConfigMap, and how Pods see it: each at its place in the working directory.

Source: Kubernetes, ConfigMap: at most 1 MiB in all, keys of letters, digits, ``-``, ``_`` and ``.``.
"""

import base64
import re
from collections.abc import Mapping, Sequence

from beamhall.kernel.errors import UserError
from beamhall.kernel.objects import Object

MAX_BYTES = 1 << 20
WORKSPACE = "/workspace"
"""The working directory of the script, which it may write to."""

_VOLUME = "code"
_SCRATCH = "workspace"
_NAMED = 5


class TooLargeToPackage(UserError):
    """What a job would need is more than a ConfigMap holds; the message says what is large, and what to do."""


def config_map(name: str, files: Mapping[str, bytes]) -> Object:
    """Make the ConfigMap of some files.

    Args:
        name: Its name.
        files: Contents by path, relative to the working directory, with ``/`` between its parts.

    Raises:
        TooLargeToPackage: They are more than a ConfigMap holds.
    """
    size = sum(len(key) + len(content) for key, content in zip(_keys(files), files.values(), strict=True))
    if size > MAX_BYTES:
        raise TooLargeToPackage(_too_large(size, files))
    text, binary = {}, {}
    for key, content in zip(_keys(files), files.values(), strict=True):
        try:
            text[key] = content.decode()
        except UnicodeDecodeError:
            binary[key] = base64.b64encode(content).decode()
    parts = {field: value for field, value in (("data", text), ("binaryData", binary)) if value}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, **parts}


def mount_files(pod_spec: Object, name: str, files: Sequence[str]) -> None:
    """Let every container of a Pod see the files in its working directory, which is its own.

    Args:
        pod_spec: Changed in place.
        name: The ConfigMap.
        files: The paths, as in ``config_map``.
    """
    items = [{"key": key, "path": path} for key, path in zip(_keys(files), files, strict=True)]
    pod_spec.setdefault("volumes", []).extend(
        [{"name": _SCRATCH, "emptyDir": {}}, {"name": _VOLUME, "configMap": {"name": name, "items": items}}]
    )
    tops = dict.fromkeys(path.partition("/")[0] for path in files)
    mounts = [{"name": _SCRATCH, "mountPath": WORKSPACE}]
    mounts += [{"name": _VOLUME, "mountPath": f"{WORKSPACE}/{top}", "subPath": top} for top in tops]
    for container in pod_spec["containers"]:
        container["workingDir"] = WORKSPACE
        container.setdefault("volumeMounts", []).extend(mounts)


def _keys(paths: Mapping[str, bytes] | Sequence[str]) -> list[str]:
    """Make a key for each path, which says for people which file it is."""
    return [f"{number}-{re.sub(r'[^-._a-zA-Z0-9]', '_', path)[-200:]}" for number, path in enumerate(paths)]


def _too_large(size: int, files: Mapping[str, bytes]) -> str:
    largest = sorted(files.items(), key=lambda item: -len(item[1]))[:_NAMED]
    named = ", ".join(f"{path} ({_size_text(len(content))})" for path, content in largest)
    return (
        f"the script and what is included with it are {_size_text(size)}, and a job's files may be "
        f"{_size_text(MAX_BYTES)} in all; the largest: {named}. Include code only: put data where the job can read it "
        "(a volume, S3, a shared directory), or make an image of the code: "
        "`beamhall images add NAME --environment ENVIRONMENT --path DIRECTORY`, then --image NAME"
    )


def _size_text(size: int) -> str:
    return f"{size / MAX_BYTES:.1f} MiB" if size >= MAX_BYTES // 10 else f"{size / 1024:.1f} KiB"
