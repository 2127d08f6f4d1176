from typing import Any

import httpx2
import pytest

from beamhall.history.history import History
from beamhall.history.protocol import Writing
from beamhall.history.records import Artifact, ArtifactTask, Run, Task, task_id
from tests.postgresql import BOTH

both = pytest.mark.parametrize("history", BOTH, indirect=True)
TASK = task_id("r", "/train")


def _task(path: str, run: str = "r", namespace: str = "default", **fields: Any) -> Task:
    name = path.rpartition("/")[2]
    return Task(id=task_id(run, path), namespace=namespace, run_id=run, path=path, name=name, created_at=1, **fields)


def _link(key: str, artifact: str, task: str, kind: str, run: str = "r", **fields: Any) -> ArtifactTask:
    return ArtifactTask(
        id=key, namespace="default", artifact_id=artifact, task_id=task_id(run, task), run_id=run, type=kind, key="m",
        **fields,
    )  # fmt: skip


def _fill(tx: Writing) -> None:
    for run, namespace in (("r", "default"), ("s", "default"), ("t", "closed")):
        tx.add(Run(id=run, namespace=namespace, experiment_id="e", display_name=f"run {run}", created_at=1))
    reference = {"id": "a", "name": "m", "uri": "/x/m", "type": {"schemaTitle": "system.Model"}, "metadata": {"k": 1}}
    tx.add(
        _task("", type="ROOT", state="RUNNING"),
        _task(
            "/train", parent_id=task_id("r", ""), state="FAILED", error="boom", error_code=2, started_at=2_000_000,
            finished_at=3_000_000, fingerprint="f", attempt=1, pods=[{"name": "p", "uid": "u", "type": "EXECUTOR"}],
            state_history=[{"update_time": 1_000_000, "state": "PENDING"}],
            inputs={"parameters": {"n": 0, "none": None}}, outputs={"artifacts": {"m": [reference]}},
        ),
        _task("/use", parent_id=task_id("r", ""), inputs={"artifacts": {"m": [reference]}}),
        _task("/loop", type="LOOP", parent_id=task_id("r", ""), iteration=7),
        _task("/loop[0]", type="LOOP_ITERATION", parent_id=task_id("r", "/loop")),
        _task("/train", run="s", cached=True),
        _task("/train", run="t", namespace="closed"),
        Artifact(
            id="a", namespace="default", name="m", type="system.Model", created_at=1, uri="/x/m", metadata={"k": 1}
        ),
        Artifact(id="b", namespace="default", name="acc", type="system.Metrics", created_at=2, number_value=0.0),
        Artifact(id="c", namespace="default", name="v", type="google.VertexModel", created_at=3),
        Artifact(id="x", namespace="closed", name="x", type="system.Model", created_at=1),
        _link("1", "a", "/train", "OUTPUT"),
        _link("2", "a", "/use", "INPUT", producer_task="train", producer_key="m"),
        _link("3", "a", "/train", "OUTPUT", run="s"),
    )  # fmt: skip


@pytest.fixture
async def api(api: httpx2.AsyncClient, history: History) -> httpx2.AsyncClient:
    await history.write(_fill)
    return api


async def _get(api: httpx2.AsyncClient, path: str) -> Any:
    answer = await api.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


@both
async def test_artifacts_are_listed_and_read(api: httpx2.AsyncClient) -> None:
    model = {
        "artifact_id": "a", "name": "m", "type": "Model", "uri": "/x/m", "metadata": {"k": 1},
        "created_at": "1970-01-01T00:00:00Z", "namespace": "default",
    }  # fmt: skip
    assert await _get(api, "artifacts/a") == model
    listed = await _get(api, "artifacts?sort_by=created_at")
    assert [each["artifact_id"] for each in listed["artifacts"]] == ["a", "b", "c"]
    assert listed["artifacts"][1]["number_value"] == 0.0  # a metric of 0 is one
    assert listed["artifacts"][2]["type"] == "Artifact"
    assert listed["artifacts"][2]["schema_title"] == "google.VertexModel"
    page = await _get(api, "artifacts?page_size=2")
    rest = await _get(api, f"artifacts?page_token={page['next_page_token']}")
    assert [each["artifact_id"] for each in rest["artifacts"]] == ["c"]
    for predicate, found in (
        ('{"operation":"EQUALS","key":"type","string_value":"Model"}', ["a"]),
        ('{"operation":"EQUALS","key":"schema_title","string_value":"google.VertexModel"}', ["c"]),
        ('{"operation":"IN","key":"type","string_values":{"values":["Model","Metric"]}}', ["a", "b"]),
        ('{"operation":"EQUALS","key":"name","string_value":"acc"}', ["b"]),
    ):
        answer = await api.get("artifacts", params={"filter": f'{{"predicates":[{predicate}]}}'})
        assert [each["artifact_id"] for each in answer.json()["artifacts"]] == found, predicate


