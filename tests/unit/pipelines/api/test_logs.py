import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest

from beamhall.client.local import LocalClient
from beamhall.client.protocol import Client, LogOptions
from beamhall.history.history import History
from beamhall.history.protocol import Writing
from beamhall.history.queries import Where
from beamhall.history.records import Run, Specification, Task, task_id
from beamhall.kernel.errors import BadRequest
from beamhall.kernel.kinds import NAMESPACE, POD
from beamhall.kernel.objects import ReadOnlyObject
from beamhall.pipelines.api import step_logs
from beamhall.pipelines.steps.layout import LOG_FILE, execution_root, run_root
from beamhall.pipelines.steps.naming import pod_name
from tests.unit.pipelines.specs import spec, spec_of, task

A = task_id("r", "/a")
BOTH = (f"http://kfp/apis/v2beta1/runs/r/tasks/{A}/log", f"http://kfp/apis/v1alpha1/runs/r/nodes/{A}/log")


class Node:
    """What a node agent has of the logs of Pods: lines that a test lets them write, until it ends them."""

    def __init__(self) -> None:
        self._lines: dict[str, asyncio.Queue[bytes]] = {}
        self.asked: list[LogOptions] = []

    def begin(self, pod: str, *lines: bytes, is_over: bool = False) -> None:
        self._lines[pod] = asyncio.Queue()
        self.write(pod, *lines, *([b""] if is_over else []))

    def write(self, pod: str, *lines: bytes) -> None:
        for line in lines:
            self._lines[pod].put_nowait(line)

    @asynccontextmanager
    async def open(self, pod: ReadOnlyObject, options: LogOptions) -> AsyncIterator[AsyncIterator[bytes]]:
        self.asked.append(options)
        queue = self._lines.get(pod["metadata"]["name"])
        if queue is None:
            raise BadRequest(
                f'container "main" in pod "{pod["metadata"]["name"]}" is waiting to start: ContainerCreating'
            )
        yield self._read(queue, options)

    async def _read(self, queue: asyncio.Queue[bytes], options: LogOptions) -> AsyncIterator[bytes]:
        while (options.follow or not queue.empty()) and (line := await queue.get()):
            yield line


@pytest.fixture
async def node(cluster: Client, history: History) -> Node:
    node = Node()
    assert isinstance(cluster, LocalClient)
    cluster._api.logs_of = node  # type: ignore[attr-defined]
    await cluster.create(NAMESPACE, {"metadata": {"name": "default"}})
    document = json.dumps(spec_of({"a": task(), "b": task()}))

    def add(tx: Writing) -> None:
        tx.add(Specification(id="d", namespace="", body=document))
        for key, namespace in (("r", "default"), ("theirs", "closed")):
            tx.add(
                Run(
                    id=key, namespace=namespace, experiment_id="e", display_name="r", created_at=1, state="RUNNING",
                    pipeline_name="p", spec_digest="d",
                ),
                _task("/a", run=key, state="PENDING"),
            )  # fmt: skip

    await history.write(add)
    return node


def _task(path: str, run: str = "r", **fields: Any) -> Task:
    name = path.rpartition("/")[2].partition("[")[0]
    return Task(
        id=task_id(run, path), namespace="default", run_id=run, path=path, name=name, created_at=1, **fields
    )  # fmt: skip


def _pod(attempt: int = 0, path: str = "/a") -> str:
    return pod_name("p", "r", path, attempt)


async def _make_pod(cluster: Client, attempt: int = 0) -> None:
    spec = {"restartPolicy": "Never", "containers": [{"name": "main", "image": "python"}]}
    await cluster.create(POD, {"metadata": {"name": _pod(attempt), "namespace": "default"}, "spec": spec})


async def _become(
    history: History, state: str, attempt: int = 0, *, pods: int = 1, run: str = "", **fields: Any
) -> None:
    def change(tx: Writing) -> None:
        found = tx.get(Task, A)
        assert found is not None
        names = [{"name": _pod(attempt - pods + 1 + n), "type": "EXECUTOR"} for n in range(pods)]
        tx.put(msgspec.structs.replace(found, **{"state": state, "attempt": attempt, "pods": names, **fields}))
        if run:
            tx.change(Run, Where("id", "=", "r"), state=run)

    await history.write(change)


def _file(artifacts: Path, attempt: int, content: bytes, path: str = "/a") -> None:
    file = Path(execution_root(run_root(str(artifacts), "p", "r"), path, attempt), LOG_FILE)
    file.parent.mkdir(parents=True)
    file.write_bytes(content)


async def _read(api: httpx2.AsyncClient, query: str = "", url: str = BOTH[0]) -> str:
    answer = await api.get(f"{url}?{query}")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    return answer.text


