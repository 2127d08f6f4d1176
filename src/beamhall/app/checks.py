"""The checks behind ``beamhall doctor``: each looks at one thing and says what it found, and the mend."""

import platform
import shutil
import socket
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Literal

import uv

from beamhall.app.datadir import running_service
from beamhall.app.settings import Settings
from beamhall.embedded.agent.devices import find_gpus
from beamhall.embedded.agent.limits.places import Refused, find_place, name_of_root
from beamhall.embedded.agent.sandbox import detect_capabilities
from beamhall.embedded.store.compaction import WAL_LIMIT_BYTES
from beamhall.embedded.store.formats import inspect
from beamhall.embedded.store.tables import FORMAT, StoreUnusable

_MIN_FREE_BYTES = 5 * 2**30
_WATCHED = "memory is looked at once a second, and limits of processors are not kept"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Attributes:
        subject: What was looked at.
        level: ``ok``; ``note``: works less well than it could; ``bad``: keeps the service from working.
        said: What was found.
        mend: What to do about it.
    """

    subject: str
    level: Literal["ok", "note", "bad"]
    said: str
    mend: str = ""

    def as_dict(self) -> dict[str, str]:
        """Give it as plain data."""
        return asdict(self)


def run_checks(settings: Settings) -> list[Finding]:
    """Look at everything that the service needs, in the order in which it needs it."""
    return [finding for check in _CHECKS for finding in check(settings)]


def _platform(_: Settings) -> Iterator[Finding]:
    said = f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    if sys.platform != "linux":
        yield Finding("platform", "bad", said, "Pods need Linux; use a Linux machine or a virtual one")
    else:
        yield Finding("platform", "ok", said)


def _data(settings: Settings) -> Iterator[Finding]:
    data = settings.data
    try:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        (data / ".writable").touch()
        (data / ".writable").unlink()
    except OSError as err:
        yield Finding("data directory", "bad", str(err), "give a directory of yours with --data or BEAMHALL_DATA")
        return
    free = shutil.disk_usage(data).free
    said = f"{data}, {free / 2**30:.0f} GiB free"
    if free < _MIN_FREE_BYTES:
        yield Finding(
            "data directory", "note", said, "an environment with TensorFlow takes 2 GiB: make room, or move it"
        )
    else:
        yield Finding("data directory", "ok", said)
    for secret in (data / "token", data / "service-account.key", data / "users.yaml"):
        if secret.exists() and stat.S_IMODE(secret.stat().st_mode) & 0o077:
            mend = f"chmod 600 {secret}, or delete it if others have seen it: what it stands for is worth nothing then"
            yield Finding(secret.name, "bad", f"others can read {secret}", mend)


def _store(settings: Settings) -> Iterator[Finding]:
    yield Finding("SQLite", "ok", sqlite3.sqlite_version)
    file = settings.data / "objects.db"
    if not file.exists():
        return
    mend = (
        f"stop the service; `beamhall restore FILE --force --data {settings.data}` puts a backup in its place,"
        f" and moving {file}* away starts empty"
    )
    try:
        found = inspect(file)
    except StoreUnusable as err:
        yield Finding("object store", "bad", str(err), mend)
        return
    said = f"{file}, {found.size_bytes / 2**20:.1f} MiB, format {found.format}"
    if found.problems:
        yield Finding("object store", "bad", f"{file} is damaged: {'; '.join(found.problems)}", mend)
    elif found.format > FORMAT:
        yield Finding("object store", "bad", f"{said}, which is of a newer Beamhall", "use the newer Beamhall")
    elif found.wal_bytes > 2 * WAL_LIMIT_BYTES:
        said = f"{file}-wal has {found.wal_bytes / 2**20:.0f} MiB: another program reads and does not let go"
        yield Finding("object store", "note", said, f"`fuser {file}` says which one; end it")
    else:
        yield Finding("object store", "ok", said)


def _uv(_: Settings) -> Iterator[Finding]:
    try:
        done = subprocess.run([uv.find_uv_bin(), "--version"], capture_output=True, text=True, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError) as err:
        yield Finding("uv", "bad", f"cannot be run: {err}", "reinstall it: python -m pip install --force-reinstall uv")
        return
    yield Finding("uv", "ok", done.stdout.strip())


def _sandbox(_: Settings) -> Iterator[Finding]:
    capabilities = detect_capabilities()
    for name, what, loss in (
        ("mounts", "private mounts", "Pods cannot mount volumes at paths of their own, nor resolve Service names"),
        ("network", "addresses for Pods", "programs of two Pods that bind the same port on all addresses clash"),
    ):
        capability = getattr(capabilities, name)
        if capability.works:
            yield Finding(what, "ok", f"by {capability.how}" if capability.how else "works")
        else:
            mend = "allow unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone=1), or run as root"
            yield Finding(what, "note", f"{capability.reason}: {loss}", mend)


def _limits(settings: Settings) -> Iterator[Finding]:
    if not settings.cgroups:
        yield Finding("limits", "note", f"{_WATCHED}: switched off by the setting cgroups", "remove that setting")
        return
    try:
        place = find_place(name_of_root(settings.data))
    except Refused as refused:
        why, _, mend = str(refused).rpartition("; ")
        yield Finding("limits", "note", f"{_WATCHED}: {why}", mend)
        return
    said = f"kept by control groups (v{place.version}): {', '.join(sorted(place.controllers - {'cpuacct'}))}"
    if missing := {"cpu", "memory"} - place.controllers:
        said += "; memory is looked at once a second" if "memory" in missing else "; limits of processors are not kept"
        mend = f"have the controller{'s' * (len(missing) > 1)} {' and '.join(sorted(missing))} delegated to this user"
        yield Finding("limits", "note", said, mend)
    else:
        yield Finding("limits", "ok", said)


def _gpus(settings: Settings) -> Iterator[Finding]:
    if settings.gpus != "auto":
        yield Finding("GPUs", "note", f"{settings.gpus} simulated", "")
        return
    gpus = find_gpus(None)
    yield Finding("GPUs", "ok", f"{len(gpus)} found" if gpus else "none found")


def _kubectl(_: Settings) -> Iterator[Finding]:
    where = shutil.which("kubectl")
    if where is None:
        yield Finding(
            "kubectl", "note", "not found", "install it to look at jobs from the command line; nothing needs it"
        )
    else:
        yield Finding("kubectl", "ok", where)


def _service(settings: Settings) -> Iterator[Finding]:
    running = running_service(settings.data)
    if running is not None:
        yield Finding("service", "ok", f"runs at {running.url}, process {running.pid}")
        return
    with socket.socket() as probe:
        probe.settimeout(2)
        is_taken = settings.port != 0 and probe.connect_ex((settings.host, settings.port)) == 0
    if is_taken:
        said = f"does not run on this data directory, and something else listens on {settings.host}:{settings.port}"
        yield Finding("service", "note", said, "start it with another --port")
    else:
        yield Finding("service", "ok", "does not run; `beamhall up` starts it")


_CHECKS: tuple[Callable[[Settings], Iterator[Finding]], ...] = (
    _platform, _data, _store, _uv, _sandbox, _limits, _gpus, _kubectl, _service,
)  # fmt: skip
