"""Runs a command in another Pod, through the Kubernetes API: what ``mpirun`` uses in the place of rsh and ssh.

This file is copied into the launcher's Pod, so it needs only Python and its standard library, of any version from 3.7.
A host is the Pod of that name; where a file ``selector`` lies beside this one, it is the one Pod of those selected that
has it as its host name. This waits until the Pod runs, streams the command's output, and ends with its exit code. When
it is ended itself, the connection ends, and with it the command.

Source: Kubernetes' "v4.channel.k8s.io" (client-go ``tools/remotecommand``); RFC 6455.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import ssl
import struct
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NoReturn
from urllib.parse import quote

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
OPTIONS_WITH_VALUE = ("-l", "-o", "-p", "-i", "-F")
SELECTOR = Path(__file__).with_name("selector")
PATIENCE_S = 600.0
PERMISSION_PATIENCE_S = 30.0
STDOUT, STDERR, ERROR = 1, 2, 3


def read_account(name: str) -> str:
    """Give one of the files that every Pod has of its service account."""
    return (ACCOUNT / name).read_text().strip()


def connect() -> http.client.HTTPSConnection:
    """Connect to the API."""
    host = os.environ["KUBERNETES_SERVICE_HOST"]
    port = int(os.environ.get("KUBERNETES_SERVICE_PORT", "443"))
    context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    return http.client.HTTPSConnection(host, port, timeout=60, context=context)


def headers() -> dict[str, str]:
    """Give the headers of every request."""
    return {"Authorization": "Bearer " + read_account("token")}


def get(path: str) -> tuple[int, Any]:
    """Get an object from the API; give the status of the answer, and the object or the error."""
    connection = connect()
    try:
        connection.request("GET", path, headers=headers())
        response = connection.getresponse()
        answer = json.loads(response.read().decode() or "{}")
        return response.status, answer if response.status == 200 else answer.get("message") or response.reason
    finally:
        connection.close()


def find(pods_path: str, host: str) -> tuple[int, Any]:
    """Look for the Pod of a host, as ``get`` does: by its name, or among those selected by its host name."""
    if not SELECTOR.exists():
        return get(f"{pods_path}/{host}")
    status, found = get(f"{pods_path}?labelSelector={quote(SELECTOR.read_text().strip(), safe='')}")
    if status != 200:
        return status, found
    pods = [pod for pod in found["items"] if pod["spec"].get("hostname") == host]
    # One that is going, or has ended, may have a successor of the same host name.
    left = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    left.sort(key=lambda pod: str(pod["metadata"].get("creationTimestamp")))
    return (200, left[-1]) if left else (404, "is not there")


def wait_until_running(pods_path: str, host: str) -> tuple[str, str]:
    """Wait until the containers of a host's Pod run; give the names of the Pod and of the first container."""
    deadline = time.monotonic() + PATIENCE_S
    delay = 0.05
    said = "does not run"
    while time.monotonic() < deadline:
        code, pod = find(pods_path, host)
        if code == 200:
            status = pod.get("status", {})
            if status.get("phase") in ("Succeeded", "Failed"):
                sys.exit(f"kubexec: Pod {host} has ended already: {status['phase']}")
            states = [container.get("state", {}) for container in status.get("containerStatuses") or ()]
            if states and all("running" in state for state in states):
                return str(pod["metadata"]["name"]), str(pod["spec"]["containers"][0]["name"])
        elif code != 404:
            sys.exit(f"kubexec: Pod {host}: {pod}")
        else:
            said = "is not there"
        time.sleep(delay)
        delay = min(delay * 1.5, 1.0)
    sys.exit(f"kubexec: Pod {host} {said} after {PATIENCE_S:.0f} s")


def start_when_permitted(pod_path: str, name: str, container: str, command: str) -> tuple[ssl.SSLSocket, BinaryIO]:
    """Begin the command, as ``start`` does; permission for a Pod that is new may come a moment after it runs."""
    deadline = time.monotonic() + PERMISSION_PATIENCE_S
    while True:
        code, opened = start(pod_path, container, command)
        if not isinstance(opened, str):
            return opened
        if code != 403 or time.monotonic() > deadline:
            sys.exit(f"kubexec: Pod {name}: {opened}")
        time.sleep(0.2)


