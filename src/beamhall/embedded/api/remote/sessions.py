"""Side by side, until the first has ended: how every session with a client runs."""

import asyncio
from collections.abc import Coroutine
from typing import Any


async def until_first(*parts: Coroutine[Any, Any, object]) -> None:
    """Run these until one of them has ended; the others are cancelled then, and waited for."""
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(part) for part in parts]
        await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for task in running:
            task.cancel()
