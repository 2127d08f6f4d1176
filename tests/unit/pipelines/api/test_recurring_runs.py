import json
from typing import Any

import httpx2
import pytest

from beamhall.history.history import History
from beamhall.history.protocol import Writing
from beamhall.history.queries import Order, Where
from beamhall.history.records import Experiment, Pipeline, PipelineVersion, RecurringRun, Run, Specification
from beamhall.pipelines.signals import Signals
from tests.postgresql import BOTH
from tests.unit.pipelines.specs import spec

both = pytest.mark.parametrize("history", BOTH, indirect=True)
_BY_ID = Order("id")
DAILY: Any = {"cron_schedule": {"cron": "0 3 * * *"}}
HOURLY: Any = {"periodic_schedule": {"interval_second": 3600}}


async def _create(api: httpx2.AsyncClient, **fields: Any) -> httpx2.Response:
    body = {"display_name": "nightly", "pipeline_spec": spec(), "trigger": DAILY, **fields}
    return await api.post("recurringruns", json={key: value for key, value in body.items() if value is not ...})


async def _make(api: httpx2.AsyncClient, **fields: Any) -> Any:
    answer = await _create(api, **fields)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def _get(api: httpx2.AsyncClient, key: str) -> Any:
    answer = await api.get(f"recurringruns/{key}")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def _patch(api: httpx2.AsyncClient, key: str, **fields: Any) -> Any:
    answer = await api.patch(f"recurringruns/{key}", json=fields)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def _asked(history: History, key: str) -> list[str]:
    where = Where("recurring_run_id", "=", key)
    return [run.asked for run in await history.read(lambda tx: tx.find(Run, where, order=Order("state")))]


async def _add_versions(history: History) -> None:
    def add(tx: Writing) -> None:
        tx.add(Pipeline(id="p", namespace="default", name="p", display_name="P", created_at=1))
        tx.add(Specification(id="d", namespace="", body=json.dumps(spec())))
        for number, name in enumerate(("v1", "v2")):
            tx.add(
                PipelineVersion(
                    id=name, namespace="default", pipeline_id="p", name=name, display_name=name, spec_digest="d",
                    created_at=number,
                )
            )  # fmt: skip

    await history.write(add)


@both
async def test_one_is_made_and_read_as_the_sdk_has_it(api: httpx2.AsyncClient, history: History) -> None:
    # What kfp.Client sends: numbers as numbers, names in snake case.
    made = await _make(
        api, description="d", runtime_config={"parameters": {"lr": 0.2}, "pipeline_root": "s3://b/r"},
        max_concurrency=2, no_catchup=True, mode="ENABLE", service_account="sa",
        trigger={"cron_schedule": {"start_time": "2026-02-01T00:00:00Z", "cron": "0 3 * * *"}},
    )  # fmt: skip
    (experiment,) = await history.read(lambda tx: tx.find(Experiment))
    assert made == {
        "recurring_run_id": made["recurring_run_id"],
        "display_name": "nightly",
        "description": "d",
        "pipeline_spec": spec(),
        "runtime_config": {"parameters": {"lr": 0.2}, "pipeline_root": "s3://b/r"},
        "service_account": "sa",
        "max_concurrency": "2",
        "trigger": {"cron_schedule": {"start_time": "2026-02-01T00:00:00Z", "cron": "0 3 * * *"}},
        "mode": "ENABLE",
        "status": "ENABLED",
        "created_at": "2026-01-01T00:00:01Z",
        "updated_at": "2026-01-01T00:00:02Z",
        "no_catchup": True,
        "namespace": "default",
        "experiment_id": experiment.id,
        "next_scheduled_at": "2026-02-01T03:00:00Z",
    }
    assert experiment.display_name == "Default"
    assert await _get(api, made["recurring_run_id"]) == made
    listed = (await api.get("recurringruns?page_token=&page_size=10&sort_by=")).json()
    del made["pipeline_spec"]
    assert listed == {"recurringRuns": [made], "total_size": 1}


