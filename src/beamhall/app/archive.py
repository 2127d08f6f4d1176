"""What a backup is: one gzipped tar file with what a service cannot make anew.

    manifest.json                       what is in it; the first member
    objects.db                          all objects, as they were at one moment
    history.db                          runs and their facts, where they are kept in a file
    token, service-account.key, users.yaml, tls/, config.yaml, images.yaml
    volumes/NAMESPACE/CLAIM/..., artifacts/...      only where they were asked for

What can be made anew is left out: environments, what runs, where the service is found. ``backup`` writes it,
``restore`` puts it back; both go through ``examine``, which trusts nothing in the file.
"""

import gzip
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import msgspec

from beamhall.kernel.errors import UserError

FORMAT = 2
"""Version of this form. The first had neither history nor artifacts."""

MANIFEST = "manifest.json"
STORE = "objects.db"
HISTORY = "history.db"
ARTIFACTS = "artifacts"
TREES = ("volumes", ARTIFACTS)
FILES = ("token", "service-account.key", "users.yaml", "config.yaml", "images.yaml")
DIRECTORIES = ("tls",)

SMALL_BYTES = 1024 * 1024
"""The largest file that is taken but for databases and trees."""

_FILE_TYPES = (tarfile.REGTYPE, tarfile.AREGTYPE)


class BackupUnusable(UserError):
    """The file is no backup, is damaged, or holds what no backup holds; the message says which."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup says of itself.

    Attributes:
        format: Version of its form.
        beamhall: Version of the Beamhall that wrote it.
        made: When, RFC 3339.
        store_format: Format of ``objects.db``.
        revision: The last change in it.
        has_volumes: Whether volumes and artifacts are in it.
    """

    format: int
    beamhall: str
    made: str
    store_format: int
    revision: int
    has_volumes: bool


class Content(msgspec.Struct, frozen=True):
    """What ``examine`` found.

    Attributes:
        manifest: What the backup says of itself.
        size_bytes: Size of all files in it.
    """

    manifest: Manifest
    size_bytes: int


def examine(file: Path) -> Content:
    """Read a backup from end to end and check all of it: its form, every name, every size, every checksum.

    Raises:
        BackupUnusable: Something is wrong with it.
        OSError: It cannot be read.
    """
    size_bytes = 0
    with reading(file) as archive:
        members = checked_members(archive)
        first = next(members, None)
        if first is None or first.name != MANIFEST:
            raise BackupUnusable(f"{file} is no backup of Beamhall: it does not begin with {MANIFEST}")
        manifest = _read_manifest(file, archive, first)
        names = {MANIFEST}
        for member in members:
            names.add(member.name)
            size_bytes += member.size
    if STORE not in names:
        raise BackupUnusable(f"{file} is no backup of Beamhall: there is no {STORE} in it")
    return Content(manifest, size_bytes)


@contextmanager
def reading(file: Path) -> Iterator[tarfile.TarFile]:
    """Open a backup for one pass from its beginning to its end, which checks its checksum.

    Raises:
        BackupUnusable: It is damaged or no such file; may come at any moment of the pass.
    """
    try:
        with gzip.open(file) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
            yield archive
            while stream.read(SMALL_BYTES):  # to its end, where the checksum is
                pass
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as err:
        raise BackupUnusable(f"{file} is no backup of Beamhall, or is damaged: {err}") from err


def checked_members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Give the members one by one, each as no threat to the directory that it is put into.

    Raises:
        BackupUnusable: A name leaves the directory, or is none that a backup has; a member is neither file nor
            directory (nor a symbolic link in a tree); one is too large; or two have one name.
    """
    seen: set[str] = set()
    for member in archive:
        name = member.name
        _check_member(member)
        if name in seen:
            raise BackupUnusable(f"the backup has {name!r} twice")
        seen.add(name)
        yield member


def _check_member(member: tarfile.TarInfo) -> None:
    name = member.name
    parts = PurePosixPath(name).parts
    if name.startswith("/") or ".." in parts or "\0" in name or not parts or "/".join(parts) != name:
        raise BackupUnusable(f"the backup names {name!r}, which is outside of a data directory")
    in_tree = parts[0] in TREES
    is_file = member.type in _FILE_TYPES
    if in_tree:
        is_right = is_file or member.isdir() or (member.issym() and len(parts) > 1)
    elif parts[0] in DIRECTORIES:
        is_right = member.isdir() if len(parts) == 1 else is_file and len(parts) == 2
    else:
        is_right = is_file and name in (MANIFEST, STORE, HISTORY, *FILES)
    if not is_right:
        raise BackupUnusable(f"the backup has {name!r}, which is nothing that a backup has")
    if not in_tree and name not in (STORE, HISTORY) and member.size > SMALL_BYTES:
        raise BackupUnusable(f"{name} in the backup has {member.size} bytes; at most {SMALL_BYTES} are right")


def _read_manifest(file: Path, archive: tarfile.TarFile, member: tarfile.TarInfo) -> Manifest:
    stream = archive.extractfile(member)
    assert stream is not None, "checked to be a file"
    try:
        manifest = msgspec.json.decode(stream.read(), type=Manifest)
    except msgspec.MsgspecError as err:
        raise BackupUnusable(f"{file} has a {MANIFEST} that cannot be read: {err}") from err
    if manifest.format > FORMAT:
        raise BackupUnusable(
            f"{file} has form {manifest.format} and was written by Beamhall {manifest.beamhall}; this one reads up to"
            f" form {FORMAT}: use a newer one"
        )
    return manifest
