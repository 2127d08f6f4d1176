import asyncio
import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest

from beamhall.history.history import History
from beamhall.history.protocol import Writing
from beamhall.history.records import (
    AnyRecord,
    Artifact,
    ArtifactTask,
    Experiment,
    Pipeline,
    PipelineVersion,
    Run,
    Specification,
    Task,
    task_id,
)
from beamhall.pipelines.api.run_messages import TASKS_SHOWN
from beamhall.pipelines.signals import Signals
from tests.postgresql import BOTH
from tests.unit.pipelines.specs import spec

PLATFORM: Any = {"platforms": {"kubernetes": {"deploymentSpec": {"executors": {}}}}}
both = pytest.mark.parametrize("history", BOTH, indirect=True)


async def _create(api: httpx2.AsyncClient, **fields: Any) -> httpx2.Response:
    return await api.post("runs", json={"display_name": "mine", "pipeline_spec": spec(), **fields})


async def _make(api: httpx2.AsyncClient, **fields: Any) -> Any:
    answer = await _create(api, **fields)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def _get(api: httpx2.AsyncClient, key: str) -> Any:
    answer = await api.get(f"runs/{key}")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def _names(api: httpx2.AsyncClient, **query: Any) -> list[str]:
    answer = await api.get("runs", params=query)
    assert answer.status_code == 200, answer.text
    return [each["display_name"] for each in answer.json().get("runs", [])]


async def _become(history: History, key: str, **fields: Any) -> None:
    def change(tx: Writing) -> None:
        run = tx.get(Run, key)
        assert run is not None
        tx.put(msgspec.structs.replace(run, **fields))

    await history.write(change)


async def _run(history: History, key: str) -> Run:
    found = await history.read(lambda tx: tx.get(Run, key))
    assert found is not None
    return found


async def _add_versions(history: History, namespace: str = "default") -> None:
    """Put a pipeline ``p`` there, with the versions ``v1`` and, a microsecond younger, ``v2`` of another default."""
    newer = spec()
    newer["root"]["inputDefinitions"]["parameters"]["lr"]["defaultValue"] = 0.5

    def add(tx: Writing) -> None:
        tx.add(Pipeline(id="p", namespace=namespace, name="p", display_name="P", created_at=1))
        for number, document in enumerate((spec(), newer), 1):
            digest, body = f"sha{number}", json.dumps(document)
            tx.add(Specification(id=digest, namespace="", body=body))
            tx.add(
                PipelineVersion(
                    id=f"v{number}", namespace=namespace, pipeline_id="p", name=f"v{number}", display_name="V",
                    created_at=number, spec_digest=digest,
                )
            )  # fmt: skip

    await history.write(add)


@pytest.mark.parametrize(
    ("root", "words"),
    [
        ("/elsewhere", "pipeline root /elsewhere is outside of the directories that this service uses; name it in the"),
        ("file:///elsewhere", "is outside of the directories"),
        ("elsewhere", "'elsewhere' is no URI and no absolute path"),
        ("{}/../x", 'has ".." in its path'),
    ],
)
async def test_a_run_whose_files_may_not_go_there_is_refused(
    api: httpx2.AsyncClient, artifacts: Path, root: str, words: str
) -> None:
    root = root.format(artifacts)
    for kind, more in (("runs", {}), ("recurringruns", {"trigger": {"periodic_schedule": {"interval_second": 60}}})):
        config = {"pipeline_root": root, "parameters": {"lr": 1}}
        body = {"display_name": "x", "pipeline_spec": spec(), "runtime_config": config, **more}
        answer = await api.post(kind, json=body)
        assert (answer.status_code, words in answer.json()["message"]) == (400, True), answer.text
    assert (await _make(api, runtime_config={"parameters": {"lr": 1}, "pipeline_root": f"{artifacts}/mine"}))["run_id"]


