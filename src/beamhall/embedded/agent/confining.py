"""What a container of another user is shown, and given, of what belongs to the service.

The data directory is closed to other users, since it holds what is the service's own, and so may be the directory that
Python is in, or that either is in. Such a container sees in their place directories that have nothing but what it
needs. Next: ``launching``.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from beamhall.embedded.agent.directory import PodDirectory
from beamhall.embedded.agent.images import Prepared
from beamhall.embedded.agent.sandbox import Confinement, Identity, Mount

_STEP_FILES = "artifacts"  # in the data directory


def confined_mounts(
    own: PodDirectory, prepared: Prepared, confinement: Confinement, private: Sequence[Path], results: str
) -> Sequence[Mount]:
    """Give what a confined container needs mounted to have its scratch, its environment and the files of steps.

    Args:
        own: The Pod's directory.
        prepared: The environment.
        confinement: How it is confined.
        private: Directories that are the container's alone; they become its user's.
        results: Where a pipeline's step leaves its results, which becomes its user's; empty: it is no step.
    """
    identity = confinement.identity
    mounts = [Mount(source=path, target=str(path)) for path in private] if confinement.read_only_root else []
    if identity is None:
        return mounts
    for path in private:
        os.chown(path, identity.uid, identity.gid)
    own.path.chmod(0o711)
    data = own.path.parent.parent
    files = _given_files(data / _STEP_FILES, results, identity)
    used = [prepared.prefix, prepared.python.resolve(), *map(Path, prepared.image.path), Path(prepared.workdir or "/")]
    shown = {data / path.relative_to(data).parts[0] for path in used if path != data and path.is_relative_to(data)}
    python = prepared.python.resolve().parent.parent
    hidden = {data, *_closed((data, python), identity)}
    if any(python.is_relative_to(path) for path in hidden - {data}) and not python.is_relative_to(data):
        shown.add(python)
    mounts += [Mount(source=path, target=str(path), read_only=True) for path in sorted(shown) if path.exists()]
    mounts += [Mount(source=path, target=str(path)) for path in (own.path, *files)]
    return [*(Mount(source=None, target=str(path), kind="tmpfs") for path in sorted(hidden)), *mounts]


def _closed(paths: Sequence[Path], identity: Identity) -> Iterator[Path]:
    """Give the directories that keep a user from getting at paths."""
    for path in paths:
        for above in reversed(path.parents):
            if not _is_open(above, identity):
                yield above
                break


def _is_open(directory: Path, identity: Identity) -> bool:
    found = directory.stat()
    if found.st_uid == identity.uid:
        return bool(found.st_mode & stat.S_IXUSR)
    if found.st_gid in (identity.gid, *identity.groups):
        return bool(found.st_mode & stat.S_IXGRP)
    return bool(found.st_mode & stat.S_IXOTH)


def _given_files(files: Path, results: str, identity: Identity) -> Sequence[Path]:
    """Give a step's directory to its user; give what it is to see for that, nothing if it has none on this machine."""
    own, whole = Path(os.path.realpath(results)), Path(os.path.realpath(files))
    if not results.startswith("/") or whole not in own.parents:
        return ()
    own.mkdir(parents=True, exist_ok=True)
    for path in (own, *own.rglob("*")):
        os.chown(path, identity.uid, identity.gid, follow_symlinks=False)
    return (files,)
