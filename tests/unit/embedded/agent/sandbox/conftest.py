"""What the tests of sandboxes share: a running ``Sandboxes`` and specifications of small containers."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from beamhall.embedded.agent.sandbox import Capabilities, ContainerSpec, Sandboxes, detect_capabilities

PATH = os.environ["PATH"]


@pytest.fixture(scope="session")
def capabilities() -> Capabilities:
    return detect_capabilities()


@pytest.fixture
async def sandboxes(capabilities: Capabilities) -> AsyncIterator[Sandboxes]:
    async with Sandboxes(capabilities=capabilities) as running:
        yield running
        for left in [s for s in running._watched if s.is_shim_alive]:  # by a test that failed
            await left.kill(0)


@pytest.fixture
def spec(tmp_path: Path) -> Callable[..., ContainerSpec]:
    """Make a specification; its ids are unique to this test's directory."""
    made = 0

    def make(*argv: str, **fields) -> ContainerSpec:
        nonlocal made
        made += 1
        name = f"c{made}"
        fields.setdefault("env", {"PATH": PATH})
        fields.setdefault("cwd", str(tmp_path))
        fields.setdefault("directory", tmp_path / name)
        return ContainerSpec(id=f"{tmp_path.name}-{os.getpid()}-{name}", argv=argv, **fields)

    return make


async def until(condition: Callable[[], object], limit_s: float = 20.0) -> None:
    """Wait for a condition that something outside this loop will fulfil."""
    async with asyncio.timeout(limit_s):
        while not condition():
            await asyncio.sleep(0.005)


def text_of(log: Path, stream: str = "stdout") -> str:
    """Put a log's text together again."""
    text = b""
    for line in log.read_bytes().splitlines():
        _, name, flag, rest = (*line.split(b" ", 3), b"")[:4]
        if name == stream.encode():
            text += rest + (b"\n" if flag == b"F" else b"")
    return text.decode()


def alive(pid: int) -> bool:
    """Tell whether a process is there and no zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


PYTHON = sys.executable
