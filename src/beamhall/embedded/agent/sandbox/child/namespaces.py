"""A container's own view of the file system and of the host's name.

The host is never changed: where a mount point does not exist, its deepest existing parent is covered, in the
container's view only, by a small tmpfs that shows each of the parent's entries by a bind mount, and the mount point is
made there.
Works for root, and for others in a user namespace that maps them to themselves. Knows nothing of the shim.
Source: mount_namespaces(7), user_namespaces(7), pivot_root(2).
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import Mapping, Sequence
from typing import Any

from beamhall.embedded.agent.sandbox.child import inside, linux

_ENTRIES_LIMIT = 4096
_KEPT_FLAGS = (
    (os.ST_RDONLY, linux.MS_RDONLY),
    (os.ST_NOSUID, linux.MS_NOSUID),
    (os.ST_NODEV, linux.MS_NODEV),
    (os.ST_NOEXEC, linux.MS_NOEXEC),
    (os.ST_NOATIME, linux.MS_NOATIME),
    (os.ST_NODIRATIME, linux.MS_NODIRATIME),
    (os.ST_RELATIME, linux.MS_RELATIME),
)


class MountError(Exception):
    """A mount that cannot be made; the message names it."""


def enter(spec: Mapping[str, Any]) -> None:
    """Give this process the namespaces that its specification needs, and no others.

    Args:
        spec: ``namespaces`` (``root``, ``user`` or empty: none can be had), ``mounts``, ``hostname``, ``directory``.

    Raises:
        MountError: A mount cannot be made.
        OSError: The namespaces are refused.
    """
    how, mounts, hostname = spec["namespaces"], spec["mounts"], spec["hostname"]
    if not how:
        if mounts:
            raise MountError(
                f"cannot mount on {mounts[0]['target']}: this machine permits no mount namespaces (see beamhall doctor)"
            )
        return
    is_sealed = bool((spec.get("confinement") or {}).get("read_only_root"))
    flags = (linux.CLONE_NEWNS if mounts or is_sealed else 0) | (linux.CLONE_NEWUTS if hostname else 0)
    if not flags:
        return
    unshare(flags, with_user=how == "user")
    if hostname:
        linux.sethostname(hostname)
    if flags & linux.CLONE_NEWNS:
        linux.mount("", "/", "", linux.MS_REC | linux.MS_SLAVE)
        View(str(spec["directory"])).apply(mounts)
    if is_sealed:
        _seal([os.path.realpath(mount["target"]) for mount in mounts if not mount["read_only"]])


def _seal(kept: Sequence[str]) -> None:
    """Make all that is mounted read-only, but for some places, devices and what the kernel shows. Raises MountError."""
    spared = (*kept, "/proc", "/sys", "/dev")
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        points = [re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), line.split()[4]) for line in file]
    for point in points:
        if any(point == place or point.startswith(place + "/") for place in spared):
            continue
        try:
            have = os.statvfs(point).f_flag
            if not have & os.ST_RDONLY:
                linux.mount("", point, "", linux.MS_REMOUNT | linux.MS_BIND | linux.MS_RDONLY | _kept_flags(have))
        except (FileNotFoundError, PermissionError):  # nobody in here reaches it either
            continue
        except OSError as error:
            if error.errno != errno.EINVAL:  # it is hidden by another mount
                raise MountError(f"cannot make {point} read-only: {error.strerror}") from error


def _kept_flags(have: int) -> int:
    return sum(flag for seen, flag in _KEPT_FLAGS if have & seen)


def join(pid: int) -> None:
    """Enter the namespaces of another process, those that this one is not in yet.

    Raises:
        OSError: The process is gone, or they are refused.
    """
    for name in ("user", "mnt", "uts"):  # user first: it gives the right to enter the others
        fd = os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            if not os.path.samestat(os.fstat(fd), os.stat(f"/proc/self/ns/{name}")):
                linux.setns(fd)
        finally:
            os.close(fd)


def unshare(flags: int, *, with_user: bool) -> None:
    """Leave the namespaces that ``flags`` name; with ``with_user`` by way of a user namespace with the same ids."""
    uid, gid = os.geteuid(), os.getegid()
    linux.unshare(flags | (linux.CLONE_NEWUSER if with_user else 0))
    if with_user:
        linux.prctl(linux.PR_SET_DUMPABLE, 1)
        for name, text in (("uid_map", f"{uid} {uid} 1"), ("setgroups", "deny"), ("gid_map", f"{gid} {gid} 1")):
            with open(f"/proc/self/{name}", "w", encoding="utf-8") as file:
                file.write(text)


def _open(mount: Mapping[str, Any]) -> int:
    if mount.get("within"):
        return inside.open_within(mount["within"], mount["source"])
    return os.open(mount["source"], os.O_PATH | os.O_CLOEXEC)


class View:
    """The file system as the container sees it, while it is being made."""

    def __init__(self, staging: str) -> None:
        self._staging = staging
        self._volumes: list[str] = []
        self._made: set[str] = set()

    def apply(self, mounts: Sequence[Mapping[str, Any]]) -> None:
        """Make all mounts, parents before what is below them. Raises MountError."""
        ordered = sorted(mounts, key=lambda m: str(m["target"]).rstrip("/").count("/"))
        if any(self._needs_root(str(m["target"]), ordered) for m in ordered):
            self._try("/", self._rebuild_root)
        sources: list[int | None] = []
        for mount in ordered:
            try:
                sources.append(_open(mount) if mount["kind"] == "bind" else None)
            except OSError as error:
                raise MountError(
                    f"cannot mount {mount['source']} on {mount['target']}: {mount['source']}: {error.strerror}"
                ) from error
        for mount, source in zip(ordered, sources):  # noqa: B905  (no strict= in Python 3.9)
            self._try(str(mount["target"]), self._place, mount, source)
            if source is not None:
                os.close(source)

    @staticmethod
    def _try(target: str, action: Any, *arguments: Any) -> None:
        try:
            action(*arguments)
        except OSError as error:
            raise MountError(f"cannot mount on {target}: {error.strerror}") from error

    @staticmethod
    def _needs_root(target: str, mounts: Sequence[Mapping[str, Any]]) -> bool:
        parts = os.path.realpath(target).split("/")
        if os.path.lexists("/" + parts[1]):
            return False
        tops = {os.path.normpath(str(m["target"])) for m in mounts} - {os.path.normpath(target)}
        return not any("/".join(parts[:n]) in tops for n in range(2, len(parts)))

    def _place(self, mount: Mapping[str, Any], source: int | None) -> None:
        target = os.path.realpath(mount["target"])
        is_directory = source is None or stat.S_ISDIR(os.stat(source).st_mode)
        self._ensure(target, is_directory=is_directory)
        if source is None:
            linux.mount("tmpfs", target, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "mode=1777")
        else:
            linux.mount(f"/proc/self/fd/{source}", target, "", linux.MS_BIND | linux.MS_REC)
        self._volumes.append(target)
        if mount["read_only"]:
            keep = _kept_flags(os.statvfs(target).f_flag)
            linux.mount("", target, "", linux.MS_REMOUNT | linux.MS_BIND | linux.MS_RDONLY | keep)

    def _ensure(self, target: str, *, is_directory: bool) -> None:
        if os.path.lexists(target):
            return
        parent = os.path.dirname(target)
        while not os.path.isdir(parent):
            parent = os.path.dirname(parent)
        if not self._is_ours(parent) or not os.access(parent, os.W_OK):
            self._cover(parent)
        path = parent
        for part in os.path.relpath(target, parent).split("/"):
            path = os.path.join(path, part)
            if path == target and not is_directory:
                os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))
            else:
                os.mkdir(path, 0o755)
            self._made.add(path)

    def _is_ours(self, path: str) -> bool:
        if path in self._made:
            return True
        return any(path == v or path.startswith(v + "/") for v in self._volumes)

    def _cover(self, directory: str) -> None:
        below = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._tmpfs(directory, os.stat(below))
            self._show(f"/proc/self/fd/{below}", directory)
        finally:
            os.close(below)
        self._made.add(directory)

    @staticmethod
    def _tmpfs(directory: str, like: os.stat_result) -> None:
        mode = stat.S_IMODE(like.st_mode)
        linux.mount("tmpfs", directory, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, f"mode={mode:o},size=16m")
        with contextlib.suppress(OSError):  # an owner that is not mapped in the user namespace
            os.chown(directory, like.st_uid, like.st_gid)

    @staticmethod
    def _show(source: str, directory: str) -> None:
        names = os.listdir(source)
        if len(names) > _ENTRIES_LIMIT:
            raise OSError(
                0, f"{directory} has too many entries ({len(names)}) to make a mount point in it; make it yourself"
            )
        for name in names:
            old, new = os.path.join(source, name), os.path.join(directory, name)
            mode = os.lstat(old).st_mode
            if stat.S_ISLNK(mode):
                os.symlink(os.readlink(old), new)
                continue
            if stat.S_ISDIR(mode):
                os.mkdir(new)
            else:
                os.close(os.open(new, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
            linux.mount(old, new, "", linux.MS_BIND | linux.MS_REC)

    def _rebuild_root(self) -> None:
        self._tmpfs(self._staging, os.stat("/"))
        # Else the recursive bind of the directory that the staging is in would show what was staged so far, again.
        linux.mount("", self._staging, "", linux.MS_UNBINDABLE)
        self._show("/", self._staging)
        os.chdir(self._staging)
        linux.pivot_root(".", ".")
        linux.unmount(".", linux.MNT_DETACH)
        os.chdir("/")
        self._made.add("/")