@both
async def test_a_run_is_made_and_read(api: httpx2.AsyncClient, history: History, signals: Signals) -> None:
    made = await _make(
        api, description="why", service_account="robot",
        runtime_config={"parameters": {"lr": 1}, "pipeline_root": "s3://b/elsewhere"},
    )  # fmt: skip
    key = made["run_id"]
    assert made == {
        "run_id": key, "experiment_id": made["experiment_id"], "display_name": "mine", "description": "why",
        "storage_state": "AVAILABLE", "pipeline_spec": spec(), "service_account": "robot", "state": "PENDING",
        "runtime_config": {"parameters": {"lr": 1}, "pipeline_root": "s3://b/elsewhere"},
        "created_at": "2026-01-01T00:00:01Z", "scheduled_at": "2026-01-01T00:00:01Z",
        "finished_at": "1970-01-01T00:00:00Z",
        "state_history": [{"update_time": "2026-01-01T00:00:01Z", "state": "PENDING"}],
    }  # fmt: skip
    assert await _get(api, key) == made
    assert (await api.get(f"http://kfp/pipeline/apis/v2beta1/runs/{key}?experiment_id=x")).json() == made
    stored = await _run(history, key)
    assert (stored.pipeline_name, stored.asked, stored.namespace) == ("p", "", "default")
    async with asyncio.timeout(10):
        assert await signals.woken() == {key}
    experiment = (await api.get(f"experiments/{made['experiment_id']}")).json()
    assert (experiment["display_name"], experiment["last_run_created_at"]) == ("Default", made["created_at"])
    assert (await _make(api))["experiment_id"] == made["experiment_id"]


async def test_a_specification_is_taken_in_every_form_and_kept_once(api: httpx2.AsyncClient, history: History) -> None:
    pair = {"pipeline_spec": spec(), "platform_spec": PLATFORM}
    for given, shown in (
        (spec(), spec()),
        ({"pipelineSpec": spec()}, spec()),
        ({"pipeline_spec": spec(), "platform_spec": {}}, spec()),
        (pair, pair),
        ({"pipelineSpec": spec(), "platformSpec": PLATFORM}, pair),
    ):
        assert (await _make(api, pipeline_spec=given))["pipeline_spec"] == shown
    kept = await history.read(lambda tx: tx.count(Specification))
    assert kept == 2


async def test_a_run_goes_into_its_experiment_and_namespace(api: httpx2.AsyncClient, history: History) -> None:
    await history.write(lambda tx: tx.add(Experiment(id="e", namespace="lab", display_name="e", created_at=1)))
    run = await _make(api, experiment_id="e")
    assert run["experiment_id"] == "e"
    assert (await _run(history, run["run_id"])).namespace == "lab"
    assert (await _create(api, experiment_id="gone")).status_code == 404


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"display_name": ""}, "display_name: a run must have a name"),
        ({"display_name": "x" * 256}, "display_name: it has 256 characters"),
        ({"pipeline_spec": None}, "one of pipeline_spec and pipeline_version_reference is needed"),
        ({"pipeline_version_reference": {"pipeline_id": "p"}}, "not pipeline_spec and pipeline_version_reference"),
        ({"pipeline_spec": None, "pipeline_version_reference": {"pipeline_id": ""}}, "pipeline_version_reference"),
        ({"pipeline_spec": {**spec(), "schemaVersion": "2.0.0"}}, "schemaVersion: must be 2.1.0"),
        ({"pipeline_spec": "x"}, "invalid pipeline"),
        ({"pipeline_spec": {"root": {"dag": {"tasks": {}}}}}, "schemaVersion: must be given"),
        ({"runtime_config": {"parameters": {"lr": "fast"}}}, "input parameter lr requires type double or integer"),
        ({"runtime_config": {"parameters": {"other": 1}}}, "not required by pipeline: other"),
        ({"runtime_config": {"parameters": []}}, "runtime_config.parameters: [] is no object"),
        ({"runtime_config": {"parameters": {"lr": "x" * 2**20}}}, "put large values where steps can fetch them"),
        ({"colour": "red"}, "colour: there is no such field"),
    ],
)
async def test_what_cannot_be_run_says_why(api: httpx2.AsyncClient, fields: dict[str, Any], part: str) -> None:
    answer = await _create(api, **fields)
    assert (answer.status_code, answer.json()["code"]) == (400, 3), answer.text
    assert part in answer.json()["message"]
    assert "runs" not in (await api.get("runs")).json()


async def test_a_required_parameter_must_be_given(api: httpx2.AsyncClient) -> None:
    document = spec()
    document["root"]["inputDefinitions"]["parameters"]["name"] = {"parameterType": "STRING", "literals": ["a", "b"]}
    for parameters, part in (({}, "parameter name is not optional"), ({"name": "c"}, 'must be one of "a", "b"')):
        answer = await _create(api, pipeline_spec=document, runtime_config={"parameters": parameters})
        assert answer.status_code == 400
        assert part in answer.json()["message"]
    await _make(api, pipeline_spec=document, runtime_config={"parameters": {"name": "a"}})


