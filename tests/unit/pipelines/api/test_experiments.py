import base64
import json
from typing import Any

import httpx2
import pytest

from beamhall.history.history import History
from beamhall.history.protocol import Writing
from beamhall.history.records import Experiment, RecurringRun, Run

UNSET = "1970-01-01T00:00:00Z"


async def _make(api: httpx2.AsyncClient, name: str, **fields: Any) -> Any:
    answer = await api.post("experiments", json={"display_name": name, **fields})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def _names(api: httpx2.AsyncClient, **query: Any) -> list[str]:
    answer = await api.get("experiments", params=query)
    assert answer.status_code == 200, answer.text
    return [each["display_name"] for each in answer.json().get("experiments", [])]


def _filter(**predicate: Any) -> str:
    return json.dumps({"predicates": [predicate]})


async def test_health_says_what_clients_ask_for(api: httpx2.AsyncClient) -> None:
    for path in ("healthz", "http://kfp/pipeline/apis/v2beta1/healthz"):
        assert (await api.get(path)).json() == {"pipeline_store": "database"}


async def test_an_experiment_is_made_and_read(api: httpx2.AsyncClient) -> None:
    made = await _make(api, "mine", description="what for", namespace="lab")
    key = made["experiment_id"]
    assert made == {
        "experiment_id": key, "display_name": "mine", "description": "what for", "namespace": "lab",
        "created_at": "2026-01-01T00:00:01Z", "last_run_created_at": UNSET, "storage_state": "AVAILABLE",
    }  # fmt: skip
    assert (await api.get(f"experiments/{key}")).json() == made
    assert (await api.get(f"http://kfp/pipeline/apis/v2beta1/experiments/{key}")).json() == made


async def test_names_may_be_written_in_both_cases_and_null_is_unset(api: httpx2.AsyncClient) -> None:
    answer = await api.post("experiments", json={"displayName": "mine", "description": None, "experimentId": "x"})
    assert "description" not in answer.json()
    assert answer.json()["namespace"] == "default"
    assert answer.json()["experiment_id"] != "x"


@pytest.mark.parametrize(
    ("body", "part"),
    [
        (b'{"display_name": "x", "colour": "red"}', "colour: there is no such field"),
        (b'{"display_name": "x", "displayName": "y"}', "displayName: the field is given twice"),
        (b'{"display_name": 3}', "display_name: 3 is no string"),
        (b'{"display_name": "a\\u0000"}', "NUL"),
        (b"{}", "must have a name"),
        (b"", "must have a name"),
        (b"[]", "the body: [] is no object"),
        (b"{", "the body is no JSON"),
        (b"\xff", "the body is no JSON"),
        (b"[" * 100_000, "the body is no JSON"),
        (b'{"display_name": "' + b"x" * 129 + b'"}', "has 129 characters, and may have 128"),
    ],
)
async def test_what_cannot_be_made_says_why(api: httpx2.AsyncClient, body: bytes, part: str) -> None:
    answer = await api.post("experiments", content=body)
    assert answer.status_code == 400
    found = answer.json()
    assert part in found["message"]
    detail = {"@type": "type.googleapis.com/google.rpc.Status", "code": 3, "message": found["message"]}
    assert found == {"code": 3, "message": found["message"], "details": [detail]}


async def test_a_body_of_40_megabytes_is_refused(api: httpx2.AsyncClient) -> None:
    answer = await api.post("experiments", content=b'{"display_name": "' + b"x" * 40 * 2**20)
    assert answer.status_code == 413
    assert "32 MiB" in answer.json()["message"]


async def test_a_name_is_taken_once_in_a_namespace(api: httpx2.AsyncClient) -> None:
    await _make(api, "mine")
    answer = await api.post("experiments", json={"display_name": "mine"})
    assert (answer.status_code, answer.json()["code"]) == (409, 6)
    assert 'named "mine" is there already in namespace "default"' in answer.json()["message"]
    await _make(api, "mine", namespace="lab")


