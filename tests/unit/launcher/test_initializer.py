"""What initializers of TrainJobs run, as a process, with a real S3 server and this machine's files."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.s3_server import REGION, S3Server, s3_server

_FILES = {"data/a.parquet": b"a", "data/deep/b.bin": b"b", "c.h5": b"c", "d.safetensors": b"d"}


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        server.client().create_bucket(Bucket="lab")
        for name, content in _FILES.items():
            server.client().put_object(Bucket="lab", Key=f"sets/one/{name}", Body=content)
        server.client().put_object(Bucket="lab", Key="sets/onemore", Body=b"another's")
        yield server


class Initializer:
    """Runs the program with a directory to fill."""

    def __init__(self, server: S3Server, place: Path) -> None:
        self.directory = place / "workspace/dataset"
        self.said = ""
        self._env = {
            "PATH": "/usr/bin:/bin",
            "ENDPOINT": server.url,
            "REGION": REGION,
            "ACCESS_KEY_ID": server.key,
            "SECRET_ACCESS_KEY": server.secret,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def run(self, kind: str = "dataset", **variables: str) -> int:
        command = [sys.executable, "-I", "-m", "beamhall.launcher.initializer", kind, str(self.directory)]
        env: Mapping[str, str] = {**self._env, **variables}
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)
        self.said = done.stdout + done.stderr
        return done.returncode

    def files(self) -> dict[str, bytes]:
        found = (path for path in self.directory.rglob("*") if path.is_file())
        return {str(path.relative_to(self.directory)): path.read_bytes() for path in found}


@pytest.fixture
def initializer(s3: S3Server, tmp_path: Path) -> Initializer:
    return Initializer(s3, tmp_path)


@pytest.mark.parametrize("uri", ["s3://lab/sets/one", "s3://lab/sets/one/"])
def test_a_dataset_comes_whole_from_s3_also_when_it_is_tried_again(initializer: Initializer, uri: str) -> None:
    for _ in range(2):
        assert initializer.run(STORAGE_URI=uri) == 0, initializer.said
        assert initializer.files() == _FILES
    assert initializer.said == f"4 files of {uri} in {initializer.directory}\n"


@pytest.mark.parametrize(
    ("kind", "patterns", "names"),
    [
        ("model", None, {"data/a.parquet", "d.safetensors"}),
        ("model", "", set(_FILES)),
        ("dataset", "data/*, *.h5", {"d.safetensors"}),
    ],
)
def test_files_that_are_not_wanted(initializer: Initializer, kind: str, patterns: str | None, names: set[str]) -> None:
    variables = {} if patterns is None else {"IGNORE_PATTERNS": patterns}
    assert initializer.run(kind, STORAGE_URI="s3://lab/sets/one", **variables) == 0, initializer.said
    assert initializer.files().keys() == names


def test_one_file(initializer: Initializer) -> None:
    assert initializer.run(STORAGE_URI="s3://lab/sets/one/c.h5") == 0, initializer.said
    assert initializer.files() == {"c.h5": b"c"}


@pytest.mark.parametrize("form", ["{}", "file://{}"])
def test_a_directory_of_this_machine(initializer: Initializer, tmp_path: Path, form: str) -> None:
    for name, content in _FILES.items():
        path = tmp_path / "own" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    for _ in range(2):
        assert initializer.run(STORAGE_URI=form.format(tmp_path / "own")) == 0, initializer.said
        assert initializer.files() == _FILES


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, "STORAGE_URI environment variable must be set"),
        ({"STORAGE_URI": "s3://lab/nothing"}, "there is nothing at s3://lab/nothing"),
        ({"STORAGE_URI": "s3://lab/sets/one", "SECRET_ACCESS_KEY": "wrong"}, "s3://lab/sets/one"),
        ({"STORAGE_URI": "s3://lab/sets/one", "ROLE_ARN": "arn"}, "ROLE_ARN is not served here; give ACCESS_KEY_ID"),
        ({"STORAGE_URI": "cache://schema/table"}, "the distributed data cache is not served here"),
        ({"STORAGE_URI": "gopher://host/set"}, "gopher:// is not served; use s3://"),
        ({"STORAGE_URI": "hf://"}, "hf:// names no repository; write hf://OWNER/NAME"),
        ({"STORAGE_URI": "hf://owner/name"}, "cannot run 'hf': No such file or directory"),
    ],
)
def test_what_cannot_be_fetched_is_said_in_a_line(
    initializer: Initializer, variables: dict[str, str], said: str
) -> None:
    assert initializer.run(**variables) == 1
    assert said in initializer.said
    assert (initializer.said.count("\n"), initializer.said.startswith("beamhall: ")) == (1, True)
    assert initializer.files() == {}


def test_a_place_that_cannot_be_made_says_what_to_mount(initializer: Initializer, tmp_path: Path) -> None:
    (tmp_path / "workspace").touch()
    assert initializer.run(STORAGE_URI="s3://lab/sets/one") == 1
    assert f"mount a volume at {tmp_path / 'workspace'} in the initializer" in initializer.said


def test_the_hub_is_asked_by_its_own_program(initializer: Initializer, tmp_path: Path) -> None:
    program = tmp_path / "bin/hf"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "$HF_TOKEN: $*"\nexit $HF_EXIT\n')
    program.chmod(0o755)
    told = {"PATH": f"{program.parent}{os.pathsep}/usr/bin:/bin", "ACCESS_TOKEN": "t", "HF_EXIT": "0"}
    assert initializer.run("model", STORAGE_URI="hf://owner/name/below", IGNORE_PATTERNS="*.bin,x", **told) == 0
    options = f"--repo-type model --local-dir {initializer.directory} --exclude *.bin --exclude x"
    assert initializer.said == f"t: download owner/name {options}\n"
    assert initializer.run(STORAGE_URI="hf://owner/name", **{**told, "HF_EXIT": "3"}) == 1
    assert "cannot download hf://owner/name: hf ended with 3" in initializer.said
    (initializer.directory / "half").touch()
    assert initializer.run("model", STORAGE_URI="hf://owner/name", **{**told, "HF_EXIT": "3"}) == 1
    assert initializer.said.startswith("t: models info owner/name\nbeamhall: "), "hf would take the half for the whole"
    assert initializer.run(STORAGE_URI="hf://owner/name", **told) == 0
    assert initializer.said.splitlines()[0] == "t: datasets info owner/name"
    assert initializer.said.splitlines()[1].startswith("t: download owner/name ")