async def test_a_specification_of_a_hundred_thousand_tasks_is_refused(api: httpx2.AsyncClient) -> None:
    document = spec()
    document["root"]["dag"]["tasks"] = {f"t{n}": {"componentRef": {"name": "comp-a"}} for n in range(100_000)}
    answer = await _create(api, pipeline_spec=document)
    assert answer.status_code == 400
    assert "there are 100000 tasks; a specification may have 20000" in answer.json()["message"]
    await _make(api)


@both
async def test_a_run_of_a_version_names_the_version(api: httpx2.AsyncClient, history: History) -> None:
    await _add_versions(history)
    newest = {"pipeline_id": "p", "pipeline_version_id": "v2"}
    for reference, shown in (
        ({"pipeline_id": "p"}, newest),
        (newest, newest),
        ({"pipelineId": "p", "pipelineVersionId": "v1"}, {"pipeline_id": "p", "pipeline_version_id": "v1"}),
    ):
        run = await _make(api, pipeline_spec=None, pipeline_version_reference=reference)
        assert run["pipeline_version_reference"] == shown
        assert "pipeline_spec" not in run
        assert await _get(api, run["run_id"]) == run
        assert (await _run(history, run["run_id"])).spec_digest in ("sha1", "sha2")
    run = await _make(api, pipeline_spec=None, pipeline_version_id="v1")
    assert run["pipeline_version_reference"] == {"pipeline_id": "p", "pipeline_version_id": "v1"}


async def test_a_version_that_is_not_there_is_not_found(api: httpx2.AsyncClient, history: History) -> None:
    await _add_versions(history)
    for reference in (
        {"pipeline_id": "q"},
        {"pipeline_version_id": "v3"},
        {"pipeline_id": "q", "pipeline_version_id": "v1"},
    ):
        answer = await _create(api, pipeline_spec=None, pipeline_version_reference=reference)
        assert (answer.status_code, answer.json()["code"]) == (404, 5), reference


async def test_what_is_anothers_is_forbidden(api: httpx2.AsyncClient, history: History) -> None:
    await _add_versions(history, "closed")

    def add(tx: Writing) -> None:
        tx.add(Experiment(id="e", namespace="closed", display_name="e", created_at=1))
        tx.add(Run(id="r", namespace="closed", experiment_id="e", display_name="r", created_at=1, state="FAILED"))

    await history.write(add)
    theirs = await _run(history, "r")
    for method, path in (
        ("GET", "runs?namespace=closed"), ("GET", "runs?experiment_id=e"), ("GET", "runs/r"), ("DELETE", "runs/r"),
        *(("POST", f"runs/r:{action}") for action in ("archive", "unarchive", "terminate", "retry")),
    ):  # fmt: skip
        answer = await api.request(method, path)
        assert (answer.status_code, answer.json()["code"]) == (403, 7), path
    assert (await _create(api, experiment_id="e")).status_code == 403
    reference = {"pipeline_id": "p", "pipeline_version_id": "v1"}
    for given in (reference, {"pipeline_id": "p"}):
        answer = await _create(api, pipeline_spec=None, pipeline_version_reference=given)
        assert answer.status_code == 403
    assert await _names(api) == []
    assert await _run(history, "r") == theirs


async def test_whoever_may_only_look_may_not_run(api: httpx2.AsyncClient, history: History) -> None:
    await _add_versions(history, "shown")
    await history.write(lambda tx: tx.add(Experiment(id="e", namespace="shown", display_name="e", created_at=1)))
    assert (await api.get("experiments/e")).status_code == 200
    in_it = {"experiment_id": "e"}
    of_it: dict[str, Any] = {"pipeline_spec": None, "pipeline_version_reference": {"pipeline_id": "p"}}
    for fields in (in_it, of_it, {**in_it, **of_it}):
        answer = await _create(api, **fields)
        assert answer.status_code == 403
        assert answer.json()["message"] == "you may not create runs in shown"
    await history.write(lambda tx: tx.add(Experiment(id="mine", namespace="default", display_name="e", created_at=1)))
    assert (await _create(api, experiment_id="mine", **of_it)).status_code == 200  # a pipeline that may be read
    assert await history.read(lambda tx: tx.count(Run)) == 1


