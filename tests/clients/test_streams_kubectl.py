"""The real `kubectl` in Pods: exec, attach, cp, port-forward, run -it, logs."""

import fcntl
import hashlib
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import termios
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.programs import CODE, IMAGE
from tests.service import ServiceProcess, needs_kubectl, wait_for

pytestmark = needs_kubectl
POD = f"""
apiVersion: v1
kind: Pod
metadata: {{name: p, labels: {{app: p}}}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: {IMAGE}
    env: [{{name: GREETING, value: hello}}]
    command: [python, -m, http.server, "8000"]
    workingDir: DIRECTORY
  - name: other
    image: {IMAGE}
    stdin: true
    command: [sh, -c, "while read line; do echo got $line; done"]
---
apiVersion: v1
kind: Service
metadata: {{name: s}}
spec: {{selector: {{app: p}}, ports: [{{port: 8000}}]}}
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    service = ServiceProcess(tmp_path_factory.mktemp("streams") / "data", "--stop-pods")
    service.data.mkdir()
    service.start()
    service.add_image(IMAGE, "python", CODE)
    work = service.data.with_name("work")  # of the host: the Pod's own /tmp is the host's, where that holds the tests
    work.mkdir()
    service.kubectl("apply", "-f", "-", stdin=POD.replace("DIRECTORY", str(work)))
    service.kubectl("wait", "pod/p", "--for=condition=Ready", "--timeout=80s")
    yield service
    service.stop()
    wait_for("the Pods' ends", lambda: not service.processes())


def run(service: ServiceProcess, *args: str, stdin: str = "") -> tuple[int, str, str]:
    """Run kubectl; give its exit code and both outputs."""
    command = ["kubectl", "--kubeconfig", str(service.kubeconfig), *args]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=90, check=False)
    return done.returncode, done.stdout, done.stderr


class Terminal:
    """kubectl in a terminal of 33 rows and 101 columns."""

    def __init__(self, service: ServiceProcess, *args: str) -> None:
        self.output = b""
        command = ["kubectl", "--kubeconfig", str(service.kubeconfig), *args]
        self._ours, theirs = pty.openpty()
        self.resize(33, 101)
        self._process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509
        )  # fmt: skip
        os.close(theirs)

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def until(self, text: str, limit_s: float = 60) -> None:
        """Read until a text has come that was not there before."""
        end = time.monotonic() + limit_s
        start = len(self.output)
        while text.encode() not in self.output[start:]:
            assert time.monotonic() < end, f"waited in vain for {text!r}: {self.output!r}"
            self._read(1)

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def end(self) -> int:
        """Read to the end, and give kubectl's exit code."""
        while self._read(60):
            pass
        os.close(self._ours)
        return self._process.wait(60)

    def _read(self, limit_s: float) -> bool:
        if not select.select([self._ours], [], [], limit_s)[0]:
            return False
        try:
            data = os.read(self._ours, 65536)
        except OSError:
            return False
        self.output += data
        return bool(data)


def test_exec_passes_outputs_input_and_exit_code(service: ServiceProcess) -> None:
    assert run(service, "exec", "p", "-c", "main", "--", "sh", "-c", "echo $GREETING; echo oops >&2; exit 3") == (
        3, "hello\n", "oops\ncommand terminated with exit code 3\n",
    )  # fmt: skip
    assert run(service, "exec", "-i", "p", "-c", "main", "--", "wc", "-c", stdin="x" * 300_000)[:2] == (0, "300000\n")
    code, _, error = run(service, "exec", "p", "-c", "main", "--", "no-such-command")
    assert code == 127
    assert "command 'no-such-command' was not found in PATH=" in error


def test_exec_says_what_is_not_there(service: ServiceProcess) -> None:
    assert run(service, "exec", "no-pod", "--", "ls")[2] == 'Error from server (NotFound): pods "no-pod" not found\n'
    code, _, error = run(service, "exec", "p", "-c", "nobody", "--", "ls")
    assert (code, error) == (1, "Error from server (BadRequest): container nobody is not valid for pod p\n")


def test_a_kubectl_that_speaks_no_websockets_is_told_so(
    service: ServiceProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "false")
    assert "streams are served over WebSocket" in run(service, "exec", "p", "-c", "main", "--", "ls")[2]


