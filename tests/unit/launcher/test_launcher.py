"""The launcher as a process, around real commands, with a real S3 server."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.s3_server import REGION, S3Server, s3_server

ROOT = "s3://lab/runs/1/train/0"


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        server.client().create_bucket(Bucket="lab")
        yield server


class Launcher:
    """Runs the launcher in a directory that stands for the root of the step's own."""

    def __init__(self, server: S3Server, place: Path) -> None:
        self.server = server
        self.place = place
        self.own = place / "s3/lab/runs/1/train/0"

    def environ(self, fetch: Sequence[tuple[str, str]] = (), root: str = ROOT, **told: Any) -> dict[str, str]:
        transfers = {"fetch": fetch, "store": [(str(self.own), root)]}
        store = {"scheme": "s3", "endpoint": self.server.url, "region": REGION, "retries": 1, "from": "Secret lab"}
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
            "AWS_EC2_METADATA_DISABLED": "true",
            "BEAMHALL_TRANSFERS": json.dumps(transfers),
            "BEAMHALL_STORES": json.dumps([{**store, **told}]),
            "BEAMHALL_STORE_0_KEY": self.server.key,
            "BEAMHALL_STORE_0_SECRET": self.server.secret,
            "OWN": str(self.own),
            "PYTHONPATH": "/nowhere",
        }

    def line(self, *command: str) -> list[str]:
        return [sys.executable, "-I", "-m", "beamhall.launcher", "--", *command]

    def run(self, *command: str, environ: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        environ = environ or self.environ()
        return subprocess.run(
            self.line(*command), env=environ, cwd=self.place, capture_output=True, text=True, check=False, timeout=60
        )

    def stored(self, prefix: str = "runs/1/train/0") -> dict[str, bytes]:
        client = self.server.client()
        found = client.list_objects_v2(Bucket="lab", Prefix=prefix + "/").get("Contents") or []
        return {
            one["Key"].removeprefix(prefix + "/"): client.get_object(Bucket="lab", Key=one["Key"])["Body"].read()
            for one in found
        }


@pytest.fixture
def launcher(s3: S3Server, tmp_path: Path) -> Launcher:
    client = s3.client()
    for one in client.list_objects_v2(Bucket="lab").get("Contents") or []:
        client.delete_object(Bucket="lab", Key=one["Key"])
    return Launcher(s3, tmp_path)


def test_inputs_are_fetched_and_outputs_are_stored(launcher: Launcher) -> None:
    client, place = launcher.server.client(), launcher.place
    client.put_object(Bucket="lab", Key="data/one", Body=b"1")
    client.put_object(Bucket="lab", Key="tree/a/b", Body=b"2")
    fetch = [("s3://lab/data/one", f"{place}/in/one"), ("s3://lab/tree", f"{place}/in/tree"),
             ("s3://lab/none", f"{place}/in/none"), ("https://127.0.0.1:9/x", "https://127.0.0.1:9/x")]  # fmt: skip
    script = """
        cat in/one in/tree/a/b > "$OWN/model"
        echo 0.5 > "$OWN/parameters/score"
        mkdir -p "$OWN/data/deep"; echo x > "$OWN/data/deep/file"
        echo '{"parameterValues": {"a": 1}}' > "$OWN/executor_output.json"
    """
    done = launcher.run("sh", "-ec", script, environ=launcher.environ(fetch))
    assert done.returncode == 0, done.stderr
    assert done.stderr == "beamhall: there is nothing at s3://lab/none; the step goes on without it\n"
    assert launcher.stored() == {
        "model": b"12", "parameters/score": b"0.5\n", "data/deep/file": b"x\n",
        "executor_output.json": b'{"parameterValues": {"a": 1}}\n',
    }  # fmt: skip


def test_the_command_runs_as_if_it_were_alone(launcher: Launcher) -> None:
    program = "import os, sys, json; print(json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ), sys.stdin.read()]))"
    environ = launcher.environ()
    done = subprocess.run(
        launcher.line(sys.executable, "-c", program, "--", "a b", ""), env=environ, cwd=launcher.place, input="typed",
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    arguments, cwd, env, stdin = json.loads(done.stdout)
    assert (arguments, cwd, stdin) == (["--", "a b", ""], str(launcher.place), "typed")
    hidden = {name for name in environ if name.startswith(("BEAMHALL_STORE", "BEAMHALL_TRANSFERS"))}
    assert {k: v for k, v in env.items() if k != "LC_CTYPE"} == {k: v for k, v in environ.items() if k not in hidden}
    assert launcher.server.secret not in done.stdout


@pytest.mark.parametrize(("script", "code"), [("exit 7", 7), ("kill -9 $$", 137)])
def test_a_step_that_fails_stores_nothing_and_its_exit_code_is_kept(launcher: Launcher, script: str, code: int) -> None:
    done = launcher.run("sh", "-c", f'echo x > "$OWN/model"; {script}')
    assert (done.returncode, done.stderr) == (code, "")
    assert launcher.stored() == {}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_signals_reach_the_command(launcher: Launcher, number: signal.Signals) -> None:
    program = (
        "import signal, sys, os\n"
        f"signal.signal({int(number)}, lambda *_: (open(os.environ['OWN'] + '/told', 'w').write('x'), os._exit(0)))\n"
        "print('ready', flush=True); signal.pause()"
    )
    line = launcher.line(sys.executable, "-c", program)
    with subprocess.Popen(
        line, env=launcher.environ(), cwd=launcher.place, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.wait(60) == 0
    assert launcher.stored() == {"told": b"x"}


def test_artifacts_elsewhere_are_stored_where_they_belong(launcher: Launcher) -> None:
    place = launcher.place
    told = {"artifacts": {
        "model": {"artifacts": [{"name": "m", "uri": f"{ROOT}/model", "custom_path": f"{place}/my/model"}]},
        "lost": {"artifacts": [{"name": "l", "uri": f"{ROOT}/lost", "custom_path": f"{place}/my/lost"}]},
        "odd": {"artifacts": [7, {"uri": "hf://model"}, {}]},
        "wrong": [],
    }}  # fmt: skip
    script = 'mkdir my; echo 1 > my/model; printf "%s" "$0" > "$OWN/executor_output.json"'
    done = launcher.run("sh", "-ec", script, json.dumps(told))
    assert done.returncode == 0, done.stderr
    assert done.stderr == f"beamhall: the step says that an artifact is at {place}/my/lost, where there is nothing\n"
    assert launcher.stored()["model"] == b"1\n"


def test_with_a_local_root_only_what_is_elsewhere_is_copied(launcher: Launcher) -> None:
    root = str(launcher.own)
    told = {"artifacts": {"model": {"artifacts": [{"uri": f"{root}/model", "custom_path": f"{launcher.place}/mine"}]}}}
    script = 'mkdir mine; echo 1 > mine/a; printf "%s" "$0" > "$OWN/executor_output.json"'
    done = launcher.run("sh", "-ec", script, json.dumps(told), environ=launcher.environ(root=root))
    assert (done.returncode, done.stderr) == (0, "")
    assert (launcher.own / "model/a").read_text() == "1\n"
    assert launcher.stored() == {}


@pytest.mark.parametrize(
    ("changed", "command", "words"),
    [
        ({}, ["none-such"], "cannot run 'none-such': No such file or directory"),
        ({"BEAMHALL_STORE_0_SECRET": ""}, ["true"], "there are no credentials for s3:// in Secret lab"),
        ({"BEAMHALL_STORE_0_SECRET": "wrong"}, ["touch", "x"], "cannot fetch an input: s3://lab/data: the store"),
        ({"BEAMHALL_TRANSFERS": "{"}, ["true"], "variable BEAMHALL_TRANSFERS or BEAMHALL_STORES does not"),
        ({"BEAMHALL_TRANSFERS": '{"fetch": [], "store": [["/proc/none", "s3://lab/x"]]}'}, ["true"],
         "cannot make /proc/none for the step's outputs: No such file or directory"),
        ({"BEAMHALL_TRANSFERS": '{"fetch": [["s3://nobucket/x", "/tmp/x"]], "store": []}'}, ["true"],
         "cannot fetch an input: s3://nobucket/x: there is no bucket 'nobucket'"),
        ({}, [], "usage: beamhall-launcher -- COMMAND"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_one_line(
    launcher: Launcher, changed: Mapping[str, str], command: Sequence[str], words: str
) -> None:
    environ = launcher.environ([("s3://lab/data", f"{launcher.place}/data")])
    launcher.server.client().put_object(Bucket="lab", Key="data", Body=b"1")
    done = launcher.run(*command, environ={**environ, **changed})
    assert done.returncode == 1
    assert done.stderr.startswith(f"beamhall: {words}")
    assert done.stderr.count("\n") == 1
    assert launcher.server.secret not in done.stderr
    assert not (launcher.place / "x").exists()


def test_a_store_that_refuses_fails_the_step(launcher: Launcher) -> None:
    environ = launcher.environ()
    environ["BEAMHALL_TRANSFERS"] = json.dumps({"fetch": [], "store": [[str(launcher.own), "s3://nobucket/x"]]})
    done = launcher.run("sh", "-c", 'echo x > "$OWN/model"', environ=environ)
    assert done.returncode == 1
    assert "beamhall: cannot store an output: s3://nobucket/x/model: there is no bucket 'nobucket'" in done.stderr


def test_it_loads_no_server_code() -> None:
    program = (
        "import sys, beamhall.launcher.launch\n"
        "print([m for m in sys.modules if m.startswith(('beamhall.', 'starlette', 'sqlalchemy', 'msgspec'))"
        " and not m.startswith(('beamhall.launcher', 'beamhall.storage', 'beamhall.kernel'))])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("when", "code", "held"),
    [("BEFORE", 0, "before"), ("AFTER", 3, "after"), ("ON_ERROR", 3, "after"), ("ON_ERROR", 0, ""), ("NEVER", 0, "")],
)
def test_a_step_is_held_until_somebody_lets_it_go_on(tmp_path: Path, when: str, code: int, held: str) -> None:
    environ = {**os.environ, "BEAMHALL_TRANSFERS": '{"fetch": [], "store": []}', f"ARGO_DEBUG_PAUSE_{when}": "true"}
    line = [sys.executable, "-I", "-m", "beamhall.launcher", "--", "sh", "-c", f"echo ran > ran; exit {code}"]
    with subprocess.Popen(line, env=environ, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        if held:
            told = process.stderr.readline()
            assert told.startswith(f"beamhall: paused {held} the step's command")
            assert (tmp_path / "ran").exists() is (held == "after")
            assert process.poll() is None
            Path(told.split()[-1]).touch()
        assert process.wait(30) == code
        if held:
            Path(told.split()[-1]).unlink()
    assert (tmp_path / "ran").exists()
