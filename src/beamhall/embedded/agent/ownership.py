"""Giving a volume to the group that a Pod's ``fsGroup`` names. Blocks: call it off the loop.

Source: Kubernetes ``pkg/volume/volume_linux.go`` (``SetVolumeOwnership``).
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

_DIRECTORY_MODE = stat.S_ISGID | 0o770
_FILE_MODE = 0o660


def give_to_group(volume: Path, group: int, *, is_writable: bool, unless_root_is: bool) -> None:
    """Make a volume's files belong to a group, whose members may write where the volume can be written.

    Args:
        volume: Its directory. Links in it are changed themselves, never what they lead to.
        group: The group's number.
        is_writable: Whether it can be written; else only the group changes, the modes are as they were stated.
        unless_root_is: Do nothing where the directory itself is as it should be (``OnRootMismatch``).

    Raises:
        OSError: It cannot be changed.
    """
    root = volume.lstat()
    if unless_root_is and root.st_gid == group and root.st_mode & _DIRECTORY_MODE == _DIRECTORY_MODE:
        return
    for path in (*_below(volume), volume):  # itself last: it tells that all is done
        found = path.lstat()
        if found.st_gid != group:
            os.chown(path, -1, group, follow_symlinks=False)
        if is_writable and not stat.S_ISLNK(found.st_mode):
            wanted = found.st_mode | (_DIRECTORY_MODE if stat.S_ISDIR(found.st_mode) else _FILE_MODE)
            path.chmod(stat.S_IMODE(wanted))


def _below(directory: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(directory):
        for name in (*folders, *names):
            yield Path(parent, name)