def test_exec_in_a_terminal_follows_the_window(service: ServiceProcess) -> None:
    terminal = Terminal(service, "exec", "-it", "p", "-c", "main", "--", "sh")
    terminal.type("stty size\n")
    terminal.until("33 101")
    terminal.resize(50, 150)
    terminal.type("until [ \"$(stty size)\" = '50 150' ]; do sleep 0.05; done; echo as''wanted; exit 7\n")
    terminal.until("aswanted")
    assert terminal.end() == 7


def test_interrupts_reach_the_command(service: ServiceProcess) -> None:
    terminal = Terminal(service, "exec", "-it", "p", "-c", "main", "--", "sh", "-c", "echo up; exec sleep 600")
    terminal.until("up")
    terminal.type("\x03")
    assert terminal.end() == 130


def test_what_a_client_leaves_behind_is_ended(service: ServiceProcess) -> None:
    script = "echo $$; exec sleep 600"
    with service.kubectl_running("exec", "p", "-c", "main", "--", "sh", "-c", script) as (_, output):
        pid = int(output.readline())
        assert Path(f"/proc/{pid}").exists()
    wait_for("its end", lambda: not Path(f"/proc/{pid}").exists())


def test_files_are_copied_both_ways(service: ServiceProcess, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    (source / "small").write_text("text")
    (source / "deep" / "large").write_bytes(os.urandom(5_000_000))
    service.kubectl("cp", str(source), "p:copied", "-c", "main")
    assert run(service, "exec", "p", "-c", "main", "--", "cat", "copied/small")[1] == "text"
    service.kubectl("cp", "p:copied", str(tmp_path / "back"), "-c", "main")
    assert (tmp_path / "back" / "small").read_text() == "text"
    assert (tmp_path / "back" / "deep" / "large").read_bytes() == (source / "deep" / "large").read_bytes()


def test_attach_gives_output_and_takes_input(service: ServiceProcess) -> None:
    for word in ("one", "two"):
        with service.kubectl_running("attach", "-i", "p", "-c", "other") as (stdin, output):
            stdin.write(f"{word}\n")
            assert output.readline() == f"got {word}\n"
            stdin.close()
            assert output.read() == ""


@pytest.mark.parametrize(("script", "code"), [("read x; echo got $x; exit 5", 5), ("cat", 0)])
def test_run_with_input_to_its_end(service: ServiceProcess, script: str, code: int) -> None:
    name = f"run-{code}"
    found = run(
        service,
        "run",
        "-i",
        "--rm",
        name,
        "--restart=Never",
        f"--image={IMAGE}",
        "--",
        "sh",
        "-c",
        script,
        stdin="word\n",
    )
    assert found[0] == code
    assert "word\n" in found[1]
    assert f'pod "{name}" deleted' in found[1]


def test_run_in_a_terminal(service: ServiceProcess) -> None:
    terminal = Terminal(
        service, "run", "-it", "--rm", "python", "--restart=Never", f"--image={IMAGE}", "--", "python", "-q"
    )
    terminal.until(">>> ")
    terminal.type("import os; print(tuple(os.get_terminal_size()))\n")
    terminal.until("(101, 33)")
    terminal.type("raise SystemExit(6)\n")
    assert terminal.end() == 6
    assert b'pod "python" deleted' in terminal.output


TALK = f"""
apiVersion: v1
kind: Pod
metadata: {{name: talk, labels: {{app: talk}}}}
spec:
  terminationGracePeriodSeconds: 0
  initContainers:
  - {{name: init, image: {IMAGE}, command: [sh, -c, echo from init]}}
  containers:
  - name: one
    image: {IMAGE}
    command: [sh, -c, "echo 1; echo 2; echo 3; until [ -e WORK/go ]; do sleep 0.05; done; echo 4; exec sleep 600"]
  - {{name: two, image: {IMAGE}, command: [sh, -c, "echo out; echo err >&2; exit 1"]}}
"""


def test_logs_are_chosen_as_kubectl_asks(service: ServiceProcess) -> None:
    work = service.data.with_name("work")
    service.kubectl("apply", "-f", "-", stdin=TALK.replace("WORK", str(work)))

    def logs(*args: str) -> list[str]:
        return sorted(service.kubectl("logs", *args, check=False).splitlines())

    wait_for("a restart", lambda: "err" in logs("talk", "-c", "two", "--previous"))
    wait_for("the first lines", lambda: "3" in logs("talk", "-c", "one"))
    assert logs("talk", "-c", "two", "--previous") == ["err", "out"]
    assert logs("talk", "-c", "one", "--tail=2") == ["2", "3"]
    assert logs("talk", "-c", "one", "--since-time=2100-01-01T00:00:00Z") == []
    assert [line[:4].isdecimal() and line[-2:] for line in logs("talk", "-c", "one", "--timestamps")] == [
        " 1",
        " 2",
        " 3",
    ]
    every = ["[pod/talk/init] from init", "[pod/talk/one] 3", "[pod/talk/two] err"]
    assert logs("-l", "app=talk", "--all-containers", "--prefix", "--tail=1") == every
    assert logs("talk", "-c", "one", "--previous") == [
        'Error from server (BadRequest): previous terminated container "one" in pod "talk" not found'
    ]
    with service.kubectl_running("logs", "-f", "talk", "-c", "one", "--tail=1") as (_, output):
        assert output.readline() == "3\n"
        (work / "go").touch()
        assert output.readline() == "4\n"
        service.kubectl("delete", "pod", "talk")
        assert output.read() == ""


class Forward:
    """A kubectl port-forward from a port of its choice."""

    def __init__(self, service: ServiceProcess, *args: str) -> None:
        command = ["kubectl", "--kubeconfig", str(service.kubeconfig), "port-forward", "--address=127.0.0.1", *args]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("Forwarding from 127.0.0.1:"), line
        self.port = int(line.split(":")[1].split()[0])

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=60) as answer:
            return bytes(answer.read())

    def stop(self) -> str:
        self.process.send_signal(signal.SIGTERM)
        return self.process.communicate(timeout=60)[0]


