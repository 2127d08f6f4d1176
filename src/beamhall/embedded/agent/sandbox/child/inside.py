"""Opening a path that may not leave a directory, whoever puts links there meanwhile.

Links must have been resolved before; what is a link now was put there since, and is refused. Used by the container's
own process when it mounts, and by the service when it makes directories. Source: openat(2), mkdirat(2).
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat


def open_within(root: str, path: str, *, make: bool = False) -> int:
    """Open a file or directory below a directory without following any link below it.

    Args:
        root: The directory.
        path: An absolute path in it, without links as far as it exists.
        make: Whether to make directories that are missing.

    Returns:
        A descriptor (O_PATH).

    Raises:
        OSError: There is no such path, or a part of it is a link.
    """
    fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    parts = [part for part in os.path.relpath(path, root).split("/") if part != "."]
    for part in parts:
        try:
            if part == "..":
                raise OSError(errno.EXDEV, "it leaves its volume", path)
            if make:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, 0o777, dir_fd=fd)
            inner = os.open(part, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
        finally:
            os.close(fd)
        fd = inner
        if stat.S_ISLNK(os.fstat(fd).st_mode):
            os.close(fd)
            raise OSError(errno.ELOOP, "a link was put there that may leave the volume", path)
    return fd
