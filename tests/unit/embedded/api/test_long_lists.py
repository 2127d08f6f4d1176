"""Long lists and tables are written object by object: they say the same as what is made as one value."""

from typing import Any

import httpx2
import pytest

from beamhall.client.local import LocalClient
from beamhall.embedded.api import objects_http
from beamhall.embedded.api.factory import Api
from beamhall.embedded.api.tables import partial, table
from beamhall.kernel.kinds import POD
from beamhall.kernel.objects import name_of
from tests.unit.embedded.api.conftest import pod

PODS = "/api/v1/namespaces/default/pods"
TABLE = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
METADATA = {"accept": "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"}


@pytest.fixture
async def pods(client: LocalClient) -> list[Any]:
    return [await client.create(POD, pod(f"p{number}", labels={"n": str(number % 2)})) for number in range(5)]


async def get(http: httpx2.AsyncClient, headers: dict[str, str] | None = None, **query: str) -> Any:
    answer = await http.get(PODS, params=query, headers=headers or {})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_long_list_is_as_a_short_one(http, pods, monkeypatch):
    short = await get(http)
    monkeypatch.setattr(objects_http, "_SHOWN_WITH_OWNERS", 1)
    long = await get(http)
    for item in (*short["items"], *long["items"]):
        del item["metadata"]["managedFields"]  # long lists have them as they are stored
    assert long == short
    assert len(long["items"]) == 5


async def test_pages_of_a_long_list(http, pods, monkeypatch):
    monkeypatch.setattr(objects_http, "_SHOWN_WITH_OWNERS", 1)
    found = []
    query: dict[str, str] = {"limit": "2"}
    while query:
        page = await get(http, None, **query)
        found.append(([name_of(item) for item in page["items"]], page["metadata"].get("remainingItemCount")))
        after = page["metadata"].get("continue")
        query = {"limit": "2", "continue": after} if after else {}
    assert found == [(["p0", "p1"], 3), (["p2", "p3"], 1), (["p4"], None)]


@pytest.mark.parametrize("include", ["", "None", "Metadata", "Object"])
@pytest.mark.parametrize("limit", ["", "2"])
@pytest.mark.parametrize("labels", ["", "n=0"])
async def test_a_table_has_a_row_for_each_object(http, api: Api, client, pods, include, limit, labels):
    answer = await get(http, TABLE, includeObject=include, limit=limit, labelSelector=labels)
    objects = [obj for obj in (await client.list(POD)).items if not labels or obj["metadata"]["labels"]["n"] == "0"]
    expected = table(api.registry.find(POD), objects[: int(limit or 9)], api.clock.now(), include=include)
    assert answer["rows"] == expected["rows"]
    assert answer["columnDefinitions"] == expected["columnDefinitions"]
    assert (answer["kind"], answer["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    assert ("continue" in answer["metadata"]) == bool(limit)


async def test_metadata_alone(http, client, pods):
    answer = await get(http, METADATA, fieldSelector="metadata.name!=p0")
    assert answer["kind"] == "PartialObjectMetadataList"
    assert answer["items"] == [partial(obj) for obj in (await client.list(POD)).items if name_of(obj) != "p0"]


async def test_a_table_of_nothing(http):
    answer = await get(http, TABLE)
    assert answer["rows"] == []
    refused = await http.get(PODS, params={"includeObject": "x"}, headers=TABLE)
    assert refused.status_code == 400
