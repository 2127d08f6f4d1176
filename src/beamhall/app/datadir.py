"""The data directory: one service at a time, and what other commands find there.

DIR/token         the secret of the first start, mode 0600
DIR/kubeconfig    for kubectl and SDKs, mode 0600, written at every start
DIR/users.yaml    users beyond the owner, with the hashes of their tokens
DIR/service-account.key   what service-account tokens are signed with, mode 0600
DIR/tls/          the certificate authority and the server's certificate
DIR/lock          held by the running service
DIR/service.json  where the running service is found
DIR/network/kubernetes   the address by which Pods reach the API
DIR/objects.db    the objects; DIR/pods, DIR/volumes, DIR/network, DIR/environments belong to their parts
"""

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import msgspec

from beamhall.kernel.errors import UserError


class DataDirectoryInUse(UserError):
    """Another Beamhall runs on this data directory; the message says which, and what to do."""


class Running(msgspec.Struct, frozen=True):
    """Where a running service is found: the content of ``service.json``."""

    pid: int
    url: str
    host: str
    port: int


@contextlib.contextmanager
def claimed(data: Path) -> Iterator[None]:
    """Hold the data directory, making it if it is absent, so that no second service writes to it.

    Raises:
        DataDirectoryInUse: A service runs on it.
        OSError: It cannot be made or written.
    """
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (data / "lock").open("a") as lock:
        try:
            # The lock goes with the process, however it ends: no stale lock after a crash.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            raise DataDirectoryInUse(_in_use(data)) from err
        yield


def is_claimed(data: Path) -> bool:
    """Tell whether a service holds the data directory now."""
    try:
        with (data / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def ensure_token(data: Path) -> str:
    """Give the token, making it at first start. Only its owner may read it."""
    file = data / "token"
    with contextlib.suppress(FileNotFoundError):
        if token := file.read_text().strip():
            return token
    token = secrets.token_urlsafe(32)
    write_private(file, token + "\n")
    return token


def write_private(file: Path, text: str) -> None:
    """Write a file that only its owner may read, so that readers see the old content or the new one."""
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(file)


def announce(data: Path, running: Running) -> None:
    """Write down where the service is found."""
    write_private(data / "service.json", msgspec.json.encode(running).decode() + "\n")


def running_service(data: Path) -> Running | None:
    """Give where the service of this data directory is found, or None if none runs."""
    if not is_claimed(data):
        return None
    try:
        return msgspec.json.decode((data / "service.json").read_bytes(), type=Running)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None


def _in_use(data: Path) -> str:
    running = running_service(data)
    who = f" (process {running.pid}, {running.url})" if running else ""
    return (
        f"data directory {data} is in use by another Beamhall{who}; use that one, stop it, "
        "or choose another directory with --data"
    )
