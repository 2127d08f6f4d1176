"""Volumes: which directories and files of this machine stand for a Pod's volumes, and what a container sees of them.

``contents_needed`` and ``files_of`` are pure; ``make_volume`` and ``mounts_of`` touch the disk and are called off the
loop. Every name that comes from a Pod is checked before it becomes part of a path, and a ``subPath`` may not leave its
volume, by ``..`` or by a link. This module must not know how mounts are made (``sandbox``) or what the API is.

Source: Kubernetes "Volumes", "Projected Volumes".
"""

import base64
import binascii
import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from beamhall.embedded.agent.directory import PodDirectory, safe_name
from beamhall.embedded.agent.environment import ConfigError, expand, field_value, resource_value
from beamhall.embedded.agent.facts import containers, spec_of
from beamhall.embedded.agent.sandbox import Mount
from beamhall.kernel.kinds import CONFIG_MAP, PERSISTENT_VOLUME_CLAIM, SECRET, Kind
from beamhall.kernel.objects import Object, ReadOnlyObject, namespace_of

Volume = Mapping[str, Any]
_MEMORY = Path("/dev/shm")  # noqa: S108  a tmpfs that every Linux has; directories in it are ours alone (0700)


class VolumeError(Exception):
    """A volume cannot be made as things are; the message says which and why."""


@dataclass(frozen=True, slots=True)
class File:
    """One file of a volume that is made from objects."""

    path: str
    content: bytes
    mode: int


@dataclass(frozen=True, slots=True)
class Contents:
    """What volumes are made from.

    Attributes:
        objects: ConfigMaps, Secrets and claims by kind and name; None: there is none of that name.
        fields: Fields of the Pod that only the agent knows.
        allocatable: The node's resources.
    """

    objects: Mapping[tuple[Kind, str], Object | None]
    fields: Mapping[str, str] = field(default_factory=dict)
    allocatable: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Roots:
    """Where volumes may be.

    Attributes:
        claims: ``DIR/volumes``, with a directory per namespace and claim.
        allow_host_path: Whether ``hostPath`` is served.
    """

    claims: Path
    allow_host_path: bool


def volumes_of(pod: ReadOnlyObject) -> Sequence[Volume]:
    """Give the Pod's volumes."""
    return spec_of(pod).get("volumes") or ()


def contents_needed(pod: ReadOnlyObject) -> frozenset[tuple[Kind, str]]:
    """Give which objects must be read to make the Pod's volumes."""
    needed: set[tuple[Kind, str]] = set()
    for volume in volumes_of(pod):
        if claim := volume.get("persistentVolumeClaim"):
            needed.add((PERSISTENT_VOLUME_CLAIM, str(claim.get("claimName") or "")))
        for source in _sources(volume):
            if config := source.get("configMap"):
                needed.add((CONFIG_MAP, str(config.get("name") or "")))
            if secret := source.get("secret"):
                needed.add((SECRET, str(secret.get("secretName") or secret.get("name") or "")))
    return frozenset(needed)


def make_volume(pod: ReadOnlyObject, volume: Volume, own: PodDirectory, roots: Roots, contents: Contents) -> None:
    """Make one volume stand; does nothing where it stands already.

    Raises:
        VolumeError: Something it is made from is missing, or its kind is not served.
    """
    try:
        path = volume_path(pod, volume, own, roots)
        if "emptyDir" in volume:
            path.mkdir(parents=True, exist_ok=True)
            path.chmod(0o777 if path.parent == own.volumes else 0o700)
        elif "persistentVolumeClaim" in volume:
            _require_claim(pod, volume, contents)
            path.mkdir(parents=True, exist_ok=True)
        elif "hostPath" in volume:
            _check_host_path(volume["hostPath"], path)
        elif not path.exists():
            _write_files(path, files_of(pod, volume, contents))
    except (VolumeError, ValueError) as error:
        raise VolumeError(f'volume "{volume.get("name")}": {error}') from error
    except OSError as error:
        raise VolumeError(f'volume "{volume.get("name")}": {error.strerror or error} ({error.filename})') from error


