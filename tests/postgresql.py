"""A PostgreSQL server of one's own in a temporary directory, where Debian's or another is installed."""

import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BOTH = ("sqlite", "postgresql")
"""The databases that a history can be kept in, as parameters of tests."""

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))


def _programs() -> Path | None:
    found = shutil.which("postgres")
    return PROGRAMS[-1].parent if PROGRAMS else Path(found).parent if found else None


def _user() -> pwd.struct_passwd | None:
    """The server refuses to be root: give another user for it then."""
    if os.geteuid():
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    return None


def is_installed() -> bool:
    return _programs() is not None and (os.geteuid() != 0 or _user() is not None)


class Server:
    """A server that runs; ``database`` makes an empty database and gives its URL."""

    def __init__(self, directory: str) -> None:
        self._directory = directory

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://owner@/{database}?host={self._directory}"

    def database(self, *options: str) -> str:
        import psycopg  # noqa: PLC0415

        name = f"test_{uuid.uuid4().hex}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} {' '.join(options)}".encode())
        return self.url(name)


@contextmanager
def running_server() -> Iterator[Server]:
    programs, user = _programs(), _user()
    assert programs is not None
    with tempfile.TemporaryDirectory(prefix="beamhall-pg-", dir="/tmp") as directory:
        if user is not None:
            os.chown(directory, user.pw_uid, user.pw_gid)
        data, log = f"{directory}/data", f"{directory}/log"

        def run(*command: str) -> None:
            subprocess.run(
                command, check=True, capture_output=True, cwd=directory, timeout=100,
                user=user and user.pw_uid, group=user and user.pw_gid, extra_groups=[] if user else None,
                env={"PATH": os.defpath, "LC_ALL": "C.UTF-8", "HOME": directory},
            )  # fmt: skip

        initdb = (f"{programs}/initdb", "-D", data, "-U", "owner", "-A", "trust", "-N", "-E", "UTF8")
        try:  # words sorted as in a dictionary: what is compared by code points must say so
            run(*initdb, "--locale-provider=icu", "--icu-locale=en-US")
        except subprocess.CalledProcessError:  # older, or built without ICU
            run(*initdb)
        options = f"-c listen_addresses='' -c unix_socket_directories='{directory}' -c fsync=off -c max_connections=60"
        # A log file of its own: the server would otherwise keep this process's pipe open.
        run(f"{programs}/pg_ctl", "-D", data, "-l", log, "-w", "-o", options, "start")
        try:
            yield Server(directory)
        finally:
            run(f"{programs}/pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