async def test_an_artifact_is_made_known_by_a_task_of_a_run(api: httpx2.AsyncClient) -> None:
    body = {
        "artifact": {"name": "acc", "type": "Metric", "number_value": 0.5, "metadata": {"k": [1]}}, "run_id": "r",
        "task_id": TASK, "producer_key": "metrics", "type": "OUTPUT",
    }  # fmt: skip
    answer = await api.post("artifacts", json=body)
    assert answer.status_code == 200, answer.text
    made = answer.json()
    assert made == {
        "artifact_id": made["artifact_id"], "name": "acc", "type": "Metric", "number_value": 0.5,
        "metadata": {"k": [1]}, "created_at": made["created_at"], "namespace": "default",
    }  # fmt: skip
    (link,) = (await _get(api, f"artifact_tasks?artifact_ids={made['artifact_id']}"))["artifact_tasks"]
    assert link == {
        "id": link["id"], "artifact_id": made["artifact_id"], "run_id": "r", "task_id": TASK, "type": "OUTPUT",
        "key": "metrics",
    }  # fmt: skip
    body = {"artifact_task": {
        "artifact_id": made["artifact_id"], "task_id": task_id("r", "/use"), "key": "in", "type": "INPUT",
        "producer": {"task_name": "train", "key": "metrics"},
    }}  # fmt: skip
    answer = await api.post("artifact_tasks", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["producer"] == {"task_name": "train", "key": "metrics"}
    listed = await _get(api, f"artifact_tasks?artifact_ids={made['artifact_id']}&type=INPUT")
    assert listed == {"artifact_tasks": [answer.json()], "total_size": 1}


@pytest.mark.parametrize(
    ("path", "body", "status", "part"),
    [
        ("artifacts", {"artifact": {"name": "n", "type": "Model"}}, 400, "task_id: it is needed"),
        ("artifacts", {"artifact": {"name": "n", "type": "Model"}, "task_id": "x"}, 404, "Task 'x' not found"),
        ("artifacts", {"artifact": {"name": "n"}, "task_id": TASK}, 400, "artifact.type: it is needed"),
        ("artifacts", {"artifact": {"name": "n", "type": "Car"}, "task_id": TASK}, 400, 'artifact.type: "Car" is none'),
        ("artifacts", {"artifact": {"type": "Model"}, "task_id": TASK}, 400, "must have a name"),
        ("artifacts", {"artifact": {"name": "n", "type": "Metric"}, "task_id": TASK}, 400, "a metric is a number"),
        (
            "artifacts",
            {"artifact": {"name": "n", "type": "Model"}, "task_id": TASK, "run_id": "s"},
            400,
            "not one of run",
        ),
        ("artifacts", {"artifact": {"name": "n", "type": "Model"}, "task_id": task_id("t", "/train")}, 403, "may not"),
        ("artifact_tasks", {"artifact_task": {"task_id": TASK, "artifact_id": "y"}}, 404, "Artifact 'y' not found"),
        ("artifact_tasks", {"artifact_task": {"task_id": TASK, "artifact_id": "x"}}, 403, "may not get runs in closed"),
        ("artifact_tasks", {"artifact_task": {"artifact_id": "a"}}, 400, "task_id: it is needed"),
    ],
)
async def test_what_cannot_be_made_known_says_why(
    api: httpx2.AsyncClient, path: str, body: Any, status: int, part: str
) -> None:
    answer = await api.post(path, json=body)
    assert answer.status_code == status, answer.text
    assert part in answer.json()["message"]


@both
async def test_lineage_tells_who_made_an_artifact_and_who_used_it(api: httpx2.AsyncClient) -> None:
    found = await _get(api, "artifacts/a:lineage")
    assert found["artifact"]["artifact_id"] == "a"
    assert [(each["run_id"], each["path"], each.get("cached", False)) for each in found["made_by"]] == [
        ("r", "/train", False), ("s", "/train", True),
    ]  # fmt: skip
    assert [(each["run_display_name"], each["task_name"], each["key"]) for each in found["used_by"]] == [
        ("run r", "use", "m")
    ]
    links = [each["id"] for each in (await _get(api, "artifact_tasks?artifact_ids=a"))["artifact_tasks"]]
    assert links == ["1", "2", "3"]
    for query, ids in (
        ("run_ids=r", ["1", "2"]), ("run_ids=r&run_ids=s", ["1", "2", "3"]), (f"task_ids={TASK}", ["1"]),
        ("type=OUTPUT", ["1", "3"]), ("", ["1", "2", "3"]), ("run_ids=s&artifact_ids=b", []), ("namespace=lab", []),
    ):  # fmt: skip
        found = (await _get(api, f"artifact_tasks?{query}")).get("artifact_tasks", [])
        assert [each["id"] for each in found] == ids, query
    assert (await api.get("artifact_tasks?type=SIDEWAYS")).status_code == 400


@both
async def test_tasks_are_listed_by_run_and_by_parent(api: httpx2.AsyncClient) -> None:
    async def paths(query: str) -> list[str]:
        return [each.get("path", "") for each in (await _get(api, f"tasks?sort_by=path&{query}"))["tasks"]]

    assert await paths("run_id=r") == ["", "/loop", "/loop[0]", "/train", "/use"]
    assert await paths(f"parent_id={task_id('r', '')}") == ["/loop", "/train", "/use"]
    assert await paths(f"run_id=r&parent_id={task_id('r', '/loop')}") == ["/loop[0]"]
    listed = await _get(api, "tasks?run_id=r&page_size=2&order_by=path desc")
    assert [each["path"] for each in listed["tasks"]] == ["/use", "/train"]
    assert (listed["total_size"], "next_page_token" in listed) == (5, True)
    answer = await api.get(f"tasks?run_id=s&parent_id={task_id('r', '')}")
    assert (answer.status_code, "is not one of run s" in answer.json()["message"]) == (400, True)
    assert (await api.get("tasks")).status_code == 400


@both
async def test_a_task_tells_what_there_is_to_know(api: httpx2.AsyncClient) -> None:
    artifact = {"artifact_id": "a", "name": "m", "uri": "/x/m", "type": "Model", "metadata": {"k": 1}}
    assert await _get(api, f"tasks/{TASK}") == {
        "name": "train", "display_name": "train", "task_id": TASK, "run_id": "r", "parent_task_id": task_id("r", ""),
        "path": "/train", "type": "RUNTIME", "state": "FAILED", "error": {"code": 2, "message": "boom"},
        "state_history": [{"update_time": "1970-01-01T00:00:01Z", "state": "PENDING"}],
        "cache_fingerprint": "f", "attempt": 1, "create_time": "1970-01-01T00:00:00Z",
        "start_time": "1970-01-01T00:00:02Z", "end_time": "1970-01-01T00:00:03Z",
        "pods": [{"name": "p", "uid": "u", "type": "EXECUTOR"}],
        "inputs": {"parameters": [{"name": "n", "value": 0}, {"name": "none", "value": None}]},
        "outputs": {"artifacts": [{"parameter_name": "m", "value": artifact}]},
    }  # fmt: skip
    root = await _get(api, f"task/{task_id('r', '')}")
    assert {each["task_id"] for each in root["child_tasks"]} == {task_id("r", p) for p in ("/train", "/use", "/loop")}
    assert (await _get(api, f"tasks/{task_id('r', '/loop')}"))["type_attributes"] == {"iteration_count": "7"}
    assert (await _get(api, f"tasks/{task_id('r', '/loop[0]')}"))["type_attributes"] == {"iteration_index": "0"}
    used = (await _get(api, f"tasks/{task_id('r', '/use')}"))["inputs"]["artifacts"]
    assert used == [{"parameter_name": "m", "value": artifact, "producer": {"task_name": "train", "key": "m"}}]


async def test_what_is_anothers_is_forbidden_and_what_is_not_there_is_not_found(api: httpx2.AsyncClient) -> None:
    theirs = task_id("t", "/train")
    for path in (
        "artifacts?namespace=closed", "artifacts/x", "artifacts/x:lineage", "artifact_tasks?namespace=closed",
        "artifact_tasks?run_ids=t", f"artifact_tasks?task_ids={theirs}", "artifact_tasks?artifact_ids=x",
        "artifact_tasks?artifact_ids=a&artifact_ids=x", "tasks?run_id=t", f"tasks?parent_id={theirs}",
        f"tasks/{theirs}",
    ):  # fmt: skip
        assert (await api.get(path)).status_code == 403, path
    for path in (
        "artifacts/y",
        "artifacts/y:lineage",
        "artifacts/%00",
        "tasks/y",
        "tasks?run_id=y",
        "tasks?parent_id=y",
    ):
        assert (await api.get(path)).status_code == 404, path
