"""Runs a command in another Pod, through the Kubernetes API: what ``mpirun`` uses in the place of rsh and ssh.

This file is copied into the launcher's Pod, so it needs only Python and its standard library, of any version from 3.7.
A host is the Pod of that name; where a file ``selector`` lies beside this one, it is the one Pod of those selected that
has it as its host name. This waits until the Pod runs, streams the command's output, and ends with its exit code. When
it is ended itself, the connection ends, and with it the command.

``mpirun`` waits for one of these for each worker, so what takes long to import (``http.client``, ``json``, ``typing``,
``pathlib``) is not, or only where it is needed. So is ``ssl``: where the API is on this machine and answers plain HTTP
too, ``KUBEXEC_SCHEME=http`` says so.

Source: Kubernetes' "v4.channel.k8s.io" (client-go ``tools/remotecommand``); RFC 6455.
"""

from __future__ import annotations

import binascii
import io
import os
import socket
import sys
import time
from collections.abc import Iterable, Mapping, Sequence

ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
OPTIONS_WITH_VALUE = ("-l", "-o", "-p", "-i", "-F")
SELECTOR = os.path.join(os.path.dirname(os.path.abspath(__file__)), "selector")
PATIENCE_S = 600.0
PERMISSION_PATIENCE_S = 30.0
STDOUT, STDERR, ERROR = 1, 2, 3
SUCCESS = b'"status":"Success"'
PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


class Answer:
    """The answer to a request, whose head is read: its status code, and what follows in ``stream``."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.stream: io.BufferedReader = sock.makefile("rb")
        self.line = self.stream.readline().decode().strip()
        self.code = int((self.line.split(" ")[1:2] or ["0"])[0])
        self._length = 0 if self.line.startswith("HTTP/1.1") else -1  # the end of the connection is that of the answer
        while True:
            key, _, value = self.stream.readline().decode().strip().partition(":")
            if not key:
                break
            if key.lower() == "content-length":
                self._length = int(value)

    def read(self) -> str:
        """Read all of it, and end the connection."""
        content = self.stream.read(self._length)
        self.sock.close()
        return content.decode()


class Pod:
    """What is to be known of a Pod: its name, its first container, its phase, and whether its containers run."""

    def __init__(self, name: str, container: str, phase: str, states: Iterable[Mapping[str, object]]) -> None:
        self.name, self.container, self.phase = name, container, phase
        seen = list(states)
        self.is_running = bool(seen) and all("running" in state for state in seen)


def read_file(path: str) -> str:
    """Give the text of a file."""
    with open(path, encoding="utf-8") as file:
        return file.read().strip()


def quote(text: str) -> str:
    """Write a text as part of a URL."""
    return "".join(chr(byte) if byte in PLAIN else f"%{byte:02X}" for byte in text.encode())


def ask(path: str, version: str, lines: Mapping[str, str]) -> Answer:
    """Send a request to the API, and read the head of the answer."""
    host = os.environ["KUBERNETES_SERVICE_HOST"]
    port = int(os.environ.get("KUBERNETES_SERVICE_PORT", "443"))
    sock = socket.create_connection((host, port), timeout=60)
    if os.environ.get("KUBEXEC_SCHEME") != "http":
        import ssl

        context = ssl.create_default_context(cafile=f"{ACCOUNT}/ca.crt")
        sock = context.wrap_socket(sock, server_hostname=host)
    token = read_file(f"{ACCOUNT}/token")
    head = {"Host": f"[{host}]" if ":" in host else host, "Authorization": f"Bearer {token}", **lines}
    text = "".join(f"{key}: {value}\r\n" for key, value in head.items())
    sock.sendall(f"GET {path} HTTP/{version}\r\n{text}\r\n".encode())
    return Answer(sock)


def find(pods_path: str, host: str) -> tuple[int, str, Pod | None]:
    """Look for the Pod of a host: by its name, or among those selected by its host name.

    Gives the status code of the answer, what is wrong, and the Pod if it is there.
    """
    import json

    selector = read_file(SELECTOR) if os.path.exists(SELECTOR) else ""
    path = f"{pods_path}?labelSelector={quote(selector)}" if selector else f"{pods_path}/{host}"
    answer = ask(path, "1.0", {"Accept": "application/json"})  # no server answers a 1.0 in chunks
    found = json.loads(answer.read() or "{}")
    if answer.code != 200:
        return answer.code, str(found.get("message") or answer.line), None
    pods = [pod for pod in found["items"] if pod["spec"].get("hostname") == host] if selector else [found]
    # One that is going, or has ended, may have a successor of the same host name.
    left = [pod for pod in pods if not selector or "deletionTimestamp" not in pod["metadata"]]
    left.sort(key=lambda pod: str(pod["metadata"].get("creationTimestamp")))
    if not left:
        return 404, "is not there", None
    status = left[-1].get("status", {})
    states = [container.get("state", {}) for container in status.get("containerStatuses") or ()]
    container = str(left[-1]["spec"]["containers"][0]["name"])
    return 200, "", Pod(str(left[-1]["metadata"]["name"]), container, str(status.get("phase")), states)


def wait_until_running(pods_path: str, host: str) -> Pod:
    """Wait until the containers of a host's Pod run."""
    deadline = time.monotonic() + PATIENCE_S
    delay = 0.02
    said = "does not run"
    while time.monotonic() < deadline:
        code, problem, pod = find(pods_path, host)
        if pod is not None:
            if pod.phase in ("Succeeded", "Failed"):
                sys.exit(f"kubexec: Pod {host} has ended already: {pod.phase}")
            if pod.is_running:
                return pod
        elif code != 404:
            sys.exit(f"kubexec: Pod {host}: {problem}")
        else:
            said = "is not there"
        time.sleep(delay)
        delay = min(delay * 1.5, 1.0)
    sys.exit(f"kubexec: Pod {host} {said} after {PATIENCE_S:.0f} s")


