"""A store whose process is killed at any moment holds every write that was acknowledged, and its log has no gap."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from beamhall.embedded.store.lock import StoreLocked
from beamhall.embedded.store.store import Store

PROGRAM = Path(__file__).parents[1] / "programs" / "store_writer.py"
KEYS = 8


def write_until_killed(database: Path, lines: int) -> dict[str, tuple[int, int]]:
    """Run the writer, kill it after so many lines; give number and revision of each key's last acknowledged write."""
    acknowledged: dict[str, tuple[int, int]] = {}
    command = [sys.executable, str(PROGRAM), str(database), str(KEYS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for count, line in enumerate(process.stdout):
            if count == lines:
                process.kill()
            if line.endswith("\n"):
                key, number, revision = line.split()
                acknowledged[key] = (int(number), int(revision))
    return acknowledged


@pytest.mark.parametrize("seed", [1, 2])
async def test_acknowledged_writes_survive_a_kill(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    database = tmp_path / "objects.db"
    last_revision = 0
    for _ in range(3):
        acknowledged = write_until_killed(database, chance.randint(1, 1500))
        assert acknowledged
        store = await Store.open(database)
        for key, (number, revision) in acknowledged.items():
            obj = store.get("counters", "a", key)
            assert obj is not None
            there = (obj["spec"], int(obj["metadata"]["resourceVersion"]))
            assert there >= (number, revision)
            assert there[0] <= number + 1  # at most the one write that was under way came after
        assert store.revision >= max(revision for _, revision in acknowledged.values()) > last_revision
        last_revision = store.revision
        with store.watch("counters", since=1) as changes:
            revisions: list[int] = []
            while not revisions or revisions[-1] < last_revision:
                revisions += [change.revision for change in await changes.batch()]
        assert revisions == list(range(2, last_revision + 1))
        await store.close()


async def test_every_commit_is_synced(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "objects.db")
    assert store._writer._connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert store._writer._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    await store.close()


async def test_another_process_is_named_and_its_end_frees_the_store(tmp_path: Path) -> None:
    """The lock is held by a living process only: one that was killed leaves its file, and nobody behind it."""
    database = tmp_path / "objects.db"
    command = [sys.executable, str(PROGRAM), str(database), str(KEYS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()  # it writes, so it holds the lock
        with pytest.raises(StoreLocked, match=rf"in use by another Beamhall \(process {process.pid}\); stop that one"):
            await Store.open(database)
        process.kill()
        process.wait()
    assert database.with_name("objects.db.lock").read_text() == f"{process.pid}\n"
    store = await Store.open(database)
    assert store.count("counters") > 0
    await store.close()