def start(pod_path: str, container: str, command: str) -> tuple[int, str | tuple[ssl.SSLSocket, BinaryIO]]:
    """Begin the command; give the answer's status, and the socket with what to read from it by, or what is wrong."""
    words = ["/bin/sh", "-c", command]
    query = "&".join("command=" + quote(word, safe="") for word in words)
    path = f"{pod_path}/exec?container={container}&stdout=1&stderr=1&{query}"
    # By hand: http.client closes its side when it sees that protocols are switched.
    connection = connect()
    connection.connect()
    sock: Any = connection.sock
    lines = {
        "Host": connection.host,
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        "Sec-WebSocket-Protocol": "v4.channel.k8s.io",
        **headers(),
    }
    head = "".join(f"{key}: {value}\r\n" for key, value in lines.items())
    sock.sendall(f"GET {path} HTTP/1.1\r\n{head}\r\n".encode())
    stream = sock.makefile("rb")
    answer = stream.readline().decode().strip()
    length = 0
    while True:
        key, _, value = stream.readline().decode().strip().partition(":")
        if not key:
            break
        if key.lower() == "content-length":
            length = int(value)
    code = int((answer.split(" ")[1:2] or ["0"])[0])
    if code != 101:
        said = stream.read(length).decode()[:500] or answer
        connection.close()
        return code, said
    sock.settimeout(None)
    return code, (sock, stream)


def read_exactly(stream: BinaryIO, size: int) -> bytes:
    """Read so many bytes."""
    data = stream.read(size)
    if len(data) < size:
        sys.exit("kubexec: the connection to the Kubernetes API has ended")
    return data


def read_frame(stream: BinaryIO) -> tuple[bool, int, bytes]:
    """Read a frame; give whether it ends its message, its opcode and its data."""
    first, second = read_exactly(stream, 2)
    size = second & 0x7F
    if size == 126:
        size = struct.unpack(">H", read_exactly(stream, 2))[0]
    elif size == 127:
        size = struct.unpack(">Q", read_exactly(stream, 8))[0]
    return bool(first & 0x80), first & 0x0F, read_exactly(stream, size)


def send_frame(sock: ssl.SSLSocket, opcode: int, data: bytes) -> None:
    """Send a short frame; what a client sends is masked."""
    mask = os.urandom(4)
    masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))
    sock.sendall(bytes((0x80 | opcode, 0x80 | len(data))) + mask + masked)


def follow(sock: ssl.SSLSocket, stream: BinaryIO) -> int:
    """Copy the command's output until it ends; give its exit code."""
    message = b""
    while True:
        is_last, opcode, data = read_frame(stream)
        if opcode == 8:
            return 1
        if opcode == 9:
            send_frame(sock, 10, data)
        elif opcode in (0, 1, 2):
            message += data
            if is_last and message:
                channel, content, message = message[0], message[1:], b""
                if channel == ERROR:
                    return exit_code(json.loads(content.decode()))
                target = sys.stdout if channel == STDOUT else sys.stderr
                target.buffer.write(content)
                target.flush()


def exit_code(status: Mapping[str, Any]) -> int:
    """Read the exit code of the Status that ends a command."""
    if status.get("status") == "Success":
        return 0
    for cause in (status.get("details") or {}).get("causes") or ():
        if cause.get("reason") == "ExitCode":
            return int(cause.get("message") or 1)
    sys.stderr.write(f"kubexec: {status.get('message') or status}\n")
    return 1


def main(arguments: Sequence[str]) -> NoReturn:
    """Run ``[options] HOST COMMAND…`` as rsh does: the words of the command become one line for the Pod's shell."""
    while arguments and arguments[0].startswith("-"):
        arguments = arguments[2 if arguments[0] in OPTIONS_WITH_VALUE else 1 :]
    if len(arguments) < 2:
        sys.exit("usage: kubexec [options] HOST COMMAND...")
    host = arguments[0].split("@")[-1].split(".")[0]
    pods_path = f"/api/v1/namespaces/{read_account('namespace')}/pods"
    name, container = wait_until_running(pods_path, host)
    sys.exit(follow(*start_when_permitted(f"{pods_path}/{name}", name, container, " ".join(arguments[1:]))))


if __name__ == "__main__":
    main(sys.argv[1:])
