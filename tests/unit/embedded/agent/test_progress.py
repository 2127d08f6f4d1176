"""Progress: at most a line a period, and the newest is never lost."""

import asyncio
from contextlib import closing

from beamhall.embedded.agent.progress import Progress


async def test_the_first_line_comes_at_once_and_then_the_newest() -> None:
    said: list[str] = []
    newest = asyncio.Event()

    def say(line: str) -> None:
        said.append(line)
        if line == "c":
            newest.set()

    with closing(Progress(say, 0.01)) as progress:
        for line in ("a", "b", "c"):
            progress(line)
        assert said == ["a"]
        async with asyncio.timeout(5):
            await newest.wait()
    assert said == ["a", "c"]


async def test_nothing_is_said_after_the_end() -> None:
    said: list[str] = []
    with closing(Progress(said.append, 0.01)) as progress:
        progress("a")
        progress("b")
    later = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(0.05, later.set_result, None)
    await later
    assert said == ["a"]