async def test_the_log_of_a_step_that_runs_is_read_from_its_pod(
    api: httpx2.AsyncClient, history: History, cluster: Client, node: Node
) -> None:
    await _become(history, "RUNNING")
    await _make_pod(cluster)
    for url in (*BOTH, "http://kfp/pipeline/apis/v1alpha1/runs/r/nodes/a/log"):
        node.begin(_pod(), b"one\n", b"two\n")
        assert await _read(api, url=url) == "one\ntwo\n"
    await _read(api, "tail=5&timestamps=true")
    assert node.asked[-1] == LogOptions("main", follow=False, tail_lines=5, timestamps=True)


async def test_a_step_is_named_in_many_ways(
    api: httpx2.AsyncClient, history: History, cluster: Client, node: Node, artifacts: Path
) -> None:
    await _become(history, "RUNNING")
    await _make_pod(cluster)
    pod = {"name": _pod(path="/loop[3]/b"), "type": "EXECUTOR"}
    inner = [_task("/loop[3]/b", state="FAILED", pods=[pod]), _task("/loop[4]/c"), _task("/loop[5]/c")]
    await history.write(lambda tx: tx.add(*inner))
    _file(artifacts, 0, b"inner\n", "/loop[3]/b")
    for called, text in (
        ("a", "outer\n"), ("%2Fa", "outer\n"), (_pod(), "outer\n"), ("b", "inner\n"), ("loop[3]/b", "inner\n"),
        ("%2Floop%5B3%5D%2Fb", "inner\n"), (inner[0].id, "inner\n"), (pod["name"], "inner\n"),
    ):  # fmt: skip
        node.begin(_pod(), b"outer\n")
        assert await _read(api, url=f"runs/r/tasks/{called}/log") == text, called
    answer = await api.get("runs/r/tasks/c/log")
    assert answer.status_code == 400
    assert (
        "several tasks are named 'c'; write the path of one: /loop[4]/c, /loop[5]/c" in answer.json()["error_message"]
    )


async def test_the_log_outlives_the_pod(api: httpx2.AsyncClient, history: History, node: Node, artifacts: Path) -> None:
    await _become(history, "SUCCEEDED", 2, pods=3)
    assert await _read(api) == ""  # it wrote nothing
    for attempt in range(3):
        _file(artifacts, attempt, b"try %d\nsecond\nlast" % attempt)
    assert await _read(api) == "try 2\nsecond\nlast"
    assert await _read(api, "attempt=0") == "try 0\nsecond\nlast"
    for tail, text in (
        (0, ""),
        (1, "last"),
        (2, "second\nlast"),
        (3, "try 2\nsecond\nlast"),
        (9, "try 2\nsecond\nlast"),
    ):
        assert await _read(api, f"tail={tail}") == text, tail
    assert await _read(api, "follow=true") == "try 2\nsecond\nlast"
    assert await _read(api, "follow=true&attempt=1&tail=1") == "last"


async def test_the_tail_of_a_long_log_is_found_from_its_end(
    api: httpx2.AsyncClient, history: History, node: Node, artifacts: Path
) -> None:
    await _become(history, "FAILED")
    lines = [f"line {number} {'x' * (number % 97)}\n" for number in range(20_000)]
    _file(artifacts, 0, "".join(lines).encode())
    for tail in (1, 7, 5000, 19_999, 20_000, 50_000):
        assert await _read(api, f"tail={tail}") == "".join(lines[-tail:])


async def test_after_a_retry_attempts_are_counted_anew(
    api: httpx2.AsyncClient, history: History, node: Node, artifacts: Path
) -> None:
    await _become(history, "SUCCEEDED", 1001, pods=2)
    for attempt in (0, 1000, 1001):
        _file(artifacts, attempt, b"%d" % attempt)
    assert [await _read(api, query) for query in ("", "attempt=0", "attempt=1")] == ["1001", "1000", "1001"]
    assert (await api.get(f"{BOTH[0]}?attempt=2")).status_code == 404
    await _become(history, "PENDING", 1002, pods=2)  # it failed, and is to begin again
    assert await _read(api) == "1001"


async def test_following_begins_before_the_pod_and_ends_with_the_step(
    api: httpx2.AsyncClient, history: History, cluster: Client, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step_logs, "LOOK_S", 0.01)
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(_read(api, "follow=true"))
        await _turn(history)
        await _become(history, "RUNNING")  # written before its Pod is made
        await _turn(history)
        await _make_pod(cluster)
        await _turn(history)  # its container waits to be started
        node.begin(_pod(), b"first try\n")
        await _turn(history)
        node.write(_pod(), b"fails\n", b"")
        await _become(history, "PENDING", 1)
        await _turn(history)
        node.begin(_pod(1), b"second try\n", b"")
        await _make_pod(cluster, 1)
        await _become(history, "RUNNING", 1, pods=2)
        await _turn(history)
        await _become(history, "SUCCEEDED", 1, pods=2)
    assert reading.result() == "first try\nfails\nsecond try\n"
    assert all(options.follow for options in node.asked)


