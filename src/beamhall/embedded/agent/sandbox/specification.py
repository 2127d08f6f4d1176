"""What is to be started, and what came of it: the plain values of this package.

Knows nothing of Pods: their life cycle makes these values. Next: ``sandboxes``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

TERMINAL = "xterm"
"""The kind of terminal that programs are told they have, unless their variables say otherwise."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A directory or file of the host, or a new tmpfs, at a path of the container.

    Attributes:
        source: What is shown; None for a tmpfs.
        target: Where, as an absolute path. It need not exist on the host, which is never changed.
        read_only: Whether the container may not write to it.
        kind: ``bind`` or ``tmpfs``.
        within: A directory that the source is in, and may not turn out to have left by a link when it is mounted.
    """

    source: Path | None
    target: str
    read_only: bool = False
    kind: Literal["bind", "tmpfs"] = "bind"
    within: Path | None = None


@dataclass(frozen=True, slots=True)
class Cgroup:
    """A container's control group in one hierarchy.

    Attributes:
        levels: From the outermost directory that is ours to the container's own: path, and the files to write there.
        events: The file of the last level that counts processes killed for want of memory; empty: there is none.
    """

    levels: Sequence[tuple[Path, Mapping[str, str]]]
    events: str = ""


@dataclass(frozen=True)
class WarmStart:
    """Names one parent process for warm starts; equal values share one.

    Attributes:
        python: The environment's interpreter.
        modules: What it has imported.
        env: The environment variables while it imports them: those of the image.
    """

    python: Path
    modules: tuple[str, ...]
    env: Mapping[str, str]


FILE = "\0file"
"""Stands for the path of the file in the arguments of a ``Direct``; no argument of a program can be so."""


@dataclass(frozen=True, slots=True)
class Direct:
    """What a shell's command line comes to: a Python program that is run, on a file that is written just before.

    Attributes:
        argv: The program's own command line.
        env: Variables of the program beside those of the container.
        file_name: The file, in a new directory below TMPDIR.
        file_text: What is in it.
    """

    argv: Sequence[str]
    env: Mapping[str, str]
    file_name: str
    file_text: str


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a container's processes run as: user, group and further groups, by number. Only root can give them."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Confinement:
    """What a container may do less than the service.

    Attributes:
        identity: Whom it runs as; None: as the service.
        no_new_privileges: Whether its programs can gain none, by setuid for instance.
        dropped: Numbers of the capabilities that it cannot have.
        read_only_root: Whether it may write to its writable mounts only.
    """

    identity: Identity | None = None
    no_new_privileges: bool = False
    dropped: tuple[int, ...] = ()
    read_only_root: bool = False


UNCONFINED = Confinement()
"""As the service."""


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """One attempt of one container.

    Attributes:
        directory: The attempt's own directory. Its parent must exist and itself must not: starting claims it.
        id: Unique to this attempt, up to 64 of ``[A-Za-z0-9._-]``. Its processes carry it in BEAMHALL_SANDBOX.
        argv: The command line; the command is looked up in ``env["PATH"]`` where it has no slash.
        env: All environment variables; none are inherited.
        cwd: The working directory, as the container sees it.
        mounts: What is mounted, in any order.
        hostname: The container's own host name; empty for the host's.
        address: The Pod's ``127.x.y.z``; empty to leave ``bind`` and ``connect`` alone.
        chosen_ports: Where its TCP ports are listened on that the kernel chooses; empty: at ``address``.
        hosts_file: What the container sees as ``/etc/hosts``.
        umask: The mode bits that new files do not get.
        stop_signal: What asks it to end.
        log_max_bytes: The log is rotated when a file of it would grow larger; 0: never.
        log_max_files: How many files of it are kept.
        confinement: What it may do less than the service.
        warm: The parent process to fork it from, where its command line permits that.
        direct: What the command line comes to, for a warm start of what a shell would start.
        stdin: Whether it has a standard input that clients may write to; else it is empty.
        tty: Whether it runs in a terminal.
        cgroups: The control groups that it is to be in.
        niceness: How far its programs stand back behind others, 0 to 19.
        tenant: Whose it is: processes that know what it was told are used for this tenant's only. Empty: for no other.
    """

    directory: Path
    id: str
    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: str
    mounts: Sequence[Mount] = ()
    hostname: str = ""
    address: str = ""
    chosen_ports: str = ""
    hosts_file: Path | None = None
    umask: int = 0o022
    stop_signal: int = 15
    log_max_bytes: int = 0
    log_max_files: int = 5
    confinement: Confinement = UNCONFINED
    warm: WarmStart | None = None
    direct: Direct | None = None
    stdin: bool = False
    tty: bool = False
    cgroups: Sequence[Cgroup] = ()
    niceness: int = 0
    tenant: str = ""


@dataclass(frozen=True, slots=True)
class Exit:
    """How a container ended.

    Attributes:
        code: As Kubernetes reports it: 128+n for signal n, 128 when it could not start, 137 when it vanished.
        signal: The signal that ended it.
        reason: ``Completed``, ``Error``, ``OOMKilled``, ``StartError``, or ``Vanished``: its shim was killed.
        message: For a person; mostly empty.
        started_at: When its program started; None if it never did.
        finished_at: When nothing of it was left.
        killed: Whether it had been told to end.
    """

    code: int
    signal: int | None
    reason: str
    message: str
    started_at: datetime | None
    finished_at: datetime
    killed: bool


class StartFailed(Exception):
    """A container could not be started.

    Attributes:
        stage: ``command-not-found``, ``permission``, ``exec``, ``cwd``, ``mount``, ``namespace``, ``network``, or
            ``service``: our own fault, trying again may help.
        message: What is wrong, with which name.
    """

    def __init__(self, stage: str, message: str) -> None:
        super().__init__(message)
        self.stage = stage
        self.message = message


class AlreadyStarted(Exception):
    """The directory was claimed before: what is in it is to be adopted."""


@dataclass(frozen=True, slots=True)
class Capability:
    """Whether something works here.

    Attributes:
        works: Whether it does.
        reason: Why not, and what would help.
        how: By which means, where there are several: ``root`` or ``user namespace``.
    """

    works: bool
    reason: str = ""
    how: str = ""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What this machine lets the service do for its containers.

    Attributes:
        mounts: Volumes at any path, and names in ``/etc/hosts``.
        hostname: A host name of each Pod's own.
        network: An address of each Pod's own for servers that listen everywhere.
    """

    mounts: Capability
    hostname: Capability
    network: Capability


