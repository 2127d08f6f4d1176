"""A load generator in a process of its own: ``python -m benchmarks.load`` reads one JSON task, prints one JSON answer.

It must not share an interpreter with what it measures. Tasks are those of ``TASKS``; times are in seconds.
"""

import http.client
import json
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

Task = Mapping[str, Any]


@contextmanager
def connection(task: Task) -> Iterator[http.client.HTTPConnection]:
    """Open a connection to the server of a task."""
    where = urlsplit(task["url"])
    assert where.hostname is not None
    opened = http.client.HTTPConnection(where.hostname, where.port, timeout=120)
    opened.connect()
    opened.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        yield opened
    finally:
        opened.close()


def ask(opened: http.client.HTTPConnection, task: Task, path: str, body: bytes | None = None) -> bytes:
    """Send one request and give the body of its answer, which must be a good one."""
    opened.request(task["method"], path, body, task["headers"])
    answer = opened.getresponse()
    content = answer.read()
    assert answer.status < 300, (answer.status, content[:300])
    return content


def many(task: Task) -> dict[str, Any]:
    """Send so many requests from so many clients; ``{n}`` in path and body is the number of the request."""
    clients, number = int(task["clients"]), int(task["number"])
    seconds: list[float] = []

    def run(client: int) -> None:
        with connection(task) as opened:
            for index in range(client, number, clients):
                n = str(index + int(task.get("first", 0)))
                body = task["body"].replace("{n}", n).encode() if task.get("body") else None
                began = time.perf_counter()
                ask(opened, task, task["path"].replace("{n}", n), body)
                seconds.append(time.perf_counter() - began)

    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as threads:
        list(threads.map(run, range(clients)))  # raises what a client raised
    return {"seconds": time.perf_counter() - began, "each": seconds if task.get("each") else []}


def watch(task: Task) -> dict[str, Any]:
    """Open so many watches, create objects one by one, and tell for each how long until the last watch had it."""
    sockets = [_open_watch(task) for _ in range(int(task["watchers"]))]
    seconds = []
    with connection(task) as opened:
        for index in range(int(task["number"])):
            began = time.perf_counter()
            ask(opened, task, task["path"], task["body"].replace("{n}", str(index)).encode())
            for opened_watch in sockets:
                line = opened_watch.readline()
                while b'"ADDED"' not in line:
                    assert line, "the watch ended"
                    line = opened_watch.readline()
            seconds.append(time.perf_counter() - began)
    return {"each": seconds}


def _open_watch(task: Task) -> Any:
    where = urlsplit(task["url"])
    opened = socket.create_connection((where.hostname, where.port))
    headers = "".join(f"{name}: {value}\r\n" for name, value in task["headers"].items())
    opened.sendall(f"GET {task['watch']} HTTP/1.1\r\nHost: {where.netloc}\r\n{headers}\r\n".encode())
    stream = opened.makefile("rb")
    while stream.readline() != b"\r\n":
        pass
    return stream


TASKS: Mapping[str, Callable[[Task], dict[str, Any]]] = {"many": many, "watch": watch}


def cpu_s(pid: int) -> float:
    """Give the processor time that a process has used, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


if __name__ == "__main__":
    asked = json.loads(sys.stdin.read())
    print(json.dumps(TASKS[asked["task"]](asked)))