async def test_camel_case_and_numbers_as_text_are_taken_too(api: httpx2.AsyncClient) -> None:
    made = await _make(
        api, trigger={"periodicSchedule": {"intervalSecond": "3600"}}, maxConcurrency="10", noCatchup=False, mode=2
    )
    assert made["trigger"] == {"periodic_schedule": {"interval_second": "3600"}}
    assert (made["max_concurrency"], made["mode"], made["status"]) == ("10", "DISABLE", "DISABLED")
    assert "next_scheduled_at" not in made


async def test_a_time_zone_stands_before_the_expression(api: httpx2.AsyncClient) -> None:
    made = await _make(api, trigger={"cron_schedule": {"cron": "TZ=Europe/Zurich 0 30 3 * * *"}})
    assert made["trigger"]["cron_schedule"] == {"cron": "CRON_TZ=Europe/Zurich 0 30 3 * * *"}
    assert made["next_scheduled_at"] == "2026-01-01T02:30:00Z"


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"display_name": ...}, "display_name: a recurring run must have a name"),
        ({"display_name": "x" * 129}, "has 129 characters"),
        ({"trigger": ...}, "trigger: a recurring run needs one"),
        ({"trigger": {}}, "one of cron_schedule and periodic_schedule is needed; neither is given"),
        ({"trigger": {**DAILY, **HOURLY}}, "one of cron_schedule and periodic_schedule is needed; both are given"),
        ({"trigger": {"cron_schedule": {}}}, "cron: schedule cron is not a supported format"),
        ({"trigger": {"cron_schedule": {"cron": "0 25 * * *"}}}, "bad hour"),
        ({"trigger": {"cron_schedule": {"cron": "CRON_TZ=Moon 0 3 * * *"}}}, "unknown time zone Moon"),
        ({"trigger": {"cron_schedule": {"cron": "0 3 * * *", "colour": 1}}}, "trigger.cron_schedule.colour: there is"),
        ({"trigger": {"periodic_schedule": {}}}, "found invalid period schedule interval 0"),
        ({"trigger": {"periodic_schedule": {"interval_second": -1}}}, "found invalid period schedule interval -1"),
        ({"trigger": {"periodic_schedule": {"interval_second": 2**40}}}, "found invalid period schedule interval"),
        ({"trigger": {"periodic_schedule": {
            "interval_second": 1, "start_time": "2026-01-02T00:00:00Z", "end_time": "2026-01-02T00:00:00Z"}}},
         "the start time must be before the end time"),
        ({"trigger": {"cron_schedule": {"cron": "@daily", "start_time": "1969-01-01T00:00:00Z"}}}, "before 1970"),
        ({"max_concurrency": 0}, "max concurrency of the recurring run is out of range. Support 1-10. Received 0"),
        ({"max_concurrency": 11}, "Support 1-10. Received 11"),
        ({"mode": "SOMETIMES"}, "mode: \"SOMETIMES\" is none; there are MODE_UNSPECIFIED, ENABLE, DISABLE"),
        ({"no_catchup": "yes"}, "no_catchup: \"yes\" is neither true nor false"),
        ({"runtime_config": {"parameters": {"lr": "much"}}}, "input parameter lr requires type double"),
        ({"runtime_config": {"parameters": {"x": 1}}}, "parameter(s) provided are not required by pipeline: x"),
        ({"pipeline_spec": ...}, "one of pipeline_spec and pipeline_version_reference is needed"),
    ],
)  # fmt: skip
async def test_what_cannot_be_made_says_why(api: httpx2.AsyncClient, fields: Any, part: str) -> None:
    answer = await _create(api, **fields)
    assert (answer.status_code, answer.json()["code"]) == (400, 3), answer.text
    assert part in answer.json()["message"]


