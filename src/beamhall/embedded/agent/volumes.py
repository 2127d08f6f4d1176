"""Volumes: which directories and files of this machine stand for a Pod's volumes, and what a container sees of them.

``make_volume`` and ``mounts_of`` touch the disk and are called off the loop. Every name that comes from a Pod is
checked before it becomes part of a path, and a ``subPath`` may not leave its volume, by ``..`` or by a link. This
module must not know how mounts are made (``sandbox``) or what the API is. Next: ``projections``, ``podvolumes``.

Source: Kubernetes "Volumes".
"""

import contextlib
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from beamhall.embedded.agent.directory import PodDirectory, safe_name
from beamhall.embedded.agent.environment import ConfigError, expand
from beamhall.embedded.agent.facts import spec_of
from beamhall.embedded.agent.ownership import give_to_group
from beamhall.embedded.agent.projections import (
    Contents,
    File,
    Volume,
    VolumeError,
    claim_of,
    files_of,
    holds_token,
    is_made_from_objects,
    volumes_of,
)
from beamhall.embedded.agent.publishing import publish
from beamhall.embedded.agent.sandbox import Mount
from beamhall.embedded.agent.sandbox.child import inside
from beamhall.kernel.kinds import PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM
from beamhall.kernel.objects import ReadOnlyObject, name_of, namespace_of, uid_of

_MEMORY = Path("/dev/shm")  # noqa: S108  a tmpfs that every Linux has; directories in it are ours alone (0700)
_OWNER = ".pod"


@dataclass(frozen=True, slots=True)
class Roots:
    """Where volumes may be.

    Attributes:
        claims: ``DIR/volumes``, with a directory for each PersistentVolume of ours.
        allow_host_path: Whether ``hostPath`` is served.
    """

    claims: Path
    allow_host_path: bool


def make_volume(pod: ReadOnlyObject, volume: Volume, own: PodDirectory, roots: Roots, contents: Contents) -> None:
    """Make one volume stand, and one that stands already up to date.

    Raises:
        VolumeError: Something it is made from is missing, or its kind is not served.
    """
    try:
        path = _place(pod, volume, own, roots)
        if path.parent == memory_root(own.uid):
            _make_memory(own)
        if "emptyDir" in volume:
            path.mkdir(parents=True, exist_ok=True)
            path.chmod(0o777)  # whoever the containers are; what it lies in, in memory too, is closed to others
        elif claim := claim_of(pod, volume):
            _link(path, claim_directory(pod, claim, roots, contents))
        elif "hostPath" in volume:
            _check_host_path(volume["hostPath"], path)
            return
        else:
            publish(path, _files(pod, volume, contents))
        if contents.group is not None:
            policy = (spec_of(pod).get("securityContext") or {}).get("fsGroupChangePolicy")
            is_writable, unless_root_is = not is_made_from_objects(volume), policy == "OnRootMismatch"
            give_to_group(path, contents.group, is_writable=is_writable, unless_root_is=unless_root_is)
    except (VolumeError, ValueError) as error:
        raise VolumeError(f'volume "{volume.get("name")}": {error}') from error
    except OSError as error:
        raise VolumeError(f'volume "{volume.get("name")}": {error.strerror or error} ({error.filename})') from error


def _files(pod: ReadOnlyObject, volume: Volume, contents: Contents) -> Sequence[File]:
    files = files_of(pod, volume, contents)
    return files if contents.group is None else [replace(file, mode=file.mode | 0o440) for file in files]


def volume_path(pod: ReadOnlyObject, volume: Volume, own: PodDirectory, roots: Roots) -> Path:
    """Give the file or directory that stands for a volume that was made.

    Raises:
        VolumeError: Its kind is not served, or not allowed.
        ValueError: A name could leave its directory.
        OSError: It stands for a claim and was not made.
    """
    place = _place(pod, volume, own, roots)
    return place.readlink() if claim_of(pod, volume) else place


def _place(pod: ReadOnlyObject, volume: Volume, own: PodDirectory, roots: Roots) -> Path:
    """Give where a volume is made; of a claim, the link that remembers its directory."""
    name = safe_name(str(volume.get("name") or ""))
    if "emptyDir" in volume:
        in_memory = (volume["emptyDir"] or {}).get("medium") == "Memory"
        return memory_root(own.uid) / name if in_memory and _MEMORY.is_dir() else own.volumes / name
    if claim_of(pod, volume):
        return own.volumes / name
    if host := volume.get("hostPath"):
        if not roots.allow_host_path:
            raise VolumeError("hostPath is not allowed on this node; use a persistentVolumeClaim")
        return Path(str(host.get("path") or "/"))
    if is_made_from_objects(volume):
        # As upstream, tokens do not touch the disk. Nearly every Pod has one, and memory is much quicker.
        return memory_root(own.uid) / name if holds_token(volume) and _MEMORY.is_dir() else own.volumes / name
    kind = next((key for key in volume if key != "name"), "a volume without a source")
    served = "emptyDir, persistentVolumeClaim, configMap, secret, downwardAPI, projected"
    raise VolumeError(f"{kind} is not supported on this node; use one of: {served}")


def memory_root(uid: str) -> Path:
    """Give the directory of a Pod's volumes that are in memory."""
    return _MEMORY / f"beamhall-{safe_name(uid)}"


