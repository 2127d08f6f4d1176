"""Which state a list shows, its pages, how watches begin; and what is refused, in the words of a kube-apiserver."""

import json
from typing import Any

import httpx2
import pytest

from beamhall.client.local import LocalClient
from beamhall.client.protocol import Selection
from beamhall.embedded.api.factory import Api
from beamhall.kernel.kinds import CONFIG_MAP, EVENT, JOB, NODE
from beamhall.kernel.objects import name_of
from tests.unit.embedded.api.conftest import config_map

MAPS = "/api/v1/namespaces/default/configmaps"


@pytest.fixture
async def revisions(client: LocalClient) -> list[str]:
    """Make c0 to c6, one after another; give the revision of each."""
    made = [await client.create(CONFIG_MAP, config_map(f"c{number}")) for number in range(7)]
    return [str(obj["metadata"]["resourceVersion"]) for obj in made]


async def listed(http: httpx2.AsyncClient, **query: str) -> dict[str, Any]:
    answer = await http.get(MAPS, params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def names(page: dict[str, Any]) -> list[str]:
    return [name_of(item) for item in page["items"]]


async def test_an_exact_list_shows_the_past(http, client, revisions):
    await client.delete(CONFIG_MAP, "c0", "default")
    page = await listed(http, resourceVersion=revisions[2], resourceVersionMatch="Exact")
    assert names(page) == ["c0", "c1", "c2"]
    assert page["metadata"]["resourceVersion"] == revisions[2]


async def test_a_list_that_is_not_older_shows_the_present(http, client, revisions):
    await client.delete(CONFIG_MAP, "c0", "default")
    for query in (
        {"resourceVersion": revisions[2], "resourceVersionMatch": "NotOlderThan"},
        {"resourceVersion": revisions[2], "resourceVersionMatch": "NotOlderThan", "limit": "50"},
        {"resourceVersion": revisions[2]},
        {"resourceVersion": "0"},
        {"resourceVersion": "0", "resourceVersionMatch": "NotOlderThan"},
        {},
    ):
        page = await listed(http, **query)
        assert names(page) == [f"c{number}" for number in range(1, 7)], query
        assert int(page["metadata"]["resourceVersion"]) > int(revisions[-1])


async def test_a_limit_makes_a_revision_exact(http, revisions):
    page = await listed(http, resourceVersion=revisions[3], limit="2")
    assert names(page) == ["c0", "c1"]
    assert page["metadata"]["resourceVersion"] == revisions[3]
    rest = await listed(http, **{"continue": page["metadata"]["continue"]})
    assert names(rest) == ["c2", "c3"]


async def test_pages_tell_how_many_objects_follow(http, client, revisions):
    told, query = [], {"limit": "3"}
    while query:
        page = await listed(http, **query)
        told.append((names(page), page["metadata"].get("remainingItemCount")))
        after = page["metadata"].get("continue")
        query = {"limit": "3", "continue": after} if after else {}
        await client.create(CONFIG_MAP, config_map(f"later{len(told)}"))
    assert told == [(["c0", "c1", "c2"], 4), (["c3", "c4", "c5"], 1), (["c6"], None)]


async def test_with_a_selector_that_is_not_known(http, revisions):
    page = await listed(http, limit="3", fieldSelector="metadata.name!=c0")
    assert names(page) == ["c1", "c2", "c3"]
    assert "remainingItemCount" not in page["metadata"]
    assert page["metadata"]["continue"]


async def test_a_list_of_one_name_reads_no_other(http, api: Api, revisions, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("every object is read")

    with monkeypatch.context() as watched:
        watched.setattr(api.core.store, "list", refuse)
        page = await listed(http, fieldSelector="metadata.name=c3")
        assert (names(page), page["metadata"]["resourceVersion"]) == (["c3"], str(api.core.store.revision))
        assert names(await listed(http, fieldSelector="metadata.name=none")) == []
        assert names(await listed(http, fieldSelector="metadata.name=c3", labelSelector="app=other")) == []
    old = await listed(
        http, fieldSelector="metadata.name=c3", resourceVersion=revisions[2], resourceVersionMatch="Exact"
    )
    assert names(old) == []
    everywhere = (await http.get("/api/v1/configmaps", params={"fieldSelector": "metadata.name=c3"})).json()
    assert names(everywhere) == ["c3"]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("resourceVersionMatch=Exact", "resourceVersionMatch is forbidden unless resourceVersion is provided"),
        ("resourceVersionMatch=Exact&resourceVersion=0", 'resourceVersionMatch "exact" is forbidden'),
        ("resourceVersionMatch=Never&resourceVersion=3", 'Unsupported value: "Never": supported values: "Exact"'),
        ("resourceVersionMatch=Exact&resourceVersion=3&continue=x", "forbidden when continue is provided"),
        ("sendInitialEvents=true", "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list"),
        ("watch=1&sendInitialEvents=true", "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"),
        ("watch=1&resourceVersionMatch=NotOlderThan", "forbidden for watch unless sendInitialEvents is provided"),
    ],
)
async def test_what_does_not_go_together_is_invalid(http, query, said):
    answer = await http.get(f"{MAPS}?{query}")
    assert answer.status_code == 422
    assert answer.json()["reason"] == "Invalid"
    assert said in answer.json()["message"]
    assert answer.json()["message"].startswith('ListOptions.meta.k8s.io "" is invalid: ')