async def _turn(history: History) -> None:
    """Let others do what they can."""
    for _ in range(5):
        await history.read(lambda tx: tx.count(Run))
        await asyncio.sleep(0.005)


async def test_a_step_that_is_yet_to_come_is_waited_for_and_others_are_not(
    api: httpx2.AsyncClient, history: History, cluster: Client, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step_logs, "LOOK_S", 0.01)
    assert (await api.get("runs/r/tasks/b/log")).status_code == 404
    assert (await api.get("runs/r/tasks/z/log?follow=true")).status_code == 404
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(_read(api, "follow=true", "runs/r/tasks/b/log"))
        await _turn(history)
        assert not reading.done()
        # It is skipped, and the run ends: there is nothing to follow any more.
        await history.write(lambda tx: tx.change(Run, Where("id", "=", "r"), state="FAILED"))
    assert reading.result() == ""
    assert (await api.get("runs/r/tasks/b/log?follow=true")).status_code == 404


async def test_a_run_that_is_deleted_is_followed_no_longer(
    api: httpx2.AsyncClient, history: History, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step_logs, "LOOK_S", 0.01)
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(_read(api, "follow=true"))
        await _turn(history)
        await history.write(lambda tx: tx.remove(Run, Where("id", "=", "r")))
    assert reading.result() == ""


@pytest.mark.parametrize(
    ("fields", "status", "part"),
    [
        ({"state": "PENDING", "pods": 0}, 404, "task /a has not begun; with follow=true its log is waited for"),
        ({"state": "SUCCEEDED", "pods": 0, "cached": True}, 404, "its outputs were taken from an earlier run"),
        ({"state": "SUCCEEDED", "pods": 0}, 404, "it had no Pod"),
        ({"state": "RUNNING", "type": "LOOP"}, 400, "task /a is a LOOP: the steps in it have logs"),
        ({"state": "RUNNING"}, 404, "not found"),
    ],
)
async def test_a_log_that_is_not_there_says_why(
    api: httpx2.AsyncClient, history: History, node: Node, fields: Any, status: int, part: str
) -> None:
    await _become(history, **fields)
    answer = await api.get(BOTH[0])
    assert answer.status_code == status
    assert part in answer.json()["error_message"]
    assert answer.json()["error_message"].startswith("Failed to read the log: ")


async def test_what_is_wrong_or_anothers_is_refused(api: httpx2.AsyncClient, node: Node) -> None:
    for query in ("follow=perhaps", "tail=-1", "tail=x", "attempt=1000", "attempt=²"):
        assert (await api.get(f"{BOTH[0]}?{query}")).status_code == 400, query
    for path in (
        "runs/x/tasks/a/log",
        "runs/r/tasks/%00/log",
        "runs/r/tasks/nothing/log",
        f"runs/theirs/tasks/{A}/log",
    ):
        assert (await api.get(path)).status_code in (403, 404), path
    answer = await api.get(f"runs/r/tasks/{task_id('theirs', '/a')}/log")
    assert (answer.status_code, "run r has no task" in answer.json()["error_message"]) == (404, True)
    answer = await api.get("runs/theirs/tasks/a/log")
    assert (answer.status_code, "may not get runs in closed" in answer.json()["error_message"]) == (403, True)


async def test_a_root_that_may_not_be_read_from_is_named(
    api: httpx2.AsyncClient, history: History, node: Node, tmp_path: Path
) -> None:
    await history.write(lambda tx: tx.change(Run, Where("id", "=", "r"), pipeline_root=str(tmp_path / "elsewhere")))
    await _become(history, "FAILED")
    answer = await api.get(BOTH[0])
    assert answer.status_code == 403
    assert "elsewhere" in answer.json()["error_message"]


async def test_a_log_is_found_below_the_root_that_the_pipeline_names(
    api: httpx2.AsyncClient, history: History, node: Node, artifacts: Path
) -> None:
    document = json.dumps(
        {"pipeline_spec": {**spec(), "defaultPipelineRoot": str(artifacts / "own")}, "platform_spec": {}}
    )
    await history.write(lambda tx: tx.change(Specification, Where("id", "=", "d"), body=document))
    await _become(history, "FAILED")
    _file(artifacts / "own", 0, b"kept\n")
    assert await _read(api) == "kept\n"