def volume_path(pod: ReadOnlyObject, volume: Volume, own: PodDirectory, roots: Roots) -> Path:
    """Give the file or directory that stands for a volume.

    Raises:
        VolumeError: Its kind is not served, or not allowed.
        ValueError: A name could leave its directory.
    """
    name = safe_name(str(volume.get("name") or ""))
    if "emptyDir" in volume:
        in_memory = (volume["emptyDir"] or {}).get("medium") == "Memory"
        return memory_root(own.uid) / name if in_memory and _MEMORY.is_dir() else own.volumes / name
    if claim := volume.get("persistentVolumeClaim"):
        return roots.claims / safe_name(namespace_of(pod)) / safe_name(str(claim.get("claimName") or ""))
    if host := volume.get("hostPath"):
        if not roots.allow_host_path:
            raise VolumeError("hostPath is not allowed on this node; use a persistentVolumeClaim")
        return Path(str(host.get("path") or "/"))
    if _is_made_from_objects(volume):
        return own.volumes / name
    kind = next((key for key in volume if key != "name"), "a volume without a source")
    served = "emptyDir, persistentVolumeClaim, configMap, secret, downwardAPI, projected"
    raise VolumeError(f"{kind} is not supported on this node; use one of: {served}")


def memory_root(uid: str) -> Path:
    """Give the directory of a Pod's volumes that are in memory."""
    return _MEMORY / f"beamhall-{safe_name(uid)}"


def remove_memory(uid: str) -> None:
    """Remove a Pod's volumes that are in memory."""
    shutil.rmtree(memory_root(uid), ignore_errors=True)


def files_of(pod: ReadOnlyObject, volume: Volume, contents: Contents) -> Sequence[File]:
    """Give the files of a volume that is made from objects.

    Raises:
        VolumeError: Something that is not optional is missing.
    """
    kinds = ("projected", "configMap", "secret", "downwardAPI")
    stated = next((volume[kind].get("defaultMode") for kind in kinds if volume.get(kind) is not None), None)
    usual = 0o600 if volume.get("secret") is not None else 0o644
    default_mode = usual if stated is None else int(stated)
    files: dict[str, File] = {}
    for source in _sources(volume):
        for file in _files_of_source(pod, source, contents, default_mode):
            files[file.path] = file
    return list(files.values())


def mounts_of(
    pod: ReadOnlyObject, container: Mapping[str, Any], own: PodDirectory, roots: Roots, variables: Mapping[str, str]
) -> Sequence[Mount]:
    """Give what a container sees where, making ``subPath`` directories that are absent.

    Raises:
        ConfigError: A volume is not declared, or a path may not be used.
    """
    by_name = {str(volume.get("name")): volume for volume in volumes_of(pod)}
    mounts = []
    for mount in container.get("volumeMounts") or ():
        volume = by_name.get(str(mount.get("name")))
        if volume is None:
            raise ConfigError(f'volumeMount "{mount.get("name")}" names no volume of the Pod')
        target = str(mount.get("mountPath") or "")
        if not target.startswith("/") or ".." in target.split("/") or os.path.normpath(target) == "/":
            raise ConfigError(f'mountPath "{target}" must be an absolute path without ".." below /')
        try:
            source = volume_path(pod, volume, own, roots)
            source = _sub_path(source, mount, variables)
        except (VolumeError, ValueError, OSError) as error:
            raise ConfigError(str(error)) from error
        read_only = bool(mount.get("readOnly")) or _is_read_only(volume)
        mounts.append(Mount(source=source, target=target.rstrip("/"), read_only=read_only))
    return mounts


def decode_secret(secret: ReadOnlyObject) -> dict[str, bytes]:
    """Give a Secret's values as bytes; one that is no base64 counts as empty."""
    decoded: dict[str, bytes] = {}
    for key, value in (secret.get("data") or {}).items():
        with contextlib.suppress(binascii.Error, ValueError):
            decoded[key] = base64.b64decode(value)
    return decoded


def _sources(volume: Volume) -> Sequence[Mapping[str, Any]]:
    """Give the sources of a volume that is made from objects, each as a projected volume would state it."""
    if (projected := volume.get("projected")) is not None:
        return projected.get("sources") or ()
    return [{kind: volume[kind]} for kind in ("configMap", "secret", "downwardAPI") if volume.get(kind) is not None]


def _is_made_from_objects(volume: Volume) -> bool:
    return any(volume.get(kind) is not None for kind in ("configMap", "secret", "downwardAPI", "projected"))


def _is_read_only(volume: Volume) -> bool:
    return _is_made_from_objects(volume) or bool((volume.get("persistentVolumeClaim") or {}).get("readOnly"))


def _files_of_source(
    pod: ReadOnlyObject, source: Mapping[str, Any], contents: Contents, default_mode: int
) -> Iterator[File]:
    if (config := source.get("configMap")) is not None:
        yield from _from_object(config, CONFIG_MAP, contents, default_mode)
    elif (secret := source.get("secret")) is not None:
        yield from _from_object(secret, SECRET, contents, default_mode)
    elif (downward := source.get("downwardAPI")) is not None:
        for item in downward.get("items") or ():
            yield File(_inner(item), _downward(pod, item, contents).encode(), _mode(item, default_mode))
    elif "serviceAccountToken" in source or "clusterTrustBundle" in source:
        return  # there is no in-cluster identity here: client libraries must not think that they are inside a cluster
    else:
        raise VolumeError(f"projected source {sorted(source)} is not supported")