def _make_memory(own: PodDirectory) -> None:
    """Make the directory of a Pod's volumes that are in memory, and let it say whose they are."""
    root = memory_root(own.uid)
    with contextlib.suppress(FileExistsError):
        root.mkdir(mode=0o700)
        (root / _OWNER).symlink_to(f"{_view()}:{own.path}")


def remove_memory(uid: str) -> None:
    """Remove a Pod's volumes that are in memory."""
    shutil.rmtree(memory_root(uid), ignore_errors=True)


def sweep_memory() -> None:
    """Remove the volumes in memory of Pods whose directory is gone, with all the data directory perhaps. Blocks."""
    for root in _MEMORY.glob("beamhall-*"):
        with contextlib.suppress(OSError):  # another user's, or of a version that did not say whose it is
            view, _, owner = str((root / _OWNER).readlink()).partition(":/")
            if view == _view() and not Path("/", owner).exists():
                shutil.rmtree(root, ignore_errors=True)


def _view() -> str:
    """Name the mount namespace: in another one, which may share the memory, a path says nothing of this one's files."""
    return str(Path("/proc/self/ns/mnt").readlink())


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
            root = volume_path(pod, volume, own, roots)
            source, within = _sub_path(root, mount, variables)
        except (VolumeError, ValueError, OSError) as error:
            raise ConfigError(str(error)) from error
        read_only = bool(mount.get("readOnly")) or _is_read_only(volume)
        mounts.append(Mount(source=source, target=target.rstrip("/"), read_only=read_only, within=within))
    return mounts


def _is_read_only(volume: Volume) -> bool:
    return is_made_from_objects(volume) or bool((volume.get("persistentVolumeClaim") or {}).get("readOnly"))


def claim_directory(pod: ReadOnlyObject, claim: str, roots: Roots, contents: Contents) -> Path:
    """Give the directory that stands for a claim, as the volume says that is bound to it.

    Raises:
        VolumeError: The claim or its volume is missing, not bound yet, or of a kind that this node does not serve.
    """
    found = contents.objects.get((PERSISTENT_VOLUME_CLAIM, claim))
    if found is None:
        where = namespace_of(pod)
        raise VolumeError(f'persistentvolumeclaim "{claim}" not found in namespace "{where}"; create it and it is used')
    name = str((found.get("spec") or {}).get("volumeName") or "")
    volume = contents.objects.get((PERSISTENT_VOLUME, name)) if name else None
    if volume is None or ((volume.get("spec") or {}).get("claimRef") or {}).get("uid") != uid_of(found):
        raise VolumeError(f'persistentvolumeclaim "{claim}" is not bound to a volume yet')
    directory = directory_of(volume, roots)
    if directory.is_relative_to(roots.claims):
        directory.mkdir(parents=True, exist_ok=True)
    elif not directory.is_dir():
        raise VolumeError(f'{directory}, where persistentvolume "{name}" lies, is no directory of this machine')
    return directory


def directory_of(volume: ReadOnlyObject, roots: Roots) -> Path:
    """Give where a PersistentVolume lies: one of ours below ``DIR/volumes``, others where ``hostPath`` says.

    Raises:
        VolumeError: It is of a kind that this node does not serve, or lies where volumes may not.
    """
    spec: Mapping[str, Any] = volume.get("spec") or {}
    path = str((spec.get("hostPath") or spec.get("local") or {}).get("path") or "")
    if not path:
        raise VolumeError(f'persistentvolume "{name_of(volume)}" is no directory (hostPath or local) of this machine')
    directory = Path(os.path.normpath(roots.claims.parent / path))
    if not path.startswith("/"):
        if not directory.is_relative_to(roots.claims):
            raise VolumeError(f'persistentvolume "{name_of(volume)}" lies outside of this service\'s volumes')
    elif not roots.allow_host_path:
        raise VolumeError(f'persistentvolume "{name_of(volume)}" is a hostPath, which is not allowed on this node')
    return directory


def _link(link: Path, directory: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    draft = link.with_name(f".{link.name}.new")
    draft.unlink(missing_ok=True)
    draft.symlink_to(directory)
    draft.replace(link)


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


def _sub_path(volume: Path, mount: Mapping[str, Any], variables: Mapping[str, str]) -> tuple[Path, Path | None]:
    """Give the part of a volume that a mount shows, and for a real part the volume that it may not leave."""
    inner = str(mount.get("subPath") or "")
    if mount.get("subPathExpr"):
        inner = expand(str(mount["subPathExpr"]), variables)
        if "$(" in inner:
            raise ValueError(f'subPathExpr "{mount["subPathExpr"]}" uses a variable that is not set')
    if not inner:
        return volume, None
    if inner.startswith("/") or ".." in inner.split("/") or "\0" in inner:
        raise ValueError(f'subPath "{inner}" must be relative and without ".."')
    root = volume.resolve()
    path = (root / inner).resolve()
    if not path.is_relative_to(root):
        raise ValueError(f'subPath "{inner}" leaves its volume')
    # Links are followed by now. Those that somebody puts there from here on are not, here nor when it is mounted.
    os.close(inside.open_within(str(root), str(path), make=True))
    return path, root