async def test_what_is_not_there_is_not_found(api: httpx2.AsyncClient) -> None:
    for method, path in (("GET", "x"), ("DELETE", "x"), ("POST", "x:archive"), ("GET", "x:archive"), ("GET", "%00")):
        answer = await api.request(method, f"experiments/{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, 5), (method, path)
    assert (await api.get("nothing")).json()["message"] == "nothing is served at /apis/v2beta1/nothing"
    for method, path in (("PUT", "experiments"), ("POST", "experiments/x:melt"), ("POST", "experiments/x")):
        assert (await api.request(method, path)).status_code == 405


async def test_what_is_anothers_is_forbidden(api: httpx2.AsyncClient, history: History) -> None:
    theirs = Experiment(id="t", namespace="closed", display_name="theirs", created_at=1)
    await history.write(lambda tx: tx.add(theirs))
    for method, path in (
        ("GET", "experiments?namespace=closed"), ("GET", "experiments/t"), ("DELETE", "experiments/t"),
        ("POST", "experiments/t:archive"), ("POST", "experiments/t:unarchive"),
    ):  # fmt: skip
        answer = await api.request(method, path)
        assert (answer.status_code, answer.json()["code"]) == (403, 7), path
    answer = await api.post("experiments", json={"display_name": "x", "namespace": "closed"})
    assert answer.status_code == 403
    assert await _names(api, filter=_filter(operation="EQUALS", key="namespace", string_value="closed")) == []
    assert await history.read(lambda tx: tx.get(Experiment, "t")) == theirs


async def test_an_experiment_goes_and_its_runs_stay(api: httpx2.AsyncClient, history: History) -> None:
    key = (await _make(api, "mine"))["experiment_id"]
    run = Run(id="r", namespace="default", experiment_id=key, display_name="r", created_at=1)
    await history.write(lambda tx: tx.add(run))
    answer = await api.delete(f"experiments/{key}")
    assert (answer.status_code, answer.json()) == (200, {})
    assert (await api.get(f"experiments/{key}")).status_code == 404
    assert await history.read(lambda tx: tx.get(Run, "r")) == run


async def test_archiving_takes_runs_and_schedules_along_and_taking_back_does_not(
    api: httpx2.AsyncClient, history: History
) -> None:
    key = (await _make(api, "mine"))["experiment_id"]

    def fill(tx: Writing) -> None:
        for name, experiment in (("ours", key), ("other", "e")):
            tx.add(
                Run(id=name, namespace="default", experiment_id=experiment, display_name=name, created_at=1),
                RecurringRun(
                    id=name, namespace="default", experiment_id=experiment, display_name=name, created_at=1,
                    updated_at=1,
                ),
            )  # fmt: skip

    async def states() -> Any:
        runs = await history.read(lambda tx: {each.id: each.storage_state for each in tx.find(Run)})
        schedules = await history.read(lambda tx: {each.id: each.status for each in tx.find(RecurringRun)})
        return (await api.get(f"experiments/{key}")).json()["storage_state"], runs, schedules

    await history.write(fill)
    after = {"ours": "ARCHIVED", "other": "AVAILABLE"}, {"ours": "DISABLED", "other": "ENABLED"}
    for action, state in (("archive", "ARCHIVED"), ("archive", "ARCHIVED"), ("unarchive", "AVAILABLE")):
        answer = await api.post(f"experiments/{key}:{action}", headers={"content-type": "application/json"})
        assert (answer.status_code, answer.json()) == (200, {})
        assert await states() == (state, *after)


async def test_an_empty_list_is_an_empty_message(api: httpx2.AsyncClient) -> None:
    # The parameters that the real client sends, empty ones too.
    answer = await api.get("experiments?page_token=&page_size=10&sort_by=&namespace=&filter=")
    assert answer.text == "{}"


async def test_pages_follow_one_another_to_the_last(api: httpx2.AsyncClient) -> None:
    for number in range(25):
        await _make(api, f"{number * 7 % 25:02}")
    query = {"sort_by": "name DESC", "page_size": "10", "filter": _filter(operation=9, key="name", stringValue="1")}
    found: list[str] = []
    token = ""
    while True:
        page = (await api.get("experiments", params={**query, "page_token": token})).json()
        assert page["total_size"] == 12
        found += [each["display_name"] for each in page["experiments"]]
        if "next_page_token" not in page:
            break
        token, query = page["next_page_token"], {"page_size": "5"}  # the token holds the order and the filter
    assert found == sorted((f"{n:02}" for n in range(25) if "1" in f"{n:02}"), reverse=True)
    assert len(await _names(api)) == 20
    assert len(await _names(api, page_size=1000)) == 25


async def test_lists_begin_with_the_oldest(api: httpx2.AsyncClient) -> None:
    for name in ("b", "c", "a"):
        await _make(api, name)
    assert await _names(api) == ["b", "c", "a"]
    assert await _names(api, sort_by="created_at desc") == ["a", "c", "b"]
    assert await _names(api, sort_by="display_name") == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("predicate", "names"),
    [
        ({"operation": 1, "key": "display_name", "stringValue": "Second"}, ["Second"]),
        ({"operation": "EQUALS", "key": "name", "string_value": "Second"}, ["Second"]),
        ({"operation": "NOT_EQUALS", "key": "storage_state", "string_value": "ARCHIVED"}, ["First", "Second", "Third"]),
        ({"operation": "IN", "key": "name", "string_values": {"values": ["First", "Third"]}}, ["First", "Third"]),
        ({"operation": 8, "key": "name", "stringValues": {}}, []),
        ({"operation": "IS_SUBSTRING", "key": "name", "string_value": "ir"}, ["First", "Third"]),
        ({"operation": 3, "key": "created_at", "timestampValue": "2026-01-01T00:00:02Z"}, ["Third"]),
        ({"operation": 5, "key": "created_at", "timestamp_value": "2026-01-01T01:00:02+01:00"}, ["Second", "Third"]),
        ({"operation": 6, "key": "created_at", "timestamp_value": "2026-01-01T00:00:02.5Z"}, ["First"]),
        ({"operation": 7, "key": "created_at", "timestamp_value": "2026-01-01T00:00:02Z"}, ["First", "Second"]),
    ],
)
async def test_filters_choose(api: httpx2.AsyncClient, predicate: Any, names: list[str]) -> None:
    for name in ("First", "Second", "Third"):
        await _make(api, name)
    assert await _names(api, filter=_filter(**predicate)) == names