async def test_what_is_not_there_is_not_found(api: httpx2.AsyncClient) -> None:
    for method, path in (
        ("GET", "x"), ("DELETE", "x"), ("POST", "x:archive"), ("POST", "x:terminate"), ("GET", "%00"),
    ):  # fmt: skip
        answer = await api.request(method, f"runs/{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, 5), (method, path)
    for path in ("x:melt", "x", ":retry"):
        assert (await api.post(f"runs/{path}")).status_code == 405


@both
async def test_termination_is_asked_for_once(api: httpx2.AsyncClient, history: History, signals: Signals) -> None:
    key = (await _make(api))["run_id"]
    for state in ("PENDING", "RUNNING", "PAUSED"):
        await _become(history, key, state=state, asked="")
        async with asyncio.timeout(10):
            await signals.woken()
            answer = await api.post(f"runs/{key}:terminate", headers={"content-type": "application/json"})
            assert (answer.status_code, answer.json()) == (200, {})
            assert key in (await signals.woken())
            signals.wake(key)
        run = await _run(history, key)
        assert (run.state, run.asked) == ("CANCELING", "TERMINATE")
        assert run.state_history[-1]["state"] == "CANCELING"
    for state in ("CANCELING", "SUCCEEDED", "FAILED", "SKIPPED", "CANCELED"):
        await _become(history, key, state=state, asked="")
        answer = await api.post(f"runs/{key}:terminate")
        assert (answer.status_code, answer.json()["code"]) == (400, 9), state
        assert (await _run(history, key)).asked == ""


async def test_only_what_failed_is_tried_again(api: httpx2.AsyncClient, history: History) -> None:
    key = (await _make(api))["run_id"]
    for state in ("FAILED", "CANCELED"):
        await _become(history, key, state=state, asked="", finished_at=7, error="it broke", error_code=3)
        assert (await _get(api, key))["error"] == {"code": 3, "message": "it broke"}
        answer = await api.post(f"runs/{key}:retry")
        assert (answer.status_code, answer.json()) == (200, {})
        run = await _run(history, key)
        assert (run.state, run.asked, run.finished_at, run.error) == ("PENDING", "RETRY", 0, "")
        assert "error" not in await _get(api, key)
    for state in ("PENDING", "RUNNING", "SUCCEEDED", "CANCELING"):
        await _become(history, key, state=state, asked="")
        answer = await api.post(f"runs/{key}:retry")
        assert (answer.status_code, answer.json()["code"]) == (400, 9), state


async def test_a_run_comes_back_from_the_archive_if_its_experiment_does(api: httpx2.AsyncClient) -> None:
    run = await _make(api)
    key, experiment = run["run_id"], run["experiment_id"]
    for path, state in ((f"runs/{key}:archive", "ARCHIVED"), (f"runs/{key}:unarchive", "AVAILABLE")):
        assert (await api.post(path)).json() == {}
        assert (await _get(api, key))["storage_state"] == state
    await api.post(f"experiments/{experiment}:archive")
    answer = await api.post(f"runs/{key}:unarchive")
    assert (answer.status_code, answer.json()["code"]) == (400, 9)
    assert "unarchive that first" in answer.json()["message"]
    await api.post(f"experiments/{experiment}:unarchive")
    assert (await _get(api, key))["storage_state"] == "ARCHIVED"
    assert (await api.post(f"runs/{key}:unarchive")).status_code == 200


@both
async def test_a_run_goes_with_its_specification_unless_another_uses_it(
    api: httpx2.AsyncClient, history: History, signals: Signals
) -> None:
    first, second = (await _make(api))["run_id"], (await _make(api))["run_id"]
    task = Task(id="t", namespace="default", run_id=first, path="/a", name="a", created_at=1)
    await history.write(lambda tx: tx.add(task))
    for key, left in ((first, 1), (second, 0)):
        await signals.woken()
        assert (await api.delete(f"runs/{key}")).json() == {}
        async with asyncio.timeout(10):
            assert key in await signals.woken()
        signals.wake(key)
        assert (await api.get(f"runs/{key}")).status_code == 404
        assert await history.read(lambda tx: tx.count(Specification)) == left
    assert await history.read(lambda tx: tx.count(Task)) == 0


def _task(run: str, path: str, **fields: Any) -> Task:
    parent = path.rpartition("/")[0] if path else ""
    base = Task(
        id=task_id(run, path), namespace="default", run_id=run, path=path, name=path.rpartition("/")[2], created_at=1,
        parent_id=task_id(run, parent) if path else "",
    )  # fmt: skip
    return msgspec.structs.replace(base, **fields)


@both
async def test_a_run_tells_of_each_task_once(api: httpx2.AsyncClient, history: History) -> None:
    key = (await _make(api))["run_id"]
    second = 1_000_000
    pods = [{"name": "p-0", "uid": "u0", "type": "EXECUTOR"}, {"name": "p-1", "uid": "u1", "type": "EXECUTOR"}]
    link = ArtifactTask(
        id="l1", namespace="default", artifact_id="x", task_id=task_id(key, "/a"), run_id=key, type="OUTPUT", key="m",
        position=1,
    )  # fmt: skip
    root = _task(key, "", type="ROOT", state="RUNNING")
    step = _task(
        key, "/a", state="FAILED", created_at=2 * second, started_at=3 * second, finished_at=4 * second, pods=pods,
        error="exit code 1", display_name="Train", fingerprint="f", inputs={"parameters": {"secret": 1}},
        state_history=[{"update_time": 4 * second, "state": "FAILED", "error": "exit code 1"}],
    )  # fmt: skip
    loop = _task(key, "/l", type="LOOP", iteration=2, created_at=5 * second, state="SUCCEEDED")
    first = _task(key, "/l[0]", type="LOOP_ITERATION", created_at=6 * second, parent_id=loop.id)
    other = msgspec.structs.replace(link, id="l2", artifact_id="y", position=0)
    used = msgspec.structs.replace(link, id="l3", type="INPUT", key="d")
    await history.write(lambda tx: tx.add(root, step, loop, first, link, other, used))
    shown = {each["task_id"]: each for each in (await _get(api, key))["run_details"]["task_details"]}
    assert len(shown) == 4
    assert shown[root.id]["child_tasks"] == [{"task_id": step.id}, {"task_id": loop.id}]
    assert "parent_task_id" not in shown[root.id]
    assert shown[root.id]["display_name"] == "root"
    assert shown[loop.id]["type_attributes"] == {"iteration_count": "2"}
    assert shown[first.id]["type_attributes"] == {"iteration_index": "0"}
    assert shown[first.id]["parent_task_id"] == loop.id
    error = {"code": 2, "message": "exit code 1"}
    assert shown[step.id] == {
        "run_id": key, "task_id": step.id, "name": "a", "display_name": "Train", "type": "RUNTIME",
        "state": "FAILED", "create_time": "1970-01-01T00:00:02Z", "start_time": "1970-01-01T00:00:03Z",
        "end_time": "1970-01-01T00:00:04Z", "error": error, "parent_task_id": root.id, "pod_name": "p-1", "pods": pods,
        "executor_detail": {"main_job": "p-1", "failed_main_jobs": ["p-0"]}, "cache_fingerprint": "f",
        "inputs": {"d": {"artifact_ids": ["x"]}}, "outputs": {"m": {"artifact_ids": ["y", "x"]}},
        "state_history": [{"update_time": "1970-01-01T00:00:04Z", "state": "FAILED", "error": error}],
    }  # fmt: skip
    listed = (await api.get("runs")).json()["runs"]
    assert [each["run_id"] for each in listed] == [key]
    assert not {"run_details", "pipeline_spec"} & listed[0].keys()


async def test_of_very_many_tasks_the_first_are_told_and_those_that_failed(
    api: httpx2.AsyncClient, history: History
) -> None:
    key = (await _make(api))["run_id"]
    many = TASKS_SHOWN + 50
    tasks = [_task(key, f"/l[{n}]", created_at=n, state="FAILED" if n % 9 == 0 else "SUCCEEDED") for n in range(many)]
    await history.write(lambda tx: tx.add(*tasks))
    shown = [each["task_id"] for each in (await _get(api, key))["run_details"]["task_details"]]
    beyond = [task.id for task in tasks[TASKS_SHOWN:] if task.state == "FAILED"]
    assert beyond
    assert shown == [*(task.id for task in tasks[:TASKS_SHOWN]), *beyond]


async def test_runs_are_sorted_by_every_field_that_upstream_knows(api: httpx2.AsyncClient) -> None:
    for name in ("b", "a"):
        await _make(api, display_name=name)
    for field in (
        "id", "run_id", "name", "display_name", "created_at", "finished_at", "scheduled_at", "description",
        "storage_state", "status", "state", "namespace", "experiment_id", "recurring_run_id", "state_history",
        "runtime_details", "metric:accuracy",
    ):  # fmt: skip
        found = await _names(api, sort_by=field)
        assert sorted(found) == ["a", "b"], field
        assert await _names(api, sort_by=f"{field} DESC") == found[::-1], field


@pytest.mark.parametrize("sort_by", ["run_id", "name", "created_at", "finished_at", "scheduled_at", "state desc"])
@both
async def test_runs_are_sorted_by_page(api: httpx2.AsyncClient, history: History, sort_by: str) -> None:
    field, _, direction = sort_by.partition(" ")
    states = ("FAILED", "RUNNING", "SUCCEEDED")
    for number in range(7):
        key = (await _make(api, display_name=f"{number * 3 % 7}"))["run_id"]
        at = (number * 5 % 7) * 1_000_000
        await _become(history, key, finished_at=at, scheduled_at=2 * at, state=states[number % 3])
    found: list[Mapping[str, Any]] = []
    query: dict[str, Any] = {"sort_by": sort_by, "page_size": 2}
    while query["page_size"]:
        page = (await api.get("runs", params=query)).json()
        assert page["total_size"] == 7
        found += page["runs"]
        token = page.get("next_page_token")
        query = {"page_token": token, "page_size": 3 if token else 0}
    name = {"name": "display_name"}.get(field, field)
    assert found == sorted(found, key=lambda run: (run[name], run["run_id"]), reverse=direction == "desc")
    assert len(found) == 7


async def test_runs_are_chosen_by_what_they_are(api: httpx2.AsyncClient, history: History) -> None:
    for name, state in (("first", "FAILED"), ("second", "RUNNING"), ("third", "FAILED")):
        await _become(history, (await _make(api, display_name=name))["run_id"], state=state)
    await api.post("experiments", json={"display_name": "lab's", "namespace": "lab"})

    def filtered(**predicate: Any) -> dict[str, str]:
        return {"filter": json.dumps({"predicates": [predicate]})}

    assert await _names(api, **filtered(operation="EQUALS", key="state", string_value="FAILED")) == ["first", "third"]
    assert await _names(api, **filtered(operation=2, key="storage_state", stringValue="ARCHIVED")) != []
    assert await _names(api, **filtered(operation=9, key="name", stringValue="IR")) == ["first", "third"]
    assert await _names(api, namespace="lab") == []
    experiment = (await api.get("experiments")).json()["experiments"][0]["experiment_id"]
    assert len(await _names(api, experiment_id=experiment)) == 3
    assert await _names(api, experiment_id="gone") == []


async def test_runs_are_sorted_by_their_metrics(api: httpx2.AsyncClient, history: History) -> None:
    for name, number in (("none", None), ("good", 0.9), ("bad", 0.1), ("nothing", None)):
        key = (await _make(api, display_name=name))["run_id"]
        task = _task(key, "/a")
        made = Artifact(
            id=f"{name}'s", namespace="default", name="accuracy", type="Metric", created_at=1, number_value=number
        )
        link = ArtifactTask(
            id=name, namespace="default", artifact_id=made.id, task_id=task.id, run_id=key, type="OUTPUT", key="m"
        )
        await history.write(partial(_add, (task, made, link)))
    query: dict[str, Any] = {"sort_by": "metric:accuracy desc", "page_size": 1}
    found: list[str] = []
    while query["page_size"] and len(found) < 9:
        page = (await api.get("runs", params=query)).json()
        found += [each["display_name"] for each in page["runs"]]
        query = {"page_token": page.get("next_page_token"), "page_size": int("next_page_token" in page)}
    assert found[:2] == ["good", "bad"]
    assert sorted(found[2:]) == ["none", "nothing"]
    answer = await api.get("experiments?sort_by=metric:accuracy")
    assert answer.status_code == 400


def _add(rows: Sequence[AnyRecord], tx: Writing) -> None:
    tx.add(*rows)
