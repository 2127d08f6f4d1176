"""``beamhall train`` and ``beamhall jobs`` as a user runs them, on a real service; and the API that they call."""

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.service import ServiceProcess, wait_for

_SCRIPT = """
import json, os, sys, time
rank, n = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
kept = os.path.join(os.environ["CHECKPOINT_DIR"], f"step-{rank}")
start = int(open(kept).read()) if os.path.exists(kept) else 0
print(f"rank {rank} of {n} begins after step {start} with {sys.argv[1:]}", flush=True)
steps, pause_s, fails_at = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
for step in range(start + 1, steps + 1):
    time.sleep(pause_s)
    with open(kept + ".new", "w") as file:
        file.write(str(step))
    os.replace(kept + ".new", kept)
    if rank == 0:
        print(json.dumps({"step": step, "steps": steps, "loss": 1 / step}), flush=True)
    if rank == 1 and step == fails_at:
        sys.exit("worker 1 has had enough")
print(f"rank {rank} is done", flush=True)
done = [os.path.join(os.environ["CHECKPOINT_DIR"], f"done-{each}") for each in range(n)]
open(done[rank], "w").close()
while rank == 0 and not all(os.path.exists(each) for each in done):
    time.sleep(0.05)  # the job ends with rank 0, and the others' output with the job
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """Give a running service."""
    running = ServiceProcess(tmp_path_factory.mktemp("train") / "data", "--stop-pods")
    running.start()
    yield running
    running.stop()


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """Give a script: ``steps pause_s fails_at``."""
    file = tmp_path / "steps.py"
    file.write_text(_SCRIPT)
    return file


class Beamhall:
    """The command, on a service."""

    def __init__(self, service: ServiceProcess) -> None:
        self.data = service.data
        self._service = service

    def arguments(self, *args: str) -> list[str]:
        return [sys.executable, "-m", "beamhall", *args]

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "BEAMHALL_DATA": str(self.data)}

    def run(self, *args: str, code: int = 0) -> str:
        done = subprocess.run(
            self.arguments(*args), env=self.environment, capture_output=True, text=True, timeout=90, check=False
        )
        assert done.returncode == code, f"{args}: {done.stdout}\n{done.stderr}\n{self._service.log.read_text()[-3000:]}"
        return done.stdout + done.stderr

    def get(self, path: str, **query: str) -> httpx2.Response:
        return httpx2.get(
            self._service.url + path,
            params=query,
            headers={"authorization": f"Bearer {self._service.token}"},
            trust_env=False,
            timeout=60,
        )

    def job(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"/api/jobs/default/pytorchjob/{name}").json()
        return found


@pytest.fixture
def beamhall(service: ServiceProcess) -> Beamhall:
    """Give the command."""
    return Beamhall(service)


def test_a_script_is_run_by_workers_that_know_their_places_and_followed_to_its_end(
    beamhall: Beamhall, script: Path
) -> None:
    said = beamhall.run("train", str(script), "--workers", "3", "--name", "first", "--", "2", "0", "-1")
    assert "imports no framework" in said
    assert "pytorchjob/first: 3 x python" in said
    for replica, rank in (("master-0", 0), ("worker-0", 1), ("worker-1", 2)):
        assert f"{replica} | rank {rank} of 3 begins after step 0 with ['2', '0', '-1']" in said
        assert f"{replica} | rank {rank} is done" in said
    assert 'master-0 | {"step": 2, "steps": 2, "loss": 0.5}' in said
    assert "the job succeeded" in said
    progress = wait_for("the figures in the status", lambda: beamhall.job("first").get("progress") or {})
    assert progress["progressPercentage"] == 100
    assert {"name": "loss", "value": "0.5"} in progress["metrics"]
    row = next(line for line in beamhall.run("jobs", "list").splitlines() if "/first" in line)
    assert row.split()[:3] == ["pytorchjob/first", "Succeeded", "3"]
    assert "step 2, steps 2, loss 0.5, 100 %" in row
    assert "has ended already: Succeeded" in beamhall.run("jobs", "stop", "first", code=1)
    shown = beamhall.run("jobs", "show", "first")
    for part in ("PyTorchJobSucceeded", "first-worker-1", "Completed", "SuccessfulCreatePod", "progress: step 2"):
        assert part in shown


def test_a_failure_ends_the_command_with_1_and_the_last_lines_of_the_worker(beamhall: Beamhall, script: Path) -> None:
    said = beamhall.run("train", str(script), "--workers", "2", "--name", "second", "--", "300", "0.1", "2", code=1)
    assert "the job failed: PyTorchJob second is failed because 1 Worker replica(s) failed." in said
    after = said[said.index("the job failed") :]
    assert "worker-0 ended with exit code 1; the end of its log:" in after
    assert "worker-0 | worker 1 has had enough" in after
    again = beamhall.run("train", str(script), "--name", "second", "--", "3", "0", "0", code=1)
    assert "there is a job of the name second already" in again
    assert "beamhall jobs delete pytorchjob/second" in again


def test_the_next_job_of_a_name_goes_on_from_the_checkpoints_until_they_are_deleted(
    beamhall: Beamhall, script: Path
) -> None:
    arguments = ("train", str(script), "--name", "again", "--")
    beamhall.run(*arguments, "2", "0", "0")
    beamhall.run("jobs", "delete", "again")
    said = beamhall.run(*arguments, "3", "0", "0")
    assert "an earlier again left checkpoints" in said
    assert "begins after step 2" in said
    beamhall.run("jobs", "delete", "again", "--checkpoints")
    assert "begins after step 0" in beamhall.run(*arguments, "1", "0", "0")


def test_a_worker_that_is_killed_starts_again_from_its_checkpoint(
    beamhall: Beamhall, service: ServiceProcess, script: Path
) -> None:
    name = "killed"
    beamhall.run("train", str(script), "--workers", "2", "--name", name, "--no-wait", "--", "40", "0.1", "0")
    said: list[str] = []

    def follow() -> None:
        said.append(beamhall.run("jobs", "logs", "-f", name))

    following = threading.Thread(target=follow)
    following.start()
    wait_for("some steps", lambda: '"step": 3,' in beamhall.run("jobs", "logs", name))
    uid = next(pod["uid"] for pod in beamhall.job(name)["pods"] if pod["replica"] == "worker-0")
    marker = f"BEAMHALL_SANDBOX={uid}.".encode()
    for pid in service.processes():
        with contextlib.suppress(OSError):  # it ended with another
            if marker in Path(f"/proc/{pid}/environ").read_bytes():
                os.kill(pid, signal.SIGKILL)
    following.join(60)
    assert said, "the log was followed to the job's end"
    begun = [line for line in said[0].splitlines() if "worker-0 | rank 1 of 2 begins" in line]
    assert len(begun) == 2, said[0]
    assert "after step 0 " in begun[0]
    assert "after step 0 " not in begun[1]
    assert "worker-0 | rank 1 is done" in said[0]
    assert beamhall.job(name)["state"] == "Succeeded"


def test_on_a_terminal_a_line_below_the_log_says_how_it_is(beamhall: Beamhall, script: Path) -> None:
    ours, theirs = pty.openpty()
    command = beamhall.arguments("train", str(script), "--name", "seen", "--", "8", "0.5", "0")
    with subprocess.Popen(command, env=beamhall.environment, stdout=theirs, stderr=theirs) as following:
        os.close(theirs)
        seen = b""
        with contextlib.suppress(OSError):  # what reading gives when the other end is closed
            while piece := os.read(ours, 65536):
                seen += piece
        assert following.wait(30) == 0
    os.close(ours)
    assert b"seen: Running, 1/1 running" in seen
    assert b"\x1b[J" in seen, "it is drawn anew"
    assert b'master-0 | {"step": 8, "steps": 8, "loss": 0.125}' in seen


def test_a_job_is_stopped_and_resumed_and_ctrl_c_only_stops_following(beamhall: Beamhall, script: Path) -> None:
    arguments = beamhall.arguments("train", str(script), "--name", "long", "--", "400", "0.1", "0")
    with subprocess.Popen(
        arguments, env=beamhall.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as following:
        assert following.stdout is not None
        assert any('"step": 2,' in line for line in following.stdout)
        following.send_signal(signal.SIGINT)
        said, _ = following.communicate(timeout=30)
        assert following.returncode == 130
    assert "the job goes on; `beamhall jobs logs -f pytorchjob/long` follows it" in said
    assert beamhall.job("long")["state"] == "Running"
    assert "beamhall jobs resume pytorchjob/long" in beamhall.run("jobs", "stop", "long")
    wait_for("its Pods to go", lambda: not beamhall.job("long")["pods"])
    assert beamhall.job("long")["state"] == "Suspended"
    beamhall.run("jobs", "resume", "pytorchjob/long")
    wait_for("it to go on", lambda: "begins after step 0" not in beamhall.get(
        "/api/jobs/default/pytorchjob/long:logs").text and beamhall.job("long")["state"] == "Running")  # fmt: skip
    assert "pytorchjob/long is deleted" in beamhall.run("jobs", "delete", "long")
    assert "there is no training job 'long'" in beamhall.run("jobs", "show", "long", code=1)


def test_files_go_along_and_what_is_too_large_is_refused(beamhall: Beamhall, tmp_path: Path) -> None:
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg/tool.py").write_text("def greet(): return 'hello from a package'")
    (tmp_path / "words.txt").write_bytes(b"\xffbytes")
    script = tmp_path / "uses.py"
    script.write_text(
        "import os; from pkg.tool import greet\n"
        "print(greet(), open('words.txt', 'rb').read(), os.environ['GREETING'])\n"
        "open('written.txt', 'w').write('here too')\n"
    )
    include = ["--include", str(tmp_path / "pkg"), "--include", str(tmp_path / "words.txt")]
    said = beamhall.run("train", str(script), *include, "--env", "GREETING=good day", "-n", "team-a")
    assert "hello from a package b'\\xffbytes' good day" in said
    (tmp_path / "large.bin").write_bytes(bytes(2 << 20))
    said = beamhall.run("train", str(script), "--include", str(tmp_path / "large.bin"), code=1)
    assert "large.bin (2.0 MiB)" in said
    assert "beamhall images add" in said
    (tmp_path / "wrong.py").write_text("x = = 1")
    assert "wrong.py, line 1: invalid syntax" in beamhall.run("train", str(tmp_path / "wrong.py"), code=1)


def test_logs_are_in_the_order_of_time_and_events_tell_everything(beamhall: Beamhall, script: Path) -> None:
    beamhall.run("train", str(script), "--workers", "2", "--name", "order", "--no-wait", "--", "4", "0.1", "0")
    path = "/api/jobs/default/pytorchjob/order"
    stream = beamhall.get(f"{path}:events", logs="true")
    assert stream.headers["content-type"].startswith("text/event-stream")
    events = [json.loads(line[6:]) for line in stream.text.splitlines() if line.startswith("data: ")]
    assert events[-1]["event"] == "job"
    assert events[-1]["state"] == "Succeeded"
    assert {event["event"] for event in events} == {"job", "pod", "event", "log"}
    last = {event["replica"]: event["phase"] for event in events if event["event"] == "pod"}
    assert last["master-0"] == "Succeeded"
    lines = [line for event in events if event["event"] == "log" for line in event["lines"]]
    assert sorted(lines) == sorted(line.partition(" | ")[2] for line in beamhall.get(f"{path}:logs").text.splitlines())
    log = [line for line in beamhall.run("jobs", "logs", "order").splitlines() if line.startswith("master-0")]
    assert log[0].startswith("master-0 | rank 0 of 2 begins")
    assert log[-1] == "master-0 | rank 0 is done"
    tail = beamhall.get(f"{path}:logs", tail="1").text.splitlines()
    assert sorted(tail) == ["master-0 | rank 0 is done", "worker-0 | rank 1 is done"]
    assert beamhall.get(f"{path}:logs", tail="x").json() == {
        "error": "tail: 'x' is no number of lines", "reason": "BadRequest", "code": 400,
    }  # fmt: skip
    unknown = beamhall.get("/api/jobs/default/deployment/x")
    assert unknown.status_code == 404
    assert "is no kind of training job" in unknown.json()["error"]


def test_who_may_not_see_a_job_sees_nothing_of_it(beamhall: Beamhall, service: ServiceProcess, script: Path) -> None:
    beamhall.run("train", str(script), "--name", "private", "--", "1", "0", "0")
    kubeconfig = beamhall.run("kubeconfig", "--user", "jo")
    token = kubeconfig[kubeconfig.index("token: ") + 7 :].split()[0]
    headers = {"authorization": f"Bearer {token}"}
    one = "/api/jobs/default/pytorchjob/private"

    def answer(path: str) -> int:
        return httpx2.get(service.url + path, headers=headers, trust_env=False).status_code

    paths = (one, f"{one}:events", f"{one}:logs", "/api/jobs/?namespace=default")
    assert [answer(path) for path in paths] == [403] * 4
    role = {
        "metadata": {"name": "looks"},
        "rules": [{"apiGroups": ["kubeflow.org"], "resources": ["*"], "verbs": ["get", "list"]}],
    }
    binding = {
        "metadata": {"name": "looks"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "looks"},
        "subjects": [{"kind": "User", "name": "jo", "apiGroup": "rbac.authorization.k8s.io"}],
    }
    base = f"{service.url}/k8s/apis/rbac.authorization.k8s.io/v1/namespaces/default"
    owner = {"authorization": f"Bearer {service.token}"}
    for plural, body in (("roles", role), ("rolebindings", binding)):
        assert httpx2.post(f"{base}/{plural}", json=body, headers=owner, trust_env=False).status_code == 201
    assert [answer(path) for path in paths] == [200, 200, 403, 200]
