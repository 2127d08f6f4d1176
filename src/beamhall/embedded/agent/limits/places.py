"""Where the service may make control groups on this machine: found by looking, and by trying.

On cgroup v2 that is a sub-tree delegated to it (a systemd unit or scope with ``Delegate=yes``, or the user's own
session), or for root the top of the tree. On v1 it is the top of each hierarchy for root, else the group that the
service was started in, where its user may write. Only directories named for this service are ever made.

Source: Linux "Control Group v2" (delegation, no processes in inner groups), systemd "Control Group APIs and
Delegation".
"""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Literal

PROCESSES = "cgroup.procs"
CONTROL = "cgroup.subtree_control"
_WANTED = ("cpu", "memory", "pids")
_V1_WANTED = ("memory", "cpu", "cpuacct", "pids")
_DELEGATE = ("user.delegate", "trusted.delegate")
_ADVICE = (
    "start the service by `systemd-run --user --scope -p Delegate=yes beamhall up`, as root, or in a container that "
    "may write to its /sys/fs/cgroup"
)


class Refused(Exception):
    """No control groups may be made; the message says why, and what would help."""


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """One tree of control groups.

    Attributes:
        root: The directory of this service; it is there only while it is used.
        controllers: What it controls, of ``cpu``, ``memory``, ``pids``, and for v1 ``cpuacct``.
        files: The files that each group has.
    """

    root: Path
    controllers: frozenset[str]
    files: frozenset[str]


@dataclass(frozen=True, slots=True)
class Place:
    """Where control groups are made.

    Attributes:
        version: Of the control groups.
        hierarchies: One for v2, up to four for v1.
    """

    version: Literal[1, 2]
    hierarchies: Sequence[Hierarchy]

    @property
    def controllers(self) -> frozenset[str]:
        """What can be limited."""
        return frozenset[str]().union(*(h.controllers for h in self.hierarchies))


@dataclass(frozen=True, slots=True)
class Mount:
    """A mount of control groups, as ``mountinfo`` tells it: which part of the tree is where, of which kind."""

    root: str
    point: Path
    fstype: str
    options: frozenset[str]

    def path_of(self, group: str) -> Path:
        """Give where a group of ``/proc/PID/cgroup`` is in the file system."""
        inside = Path(group).relative_to(self.root) if Path(group).is_relative_to(self.root) else Path()
        return self.point / inside


def name_of_root(data: Path) -> str:
    """Give the name of a service's directory, which no service on other data has."""
    return f"beamhall-{sha256(os.fsencode(data.absolute())).hexdigest()[:12]}"


def find_place(name: str, *, proc: Path = Path("/proc/self"), is_root: bool | None = None) -> Place:
    """Find where this process may make control groups, and make ready that it can.

    On v2 this process may move into a group of its own beside those of the containers.

    Args:
        name: Name of the service's directories.
        proc: What tells of this process.
        is_root: Whether the process is root's; None: find out.

    Raises:
        Refused: It may not; the message says why.
    """
    mounts, own = mounts_of(proc), own_groups(proc)
    is_root = os.geteuid() == 0 if is_root is None else is_root
    unified = next((m for m in mounts if m.fstype == "cgroup2"), None)
    if unified is not None and {"cpu", "memory"} & _words(unified.point / "cgroup.controllers"):
        return Place(2, [_unified(unified, own.get("", "/"), name, is_root=is_root)])
    found = list(_legacy(mounts, own, name, is_root=is_root))
    if not found:
        raise Refused("no control groups of cpu or memory are mounted here; mount them at /sys/fs/cgroup")
    return Place(1, found)


def _unified(mount: Mount, own: str, name: str, *, is_root: bool) -> Hierarchy:
    directory = mount.path_of(own)
    reasons = []
    for candidate in dict.fromkeys(_candidates(mount.point, directory, is_root=is_root)):
        try:
            return _delegated(candidate, directory, name)
        except Refused as refused:
            reasons.append(str(refused))
    raise Refused(f"{'; '.join(reasons)}; {_ADVICE}")


def _candidates(top: Path, own: Path, *, is_root: bool) -> Iterator[Path]:
    for directory in (own, *own.parents):
        if _is_delegated(directory):
            yield directory
        if directory == top:
            break
    yield top if is_root else own


def _is_delegated(directory: Path) -> bool:
    for attribute in _DELEGATE:
        with contextlib.suppress(OSError):
            if os.getxattr(directory, attribute) == b"1":
                return True
    return False