@pytest.mark.parametrize("query", ["", "watch=1&", "limit=3&"])
@pytest.mark.parametrize("revision", ["x", "-1", "1.5", "²", "9" * 30])
async def test_a_revision_that_is_no_number_is_a_bad_request(http, query, revision):
    answer = await http.get(f"{MAPS}?{query}resourceVersion={revision}")
    assert (answer.status_code, answer.json()["reason"]) == (400, "BadRequest")


async def test_a_revision_ahead_of_the_store_is_said_so_that_clients_list_afresh(http, api: Api):
    current = api.core.store.revision
    answer = await http.get(f"{MAPS}?resourceVersion={current + 1}")
    status = answer.json()
    assert (answer.status_code, status["reason"], status["details"]["retryAfterSeconds"]) == (504, "Timeout", 1)
    assert status["message"] == f"Too large resource version: {current + 1}, current: {current}"
    assert status["details"]["causes"] == [
        {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    ]


async def test_what_was_forgotten_is_expired(http, client, api: Api, revisions):
    page = await listed(http, limit="2")
    await client.delete(CONFIG_MAP, "c6", "default")
    await api.core.store.compact(api.core.store.revision)
    gone = await http.get(MAPS, params={"limit": "2", "continue": page["metadata"]["continue"]})
    assert (gone.status_code, gone.json()["reason"]) == (410, "Expired")
    assert "The provided continue parameter is too old" in gone.json()["message"]
    exact = await http.get(MAPS, params={"resourceVersion": revisions[0], "resourceVersionMatch": "Exact"})
    assert (exact.status_code, exact.json()["reason"]) == (410, "Expired")
    both = await http.get(MAPS, params={"resourceVersion": "5", "continue": page["metadata"]["continue"]})
    assert "specifying resource version is not allowed when using continue" in both.json()["message"]


async def watched(http: httpx2.AsyncClient, query: str) -> list[dict[str, Any]]:
    """Give all events of a watch of one second."""
    answer = await http.get(f"{MAPS}?watch=1&timeoutSeconds=1&{query}")
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


async def test_a_streaming_list(http, revisions):
    query = f"sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion={revisions[2]}"
    events = await watched(http, f"{query}&allowWatchBookmarks=true")
    assert [event["type"] for event in events] == ["ADDED"] * 7 + ["BOOKMARK"] * 2
    metadata = events[7]["object"]["metadata"]
    assert metadata["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert int(metadata["resourceVersion"]) >= int(revisions[-1])
    assert "annotations" not in events[8]["object"]["metadata"]


async def test_a_watch_without_what_is_there(http, revisions):
    assert await watched(http, "sendInitialEvents=false&resourceVersionMatch=NotOlderThan") == []
    from_third = f"sendInitialEvents=false&resourceVersionMatch=NotOlderThan&resourceVersion={revisions[2]}"
    events = await watched(http, from_third)
    assert [event["object"]["metadata"]["name"] for event in events] == ["c3", "c4", "c5", "c6"]


@pytest.mark.parametrize("query", ["", "resourceVersion=0"])
async def test_a_watch_from_no_revision_begins_with_what_is_there(http, revisions, query):
    events = await watched(http, query)
    assert [event["object"]["metadata"]["name"] for event in events] == [f"c{number}" for number in range(7)]


@pytest.mark.parametrize(
    ("kind", "selector", "expected"),
    [
        (JOB, "status.successful=0", ["new"]),
        (JOB, "status.successful=2", ["done"]),
        (JOB, "status.successful!=0", ["done"]),
        (NODE, "spec.unschedulable=false", ["open"]),
        (NODE, "spec.unschedulable!=false", ["closed"]),
        (EVENT, "source=kubelet", ["e"]),
    ],
)
async def test_fields_that_lie_elsewhere_than_they_are_called(client, kind, selector, expected):
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}
    for name in ("new", "done"):
        await client.create(JOB, {"metadata": {"name": name, "namespace": "default"}, "spec": {"template": template}})
    await client.patch(JOB, "done", "default", {"status": {"succeeded": 2}}, subresource="status")
    await client.create(NODE, {"metadata": {"name": "open"}})
    await client.create(NODE, {"metadata": {"name": "closed"}, "spec": {"unschedulable": True}})
    about = {"kind": "Pod", "name": "p", "namespace": "default"}
    event = {"metadata": {"name": "e", "namespace": "default"}, "involvedObject": about, "reason": "R"}
    await client.create(EVENT, event | {"source": {"component": "kubelet"}})
    page = await client.list(kind, Selection(fields=selector))
    assert [item["metadata"]["name"] for item in page.items] == expected
