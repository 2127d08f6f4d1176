"""A running service as a user runs it: the real command, in a process of its own, on a data directory of the test's."""

import contextlib
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TypeVar

import pytest
import yaml

T = TypeVar("T")


class ServiceProcess:
    """One `beamhall up` and what is needed to talk to it.

    Args:
        data: Its data directory; a second start on it goes on where the first was.
        options: More options for `beamhall up`.
    """

    def __init__(self, data: Path, *options: str) -> None:
        self.data = data
        self._options = options
        self.process: subprocess.Popen[str] | None = None
        self._uids: set[str] = set()
        self.log = data.with_name(data.name + ".log")

    def start(self) -> None:
        """Start it and wait until it says that it is ready."""
        command = [sys.executable, "-m", "beamhall", "up", "--data", str(self.data), "--port", "0", *self._options]
        with self.log.open("a") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert "http://" in line, f"the service did not start: {line!r}\n{self.log.read_text()[-3000:]}"

    def kill(self) -> None:
        """End it as a crash does."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()

    def stop(self) -> int:
        """End it as Ctrl-C does, and give its exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=30)
        return self.process.returncode

    @property
    def url(self) -> str:
        """Its address."""
        return str(json.loads((self.data / "service.json").read_text())["url"])

    @property
    def token(self) -> str:
        """Its owner's token."""
        return (self.data / "token").read_text().strip()

    @property
    def kubeconfig(self) -> Path:
        """Its kubeconfig."""
        return self.data / "kubeconfig"

    def add_image(self, pattern: str, environment: str, code: Path) -> None:
        """Add an image to its catalog, as a user does."""
        file = self.data / "images.yaml"
        content = yaml.safe_load(file.read_text()) if file.exists() else {"images": []}
        content["images"].append({"image": pattern, "environment": environment, "path": [str(code)]})
        file.write_text(yaml.safe_dump(content))

    def kubectl(self, *args: str, stdin: str | None = None, check: bool = True) -> str:
        """Run the real kubectl against it, as ``kubectl`` does."""
        return kubectl(self.kubeconfig, *args, stdin=stdin, check=check, log=self.log)

    @contextlib.contextmanager
    def kubectl_running(self, *args: str) -> Iterator[tuple[IO[str], IO[str]]]:
        """Run the real kubectl for as long as the context is open; give its input and output. It is killed then."""
        command = ["kubectl", "--kubeconfig", str(self.kubeconfig), *args]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                yield process.stdin, process.stdout
            finally:
                process.kill()

    def processes(self) -> list[int]:
        """Give the pids of all processes of its Pods, those of Pods that this was asked for before too."""
        self._uids |= {entry.name for entry in self.data.glob("pods/*")}
        markers = tuple(f"BEAMHALL_SANDBOX={uid}.".encode() for uid in self._uids)
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                with contextlib.suppress(OSError):
                    variables = (entry / "environ").read_bytes().split(b"\0")
                    if any(variable.startswith(markers) for variable in variables):
                        found.append(int(entry.name))
        return found


def kubectl(kubeconfig: Path, *args: str, stdin: str | None = None, check: bool = True, log: Path | None = None) -> str:
    """Run the real kubectl and give what it printed; without ``check`` errors too, which else fail the test."""
    command = ["kubectl", "--kubeconfig", str(kubeconfig), *args]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=90, check=False)
    said = log.read_text()[-2000:] if log is not None else ""
    assert not check or done.returncode == 0, f"{' '.join(args)}: {done.stderr}\n{said}"
    return done.stdout + ("" if check else done.stderr)


def wait_for(what: str, probe: Callable[[], T], timeout_s: float = 30.0) -> T:
    """Probe until the answer is true, and give it; fail with what was waited for."""
    deadline = time.monotonic() + timeout_s
    while True:
        if found := probe():
            return found
        if time.monotonic() > deadline:
            pytest.fail(f"waited {timeout_s} s in vain for {what}; last seen: {found!r}")
        time.sleep(0.05)


needs_kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl on this machine")
