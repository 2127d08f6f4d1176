"""Making environments with the real uv, from tiny wheels: once, whole or not at all."""

import asyncio
import fcntl
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from beamhall.catalog import filling
from beamhall.catalog.catalog import Catalog
from beamhall.catalog.entries import Environment
from beamhall.catalog.errors import EnvironmentFailed
from beamhall.catalog.installer import Outcome, run_uv
from beamhall.catalog.preparation import MARKER, Preparation

Wheels = Callable[..., Path]

PROGRAM = """
import asyncio, sys
from pathlib import Path
from beamhall.catalog.entries import Environment
from beamhall.catalog.preparation import Preparation

def say(line):
    print(line, flush=True)

environment = Environment("lab", requirements=("tiny==1.0",))
print("at", asyncio.run(Preparation(Path(sys.argv[1])).make(environment, say)), flush=True)
"""
TINY = Environment("lab", requirements=("tiny==1.0",))


@pytest.fixture
def directory(tmp_path: Path, wheels: Wheels) -> Path:
    """Give the directory of environments, with a wheel ``tiny`` 1.0 to be found."""
    wheels("tiny")
    return tmp_path / "environments"


@pytest.fixture
def silent_index(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give uv an index that takes connections and never answers, so that it is in the middle for ever."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.delenv("PIP_NO_INDEX")
        monkeypatch.setenv("UV_DEFAULT_INDEX", f"http://127.0.0.1:{server.getsockname()[1]}/simple")
        monkeypatch.setenv("UV_HTTP_TIMEOUT", "600")
        yield


def use_wheels_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the index away again."""
    monkeypatch.delenv("UV_DEFAULT_INDEX")
    monkeypatch.setenv("PIP_NO_INDEX", "1")


def start(directory: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", PROGRAM, str(directory)], stdout=subprocess.PIPE, text=True)


def leftovers(directory: Path) -> list[str]:
    return sorted(p.name for p in directory.iterdir() if p.name != ".locks")


def version_of(prefix: Path) -> str:
    return run_python(prefix, "import tiny; print(tiny.version)")


def run_python(prefix: Path, code: str) -> str:
    command = [str(prefix / "bin" / "python"), "-c", code]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


async def test_an_environment_is_made_and_then_only_found(directory: Path) -> None:
    maker, said = Preparation(directory), list[str]()
    assert not maker.is_ready(TINY)
    prefix = await maker.make(TINY, said.append)
    assert list((prefix / "lib").rglob("__pycache__/tiny.*.pyc"))
    assert version_of(prefix) == "1.0"
    assert maker.is_ready(TINY)
    assert said[:2] == ["making environment lab", "resolving"]
    assert "resolved 1 package" in said
    assert said[-1].startswith("environment lab is ready after ")
    said.clear()
    assert await Preparation(directory).make(TINY, said.append) == prefix
    assert said == []


async def test_the_catalog_gives_what_a_program_needs(tmp_path: Path, wheels: Wheels) -> None:
    wheels("tiny")
    data = tmp_path / "data"
    data.mkdir()
    (data / "images.yaml").write_text(
        "images:\n  - {image: lab/*, environment: lab, env: {B: image, C: image}, workdir: /w, command: [python3]}\n"
        "environments:\n  lab: {requirements: [tiny], env: {A: environment, B: environment}, warm: [tiny]}\n"
    )
    catalog = Catalog.load(data)
    image = catalog.find("lab/app:v1")
    assert catalog.is_ready(image) is None
    prepared = await catalog.prepare(image, lambda _: None)
    assert catalog.is_ready(image) == prepared
    assert prepared.python == prepared.bin / "python" == prepared.prefix / "bin" / "python"
    assert version_of(prepared.prefix) == "1.0"
    own = {"VIRTUAL_ENV": str(prepared.prefix), "PYTHONNOUSERSITE": "1"}
    assert prepared.env == {**own, "A": "environment", "B": "image", "C": "image"}
    assert (prepared.workdir, prepared.entrypoint, prepared.command) == ("/w", (), ("python3",))
    assert (prepared.environment, prepared.warm, prepared.image) == ("lab", ("tiny",), image)


async def test_many_callers_in_one_process_make_it_once_and_all_hear_of_it(directory: Path) -> None:
    maker, said = Preparation(directory), [list[str]() for _ in range(4)]
    async with asyncio.TaskGroup() as tasks:
        made = [tasks.create_task(maker.make(TINY, lines.append)) for lines in said]
    assert len({task.result() for task in made}) == 1
    assert [lines.count("resolved 1 package") for lines in said] == [1, 1, 1, 1]
    assert not any("waiting" in line for lines in said for line in lines)


def test_two_processes_make_it_once(directory: Path) -> None:
    outputs = [process.communicate(timeout=60)[0] for process in [start(directory), start(directory)]]
    assert sum(output.count("making environment lab") for output in outputs) == 1
    places = {output.splitlines()[-1] for output in outputs}
    assert places == {f"at {directory / TINY.identity}"}


async def test_a_cancelled_one_leaves_nothing_and_can_be_asked_for_again(
    directory: Path, silent_index: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    maker, is_resolving = Preparation(directory), asyncio.Event()

    def listen(line: str) -> None:
        if line == "resolving":
            is_resolving.set()

    async with asyncio.TaskGroup() as tasks:
        making = tasks.create_task(maker.make(TINY, listen))
        await asyncio.wait_for(is_resolving.wait(), 30)
        making.cancel()
    assert making.cancelled()
    assert leftovers(directory) == []
    use_wheels_alone(monkeypatch)
    assert version_of(await maker.make(TINY, lambda _: None)) == "1.0"


async def test_one_whose_process_was_killed_is_made_anew(
    directory: Path, silent_index: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = start(directory)
    assert process.stdout is not None
    assert "resolving\n" in iter(process.stdout.readline, "")
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=30)
    process.stdout.close()
    assert leftovers(directory) == [TINY.identity]
    assert not Preparation(directory).is_ready(TINY)
    use_wheels_alone(monkeypatch)
    async with asyncio.timeout(60):  # the killed one's uv ends by itself, and its lock with it
        prefix = await Preparation(directory).make(TINY, lambda _: None)
    assert version_of(prefix) == "1.0"


async def test_uv_holds_the_lock_too(tmp_path: Path) -> None:
    said = list[str]()
    with (tmp_path / "lock").open("w") as lock:
        descriptor = fcntl.fcntl(lock.fileno(), fcntl.F_DUPFD_CLOEXEC, 10)
        command = ["/bin/sh", "-c", f"readlink /proc/self/fd/{descriptor}; exit 3"]
        outcome = await run_uv(command, dict(os.environ), descriptor, said.append)
        os.close(descriptor)
    assert outcome.exit_code == 3
    assert said == list(outcome.lines) == [str(tmp_path / "lock")]


async def test_a_leftover_without_a_marker_is_cleared(directory: Path) -> None:
    prefix = directory / TINY.identity
    (prefix / "bin").mkdir(parents=True)
    (prefix / "bin" / "half").write_text("made")
    await Preparation(directory).make(TINY, lambda _: None)
    assert not (prefix / "bin" / "half").exists()


async def test_one_whose_interpreter_is_gone_is_made_anew(directory: Path) -> None:
    maker = Preparation(directory)
    prefix = await maker.make(TINY, lambda _: None)
    (prefix / "bin" / "python").unlink()
    (prefix / "bin" / "python").symlink_to("/no/such/python")
    assert not maker.is_ready(TINY)
    assert version_of(await maker.make(TINY, lambda _: None)) == "1.0"


async def test_a_failure_names_the_requirement_and_a_retry_works(directory: Path, wheels: Wheels) -> None:
    environment = Environment("lab", requirements=("tiny==1.0", "absent==2.0  # not there yet"))
    maker = Preparation(directory)
    with pytest.raises(EnvironmentFailed) as caught:
        await maker.make(environment, lambda _: None)
    assert caught.value.requirement == "absent==2.0"
    assert str(caught.value).startswith("environment 'lab' could not be made at requirement 'absent==2.0': ")
    assert any("No solution found" in line for line in caught.value.output)
    assert leftovers(directory) == []
    wheels("absent", "2.0")
    assert (await maker.make(environment, lambda _: None) / MARKER).exists()


async def test_what_a_requirement_needs_is_named_where_it_is_missing(directory: Path, wheels: Wheels) -> None:
    wheels("outer", "1.0", requires="inner>=3")
    with pytest.raises(EnvironmentFailed) as caught:
        await Preparation(directory).make(Environment("lab", requirements=("outer",)), lambda _: None)
    assert "inner" in caught.value.requirement
    assert "outer" in str(caught.value)


async def test_a_wrong_hash_is_refused(directory: Path) -> None:
    environment = Environment("lab", requirements=("tiny==1.0 \\", f"    --hash=sha256:{'0' * 64}"))
    with pytest.raises(EnvironmentFailed, match=r"at requirement 'tiny==1\.0'"):
        await Preparation(directory).make(environment, lambda _: None)
    assert leftovers(directory) == []


async def test_a_missing_interpreter_is_said_with_the_mend(directory: Path) -> None:
    environment = Environment("lab", python="3.99", source="/lab/images.yaml")
    with pytest.raises(EnvironmentFailed) as caught:
        await Preparation(directory).make(environment, lambda _: None)
    assert caught.value.requirement == "python 3.99"
    assert "install Python 3.99, or change 'python' in /lab/images.yaml" in str(caught.value)


async def test_a_directory_that_cannot_be_written_is_said(tmp_path: Path, wheels: Wheels) -> None:
    (tmp_path / "environments").write_text("a file in the way")
    with pytest.raises(EnvironmentFailed, match="environments"):
        await Preparation(tmp_path / "environments").make(TINY, lambda _: None)


async def test_an_environment_without_pins_is_python_alone(directory: Path) -> None:
    prefix = await Preparation(directory).make(Environment("plain"), lambda _: None)
    printed = run_python(prefix, "import sys; print(sys.version_info[:2], sys.prefix)")
    assert printed == f"{sys.version_info[:2]} {prefix}"


@pytest.mark.parametrize("has_wheel", [True, False])
async def test_torch_comes_from_a_wheel_at_hand_else_from_the_wanted_builds(
    directory: Path, wheels: Wheels, monkeypatch: pytest.MonkeyPatch, *, has_wheel: bool
) -> None:
    commands: list[str] = []

    async def record(command: Sequence[str], env: Mapping[str, str], lock: int, say: Callable[[str], None]) -> Outcome:
        commands.append(" ".join(command))
        return await run_uv(command, env, lock, say)

    monkeypatch.setattr(filling, "run_uv", record)
    if has_wheel:
        wheels("torch", "2.13.0+cpu")
    made = Preparation(directory).make(
        Environment("pytorch", requirements=("torch==2.13.0",), torch_backend="cpu"), lambda _: None
    )
    if has_wheel:
        assert list((await made / "lib").rglob("torch.py"))
    else:
        with pytest.raises(EnvironmentFailed, match=r"at requirement 'torch==2\.13\.0'"):
            await made
    assert ("--torch-backend cpu" in commands[-1]) is not has_wheel