def _delegated(candidate: Path, own: Path, name: str) -> Hierarchy:
    """Make ready that groups below a directory control what their processes use.

    Raises:
        Refused: This is not permitted.
    """
    offered = _words(candidate / "cgroup.controllers") & set(_WANTED)
    if not {"cpu", "memory"} & offered:
        raise Refused(f"neither cpu nor memory is delegated to {candidate}")
    if not all(os.access(candidate / file, os.W_OK) for file in ("", PROCESSES, CONTROL)):
        raise Refused(f"{candidate} cannot be written by this user")
    is_top = not (candidate / "cgroup.type").exists()
    if not is_top and candidate == own:
        others = _words(candidate / PROCESSES) - {str(os.getpid())}
        if others:
            raise Refused(f"other processes ({', '.join(sorted(others)[:5])}) are in {candidate}")
        _move_aside(candidate, name)
    missing = offered - _words(candidate / CONTROL)
    try:
        if missing:
            (candidate / CONTROL).write_text(enabling(missing))
    except OSError as error:
        raise Refused(f"{candidate / CONTROL}: {error.strerror}") from error
    return _tried(candidate / name, frozenset(offered))


def enabling(controllers: Iterator[str] | set[str] | frozenset[str]) -> str:
    """Write what ``cgroup.subtree_control`` takes."""
    return " ".join(f"+{controller}" for controller in sorted(controllers))


def _move_aside(directory: Path, name: str) -> None:
    """Move this process into a group of its own: a group with groups that are controlled has no processes."""
    try:
        (directory / f"{name}-service").mkdir(exist_ok=True)
        (directory / f"{name}-service" / PROCESSES).write_text(str(os.getpid()))
    except OSError as error:
        raise Refused(f"{error.filename or directory}: {error.strerror}") from error


def _legacy(mounts: Sequence[Mount], own: Mapping[str, str], name: str, *, is_root: bool) -> Iterator[Hierarchy]:
    """Give a place in each v1 hierarchy: for memory or cpu at least, for the others where that can be."""
    refusals: list[str] = []
    found: dict[Path, Hierarchy] = {}
    for controller in _V1_WANTED:
        mount = next((m for m in mounts if m.fstype == "cgroup" and controller in m.options), None)
        if mount is None:
            continue
        root = (mount.point if is_root else mount.path_of(own.get(controller, "/"))) / name
        if root not in found:
            try:
                found[root] = _tried(root, mount.options & set(_V1_WANTED))
            except Refused as refused:
                refusals.append(str(refused))
    if found and not any({"cpu", "memory"} & h.controllers for h in found.values()):
        found = {}
    if not found and refusals:
        raise Refused(f"{'; '.join(refusals)}; run as root, or have these directories given to this user")
    yield from found.values()


def _tried(root: Path, controllers: frozenset[str]) -> Hierarchy:
    """Make the service's directory for a moment, to see that it may and what a group has."""
    try:
        root.mkdir(exist_ok=True)
        files = frozenset(path.name for path in root.iterdir())
    except OSError as error:
        raise Refused(f"{root}: {error.strerror}") from error
    if not os.access(root, os.W_OK):
        raise Refused(f"{root} cannot be written by this user")
    with contextlib.suppress(OSError):
        root.rmdir()
    return Hierarchy(root, controllers, files)


def sweep(place: Place) -> None:
    """Remove what a service that was killed left of its directories: those that no process is in."""
    for hierarchy in place.hierarchies:
        for directory, _, _ in os.walk(hierarchy.root, topdown=False):
            with contextlib.suppress(OSError):
                Path(directory).rmdir()


def mounts_of(proc: Path) -> list[Mount]:
    """Read where control groups are mounted."""
    found = []
    for line in _text(proc / "mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        fields, (fstype, _, options) = before.split(), after.split(" ", 2)
        if fstype in ("cgroup", "cgroup2"):
            found.append(Mount(fields[3], Path(fields[4]), fstype, frozenset(options.split(","))))
    return found


def own_groups(proc: Path) -> dict[str, str]:
    """Read the groups of a process by controller; that of v2 by the empty name."""
    found: dict[str, str] = {}
    for line in _text(proc / "cgroup").splitlines():
        _, controllers, group = line.split(":", 2)
        found |= dict.fromkeys(controllers.split(","), group)
    return found


def _words(path: Path) -> set[str]:
    return set(_text(path).split())


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
