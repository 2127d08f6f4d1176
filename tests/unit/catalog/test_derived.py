"""Environments derived from others: made with the real uv, shared, pinned, and not made where the base has it all."""

import asyncio
import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from beamhall.catalog.catalog import Catalog
from beamhall.catalog.entries import Environment, derived
from beamhall.catalog.errors import EnvironmentFailed
from beamhall.catalog.installs import Install
from beamhall.catalog.preparation import MARKER, Preparation

Wheels = Callable[..., Path]
BASE = Environment("lab", requirements=("tiny==1.0",))


def say(_line: str) -> None:
    pass


def versions(prefix: Path, *names: str) -> list[str]:
    """Give the versions of modules in an environment; ``-`` for those that it has not."""
    program = "import importlib, sys\nfor n in sys.argv[1:]:\n  try: print(importlib.import_module(n).version)\n"
    program += "  except ImportError: print('-')\n"
    command = [str(prefix / "bin" / "python"), "-c", program, *names]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


@pytest.fixture
def preparation(tmp_path: Path, wheels: Wheels) -> Preparation:
    wheels("tiny")
    wheels("grand", requires="tiny>=1")
    wheels("odd", requires="absent==9")
    return Preparation(tmp_path / "environments")


async def test_what_is_on_top_is_installed_and_the_base_is_left_alone(preparation: Preparation, wheels: Wheels) -> None:
    wheels("tiny", "2.0")  # newer, and yet not taken: what is there is good enough
    more = derived(BASE, [Install(("grand",)), Install(("odd",), is_alone=True)])
    prefix = await preparation.make(more, say)
    assert versions(prefix, "tiny", "grand", "odd", "absent") == ["1.0", "1.0", "1.0", "-"]
    assert versions(preparation.prefix(BASE), "tiny", "grand") == ["1.0", "-"]
    newer = await preparation.make(derived(BASE, [Install(("tiny>=2",))]), say)
    assert versions(newer, "tiny") == ["2.0"]


async def test_where_the_base_has_it_all_nothing_is_made(preparation: Preparation) -> None:
    met = derived(BASE, [Install(("tiny>=1",)), Install(('odd; python_version<"3"', "tiny"), is_alone=True)])
    assert await preparation.make(met, say) == preparation.prefix(BASE) == preparation.prefix(met)
    assert preparation.is_ready(met)
    (preparation.prefix(BASE) / MARKER).unlink()  # as one that was half removed
    assert not preparation.is_ready(met)
    await preparation.make(met, say)
    assert versions(preparation.prefix(met), "tiny") == ["1.0"]


async def test_the_same_request_gives_the_same_versions_later(preparation: Preparation, wheels: Wheels) -> None:
    more = derived(BASE, [Install(("grand",))])
    prefix = await preparation.make(more, say)
    (pins,) = (prefix.parent / ".pins").iterdir()
    assert "grand==1.0" in pins.read_text()
    assert "--hash=sha256:" in pins.read_text()
    wheels("grand", "2.0")
    (prefix / MARKER).unlink()
    assert await preparation.make(more, say) == prefix
    assert versions(prefix, "grand") == ["1.0"]
    other = await preparation.make(derived(BASE, [Install(("grand>=1",))]), say)
    assert versions(other, "grand") == ["2.0"]


async def test_other_bytes_under_a_pinned_name_are_refused(preparation: Preparation, wheels: Wheels) -> None:
    more = derived(BASE, [Install(("grand",))])
    prefix = await preparation.make(more, say)
    (pins,) = (prefix.parent / ".pins").iterdir()
    pins.write_text(pins.read_text().replace("sha256:", "sha256:0000", 1)[:-5] + "\n")
    (prefix / MARKER).unlink()
    with pytest.raises(EnvironmentFailed, match="grand"):
        await preparation.make(more, say)
    assert not prefix.exists()


async def test_what_cannot_be_had_is_named_and_nothing_is_left(preparation: Preparation, wheels: Wheels) -> None:
    wrong = derived(BASE, [Install(("grand",)), Install(("missing==3",))])
    with pytest.raises(EnvironmentFailed, match="at requirement 'missing==3'"):
        await preparation.make(wrong, say)
    assert not preparation.prefix(wrong).exists()
    wheels("missing", "3")
    assert versions(await preparation.make(wrong, say), "missing") == ["3"]


SDK = {
    "kfp/__init__.py": "",
    "kfp/dsl/__init__.py": "",
    "kfp/dsl/executor_main.py": "def executor_main():\n    print('components are run')\n",
    "kfp/components/__init__.py": "",
}


async def test_a_newer_sdk_stands_in_for_one_that_cannot_be_had(preparation: Preparation, wheels: Wheels) -> None:
    """It is found by the name that the program had before 2.0 too."""
    wheels("kfp", "2.9.0", modules=SDK)
    said: list[str] = []
    old = derived(BASE, [Install(("kfp==2.0.0-beta.9", "grand"))])
    prefix = await preparation.make(old, said.append)
    assert "kfp==2.0.0-beta.9 cannot be had; a newer kfp stands in for it" in said
    assert versions(prefix, "grand") == ["1.0"]
    command = [str(prefix / "bin" / "python"), "-m", "kfp.components.executor_main"]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "components are run\n"
    for wanted in ("kfp==3.0.0", "kfp>=2.10", "kfp-server-api==2.0.0"):
        with pytest.raises(EnvironmentFailed):
            await preparation.make(derived(BASE, [Install((wanted,), is_alone=True)]), say)


