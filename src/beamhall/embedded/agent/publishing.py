"""Files of a volume that containers have mounted, replaced all at once.

    <volume>/..2026_01_01_12_00_00.1a2b3c/key     the files
    <volume>/..data -> ..2026_01_01_12_00_00.1a2b3c
    <volume>/key -> ..data/key                    what programs open

A newer state is written beside and ``..data`` is renamed over, so that a program sees the old files or the new ones,
never some of each. Knows no Pod and no API. Blocks: call it off the loop.

Source: Kubernetes ``pkg/volume/util/atomic_writer.go``.
"""

import os
import secrets
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from beamhall.embedded.agent.projections import File

_DATA = "..data"
_NEXT = "..data_tmp"


def publish(volume: Path, files: Sequence[File]) -> bool:
    """Make a volume's directory show these files.

    Returns:
        Whether anything changed.

    Raises:
        OSError: The disk does not take them; what was shown before is shown still.
    """
    if _publish_first(volume, files):
        return True
    data = volume / _DATA
    if data.is_symlink() and _shown(data) == {file.path: (file.content, file.mode & 0o777) for file in files}:
        return False
    fresh = volume / _name()
    _write_all(str(fresh), files)
    link = volume / _NEXT
    link.unlink(missing_ok=True)
    link.symlink_to(fresh.name)
    link.replace(data)
    wanted = {file.path.split("/", maxsplit=1)[0] for file in files}
    for name in wanted:
        if not (volume / name).is_symlink():
            (volume / name).symlink_to(f"{_DATA}/{name}")
    for entry in list(volume.iterdir()):
        if not entry.name.startswith(".."):
            if entry.name not in wanted:
                entry.unlink()
        elif entry.name not in (_DATA, fresh.name):
            shutil.rmtree(entry, ignore_errors=True)
    return True


def _publish_first(volume: Path, files: Sequence[File]) -> bool:
    """Make a volume that is not there yet: nearly every Pod has one, so it is done with as few calls as can be."""
    root = str(volume)
    try:
        os.mkdir(root)  # noqa: PTH102  pathlib would take half of the time
    except FileExistsError:
        return False
    except FileNotFoundError:
        volume.mkdir(parents=True)
    fresh = _name()
    _write_all(f"{root}/{fresh}", files)
    os.symlink(fresh, f"{root}/{_DATA}")  # noqa: PTH211  as above
    for name in {file.path.partition("/")[0] for file in files}:
        os.symlink(f"{_DATA}/{name}", f"{root}/{name}")  # noqa: PTH211  as above
    return True


def _name() -> str:
    return f"..{time.strftime('%Y_%m_%d_%H_%M_%S', time.gmtime())}.{secrets.token_hex(4)}"


def _shown(data: Path) -> dict[str, tuple[bytes, int]]:
    found: dict[str, tuple[bytes, int]] = {}
    for directory, _, names in os.walk(data.resolve()):
        for name in names:
            path = Path(directory, name)
            found[str(path.relative_to(data.resolve()))] = path.read_bytes(), path.stat().st_mode & 0o777
    return found


def _write_all(root: str, files: Sequence[File]) -> None:
    os.mkdir(root, mode=0o755)  # noqa: PTH102  as above
    for file in files:
        target = f"{root}/{file.path}"
        if "/" in file.path:
            os.makedirs(os.path.dirname(target), exist_ok=True)  # noqa: PTH103, PTH120  as above
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "wb", buffering=0) as stream:  # noqa: PTH123  a descriptor has no path
            stream.write(file.content)
            os.fchmod(descriptor, file.mode & 0o777)