def order_of(spec: ContainerSpec, capabilities: Capabilities) -> dict[str, Any]:
    """Write what the shim is told, leaving out what cannot be had here and may be missed: names, addresses."""
    mounts = [
        {
            "source": str(m.source) if m.source else None,
            "target": m.target,
            "read_only": m.read_only,
            "kind": m.kind,
            "within": str(m.within) if m.within else "",
        }
        for m in spec.mounts
    ]
    if spec.hosts_file and capabilities.mounts.works:
        mounts.append({"source": str(spec.hosts_file), "target": "/etc/hosts", "read_only": False, "kind": "bind"})
    how = {"root": "root", "user namespace": "user"}.get(capabilities.mounts.how, "")
    return {
        "directory": str(spec.directory),
        "id": spec.id,
        "argv": list(spec.argv),
        "env": {**({"TERM": TERMINAL} if spec.tty else {}), **spec.env, "BEAMHALL_SANDBOX": spec.id},
        "cwd": spec.cwd,
        "mounts": mounts,
        "namespaces": how,
        "hostname": spec.hostname if capabilities.hostname.works else "",
        "address": spec.address if capabilities.network.works else "",
        "chosen_ports": spec.chosen_ports,
        "umask": spec.umask,
        "niceness": spec.niceness,
        "confinement": asdict(spec.confinement),
        "log_max_bytes": spec.log_max_bytes,
        "log_max_files": spec.log_max_files,
        "stop_signal": spec.stop_signal,
        "warm": None,
        "stdin": spec.stdin,
        "tty": spec.tty,
        "cgroups": [
            {"levels": [(str(path), dict(files)) for path, files in group.levels], "events": group.events}
            for group in spec.cgroups
        ],
    }