OF_2_4 = """from typing import Optional

class Artifact:
    def __init__(self, uri):
        self.uri = uri

    def _get_path(self) -> Optional[str]:
        if self.uri.startswith('gs://'):
            return '/gcs/' + self.uri[len('gs://'):]
        return None

    def _set_path(self, path):
        return None
"""


async def test_old_sdks_know_artifacts_in_local_directories(preparation: Preparation, wheels: Wheels) -> None:
    modules = {
        f"kfp/{where}/types/artifact_types.py": "from typing import Optional\n" + OF_2_4 for where in ("dsl", "x")
    }
    wheels("kfp", "2.4.0", modules={**SDK, **modules})
    prefix = await preparation.make(derived(BASE, [Install(("kfp==2.4.0",), is_alone=True)]), say)
    program = """
from kfp.dsl.types.artifact_types import Artifact
from kfp.x.types import artifact_types
for each in (Artifact, artifact_types.Artifact):
    print(each("/local/a")._get_path(), each("gs://b/a")._get_path(), each("")._set_path(""))
"""
    command = [str(prefix / "bin" / "python"), "-c", program]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    assert told == ["/local/a /gcs/b/a None"] * 2


async def test_a_newer_sdk_stands_in_for_one_whose_packages_no_longer_build(
    preparation: Preparation, wheels: Wheels, tmp_path: Path
) -> None:
    """What an old package needs is known without a build: it is the install that fails. Who comes later follows."""
    wheels("kfp", "2.9.0", modules=SDK)
    directory = wheels("kfp", "2.0.1", requires="old==1.0").parent
    says = b"Metadata-Version: 2.2\nName: old\nVersion: 1.0\n"
    backend = b'[build-system]\nrequires = []\nbuild-backend = "gone"\nbackend-path = ["."]\n'
    with tarfile.open(directory / "old-1.0.tar.gz", "w:gz") as archive:
        for name, content in (("PKG-INFO", says), ("pyproject.toml", backend)):
            entry = tarfile.TarInfo(f"old-1.0/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    said: list[str] = []
    old = derived(BASE, [Install(("kfp==2.0.1",))])
    for _ in range(2):
        prefix = await preparation.make(old, said.append)
        assert len(list(prefix.glob("lib/python3*/site-packages/kfp-2.9.0.dist-info"))) == 1
        shutil.rmtree(prefix)
    assert said.count("old==1.0 cannot be had; a newer kfp stands in for it") == 1
    assert said.count("resolving kfp==2.0.1") == 1
    assert not list(tmp_path.rglob("*.instead"))


async def test_the_failure_is_that_of_what_was_asked_for(preparation: Preparation) -> None:
    with pytest.raises(EnvironmentFailed, match=r"at requirement 'kfp==2\.14\.0'"):
        await preparation.make(derived(BASE, [Install(("kfp==2.14.0",), is_alone=True)]), say)


async def test_many_who_ask_get_one(preparation: Preparation) -> None:
    lines: list[str] = []
    same = [derived(BASE, [Install(r)]) for r in (("grand", "odd"), ("odd", "Grand"))]
    wanted = [Install(("odd",), is_alone=True)]
    async with asyncio.TaskGroup() as tasks:
        made = [tasks.create_task(preparation.make(derived(BASE, wanted), lines.append)) for _ in range(4)]
    assert len({task.result() for task in made}) == 1
    assert same[0].identity == same[1].identity
    assert sum("making environment" in line for line in set(lines)) == 2  # the base and this one


PROGRAM = """
import asyncio, sys
from pathlib import Path
from beamhall.catalog.entries import Environment, derived
from beamhall.catalog.installs import Install
from beamhall.catalog.preparation import Preparation

wanted = derived(Environment("lab", requirements=("tiny==1.0",)), [Install(("grand",))])
asyncio.run(Preparation(Path(sys.argv[1])).make(wanted, lambda line: print(line, flush=True)))
"""


async def test_who_was_killed_in_the_middle_leaves_nothing_wrong(preparation: Preparation, tmp_path: Path) -> None:
    more = derived(BASE, [Install(("grand",))])
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "environments")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if "resolving grand" in line:
            break
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert not preparation.is_ready(more)
    assert versions(await preparation.make(more, say), "tiny", "grand") == ["1.0", "1.0"]


async def test_the_catalog_gives_an_image_with_more(tmp_path: Path, preparation: Preparation) -> None:
    file = tmp_path / "images.yaml"
    file.write_text(
        "environments: {lab: {requirements: [tiny==1.0], warm: [tiny]}}\nimages: [{image: a/b, environment: lab}]\n"
    )
    catalog = Catalog(tmp_path, [file])
    image = catalog.find("a/b")
    more = catalog.with_installs(image, (Install(("grand",)),))
    assert catalog.is_ready(more) is None
    prepared = await catalog.prepare(more, say)
    assert prepared.environment == "lab with grand"
    assert (prepared.image.installs, prepared.warm) == ((Install(("grand",)),), ("tiny",))
    assert prepared == catalog.is_ready(more)
    assert catalog.is_ready(image) is not None
    assert catalog.with_installs(image, ()) == image
