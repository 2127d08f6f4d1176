"""Memory that containers write to is copied ahead."""

import os
import resource

import pytest

from beamhall.embedded.agent.sandbox.child.pages import Pages


def in_child(do) -> int:
    """Run a function in a child, and give what it gives, a small number."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(write, str(do()).encode())
        os._exit(0)
    os.close(write)
    os.waitpid(pid, 0)
    with os.fdopen(read) as file:
        return int(file.read())


def faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


@pytest.fixture
def memory() -> list[bytearray]:
    """Give 300 blocks of memory, each of some pages."""
    return [bytearray(b"x" * 20_000) for _ in range(300)]


def touch(memory: list[bytearray]) -> int:
    before = faults()
    for block in memory:
        block[8000] = 1
    return faults() - before


def test_what_one_writes_to_is_copied_for_the_others(memory):
    pages = Pages()
    assert in_child(lambda: touch(memory)) > 200

    def first() -> int:
        touch(memory)
        pages.tell()
        return 0

    def second() -> int:
        pages.copy()
        return touch(memory)

    assert in_child(second) > 200  # nothing is known yet
    in_child(first)
    assert in_child(second) < 50


def test_what_is_told_cannot_harm(memory):
    pages = Pages()

    def lie() -> int:
        pages._told[:4] = b"\xff\xff\xff\xff"
        pages._told[4:] = os.urandom(len(pages._told) - 4)
        return 0

    def believe() -> int:
        pages.copy()
        return touch(memory)

    in_child(lie)
    assert in_child(believe) > 200


def test_who_writes_everywhere_is_no_model():
    pages = Pages()
    memory = [bytearray(b"x" * 20_000) for _ in range(6000)]
    pages = Pages()

    def write_all() -> int:
        touch(memory)
        pages.tell()
        return 0

    in_child(write_all)
    assert pages._told[:4] == b"\0\0\0\0"