def start_when_permitted(pods_path: str, pod: Pod, command: str) -> Answer:
    """Begin the command; permission for a Pod that is new may come a moment after it runs."""
    deadline = time.monotonic() + PERMISSION_PATIENCE_S
    while True:
        answer = start(f"{pods_path}/{pod.name}", pod.container, command)
        if answer.code == 101:
            return answer
        said = answer.read()[:500] or answer.line
        if answer.code != 403 or time.monotonic() > deadline:
            sys.exit(f"kubexec: Pod {pod.name}: {said}")
        time.sleep(0.2)


def start(pod_path: str, container: str, command: str) -> Answer:
    """Ask for the command to be begun in a container (empty: the only one); it has if the answer is 101."""
    words = "".join("&command=" + quote(word) for word in ("/bin/sh", "-c", command))
    chosen = f"&container={container}" if container else ""
    answer = ask(
        f"{pod_path}/exec?stdout=1&stderr=1{chosen}{words}",
        "1.1",
        {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": binascii.b2a_base64(os.urandom(16)).decode().strip(),
            "Sec-WebSocket-Protocol": "v4.channel.k8s.io",
        },
    )
    if answer.code == 101:
        answer.sock.settimeout(None)
    return answer


def read_exactly(stream: io.BufferedReader, size: int) -> bytes:
    """Read so many bytes."""
    data = stream.read(size)
    if len(data) < size:
        sys.exit("kubexec: the connection to the Kubernetes API has ended")
    return data


def read_frame(stream: io.BufferedReader) -> tuple[bool, int, bytes]:
    """Read a frame; give whether it ends its message, its opcode and its data."""
    first, second = read_exactly(stream, 2)
    size = second & 0x7F
    if size >= 126:
        size = int.from_bytes(read_exactly(stream, 2 if size == 126 else 8), "big")
    return bool(first & 0x80), first & 0x0F, read_exactly(stream, size)


def send_frame(sock: socket.socket, opcode: int, data: bytes) -> None:
    """Send a short frame; what a client sends is masked."""
    mask = os.urandom(4)
    masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))
    sock.sendall(bytes((0x80 | opcode, 0x80 | len(data))) + mask + masked)


def follow(started: Answer) -> int:
    """Copy the command's output until it ends; give its exit code."""
    message = b""
    while True:
        is_last, opcode, data = read_frame(started.stream)
        if opcode == 8:
            return 1
        if opcode == 9:
            send_frame(started.sock, 10, data)
        elif opcode in (0, 1, 2):
            message += data
            if is_last and message:
                channel, content, message = message[0], message[1:], b""
                if channel == ERROR:
                    return exit_code(content)
                target = sys.stdout if channel == STDOUT else sys.stderr
                target.buffer.write(content)
                target.flush()


def exit_code(content: bytes) -> int:
    """Read the exit code of the Status that ends a command."""
    if SUCCESS in content:
        return 0
    import json

    status = json.loads(content.decode())
    if status.get("status") == "Success":
        return 0
    for cause in (status.get("details") or {}).get("causes") or ():
        if cause.get("reason") == "ExitCode":
            return int(cause.get("message") or 1)
    sys.stderr.write(f"kubexec: {status.get('message') or status}\n")
    return 1


def end(code: int) -> None:
    """End at once: nothing is left to be done, and ``mpirun`` waits for the interpreter to be taken apart."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main(arguments: Sequence[str]) -> None:
    """Run ``[options] HOST COMMAND…`` as rsh does: the words of the command become one line for the Pod's shell."""
    while arguments and arguments[0].startswith("-"):
        arguments = arguments[2 if arguments[0] in OPTIONS_WITH_VALUE else 1 :]
    if len(arguments) < 2:
        sys.exit("usage: kubexec [options] HOST COMMAND...")
    host = arguments[0].split("@")[-1].split(".")[0]
    command = " ".join(arguments[1:])
    pods_path = f"/api/v1/namespaces/{read_file(ACCOUNT + '/namespace')}/pods"
    if not os.path.exists(SELECTOR):  # mostly the Pod runs already, and has one container
        answer = start(f"{pods_path}/{host}", "", command)
        if answer.code == 101:
            end(follow(answer))
        answer.sock.close()
    pod = wait_until_running(pods_path, host)
    end(follow(start_when_permitted(pods_path, pod, command)))


if __name__ == "__main__":
    main(sys.argv[1:])