@pytest.fixture
def forward(service: ServiceProcess) -> Iterator[Callable[..., Forward]]:
    made: list[Forward] = []

    def make(*args: str) -> Forward:
        made.append(Forward(service, *args))
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.mark.parametrize("target", ["pod/p", "service/s"])
def test_ports_are_forwarded(service: ServiceProcess, forward: Callable[..., Forward], target: str) -> None:
    script = "head -c 3000000 /dev/urandom > data; sha256sum data"
    digest = run(service, "exec", "p", "-c", "main", "--", "sh", "-c", script)[1].split()[0]
    opened = forward(target, ":8000")
    for _ in range(2):
        assert hashlib.sha256(opened.get("/data")).hexdigest() == digest


def test_a_connection_can_be_closed_from_either_side(service: ServiceProcess, forward: Callable[..., Forward]) -> None:
    _serve_echo(service)
    port = forward("pod/p", ":8001").port
    data = os.urandom(1_000_000)
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        assert _all(connection) == hashlib.sha256(data).hexdigest().encode()
    for _ in range(3):  # left at once, they trouble nobody
        socket.create_connection(("127.0.0.1", port), timeout=60).close()
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.shutdown(socket.SHUT_WR)
        assert _all(connection) == hashlib.sha256(b"").hexdigest().encode()


def test_a_port_where_nobody_listens_says_so(forward: Callable[..., Forward]) -> None:
    opened = forward("pod/p", ":9")
    with socket.create_connection(("127.0.0.1", opened.port), timeout=60) as connection:
        assert _all(connection) == b""
    assert "unable to forward port: connection refused" in opened.process.communicate(timeout=60)[0]


def _serve_echo(service: ServiceProcess) -> None:
    """Run a server in the Pod that answers what it got with the digest of it."""
    server = """
import hashlib, socketserver
class H(socketserver.StreamRequestHandler):
    def handle(self): self.wfile.write(hashlib.sha256(self.rfile.read()).hexdigest().encode())
with socketserver.ThreadingTCPServer(("", 8001), H) as s:
    print("up", flush=True); s.serve_forever()
"""
    script: Sequence[str] = (
        "sh",
        "-c",
        'python -c "$0" >up & until grep -q up up; do sleep 0.05; done',
        server,
    )
    assert run(service, "exec", "p", "-c", "main", "--", *script)[0] == 0


def _all(connection: socket.socket) -> bytes:
    data = b""
    while part := connection.recv(65536):
        data += part
    return data