def _from_object(reference: Mapping[str, Any], kind: Kind, contents: Contents, default_mode: int) -> Iterator[File]:
    name = str(reference.get("secretName") or reference.get("name") or "")
    found = contents.objects.get((kind, name))
    if found is None:
        if reference.get("optional"):
            return
        raise VolumeError(f'{kind.kind.lower()} "{name}" not found')
    data = _data_of(found)
    items = reference.get("items")
    if not items:
        for key, content in data.items():
            yield File(safe_name(key), content, default_mode)
        return
    for item in items:
        if item["key"] in data:
            yield File(_inner(item), data[item["key"]], _mode(item, default_mode))
        elif not reference.get("optional"):
            raise VolumeError(f'{kind.kind.lower()} "{name}" references non-existent key: {item["key"]}')


def _data_of(obj: ReadOnlyObject) -> dict[str, bytes]:
    if obj.get("kind") == "Secret":
        return decode_secret(obj)
    data = {key: str(value).encode() for key, value in (obj.get("data") or {}).items()}
    for key, value in (obj.get("binaryData") or {}).items():
        data[key] = base64.b64decode(value)
    return data


def _downward(pod: ReadOnlyObject, item: Mapping[str, Any], contents: Contents) -> str:
    try:
        if reference := item.get("fieldRef"):
            return field_value(pod, str(reference.get("fieldPath") or ""), contents.fields)
        reference = item.get("resourceFieldRef") or {}
        named = [c for c in containers(pod) if c["name"] == reference.get("containerName")]
        return resource_value(named[0] if named else {}, reference, contents.allocatable)
    except ConfigError as error:
        raise VolumeError(str(error)) from error


def _inner(item: Mapping[str, Any]) -> str:
    path = str(item.get("path") or "")
    if not path or path.startswith("/") or ".." in path.split("/") or "\0" in path:
        raise VolumeError(f'path "{path}" of a volume item must be relative and without ".."')
    return path


def _mode(item: Mapping[str, Any], default_mode: int) -> int:
    return int(item["mode"]) if item.get("mode") is not None else default_mode


def _write_files(path: Path, files: Sequence[File]) -> None:
    """Write all files beside, then put the directory in place: nobody sees half of a volume."""
    draft = path.with_name(f".{path.name}.new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    for file in files:
        target = draft / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(file.content)
        target.chmod(file.mode & 0o777)
    draft.rename(path)


def _require_claim(pod: ReadOnlyObject, volume: Volume, contents: Contents) -> None:
    claim = str(volume["persistentVolumeClaim"].get("claimName") or "")
    if contents.objects.get((PERSISTENT_VOLUME_CLAIM, claim)) is None:
        where = namespace_of(pod)
        raise VolumeError(f'persistentvolumeclaim "{claim}" not found in namespace "{where}"; create it and it is used')


def _check_host_path(host: Mapping[str, Any], path: Path) -> None:
    kind = str(host.get("type") or "")
    if kind == "DirectoryOrCreate":
        path.mkdir(parents=True, exist_ok=True)
    elif kind == "FileOrCreate":
        path.touch()
    if not path.exists():
        raise VolumeError(f"hostPath {path} does not exist")
    if kind == "Directory" and not path.is_dir():
        raise VolumeError(f"hostPath {path} is not a directory")
    if kind == "File" and not path.is_file():
        raise VolumeError(f"hostPath {path} is not a file")


def _sub_path(volume: Path, mount: Mapping[str, Any], variables: Mapping[str, str]) -> Path:
    """Give the part of a volume that a mount shows; it may not leave the volume."""
    inner = str(mount.get("subPath") or "")
    if mount.get("subPathExpr"):
        inner = expand(str(mount["subPathExpr"]), variables)
        if "$(" in inner:
            raise ValueError(f'subPathExpr "{mount["subPathExpr"]}" uses a variable that is not set')
    if not inner:
        return volume
    if inner.startswith("/") or ".." in inner.split("/") or "\0" in inner:
        raise ValueError(f'subPath "{inner}" must be relative and without ".."')
    root = volume.resolve()
    path = (root / inner).resolve()
    if not path.is_relative_to(root):
        raise ValueError(f'subPath "{inner}" leaves its volume')
    if not path.exists():
        path.mkdir(parents=True, exist_ok=True)
    return path
