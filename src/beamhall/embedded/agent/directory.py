"""A Pod's directory: everything that outlives the service, so that its processes can be adopted again.

    DIR/pods/<uid>/pod.json              the object, when it was taken on, its address
                   ending.json           an end that was decided on and is not undone
                   devices.json          GPUs by container
                   .volumes/<name>/      volumes that live as long as the Pod
                   .home/                HOME
                   .tmp-<container>/     TMPDIR
                   .message-<container>-<n>  what run number n says at its end
                   .unwell-<container>-<n>   run number n was ended because a probe or a hook of it failed
                   .work-<container>/    where a container works that states no directory
                   <container>/<n>/      run number n, owned by ``sandbox``
                   <container>/history.json   how many runs in a row ended quickly

Container names are DNS labels, so names with a dot are ours. Files are written whole and renamed; they are not forced
to the disk, since a power cut ends the processes too. This module knows no process and no API.
"""

import contextlib
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from beamhall.embedded.agent.facts import Ending
from beamhall.kernel.clock import format_micro_time, parse_time
from beamhall.kernel.objects import ReadOnlyObject

_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,251}[A-Za-z0-9])?")


def safe_name(name: str) -> str:
    """Give a name back if it can stand as one step of a path.

    Raises:
        ValueError: It could leave its directory, or is no name at all.
    """
    if not _NAME.fullmatch(name) or ".." in name:
        raise ValueError(f"{name!r} cannot be used as a name of a directory; use letters, digits, - and .")
    return name


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is kept of a Pod's object."""

    pod: ReadOnlyObject
    started_at: datetime
    address: str


class PodDirectory:
    """The files of one Pod.

    Args:
        pods: ``DIR/pods``.
        uid: The Pod's uid.
    """

    def __init__(self, pods: Path, uid: str) -> None:
        self.uid = safe_name(uid)
        self.path = pods / self.uid

    @property
    def volumes(self) -> Path:
        """Where volumes that live as long as the Pod are."""
        return self.path / ".volumes"

    @property
    def home(self) -> Path:
        """What HOME is."""
        return self.path / ".home"

    def tmp(self, container: str) -> Path:
        """Give (and make) the directory of a container's temporary files."""
        return self._private("tmp", container)

    def scratch(self, container: str) -> Path:
        """Give (and make) the directory that a container works in if it states none."""
        return self._private("work", container)

    def of_container(self, name: str) -> Sequence[Path]:
        """Give where a container's logs and its own scratch are."""
        return [self.path / safe_name(name), *(self.path / f".{kind}-{safe_name(name)}" for kind in ("tmp", "work"))]

    def _private(self, kind: str, container: str) -> Path:
        path = self.path / f".{kind}-{safe_name(container)}"
        path.mkdir(exist_ok=True)
        return path

    def create(self, snapshot: Snapshot) -> None:
        """Make the directory and keep the object; must be done before anything is started for the Pod."""
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.home.mkdir(exist_ok=True)
        record = {
            "pod": snapshot.pod,
            "startedAt": format_micro_time(snapshot.started_at),
            "address": snapshot.address,
        }
        _write(self.path / "pod.json", record)

    def snapshot(self) -> Snapshot | None:
        """Give what ``create`` kept; None if there is nothing, or a write was cut short."""
        record = _read(self.path / "pod.json")
        if not record:
            return None
        return Snapshot(record["pod"], parse_time(record["startedAt"]), str(record["address"]))

    def keep_ending(self, ending: Ending) -> None:
        """Keep an end that is not undone."""
        record = {"killAt": format_micro_time(ending.kill_at), "reason": ending.reason, "message": ending.message}
        _write(self.path / "ending.json", record)

    def ending(self) -> Ending | None:
        """Give the end that was kept, if any."""
        record = _read(self.path / "ending.json")
        return Ending(parse_time(record["killAt"]), record["reason"], record["message"]) if record else None

    def keep_devices(self, devices: Mapping[str, Sequence[str]]) -> None:
        """Keep which GPUs each container was given."""
        _write(self.path / "devices.json", devices)

    def devices(self) -> Mapping[str, Sequence[str]]:
        """Give the GPUs that were given out, by container."""
        return _read(self.path / "devices.json")

    def container(self, name: str) -> Path:
        """Give (and make) the directory that a container's runs are in."""
        path = self.path / safe_name(name)
        path.mkdir(exist_ok=True)
        return path

    def attempt(self, container: str, number: int) -> Path:
        """Give the directory of a run. Only ``sandbox`` makes it."""
        return self.container(container) / str(number)

    def attempts(self, container: str) -> Sequence[int]:
        """Give the numbers of the runs that are on disk, ascending."""
        path = self.path / safe_name(container)
        return sorted(int(entry.name) for entry in path.iterdir() if entry.name.isdigit()) if path.is_dir() else []

    def keep_history(self, container: str, quick_ends: int) -> None:
        """Keep how many runs in a row, up to the last, ended quickly."""
        _write(self.container(container) / "history.json", {"quickEnds": quick_ends})

    def quick_ends(self, container: str) -> int:
        """Give what ``keep_history`` kept."""
        return int(_read(self.path / safe_name(container) / "history.json").get("quickEnds") or 0)

    def message(self, container: str, number: int) -> Path:
        """Give the file in which a run may leave a message about its end."""
        return self.path / f".message-{safe_name(container)}-{number}"

    def mark_unwell(self, container: str, number: int) -> None:
        """Keep that a run is ended because a probe or a hook of it failed."""
        self._unwell(container, number).touch()

    def was_unwell(self, container: str, number: int) -> bool:
        """Tell whether ``mark_unwell`` was called for a run."""
        return self._unwell(container, number).exists()

    def _unwell(self, container: str, number: int) -> Path:
        return self.path / f".unwell-{safe_name(container)}-{number}"

    def drop_attempt(self, container: str, number: int) -> None:
        """Remove an old run with its log and its message."""
        self.message(container, number).unlink(missing_ok=True)
        self._unwell(container, number).unlink(missing_ok=True)
        shutil.rmtree(self.path / safe_name(container) / str(number), ignore_errors=True)

    def remove(self) -> None:
        """Remove everything. May take long; volumes may hold files without write permission."""
        shutil.rmtree(self.path, ignore_errors=True)
        if not self.path.exists():
            return
        for folder in self.path.rglob("*"):
            if folder.is_dir() and not folder.is_symlink():
                with contextlib.suppress(OSError):
                    folder.chmod(0o700)
        shutil.rmtree(self.path, ignore_errors=True)


def pod_directories(pods: Path) -> Iterator[PodDirectory]:
    """Give the directories of all Pods that were ever taken on and not cleaned up."""
    if pods.is_dir():
        for path in sorted(pods.iterdir()):
            if path.is_dir():
                yield PodDirectory(pods, path.name)


def _write(path: Path, record: ReadOnlyObject | Mapping[str, Any]) -> None:
    draft = path.with_name(path.name + ".new")
    draft.write_bytes(msgspec.json.encode(record))
    draft.replace(path)


def _read(path: Path) -> dict[str, Any]:
    try:
        record = msgspec.json.decode(path.read_bytes())
    except (FileNotFoundError, msgspec.DecodeError):
        return {}
    return record if isinstance(record, dict) else {}
