"""A directory of any store as a ``tar.gz``, made while it is read: what is held is one block."""

import tarfile
import zlib
from collections.abc import Iterator

from beamhall.storage.locations import Location
from beamhall.storage.protocol import Entry, Store

_LEVEL = 1  # artifacts are often compressed already, and who downloads waits for this
_RECORD = 512


def archive(store: Store, at: Location) -> Iterator[bytes]:
    """Give a directory as a ``tar.gz``, in pieces; names are relative to it.

    Links that leave the directory, and what is neither file nor directory, are left out. A file that shrinks meanwhile
    is filled up with zeros, one that grows is cut, so that the rest stays readable.

    Source: POSIX.1-2001, "pax Interchange Format".
    """
    squeeze = zlib.compressobj(_LEVEL, zlib.DEFLATED, 31)
    for entry in store.tree(at):
        for piece in _member(store, at, entry):
            if squeezed := squeeze.compress(piece):
                yield squeezed
    yield squeeze.compress(bytes(2 * _RECORD)) + squeeze.flush()


def _member(store: Store, at: Location, entry: Entry) -> Iterator[bytes]:
    info = tarfile.TarInfo(entry.name)
    info.mode, info.type, info.size = 0o644, tarfile.REGTYPE, entry.stat.size_bytes
    info.mtime = int(entry.stat.modified_at.timestamp()) if entry.stat.modified_at else 0
    if entry.link:
        info.type, info.linkname, info.size = tarfile.SYMTYPE, entry.link, 0
    elif entry.stat.is_directory:
        info.type, info.mode, info.size = tarfile.DIRTYPE, 0o755, 0
    yield info.tobuf(tarfile.PAX_FORMAT)
    left = info.size
    for block in store.blocks(at.below(entry.name), 0, left) if left else ():
        yield block
        left -= len(block)
    while left > 0:
        yield bytes(min(left, 64 * 1024))
        left -= min(left, 64 * 1024)
    yield bytes(-info.size % _RECORD)
