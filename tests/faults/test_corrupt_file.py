"""A damaged database, noticed at the start or only later: said with the mend, and never a traceback."""

from collections.abc import Callable
from pathlib import Path

import pytest

from beamhall.app.checks import run_checks
from beamhall.app.settings import load_settings
from beamhall.embedded.store import formats
from beamhall.embedded.store.formats import inspect
from beamhall.embedded.store.store import Store
from beamhall.embedded.store.tables import StoreUnusable
from beamhall.kernel.errors import InternalError


@pytest.fixture
async def whole(tmp_path: Path) -> Path:
    """Give a store with some objects."""
    path = tmp_path / "objects.db"
    store = await Store.open(path)
    for number in range(300):
        await store.create("pods", {"metadata": {"name": f"p{number}", "namespace": "a"}, "spec": "x" * 500})
    await store.close()
    return path


@pytest.fixture
def file(whole: Path, corrupt_file: Callable[[Path], None]) -> Path:
    """Give a damaged store."""
    corrupt_file(whole)
    return whole


async def test_it_is_refused_at_the_start(file: Path) -> None:
    with pytest.raises(StoreUnusable, match="beamhall restore FILE --force"):
        await Store.open(file)


async def test_so_is_a_large_one_that_is_not_read_whole(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "CHECK_AT_OPEN_BYTES", 0)
    with pytest.raises(InternalError, match="beamhall restore FILE --force"):
        await Store.open(file)


def test_doctor_says_it(file: Path) -> None:
    assert inspect(file).problems
    (found,) = (finding for finding in run_checks(load_settings({"data": file.parent})) if finding.level == "bad")
    assert found.subject == "object store"
    assert f"{file} is damaged" in found.said
    assert "beamhall restore FILE --force" in found.mend


async def test_damage_that_is_met_later_is_an_error_with_the_mend(
    whole: Path, corrupt_file: Callable[[Path], None]
) -> None:
    store = await Store.open(whole)
    corrupt_file(whole)
    with pytest.raises(InternalError, match=r"the object store is damaged .*beamhall restore FILE --force"):
        store.list("pods")
    with pytest.raises(InternalError, match="the object store is damaged"):
        await store.update("pods", {"metadata": {"name": "p7", "namespace": "a"}}, expected=None)
    await store.close()