async def test_it_is_of_a_version_or_of_the_newest(api: httpx2.AsyncClient, history: History) -> None:
    await _add_versions(history)
    for reference in ({"pipeline_id": "p"}, {"pipeline_id": "p", "pipeline_version_id": "v1"}):
        made = await _make(api, pipeline_spec=..., pipeline_version_reference=reference)
        assert made["pipeline_version_reference"] == reference
        assert "pipeline_spec" not in made
    gone = await _create(api, pipeline_spec=..., pipeline_version_reference={"pipeline_id": "q"})
    assert gone.status_code == 404


async def test_it_is_in_an_experiment_that_is_open(api: httpx2.AsyncClient, signals: Signals) -> None:
    experiment = (await api.post("experiments", json={"display_name": "e", "namespace": "lab"})).json()
    key = experiment["experiment_id"]
    made = await _make(api, experiment_id=key)
    assert (made["experiment_id"], made["namespace"]) == (key, "lab")
    assert await signals.rescheduled(0)
    assert (await _create(api, experiment_id="x")).status_code == 404
    listed = (await api.get("recurringruns", params={"experiment_id": key})).json()
    assert [each["recurring_run_id"] for each in listed["recurringRuns"]] == [made["recurring_run_id"]]
    assert (await api.get("recurringruns")).json() == {}
    await api.post(f"experiments/{key}:archive")
    assert (await _get(api, made["recurring_run_id"]))["status"] == "DISABLED"
    for answer in (
        await _create(api, experiment_id=key),
        await api.post(f"recurringruns/{made['recurring_run_id']}:enable"),
        await api.patch(f"recurringruns/{made['recurring_run_id']}", json={"mode": "ENABLE"}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (400, 9)
        assert 'experiment "e" is archived' in answer.json()["message"]


async def test_it_is_enabled_and_disabled(api: httpx2.AsyncClient, signals: Signals) -> None:
    key = (await _make(api))["recurring_run_id"]
    for action, mode, status in (("disable", "DISABLE", "DISABLED"), ("enable", "ENABLE", "ENABLED")):
        await signals.rescheduled(0)
        for _ in range(2):
            answer = await api.post(f"recurringruns/{key}:{action}", headers={"content-type": "application/json"})
            assert (answer.status_code, answer.json()) == (200, {})
        found = await _get(api, key)
        assert (found["mode"], found["status"]) == (mode, status)
        assert ("next_scheduled_at" in found) == (action == "enable")
        assert await signals.rescheduled(0)
    assert (await api.post(f"recurringruns/{key}:melt")).status_code == 405
    assert (await api.post("recurringruns/x:enable")).status_code == 404


@both
async def test_a_patch_changes_what_it_names(api: httpx2.AsyncClient, history: History) -> None:
    made = await _make(api, runtime_config={"parameters": {"lr": 1}, "pipeline_root": "s3://b/r"})
    key = made["recurring_run_id"]
    changed = await _patch(api, key, display_name="hourly", max_concurrency=3, trigger=HOURLY)
    assert changed == {
        **made, "display_name": "hourly", "max_concurrency": "3", "updated_at": changed["updated_at"],
        "trigger": {"periodic_schedule": {"interval_second": "3600"}}, "next_scheduled_at": "2026-01-01T01:00:03Z",
    }  # fmt: skip
    changed = await _patch(api, key, runtime_config={"parameters": {"lr": 2}}, mode="DISABLE")
    assert changed["runtime_config"] == {"parameters": {"lr": 2}, "pipeline_root": "s3://b/r"}
    assert (changed["pipeline_spec"], changed["status"]) == (spec(), "DISABLED")
    await _add_versions(history)
    changed = await _patch(api, key, pipeline_version_reference={"pipeline_id": "p", "pipeline_version_id": "v2"})
    assert changed["pipeline_version_reference"]["pipeline_version_id"] == "v2"
    assert changed["runtime_config"]["parameters"] == {"lr": 2}
    assert await history.read(lambda tx: [each.id for each in tx.find(Specification, order=_BY_ID)]) == ["d"]


async def test_a_patch_of_the_same_trigger_leaves_what_is_due(api: httpx2.AsyncClient, history: History) -> None:
    made = await _make(api, trigger=HOURLY)
    key = made["recurring_run_id"]
    before = await history.read(lambda tx: tx.get(RecurringRun, key))
    changed = await _patch(api, key, **{name: made[name] for name in ("trigger", "display_name", "next_scheduled_at")})
    after = await history.read(lambda tx: tx.get(RecurringRun, key))
    assert changed == {**made, "updated_at": changed["updated_at"]}
    assert before is not None
    assert after is not None
    assert (after.last_at, after.next_at) == (0, before.next_at)


@pytest.mark.parametrize(
    ("fields", "status", "part"),
    [
        ({"display_name": ""}, 400, "must have a name"),
        ({"max_concurrency": 11}, 400, "Support 1-10"),
        ({"trigger": {}}, 400, "neither is given"),
        ({"runtime_config": {"parameters": {"lr": "much"}}}, 400, "requires type double"),
        ({"experiment_id": "other"}, 400, "a recurring run stays in its experiment"),
        ({"colour": "red"}, 400, "colour: there is no such field"),
        ({"pipeline_version_reference": {"pipeline_id": "q"}}, 404, "not found"),
    ],
)
async def test_a_wrong_patch_changes_nothing(api: httpx2.AsyncClient, fields: Any, status: int, part: str) -> None:
    made = await _make(api)
    answer = await api.patch(f"recurringruns/{made['recurring_run_id']}", json=fields)
    assert answer.status_code == status
    assert part in answer.json()["message"]
    assert await _get(api, made["recurring_run_id"]) == made


@both
async def test_one_goes_and_its_runs_stay_unless_it_is_said(api: httpx2.AsyncClient, history: History) -> None:
    for policy, asked in (("", ""), ("ORPHAN", ""), ("BACKGROUND", "TERMINATE"), ("FOREGROUND", "TERMINATE")):
        key = (await _make(api))["recurring_run_id"]

        def add(tx: Writing, key: str = key) -> None:
            for state in ("RUNNING", "SUCCEEDED"):
                run = Run(
                    id=f"{key}{state}", namespace="default", experiment_id="e", display_name="r", created_at=1,
                    state=state, recurring_run_id=key,
                )  # fmt: skip
                tx.add(run)

        await history.write(add)
        answer = await api.delete(f"recurringruns/{key}", params={"propagation_policy": policy})
        assert (answer.status_code, answer.json()) == (200, {})
        assert (await api.get(f"recurringruns/{key}")).status_code == 404
        assert await _asked(history, key) == [asked, ""]
    assert await history.read(lambda tx: tx.count(Specification)) == 0
    assert (await api.delete("recurringruns/x")).status_code == 404
    assert (await api.delete("recurringruns/x?propagation_policy=SIDEWAYS")).status_code == 404


async def test_what_is_anothers_is_forbidden(api: httpx2.AsyncClient, history: History) -> None:
    def add(tx: Writing) -> None:
        tx.add(Experiment(id="t", namespace="closed", display_name="theirs", created_at=1))
        tx.add(
            RecurringRun(
                id="s",
                namespace="closed",
                experiment_id="t",
                display_name="s",
                created_at=1,
                updated_at=1,
                cron="@daily",
            )
        )

    await history.write(add)
    for method, path in (
        ("GET", "?namespace=closed"), ("GET", "?experiment_id=t"), ("GET", "/s"), ("PATCH", "/s"), ("DELETE", "/s"),
        ("POST", "/s:enable"), ("POST", "/s:disable"),
    ):  # fmt: skip
        assert (await api.request(method, f"recurringruns{path}", json={})).status_code == 403, (method, path)
    assert (await _create(api, experiment_id="t")).status_code == 403