@pytest.mark.parametrize(
    ("query", "part"),
    [
        ({"page_size": "-1"}, "page_size: -1 is negative"),
        ({"page_size": "many"}, "page_size: 'many' is no whole number"),
        ({"page_token": "none"}, "page_token: it is none that this API gave"),
        ({"page_token": "é"}, "page_token: it is none that this API gave"),
        ({"sort_by": "colour"}, "sort_by: there is no field 'colour'"),
        ({"sort_by": "name up"}, "write a field, or a field and asc or desc"),
        ({"filter": "x"}, "filter is no JSON"),
        ({"filter": _filter(operation=4, key="name", string_value="x")}, "4 is no operation; there are EQUALS"),
        ({"filter": _filter(operation=[], key="name", string_value="x")}, "is no operation"),
        ({"filter": _filter(key="name", string_value="x")}, "filter.predicates[0].operation: it is needed"),
        ({"filter": _filter(operation=1, key="colour", string_value="x")}, "key: there is no field 'colour'"),
        ({"filter": _filter(operation=1, key="name")}, "one value is needed, and there are 0"),
        ({"filter": _filter(operation=1, key="name", int_value=1)}, "display_name cannot be compared with 1"),
        ({"filter": _filter(operation=1, key="created_at", timestamp_value="soon")}, "is no time"),
        ({"filter": _filter(operation=1, key="name", long_value="9" * 30)}, "is no whole number of 64 bits"),
        ({"filter": _filter(operation=1, key="name", string_value="x", colour=1)}, "colour: there is no such field"),
    ],
)
async def test_a_list_that_cannot_be_says_why(api: httpx2.AsyncClient, query: dict[str, str], part: str) -> None:
    answer = await api.get("experiments", params=query)
    assert (answer.status_code, answer.json()["code"]) == (400, 3)
    assert part in answer.json()["message"]


async def test_a_token_goes_on_with_its_own_list_only(api: httpx2.AsyncClient) -> None:
    for name in ("a", "b", "c"):
        await _make(api, name)
    first = (await api.get("experiments?page_size=1&sort_by=name")).json()
    token = first["next_page_token"]
    assert await _names(api, page_token=token, sort_by="name") == ["b", "c"]
    for other in ({"sort_by": "name desc"}, {"filter": _filter(operation=1, key="name", string_value="c")}):
        answer = await api.get("experiments", params={"page_token": token, **other})
        assert answer.status_code == 400
        assert "it is of a list with another" in answer.json()["message"]
    for forged in (
        ["created_at", "", 2**63, "x"],
        ["name", "", 3, "x"],
        ["colour", "", "a", "x"],
        ["name", "{", "a", ""],
    ):
        written = base64.urlsafe_b64encode(json.dumps(forged).encode()).decode()
        answer = await api.get("experiments", params={"page_token": written})
        assert answer.status_code == 400, forged
