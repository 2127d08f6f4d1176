"""Writes to a store as fast as it can, and says each acknowledged write on a line; to be killed.

Arguments: the database, the number of keys. Lines: key, number, revision. Each key counts up.
"""

import asyncio
import sys
from pathlib import Path

from beamhall.embedded.store.store import Store


async def main() -> None:
    store = await Store.open(Path(sys.argv[1]))

    async def count(key: str) -> None:
        while True:
            old = store.get("counters", "a", key)
            number = 0 if old is None else old["spec"] + 1
            new = {"metadata": {"name": key, "namespace": "a"}, "spec": number}
            if old is None:
                made = await store.create("counters", new)
            else:
                made = await store.update("counters", new, expected=int(old["metadata"]["resourceVersion"]))
            print(key, number, made["metadata"]["resourceVersion"], flush=True)

    async with asyncio.TaskGroup() as group:
        for number in range(int(sys.argv[2])):
            group.create_task(count(f"k{number}"))


asyncio.run(main())
