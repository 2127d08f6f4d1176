"""Copying at once the pages of memory that a container will write to, rather than one by one as it comes to them.

What is forked shares its memory with the zygote, page by page until it writes there: Python does so wherever it counts
a reference. A container writes to some 1,500 pages before it ends, mostly the same ones as the others of its zygote,
and each costs a fault. So one container tells at its end which they were, in memory that all share, and the others have
them copied by a few calls, while they wait for their order if they were forked ahead.

Containers are not trusted: what one tells is used only within what the zygote had, and can at worst cost time.
Source: madvise(2), MADV_POPULATE_WRITE (Linux 5.14; before, nothing is gained or lost); proc_pid_pagemap(5).
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct

from beamhall.embedded.agent.sandbox.child import linux

_PAGE = mmap.PAGESIZE
_ENTRY_BYTES = 8
_IS_OURS_ALONE = 1 << 56
_GAP_PAGES = 1
"""Pages between two that are written to, which are copied along: a call costs about as much."""
_RANGES_LIMIT = 2000
_PAGES_LIMIT = 4096
"""Written by one container: 16 MiB; whoever writes to more is no model for the others."""
_HEAD = struct.Struct("=I")
_RANGE = struct.Struct("=QQ")


class Pages:
    """What the containers of one zygote write to. Made in the zygote, before it forks."""

    def __init__(self) -> None:
        self._told = mmap.mmap(-1, _HEAD.size + _RANGES_LIMIT * _RANGE.size)
        self._had = _writable()

    def copy(self) -> None:
        """In a container: have pages copied that it will write to, if any are known."""
        (count,) = _HEAD.unpack_from(self._told)
        left = _PAGES_LIMIT * _PAGE
        for number in range(min(count, _RANGES_LIMIT)):
            start, end = _RANGE.unpack_from(self._told, _HEAD.size + number * _RANGE.size)
            left -= end - start
            if left < 0 or not linux.populate(start, end - start):
                return

    def tell(self) -> None:
        """In a container, at its end: tell which pages it has written to, unless another one has."""
        if _HEAD.unpack_from(self._told)[0]:
            return
        with contextlib.suppress(OSError):
            found = [each for start, end in self._had for each in _written(start, end)]
            if len(found) > _RANGES_LIMIT or sum(end - start for start, end in found) > _PAGES_LIMIT * _PAGE:
                return
            for number, each in enumerate(found):
                _RANGE.pack_into(self._told, _HEAD.size + number * _RANGE.size, *each)
            _HEAD.pack_into(self._told, 0, len(found))


def _writable() -> list[tuple[int, int]]:
    """Give the private memory of this process that it may write to."""
    found = []
    for line in linux.read_file("/proc/self/maps").decode(errors="replace").splitlines():
        place, flags, *_ = line.split()
        if flags == "rw-p" and not line.endswith("[stack]"):
            start, _, end = place.partition("-")
            found.append((int(start, 16), int(end, 16)))
    return found


def _written(start: int, end: int) -> list[tuple[int, int]]:
    """Give the parts of a range of memory that this process has pages of its own of."""
    fd = os.open("/proc/self/pagemap", os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = os.pread(fd, (end - start) // _PAGE * _ENTRY_BYTES, start // _PAGE * _ENTRY_BYTES)
    finally:
        os.close(fd)
    found: list[tuple[int, int]] = []
    for number, (entry,) in enumerate(struct.iter_unpack("=Q", data)):
        if entry & _IS_OURS_ALONE:
            page = start + number * _PAGE
            if found and page - found[-1][1] <= _GAP_PAGES * _PAGE:
                found[-1] = (found[-1][0], page + _PAGE)
            else:
                found.append((page, page + _PAGE))
    return found
